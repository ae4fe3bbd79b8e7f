/**
 * `install_driver`: what the test task runs first. Installs the software driver where it is needed
 * and may be installed; otherwise says what to install and lets the tests skip.
 *
 * @module
 */
import { errorLine, EXIT, UsageError } from "../errors.ts";
import { DriverError, ensureDriver } from "../device/install_driver.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { runCommand } from "./errors.ts";

/** The command with its arguments, of which there are none. */
export async function installDriverCommand(
  args: readonly string[],
  ensure: typeof ensureDriver = ensureDriver,
): Promise<number> {
  if (args.length > 0) throw new UsageError(`driver takes no arguments, not ${args.join(" ")}`);
  provideRuntimeDir();
  try {
    await ensure({ say: (line) => console.error(line) });
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    console.error(errorLine(error));
  }
  return EXIT.fine;
}

if (import.meta.main) await runCommand("driver", () => installDriverCommand(Deno.args));
