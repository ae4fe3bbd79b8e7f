/**
 * `bench [suite…]`: calibrate, check, measure, and write the result and its report.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { writeReport } from "./report_command.ts";
import { renderTerminal } from "../../reports/text/terminal.ts";
import { errorLine, EXIT, UsageError } from "../errors.ts";
import { PROFILE_NAMES, type SuiteName, SUITES } from "../plan/profile.ts";
import { DEFAULT_SEED, exitCodeOf, MAX_SEED, runSuite, type SuiteOptions } from "../run/runner.ts";
import { clockAdvice } from "../device/keep_warm.ts";
import { PEER_NAMES, requirePeer } from "../peers/peers.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { parseShard } from "../plan/shard.ts";
import { runCommand } from "./errors.ts";
import {
  addLayerOptions,
  chosenLayers,
  parseCount,
  parseSeconds,
  TUNING_HELP,
} from "./layer_options.ts";
import { parseCommand } from "./parse_command.ts";
import { keepWarmOption, noKeepWarmOption, stackOption } from "./device_options.ts";
import { ProgressDisplay, stderrStream } from "./progress.ts";
import { chooseFolder, DEFAULT_OUT } from "./run_folder.ts";

/** What the command line asks for. */
export interface BenchCommand {
  readonly suite: SuiteOptions;
  readonly quiet: boolean;
  /** Whether files of an earlier run may be overwritten. */
  readonly force: boolean;
  /** Whether a missing software driver may be installed. */
  readonly install: boolean;
}

/**
 * Reads the arguments after the command's name.
 *
 * @returns undefined when help or the version was asked for and printed.
 * @throws {UsageError} one line, for anything that cannot be used.
 */
export function parseBench(args: readonly string[]): BenchCommand | undefined {
  const command = benchCommand();
  if (!parseCommand(command, args)) return undefined;
  const given = command.opts();
  const suites = command.processedArgs[0].map((name) => {
    if (!(SUITES as readonly string[]).includes(name)) {
      throw new UsageError(`suite ${name} is not one of ${SUITES.join(", ")}`);
    }
    return name as SuiteName;
  });
  return {
    quiet: given.quiet === true,
    force: given.force === true,
    install: given.install,
    suite: {
      suites: suites.length > 0 ? suites : undefined,
      profile: given.profile,
      stack: given.stack,
      ...chosenLayers(command),
      seed: given.seed,
      samples: given.samples,
      budgetSeconds: given.budget,
      ...(given.out !== undefined && { out: given.out }),
      resume: given.resume === true,
      ...(given.peer && { peers: given.peer }),
      ...(given.keepWarm !== undefined && { keepWarm: given.keepWarm }),
      tuning: given.tuning,
      ...(given.shard && { shard: given.shard }),
      ...(given.depth && { depths: given.depth }),
      ...(given.margin && { margins: given.margin }),
      ...(given.trials && { trials: given.trials }),
      ...(given.checkpoint !== undefined && { checkpoint: given.checkpoint }),
      command: ["deno", "task", "bench", ...args],
    },
  };
}

function benchCommand() {
  const command = new Command("bench")
    .description("Check and time dense and Lighthouse attention on this machine.")
    .argument("[suite...]", `${SUITES.join(", ")}; default: all of the profile`)
    .addOption(
      new Option("--profile <name>", "how much to cover; default: smoke on a software adapter")
        .choices(PROFILE_NAMES),
    )
    .addOption(stackOption());
  addLayerOptions(command, { verb: "time" });
  return command
    .option(
      "--peer <name>",
      `measure this one beside ours: ${PEER_NAMES.join(", ")}, python:FILE; may be repeated`,
      collectPeers,
    )
    .addOption(keepWarmOption())
    .addOption(noKeepWarmOption())
    .option("--tuning <file>", TUNING_HELP, "auto")
    .option("--seed <number>", `seed of inputs and intervals; default: ${DEFAULT_SEED}`, parseSeed)
    .option("--samples <number>", "samples of each case, rounded up to an even number", parseCount)
    .option("--budget <seconds>", "seconds for checking and measuring", parseSeconds)
    .option("--depth <list>", "retrieval: percent of the context before the needle", parseNumbers)
    .option("--margin <list>", "retrieval: logit margins of the needle", parseNumbers)
    .option("--trials <number>", "retrieval: trials of each cell", parseCount)
    .option("--checkpoint <file>", "retrieval: also the digit passkey test of a trained model")
    .option(
      "--out <folder>",
      `folder for result.json, report.html, summary.md; default: ${DEFAULT_OUT}, then ` +
        `${DEFAULT_OUT}/run-2, ${DEFAULT_OUT}/run-3, …`,
    )
    .option("--force", "overwrite the files of an earlier run in that folder")
    .option("--shard <i/n>", "run one of n parts of the plan; merge joins them", parseShard)
    .option("--resume", "continue the partial result in the output folder, or in the newest one")
    .option("--no-install", "never install a driver, only say which")
    .option("--quiet", "print nothing but errors");
}

