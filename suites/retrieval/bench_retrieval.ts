/**
 * `bench retrieval`: the retrieval suite on this machine, its result and its report.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { openDevice, type Stack } from "../../kernels/gpu/device.ts";
import { writeReport } from "../../reports/report_command.ts";
import { renderTerminal } from "../../reports/terminal.ts";
import { parseCommand } from "../cli/parse_command.ts";
import { describeEnvironment, describeTool, hashJson, hashKernels } from "../environment.ts";
import { EXIT } from "../errors.ts";
import { ensureDriver } from "../install_driver.ts";
import { type Result, SCHEMA_VERSION } from "../result_schema.ts";
import { ResultStore } from "../result_store.ts";
import { provideRuntimeDir } from "../runtime_dir.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import { evaluateNeedles, PAPER_PROTOCOL } from "./needle_model.ts";
import { type RetrievalOptions, retrievalProfile } from "./retrieval_profile.ts";
import { runRetrieval } from "./retrieval_suite.ts";

/** What the command line asks for. */
export interface RetrievalCommand {
  readonly options: RetrievalOptions;
  readonly stack: Stack;
  readonly dtype: "auto" | "f16" | "f32";
  readonly seed: number;
  readonly out: string;
  /** File of a trained model for the digit passkey test. */
  readonly checkpoint?: string;
  readonly quiet: boolean;
  readonly install: boolean;
}

/** Seeds of batches lie above the given one. */
const MAX_SEED = 2 ** 31;

/**
 * Reads the arguments after `bench retrieval`.
 *
 * @returns undefined when help was asked for and printed.
 * @throws {UsageError} one line, for anything that cannot be used.
 */
export function parseRetrieval(args: readonly string[]): RetrievalCommand | undefined {
  const command = retrievalCommand();
  if (!parseCommand(command, args)) return undefined;
  const given = command.opts();
  const options: RetrievalOptions = {
    profile: given.profile,
    contexts: given.context,
    depths: given.depth,
    margins: given.margin,
    trials: given.trials,
    scorers: given.scorer,
    headDim: given.headDim,
    levels: given.levels,
    pooling: given.pooling,
    k: given.k,
    budgetSeconds: given.budget,
  };
  // Checked before a device is opened; without a name the adapter decides between two profiles.
  for (const profile of given.profile ? [given.profile] : ["smoke", "standard"]) {
    retrievalProfile({ ...options, profile });
  }
  const { stack, dtype, seed, out } = given;
  return {
    options,
    stack,
    dtype,
    seed,
    out,
    ...(given.checkpoint !== undefined && { checkpoint: given.checkpoint }),
    quiet: given.quiet === true,
    install: given.install,
  };
}

function retrievalCommand() {
  return new Command("bench retrieval")
    .description("Plant needles into synthetic Q, K, V and see which attention finds them.")
    .option("--profile <name>", "smoke, standard or paper; default: smoke on a software adapter")
    .addOption(
      new Option("--stack <name>", "WebGPU implementation: Deno's own, or Dawn")
        .choices(["deno", "dawn"] as const).default("deno" as const),
    )
    .option("--context <list>", "context lengths N, for example 8192,16K", parseCounts)
    .option("--depth <list>", "percent of the context before the needle, 0 to 100", parseNumbers)
    .option("--margin <list>", "logit margins of the needle", parseNumbers)
    .option("--trials <number>", "trials of each cell", parseCount)
    .option(
      "--scorer <list>",
      "norm, dilated, gla",
      (text: string) => text.split(",").map((name) => name.trim()),
    )
    .option("--head-dim <number>", "head dimension d", parseCount)
    .option("--levels <number>", "pyramid levels L", parseCount)
    .option("--pooling <number>", "pooling factor p", parseCount)
    .option("--k <budget>", "selection budget: a number or N/64 and the like", parseRule)
    .option("--checkpoint <file>", "also the digit passkey test of a trained model")
    .addOption(
      new Option("--dtype <type>", "storage type; auto: f16 where the device has it")
        .choices(["auto", "f16", "f32"] as const).default("auto" as const),
    )
    .option("--seed <number>", "seed of the trials", parseSeed, 1010)
    .option("--budget <seconds>", "seconds for all cells", parseSeconds)
    .option("--out <folder>", "folder for result.json, report.html, summary.md", "out")
    .option("--no-install", "never install a driver, only say which")
    .option("--quiet", "print nothing but errors");
}

