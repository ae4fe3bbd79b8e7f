/**
 * `install_driver`: what the test task runs first. Installs the software driver where it is needed
 * and may be installed; otherwise says what to install and lets the tests skip.
 *
 * @module
 */
import { errorLine, EXIT } from "../errors.ts";
import { DriverError, ensureDriver } from "../device/install_driver.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { runCommand } from "./errors.ts";

if (import.meta.main) {
  await runCommand("install_driver", async () => {
    provideRuntimeDir();
    try {
      await ensureDriver({ say: (line) => console.error(line) });
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      console.error(errorLine(error));
    }
    return EXIT.fine;
  });
}
