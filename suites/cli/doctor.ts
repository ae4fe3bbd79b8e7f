/**
 * `doctor`: what this machine has, what will run, what to install.
 *
 * @module
 */
import { cpus } from "node:os";
import { Command, Option } from "@commander-js/extra-typings";
import { DeviceError, type Gpu, openDevice } from "../../kernels/gpu/device.ts";
import { formatBytes, formatSeconds } from "../../reports/text/format.ts";
import manifest from "../../deno.json" with { type: "json" };
import { describeDiagnosis, diagnoseStack } from "../run/doctor.ts";
import { describeEnvironment } from "../device/environment.ts";
import { errorLine, EXIT, UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../plan/implementations.ts";
import { DriverError, ensureDriver } from "../device/install_driver.ts";
import {
  ASSUMED_DEVICE,
  describeMemory,
  type MemoryDevice,
  planMemory,
} from "../plan/memory_plan.ts";
import type { PlanOptions } from "../plan/plan.ts";
import { PROFILE_NAMES } from "../plan/profile.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { readTuning } from "../device/tuning_file.ts";
import { runCommand } from "./errors.ts";
import { addLayerOptions, chosenLayers, TUNING_HELP } from "./layer_options.ts";
import { parseCommand } from "./parse_command.ts";

/** The Deno version that the project is tested with. */
const TESTED_DENO = "2.9.6";

/** Runs the command and returns its exit code: 5 when nothing can run. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
  const command = new Command("doctor")
    .description("Explain this machine: adapters, features, what will run, what to install.")
    .option("--tuning <file>", TUNING_HELP, "auto")
    .option("--plan", "print the memory plan of the layers that the options below choose")
    .addOption(
      new Option("--device <name>", "plan for this machine's adapter or for an H100 of 80 GB")
        .choices(["here", "h100"] as const),
    )
    .addOption(
      new Option("--profile <name>", "whose settings fill in what the options leave open")
        .choices(PROFILE_NAMES).default("paper"),
    );
  addLayerOptions(command, { verb: "plan" });
  if (!parseCommand(command, args)) return EXIT.fine;
  const given = command.opts();
  if (given.plan) {
    return await printPlan({ profile: given.profile, ...chosenLayers(command) }, given.device);
  }
  const alone = Object.keys(given).find((name) => name !== "profile" && name !== "tuning");
  if (alone !== undefined) throw new UsageError(`option --${kebab(alone)} is for --plan only`);
  const named = given.tuning !== "auto" && given.tuning !== "none";
  if (named) await readTuning(given.tuning);
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
  let taken = false;
  for (const stack of ["deno", "dawn"] as const) {
    const diagnosis = await diagnoseStack(stack, { tuning: given.tuning });
    if (diagnosis.tuning?.record) taken = true;
    if (!diagnosis.problem && diagnosis.correct) usable++;
    console.log(describeDiagnosis(diagnosis, format).join("\n"));
  }
  console.log();
  if (named && usable > 0 && !taken) {
    throw new UsageError(`tuning ${given.tuning}: it is for no device of this machine`);
  }
  if (usable > 0) {
    console.log("Ready: deno task bench");
    return EXIT.fine;
  }
  console.log(missing ?? "Nothing can run: no stack gives a working adapter");
  return EXIT.nothingMeasured;
}

/** Prints the memory plan of a few layers; 1 when one of them does not fit. */
async function printPlan(options: PlanOptions, device?: "here" | "h100"): Promise<number> {
  const { found, note } = device === "h100" ? { found: ASSUMED_DEVICE } : await findDevice(device);
  const cases = planMemory(options, found, IMPLEMENTATIONS);
  if (note) console.log(note);
  console.log(describeMemory(cases, { device: found, bytes: formatBytes }).join("\n"));
  return cases.every(({ fits, buffers }) => fits || !buffers) ? EXIT.fine : EXIT.failed;
}

/** The adapter of this machine; unless it was asked for, an H100 stands in for a software one. */
async function findDevice(
  wanted: "here" | undefined,
): Promise<{ found: MemoryDevice; note?: string }> {
  provideRuntimeDir();
  let gpu: Gpu | undefined;
  try {
    gpu = await openDevice();
    const { capabilities, adapter } = gpu;
    if (adapter.software && !wanted) {
      const note =
        `only a software adapter here (${adapter.description}); --device here plans for it`;
      return { found: ASSUMED_DEVICE, note };
    }
    const { deviceMemoryBytes } = await describeEnvironment(gpu);
    const description = `${adapter.description || adapter.device}, the adapter of this machine`;
    return { found: { capabilities, adapter, deviceMemoryBytes, description } };
  } catch (error) {
    if (wanted || !(error instanceof DeviceError)) throw error;
    return { found: ASSUMED_DEVICE, note: `no adapter here: ${errorLine(error)}` };
  } finally {
    gpu?.destroy();
  }
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

if (import.meta.main) await runCommand("doctor", () => doctorCommand(Deno.args));
