/**
 * `doctor`: what this machine has, what will run, what to install.
 *
 * @module
 */
import { cpus } from "node:os";
import { Option } from "@commander-js/extra-typings";
import { DeviceError, type Gpu } from "../../kernels/gpu/device.ts";
import { wrapWords } from "../../reports/text/fit_table.ts";
import { formatBytes, formatSeconds } from "../../reports/text/format.ts";
import manifest from "../../deno.json" with { type: "json" };
import { describeDiagnosis, diagnoseStack } from "../run/doctor.ts";
import { describeEnvironment } from "../device/environment.ts";
import { errorLine, EXIT, UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { DriverError, ensureDriver } from "../device/install_driver.ts";
import {
  ASSUMED_DEVICE,
  describeLimit,
  describeMemory,
  type MemoryDevice,
  planMemory,
} from "../plan/memory_plan.ts";
import { startPlanning } from "../plan/grid.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { PROFILE_NAMES } from "../plan/profile.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import type { NamedAdapter } from "../device/adapter_name.ts";
import { describeGpus, type FoundAdapter } from "../device/list_gpus.ts";
import { cardOf, listNvidiaCards } from "../device/nvidia.ts";
import { openStack, type OpenStackOptions } from "../device/open_stack.ts";
import { readTuning } from "../device/tuning_file.ts";
import { terminalWidth } from "./color.ts";
import { runCommand } from "./errors.ts";
import { addLayerOptions, chosenLayers, tuningOption } from "./layer_options.ts";
import { newCommand, quietOption, takesNames } from "./command.ts";
import { SUITES } from "../suites.ts";
import { addSuiteOptions, chosenSettings, suiteNames } from "./suite_options.ts";
import { stackOption } from "./device_options.ts";
import { parseCommand } from "./parse_command.ts";

/** Where the values of a diagnosis begin, for lines that go on. */
const VALUE_INDENT = " ".repeat(13);

/** Suites that plan memory of their own. */
const PLANNING = SUITES.filter(({ plansMemory }) => plansMemory);

/** The Deno version that the project is tested with. */
const TESTED_DENO = "2.9.6";

/** Runs the command and returns its exit code: 5 when nothing can run. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
  const command = doctorOptions();
  if (!parseCommand(command, args)) return EXIT.fine;
  const given = command.opts();
  const width = terminalWidth(Deno.stdout);
  const print = (text = "") => {
    if (given.quiet) return;
    for (const line of text.split("\n")) console.log(wrapWords(line, width, VALUE_INDENT));
  };
  const isGiven = (name: "profile" | "tuning" | "stack") =>
    command.getOptionValueSource(name) === "cli";
  if (given.plan) {
    const { stack, profile, device, plan } = given;
    if (isGiven("tuning")) {
      throw new UsageError("option --tuning is not for --plan: memory does not depend on tilings");
    }
    if (device === "h100" && isGiven("stack")) {
      throw new UsageError(`option --stack ${stack}: --device h100 opens no stack`);
    }
    const own = chosenSettings(command, PLANNING);
    if (plan === true && own.settings) {
      const [[suite, settings]] = Object.entries(own.settings);
      const [given] = Object.keys(settings);
      const flags = PLANNING.flatMap(({ flags = [] }) => flags);
      const { flag } = flags.find(({ name }) => name === given)!;
      throw new UsageError(`option --${flag} is for --plan ${suite}`);
    }
    const options = { profile, ...chosenLayers(command), ...own };
    const how = { device, stack, print };
    return plan === true
      ? await printPlan(options, how)
      : await printSuitePlan({ ...options, suites: [plan] }, how);
  }
  const alone = Object.keys(given).find((name) =>
    name === "profile" ? isGiven(name) : !["tuning", "stack", "quiet"].includes(name)
  );
  if (alone !== undefined) throw new UsageError(`option --${kebab(alone)} is for --plan only`);
  const named = given.tuning !== "auto" && given.tuning !== "none";
  if (named) await readTuning(given.tuning);
  const { deno, v8, typescript } = Deno.version;
  print(
    `Lighthouse Attention Bench ${manifest.version}, Deno ${deno}, V8 ${v8}, TypeScript ${typescript}`,
  );
  if (deno !== TESTED_DENO) print(`  tested with Deno ${TESTED_DENO}; others may differ`);
  const cpu = cpus()[0]?.model.trim() || "unknown processor";
  print(
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
  const adapters: (FoundAdapter & NamedAdapter)[] = [];
  for (const stack of given.stack === "auto" ? ["deno", "dawn"] as const : [given.stack]) {
    const diagnosis = await diagnoseStack(stack, { tuning: given.tuning });
    const adapter = diagnosis.environment?.adapter;
    if (adapter) adapters.push({ ...adapter, stack, name: adapter.description || adapter.device });
    if (diagnosis.tuning?.record) taken = true;
    if (!diagnosis.problem && diagnosis.correct) usable++;
    print(describeDiagnosis(diagnosis, format).join("\n"));
  }
  const cards = await listNvidiaCards();
  const first = cards.find((card) => adapters.some((one) => cardOf(one, cards) === card));
  print(describeGpus(cards, { adapters, taken: first, bytes: formatBytes }).join("\n"));
  if (usable > 0 && given.stack === "auto") {
    print(`Chosen by --stack auto: ${await chosen()}`);
  }
  print();
  if (named && usable > 0 && !taken) {
    throw new UsageError(`tuning ${given.tuning}: it is for no device of this machine`);
  }
  if (usable > 0) {
    print("Ready: deno task bench");
    return EXIT.fine;
  }
  print(missing ?? "Nothing can run: no stack gives a working adapter");
  return EXIT.nothingMeasured;
}

/** The options of the command, unparsed. */
export function doctorOptions() {
  const command = newCommand("doctor", {
    description: "Explain this machine: adapters, features, what will run, what to install.",
    examples: [
      ["doctor", "what this machine can run"],
      ["doctor --plan --context 512K", "memory of a layer, buffer by buffer"],
      ["doctor --plan training", "memory of models in training"],
    ],
  })
    .optionsGroup("What to look at:")
    .addOption(stackOption())
    .addOption(tuningOption())
    .addOption(quietOption("print nothing; the exit code is 0 where something can run"))
    .optionsGroup("Memory plan:")
    .addOption(takesNames(
      new Option(
        "--plan [suite]",
        "print the memory plan of the layers that the other options choose, or of a suite's cases: " +
          suiteNames(PLANNING).join(", "),
      ),
      suiteNames(PLANNING),
      { list: false },
    ))
    .addOption(
      new Option("--device <name>", "plan for this machine's adapter or for an H100 of 80 GB")
        .choices(["here", "h100"] as const),
    )
    .addOption(
      new Option("--profile <name>", "whose settings fill in what the options leave open")
        .choices(PROFILE_NAMES).default("paper"),
    );
  addLayerOptions(command, { verb: "plan" });
  addSuiteOptions(command, PLANNING);
  return command;
}

/** Which stack a run would take and why; or why it would take none. */
async function chosen(): Promise<string> {
  try {
    const { gpu, line } = await openStack();
    gpu.destroy();
    return line!;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return errorLine(error);
  }
}

/** Prints the memory plan of a few layers; 1 when one of them does not fit. */
async function printPlan(
  options: PlanOptions,
  { device, stack, print }: {
    device?: "here" | "h100";
    stack: OpenStackOptions["stack"];
    print: (text: string) => void;
  },
): Promise<number> {
  const { found, note } = await plannedDevice(device, stack);
  const cases = planMemory(options, found, IMPLEMENTATIONS);
  if (note) print(note);
  print(describeMemory(cases, { device: found, bytes: formatBytes }).join("\n"));
  return cases.every(({ fits, buffers }) => fits || !buffers) ? EXIT.fine : EXIT.failed;
}

/**
 * Prints the memory plan of a suite's cases.
 *
 * @throws {UsageError} one line, when one of them cannot run.
 */
async function printSuitePlan(
  options: PlanOptions,
  { device, stack, print }: Parameters<typeof printPlan>[1],
): Promise<number> {
  const [name] = options.suites!;
  const entry = PLANNING.find(({ record }) => record.name === name);
  if (!entry) {
    throw new UsageError(`plan ${name} is not one of ${suiteNames(PLANNING).join(", ")}`);
  }
  const { suite } = await entry.load();
  // What needs no device is refused before one is opened.
  await suite.open?.({ ...options, seed: 0 });
  const { found, note } = await plannedDevice(device, stack);
  const { lines, refused } = suite.planMemory!(startPlanning(options, found, IMPLEMENTATIONS));
  if (note) print(note);
  print(describeLimit(found, { bytes: formatBytes }));
  print(lines.join("\n"));
  if (refused.length > 0) throw new UsageError(refused[0]);
  return EXIT.fine;
}

/** The device to plan for, and what a reader should know of the choice. */
async function plannedDevice(
  device: "here" | "h100" | undefined,
  stack: OpenStackOptions["stack"],
): Promise<{ found: MemoryDevice; note?: string }> {
  return device === "h100" ? { found: ASSUMED_DEVICE } : await findDevice(device, stack);
}

/** The adapter of this machine; unless it was asked for, an H100 stands in for a software one. */
async function findDevice(
  wanted: "here" | undefined,
  stack: OpenStackOptions["stack"],
): Promise<{ found: MemoryDevice; note?: string }> {
  provideRuntimeDir();
  let gpu: Gpu | undefined;
  try {
    gpu = (await openStack({ stack })).gpu;
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