/** Runs the command and returns its exit code. */
export async function benchRetrieval(args: readonly string[]): Promise<number> {
  const parsed = parseRetrieval(args);
  if (!parsed) return EXIT.fine;
  const { options, quiet, install, stack, out, seed } = parsed;
  // A bad file is refused before anything is measured.
  const model = parsed.checkpoint === undefined
    ? undefined
    : await loadCheckpoint(parsed.checkpoint);
  provideRuntimeDir();
  if (stack !== "dawn") await ensureDriver({ install, say: (line) => console.error(line) });
  const store = await ResultStore.open(out);
  const gpu = await openDevice({ stack, require: parsed.dtype === "f16" ? ["shader-f16"] : [] });
  try {
    const name = options.profile ?? (gpu.adapter.software ? "smoke" : "standard");
    const profile = retrievalProfile({ ...options, profile: name });
    const dtype = parsed.dtype === "auto" ? (gpu.capabilities.f16 ? "f16" : "f32") : parsed.dtype;
    const configuration = { suites: ["retrieval"], ...profile, dtype, seed, stack };
    const result: Result = {
      schemaVersion: SCHEMA_VERSION,
      tool: await describeTool(),
      startedAt: new Date().toISOString(),
      finishedAt: null,
      command: ["deno", "task", "bench", "retrieval", ...args],
      profile: name,
      stack,
      seed,
      configuration,
      hashes: {
        wgsl: await hashKernels() ?? "unknown",
        configuration: await hashJson(configuration),
        plan: await hashJson(configuration),
      },
      environment: await describeEnvironment(gpu),
      calibration: null,
      cases: [],
      ratios: [],
      notes: [],
    };
    result.retrieval = await runRetrieval(gpu, {
      profile,
      seed,
      dtype,
      step: (text) => quiet || console.error(text),
      save: async (retrieval) => {
        result.retrieval = retrieval;
        await store.save(result);
      },
    });
    if (model) {
      const { contexts, depths } = options;
      const cells = await evaluateNeedles(model, {
        contexts: contexts ?? PAPER_PROTOCOL.contexts,
        depths: depths ?? PAPER_PROTOCOL.depths,
        seed,
      });
      result.retrieval.checkpoint = { name: model.name, cells: cells.map((cell) => ({ ...cell })) };
    }
    result.finishedAt = new Date().toISOString();
    await store.save(result);
    const written = await writeReport([result], out);
    if (!quiet) {
      console.log(renderTerminal(result, { color: Deno.stdout.isTerminal() && !Deno.noColor }));
      console.log(`\nWrote ${store.path}, ${written.html}, ${written.markdown}`);
    }
    const { cells, instrument } = result.retrieval;
    const failed = instrument.filter(({ passed }) => !passed);
    if (failed.length > 0) {
      const [{ quantity, context, margin, measured, low, high }] = failed;
      console.error(
        `bench: failed: ${quantity} at context ${context}, margin ${margin}: measured ` +
          `${measured.toPrecision(4)}, the law allows ${low.toPrecision(4)} to ` +
          `${high.toPrecision(4)} (${failed.length} of ${instrument.length} checks)`,
      );
      return EXIT.failed;
    }
    return cells.length > 0 ? EXIT.fine : EXIT.nothingMeasured;
  } finally {
    gpu.destroy();
  }
}

function parseCount(text: string): number {
  const found = /^([1-9]\d{0,8})([kK]?)$/.exec(text.trim());
  if (!found) throw new InvalidArgumentError(`"${text}" is not a positive whole number.`);
  return Number(found[1]) * (found[2] ? 1024 : 1);
}

function parseCounts(text: string): number[] {
  return text.split(",").map(parseCount);
}

function parseNumbers(text: string): number[] {
  return text.split(",").map((part) => {
    const value = Number(part);
    if (part.trim() === "" || !Number.isFinite(value)) {
      throw new InvalidArgumentError(`"${part}" is not a finite number.`);
    }
    return value;
  });
}

function parseRule(text: string): number | string {
  if (/^\s*N\/[1-9]\d*\s*$/i.test(text)) return text.trim().toUpperCase();
  return parseCount(text);
}

function parseSeed(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > MAX_SEED) {
    throw new InvalidArgumentError(`"${text}" is not a whole number from 0 to ${MAX_SEED}.`);
  }
  return value;
}

function parseSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`"${text}" is not a positive number of seconds.`);
  }
  return value;
}