/** Runs the command and returns its exit code. */
export async function bench(args: readonly string[]): Promise<number> {
  const parsed = parseBench(args);
  if (!parsed) return EXIT.fine;
  const { quiet, suite, install, force } = parsed;
  const out = await chooseFolder({ ...suite, force });
  provideRuntimeDir();
  // Dawn takes no software driver, so there is nothing to install for it.
  if (suite.stack !== "dawn") await ensureDriver({ install, say: (line) => console.error(line) });
  const stop = new AbortController();
  const display = quiet ? undefined : new ProgressDisplay(stderrStream());
  const interrupt = () => {
    // A second Ctrl-C does not wait for the submission in flight.
    if (stop.signal.aborted) Deno.exit(EXIT.inconclusive);
    stop.abort();
    if (!quiet) console.error("\nstopping after the work in flight; finished cases are kept");
  };
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    const result = await runSuite({ ...suite, out, force }, {
      signal: stop.signal,
      onProgress: (event) => display?.show(event),
    });
    display?.finish();
    const written = await writeReport([result], out);
    const path = `${out}/result.json`;
    if (!quiet) {
      console.log(renderTerminal(result, { color: Deno.stdout.isTerminal() && !Deno.noColor }));
      console.log(`\nWrote ${path}, ${written.html}, ${written.markdown}`);
    }
    const code = exitCodeOf(result);
    if (code !== EXIT.fine) console.error(`bench: ${explainExit(code, result, suite)}`);
    return code;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** One line for an exit code that is not 0. */
function explainExit(
  code: number,
  result: Awaited<ReturnType<typeof runSuite>>,
  { keepWarm }: SuiteOptions,
): string {
  const failed = result.cases.filter((record) => record.status === "failed");
  if (code === EXIT.failed) {
    const more = failed.length > 1 ? ` (and ${failed.length - 1} more)` : "";
    return `failed: ${failed[0].id}: ${failed[0].reason}${more}`;
  }
  const unclear = result.cases.find((record) => record.status === "inconclusive");
  if (code === EXIT.inconclusive && unclear && result.finishedAt !== null) {
    return `inconclusive: ${unclear.id}: ${unclear.reason}; ${
      clockAdvice(result.keepWarm, keepWarm)
    }`;
  }
  if (code === EXIT.inconclusive) {
    return "the run was stopped; continue it with the same options and --resume";
  }
  const skipped = result.cases.find((record) => record.status === "skipped");
  return skipped
    ? `nothing was measured: ${skipped.id}: ${skipped.reason}`
    : "nothing was measured";
}

/** Peers, each in an option of its own. */
function collectPeers(text: string, before: string[] | undefined): string[] {
  try {
    return [...before ?? [], requirePeer(text)];
  } catch (error) {
    throw new InvalidArgumentError(`${errorLine(error)}.`);
  }
}

function parseSeed(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > MAX_SEED) {
    throw new InvalidArgumentError(`"${text}" is not a whole number from 0 to ${MAX_SEED}.`);
  }
  return value;
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

if (import.meta.main) await runCommand("bench", () => bench(Deno.args));
