/**
 * `bench [suite…]`: calibrate, check, measure, and write the result and its report.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { Argument, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { writeReport } from "./report_command.ts";
import { closingLines, renderTerminal } from "../../reports/text/terminal.ts";
import { EXIT, UsageError } from "../errors.ts";
import { PROFILE_NAMES } from "../plan/profile.ts";
import {
  DEFAULT_SEED,
  exitCodeOf,
  MAX_SEED,
  type ProgressEvent,
  runCalibrated,
  type SuiteOptions,
} from "../run/runner.ts";
import { clockAdvice } from "../device/keep_warm.ts";
import { PEER_NAMES, PYTHON_PREFIX, requirePeer } from "../peers/peers.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { parseShard } from "../plan/shard.ts";
import type { Result } from "../result/result_schema.ts";
import type { SuiteEntry } from "../suite.ts";
import { readPartial, RESULT_FILE } from "../result/result_store.ts";
import { benchWords } from "../run/replay.ts";
import { describeFileError } from "../result/file_errors.ts";
import type { FolderClaim } from "../result/write_output.ts";
import { terminalWidth, useColor } from "./color.ts";
import { runCommand } from "./errors.ts";
import {
  addLayerOptions,
  chosenLayers,
  parseCount,
  parseSeconds,
  tuningOption,
} from "./layer_options.ts";
import { newCommand, quietOption, takesNames } from "./command.ts";
import { parseCommand, takesSeveral } from "./parse_command.ts";
import {
  addSuiteOptions,
  chosenSettings,
  chosenSuites,
  describeSuites,
  suiteNames,
} from "./suite_options.ts";
import {
  keepWarmOption,
  noInstallOption,
  noKeepWarmOption,
  stackOption,
} from "./device_options.ts";
import { ProgressDisplay, stderrStream } from "./progress.ts";
import { joinOptions } from "./resume.ts";
import { chooseFolder, DEFAULT_OUT } from "./run_folder.ts";
import { untilStopped } from "./stop.ts";
import { SUITES } from "../suites.ts";

/** What the command line asks for. */
export interface BenchCommand {
  readonly suite: SuiteOptions;
  readonly quiet: boolean;
  /** Whether files of an earlier run may be overwritten. */
  readonly force: boolean;
  /** Whether a missing software driver may be installed. */
  readonly install: boolean;
}

/** A parsed command line of the bench. */
export type ParsedBench = ReturnType<typeof benchCommand>;

/**
 * Reads the arguments after the command's name.
 *
 * @returns undefined when help or the version was asked for and printed.
 * @throws {UsageError} one line, for anything that cannot be used.
 */
export function parseBench(
  args: readonly string[],
  suites: readonly SuiteEntry[] = SUITES,
): BenchCommand | undefined {
  const command = readBench(args, suites);
  return command && describeBench(command, ["deno", "task", "bench", ...args], suites);
}

/** {@linkcode parseBench} up to the options as they were given. */
export function readBench(
  args: readonly string[],
  suites: readonly SuiteEntry[] = SUITES,
): ParsedBench | undefined {
  const command = benchCommand(suites);
  return parseCommand(command, args) ? command : undefined;
}

/**
 * What a parsed command line asks for.
 *
 * @param line the command line that a result names.
 */
export function describeBench(
  command: ParsedBench,
  line: readonly string[],
  suites: readonly SuiteEntry[] = SUITES,
): BenchCommand {
  const given = command.opts();
  return {
    quiet: given.quiet === true,
    force: given.force === true,
    install: given.install,
    suite: {
      suites: chosenSuites(command.processedArgs[0], suites),
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
      ...chosenSettings(command, suites),
      command: line,
    },
  };
}

/** The options of the command, unparsed. */
export function benchCommand(suites: readonly SuiteEntry[] = SUITES) {
  const names = suiteNames(suites);
  const command = newCommand("bench", {
    description: "Check and time dense and Lighthouse attention on this machine.",
    notes: describeSuites(suites),
    examples: [
      ["bench", "all suites, about two minutes"],
      ["bench latency --context 8K,64K", "one suite, two contexts"],
      ["bench --profile paper --budget 3600", "the paper's cases, one hour"],
      ["bench --profile rivals", "Lighthouse beside its rivals"],
      ["bench latency --peer torch-fa2", "beside FlashAttention-2"],
      ["bench --resume", "continue the newest run"],
    ],
  })
    .addArgument(
      takesNames(
        new Argument("[suite...]", `${names.join(", ")}; default: all of the profile`),
        names,
      ),
    )
    .optionsGroup("What to measure:")
    .addOption(
      new Option(
        "--profile <name>",
        "how much to cover; default: standard on a GPU, smoke on a software adapter",
      )
        .choices(PROFILE_NAMES),
    );
  addLayerOptions(command, { verb: "time" });
  const measured = command
    .addOption(
      takesNames(
        new Option(
          "--peer <name>",
          `another implementation to time beside ours: ${PEER_NAMES.join(", ")}, python:FILE; ` +
            "may be repeated",
        ).argParser(takesSeveral(collectPeers)),
        PEER_NAMES,
        { list: false },
      ),
    );
  addSuiteOptions(measured, suites);
  return measured
    .optionsGroup("How to measure:")
    .addOption(stackOption())
    .option("--budget <seconds>", "time for checking and measuring", parseSeconds)
    .option("--samples <number>", "samples of each case, rounded up to an even number", parseCount)
    .option("--seed <number>", `seed of inputs and intervals; default: ${DEFAULT_SEED}`, parseSeed)
    .addOption(tuningOption())
    .addOption(keepWarmOption())
    .addOption(noKeepWarmOption())
    .option("--shard <i/n>", "run part i of n of the plan; merge joins the parts", parseShard)
    .option(
      "--resume",
      "continue the partial result in the output folder, or in the newest one, with its options",
    )
    .addOption(noInstallOption())
    .optionsGroup("Output:")
    .option(
      "--out <folder>",
      `folder for result.json, report.html, summary.md; default: ${DEFAULT_OUT}, then ` +
        `${DEFAULT_OUT}/run-2, ${DEFAULT_OUT}/run-3, …`,
    )
    .option("--force", "overwrite the files of an earlier run in that folder")
    .addOption(quietOption());
}

