/**
 * `doctor`: what this machine has, what will run, what to install.
 *
 * @module
 */
import { cpus } from "node:os";
import { Command } from "@commander-js/extra-typings";
import { formatBytes, formatSeconds } from "../../reports/format.ts";
import manifest from "../../deno.json" with { type: "json" };
import { describeDiagnosis, diagnoseStack } from "../doctor.ts";
import { errorLine, EXIT } from "../errors.ts";
import { DriverError, ensureDriver } from "../install_driver.ts";
import { provideRuntimeDir } from "../runtime_dir.ts";
import { runCommand } from "./errors.ts";
import { parseCommand } from "./parse_command.ts";

/** The Deno version that the project is tested with. */
const TESTED_DENO = "2.9.6";

/** Runs the command and returns its exit code: 5 when nothing can run. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
  const command = new Command("doctor")
    .description("Explain this machine: adapters, features, what will run, what to install.");
  if (!parseCommand(command, args)) return EXIT.fine;
  const { deno, v8, typescript } = Deno.version;
  console.log(
    `Lighthouse Attention Bench ${manifest.version}, Deno ${deno}, V8 ${v8}, TypeScript ${typescript}`,
  );
  if (deno !== TESTED_DENO) console.log(`  tested with Deno ${TESTED_DENO}; others may differ`);
  const cpu = cpus()[0]?.model.trim() || "unknown processor";
  console.log(
    `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}, ${cpu}, ` +
      `${navigator.hardwareConcurrency} cores, ${
        formatBytes(Deno.systemMemoryInfo().total)
      } memory\n`,
  );
  provideRuntimeDir();
  let missing: string | undefined;
  try {
    // A doctor looks and tells; `bench`, `verify` and `test` install.
    await ensureDriver({ install: false });
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    missing = errorLine(error);
  }
  const format = { bytes: formatBytes, seconds: formatSeconds };
  let usable = 0;
  for (const stack of ["deno", "dawn"] as const) {
    const diagnosis = await diagnoseStack(stack);
    if (!diagnosis.problem && diagnosis.correct) usable++;
    console.log(describeDiagnosis(diagnosis, format).join("\n"));
  }
  console.log();
  if (usable > 0) {
    console.log("Ready: deno task bench");
    return EXIT.fine;
  }
  console.log(missing ?? "Nothing can run: no stack gives a working adapter");
  return EXIT.nothingMeasured;
}

if (import.meta.main) await runCommand("doctor", () => doctorCommand(Deno.args));