/** Runs the command and returns its exit code. */
export async function bench(args: readonly string[]): Promise<number> {
  const asked = readBench(args);
  if (!asked) return EXIT.fine;
  const { quiet, suite, force, install } = describeBench(asked, ["deno", "task", "bench", ...args]);
  await requirePeerFiles(suite.peers ?? []);
  const claimed = await chooseFolder({ ...suite, force });
  try {
    const own = suite.resume ? await resumedSuite(asked, claimed.folder) : suite;
    return await untilStopped(
      (signal) => benchInto(claimed, { suite: own, quiet, force, install, signal }),
      {
        say: () => {
          if (!quiet) console.error("\nstopping after the work in flight; finished cases are kept");
        },
      },
    );
  } finally {
    await claimed.release();
  }
}

/** A peer that is not installed is skipped; a module that is named and not there is a mistake. */
async function requirePeerFiles(peers: readonly string[]): Promise<void> {
  for (const peer of peers.filter((name) => name.startsWith(PYTHON_PREFIX))) {
    let file: boolean;
    try {
      file = (await Deno.stat(peer.slice(PYTHON_PREFIX.length))).isFile;
    } catch (error) {
      throw new UsageError(`peer ${peer}: ${describeFileError(error)}`, { cause: error });
    }
    if (!file) throw new UsageError(`peer ${peer}: it is not a file`);
  }
}

/** The options of the run that is resumed in a folder. */
async function resumedSuite(now: ParsedBench, folder: string): Promise<SuiteOptions> {
  const result = await readPartial(`${folder}/${RESULT_FILE}`);
  const verb = `resume ${folder}`;
  const then = readRecorded(benchWords(result, verb), verb);
  joinOptions(then, { now, result, folder });
  const { suite } = describeBench(then, result.command);
  // The tilings of the result itself, whatever is cached by now, unless a file is named.
  const tuning = now.getOptionValueSource("tuning") === "cli"
    ? now.opts().tuning
    : result.tuning ?? "none";
  return { ...suite, resume: true, tuning };
}

function readRecorded(words: readonly string[], verb: string): ParsedBench {
  try {
    const then = readBench(words);
    if (then) return then;
    throw new UsageError("it only asks for help");
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${verb}: the run's command cannot be used: ${error.message}`);
  }
}

/** Measures, writes the result and its report, prints, and returns the exit code. */
async function benchInto(
  claimed: FolderClaim,
  { suite, quiet, install, force, signal }: BenchCommand & { signal: AbortSignal },
): Promise<number> {
  const out = claimed.folder;
  provideRuntimeDir();
  // Dawn takes no software driver, so there is nothing to install for it.
  if (suite.stack !== "dawn") await ensureDriver({ install, say: (line) => console.error(line) });
  const display = quiet ? undefined : new ProgressDisplay(stderrStream());
  const hooks = { signal, onProgress: (event: ProgressEvent) => display?.show(event) };
  const result = await runCalibrated({ ...suite, out, force }, { hooks, claimed });
  display?.finish();
  const written = await writeReport([result], out);
  if (!quiet) {
    const look = { color: useColor(Deno.stdout), width: terminalWidth(Deno.stdout) };
    console.log(renderTerminal(result, look));
    console.log(plainText(`Wrote ${out}/result.json, ${written.html}, ${written.markdown}`));
    const closing = closingLines(result, look);
    if (closing.length > 0) console.log(`\n${closing.join("\n")}`);
  }
  const code = exitCodeOf(result);
  if (code !== EXIT.fine) {
    console.error(`bench: ${explainExit(code, { result, out, keepWarm: suite.keepWarm })}`);
  }
  return code;
}

/** One line for an exit code that is not 0. */
function explainExit(
  code: number,
  { result, out, keepWarm }: { result: Result; out: string; keepWarm?: boolean },
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
    const found = result.cases.length > 0 ? "" : " before anything was measured";
    return `the run was stopped${found}; continue it with deno task bench --resume --out ${out}`;
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
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}

function parseSeed(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > MAX_SEED) {
    throw new InvalidArgumentError(`"${text}" is not a whole number from 0 to ${MAX_SEED}.`);
  }
  return value;
}

if (import.meta.main) await runCommand("bench", () => bench(Deno.args));
