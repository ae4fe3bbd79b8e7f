/**
 * `gate BASELINE CANDIDATE`: compares two result files, or with `--against` two revisions.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { Option } from "@commander-js/extra-typings";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { type GateConfig, readGateConfig } from "../../reports/gate/gate_config.ts";
import type { GateReport } from "../../reports/gate/gate_report.ts";
import type { NamedResult } from "../../reports/data/twins.ts";
import { renderBmf } from "../../reports/gate/render_bmf.ts";
import { type GateLook, renderGateJson, renderGateText } from "../../reports/gate/render_gate.ts";
import { renderAnnotations, renderGateMarkdown } from "../../reports/gate/render_github.ts";
import { plainText } from "../result/plain_text.ts";
import { readResult } from "../result/read_result.ts";
import { EXIT, UsageError } from "../errors.ts";
import {
  DEFAULT_BENCH,
  requireBuild,
  runPaired,
  withCheckout,
  withProcesses,
} from "./gate/run_paired.ts";
import type { Result } from "../result/result_schema.ts";
import { claimFile, type FileClaim } from "../result/write_output.ts";
import { isSameRun } from "../result/same_run.ts";
import { terminalWidth, useColor } from "./color.ts";
import { runCommand } from "./errors.ts";
import { parseSeconds } from "./layer_options.ts";
import { newCommand, quietOption } from "./command.ts";
import { parseCommand } from "./parse_command.ts";
import { untilStopped } from "./stop.ts";

/** Formats of the gate's report. */
export const FORMATS = ["text", "github", "json", "bmf"] as const;

/** Where a command prints, so that tests can read it. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const CONSOLE: Streams = {
  out: (text) => console.log(text),
  err: (text) => console.error(text),
};

/** Without text for people: data that was asked for is still printed. */
function quietStreams({ out }: Streams, format: typeof FORMATS[number]): Streams {
  return { out: format === "text" ? () => {} : out, err: () => {} };
}

/** Runs the command and returns its exit code: 0, 1, 3 or 4; errors stand for 2. */
export async function gate(args: readonly string[], console: Streams = CONSOLE): Promise<number> {
  const command = gateCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const given = command.opts();
  const streams = given.quiet ? quietStreams(console, given.format) : console;
  const bench = command.args;
  if (given.against !== undefined || given.baselineDir !== undefined) {
    return await gatePaired(bench, { ...given, streams });
  }
  if (given.budget !== undefined) {
    throw new UsageError(`--budget ${given.budget} is for --against and --baseline-dir only`);
  }
  const [baseline, candidate, ...more] = bench;
  if (more.length > 0) throw new UsageError(`${bench.length} files given, two are needed`);
  if (baseline === undefined || candidate === undefined) {
    throw new UsageError("two result files are needed, a baseline and a candidate");
  }
  const out = given.out === undefined
    ? undefined
    : await claimFile(given.out, { force: given.force });
  try {
    const config = given.config === undefined ? undefined : await readGateConfig(given.config);
    const { report, result } = await compareFiles(
      { baseline, candidate, history: given.history ?? [], config },
      { say: streams.err },
    );
    await printReport(report, result, { format: given.format, out, streams });
    return report.exitCode;
  } finally {
    await out?.release();
  }
}

/** The options of the command, unparsed. */
export function gateCommand() {
  return newCommand("gate", {
    description: "Judge a candidate's results against a baseline's, case by case.",
    examples: [
      ["gate before.json after.json", "two result files"],
      ["gate --against main", "working tree vs main"],
      ["gate --against main -- latency --context 8K", "with options of bench"],
    ],
  })
    .argument("[files...]", "result files: the baseline's and the candidate's")
    .optionsGroup("How to judge:")
    .option("--config <file>", "thresholds and accepted changes, for all or for some cases")
    .option(
      "--history <file...>",
      "two or more earlier results of the baseline, to measure the noise between runs",
    )
    .option("--against <revision>", "measure this revision and the working tree in turns")
    .option("--baseline-dir <folder>", "the same with another checkout instead of a revision")
    .option("--budget <seconds>", "for --against: start no further block after it", parseSeconds)
    .optionsGroup("Output:")
    .addOption(
      new Option("--format <name>", "text, GitHub markdown with annotations, JSON, Bencher metrics")
        .choices(FORMATS).default("text" as const),
    )
    .option("--out <file>", "write there instead of printing")
    .option("--force", "overwrite the file that --out names")
    .addOption(quietOption("print no text; the exit code is the verdict"));
}

/** Seconds that interleaved runs may take where `--budget` says nothing. */
const DEFAULT_BUDGET = 600;

/** Runs two checkouts interleaved; `bench` is what follows `--` on the command line. */
async function gatePaired(
  bench: readonly string[],
  options: {
    against?: string;
    baselineDir?: string;
    budget?: number;
    history?: readonly string[];
    config?: string;
    format: typeof FORMATS[number];
    out?: string;
    force?: true;
    streams: Streams;
  },
): Promise<number> {
  const { against, baselineDir, streams } = options;
  if (options.history !== undefined) {
    throw new UsageError("--history given beside --against: it measures the noise by itself");
  }
  if (against !== undefined && baselineDir !== undefined) {
    throw new UsageError("--against and --baseline-dir exclude each other");
  }
  const file = bench.find((word) => word.endsWith(".json"));
  if (file !== undefined) {
    throw new UsageError(`result file ${file} given beside --against: it runs a bench of its own`);
  }
  if (bench.some((word) => word === "--tuning" || word.startsWith("--tuning="))) {
    throw new UsageError("--tuning given beside --against: both sides take their own tilings");
  }
  if (baselineDir !== undefined) await requireCheckout(baselineDir);
  const config = options.config === undefined ? undefined : await readGateConfig(options.config);
  const candidate = fileURLToPath(new URL("../..", import.meta.url));
  const names = { baseline: against ?? baselineDir!, candidate: "the working tree" };
  const out = options.out === undefined
    ? undefined
    : await claimFile(options.out, { force: options.force });
  const run = async (baseline: string, signal: AbortSignal) => {
    await requireBuild(baseline, against === undefined ? baseline : `revision ${against}`);
    await requireBuild(candidate, names.candidate);
    const line = bench.length > 0 ? bench : DEFAULT_BENCH;
    const folders = { baseline, candidate };
    return await withProcesses(folders, { bench: line, names, signal }, (measure) =>
      runPaired({
        names,
        config,
        budgetSeconds: options.budget ?? DEFAULT_BUDGET,
        ...measure,
        signal,
        say: (text) => streams.err(text),
      }));
  };
  try {
    // Checkouts and folders of results go away even when the user stops the run.
    return await untilStopped(async (signal) => {
      try {
        const { report, result } = against !== undefined
          ? await withCheckout(against, (folder) => run(folder, signal))
          : await run(await Deno.realPath(baselineDir!), signal);
        await printReport(report, result, { format: options.format, out, streams });
        if (!signal.aborted) return report.exitCode;
        streams.err("gate: stopped before its end; cases that were still open are inconclusive");
        return report.exitCode === EXIT.fine ? EXIT.inconclusive : report.exitCode;
      } catch (error) {
        // Processes that the same signal reached ended for it, whatever they said.
        signal.throwIfAborted();
        throw error;
      }
    });
  } finally {
    await out?.release();
  }
}

async function requireCheckout(folder: string): Promise<void> {
  const found = await Deno.stat(`${folder}/suites/cli/bench.ts`).then(() => true, () => false);
  if (!found) throw new UsageError(`--baseline-dir ${folder} is not a checkout of this project`);
}

/**
 * Reads and compares two files. A run that the history holds twice, or that is one of the two
 * itself, would make the noise between runs look smaller than it is: it is left out, and said so.
 */
async function compareFiles(
  files: {
    baseline: string;
    candidate: string;
    history: readonly string[];
    config: GateConfig | undefined;
  },
  { say }: { say: (line: string) => void },
): Promise<{ report: GateReport; result: Result }> {
  const { baseline, candidate, config } = files;
  const before = await readResult(baseline);
  const result = await readResult(candidate);
  const known: NamedResult[] = [
    { name: baseline, result: before },
    { name: candidate, result },
  ];
  const history: Result[] = [];
  for (const name of files.history) {
    const earlier = await readResult(name);
    const twin = known.find((other) => isSameRun(other.result, earlier));
    known.push({ name, result: earlier });
    if (twin === undefined) history.push(earlier);
    else {
      const [left, like] = [plainText(name), plainText(twin.name)];
      say(`gate: ${left} of the history is left out: it is the same run as ${like}`);
    }
  }
  const names = { baseline, candidate };
  return { report: compareResults(before, result, { config, history, names }), result };
}

function terminalLook(): GateLook {
  return { color: useColor(Deno.stdout), width: terminalWidth(Deno.stdout) };
}

/** Prints or writes a report in one of the formats. Annotations always go to the log. */
export async function printReport(
  report: GateReport,
  result: Result,
  options: { format: typeof FORMATS[number]; out?: FileClaim; streams: Streams },
): Promise<void> {
  const { format, out, streams } = options;
  const render = {
    text: () => renderGateText(report, out === undefined ? terminalLook() : {}),
    github: () => renderGateMarkdown(report),
    json: () => renderGateJson(report),
    bmf: () => renderBmf(result, report),
  };
  const text = render[format]();
  if (out === undefined) streams.out(text.trimEnd());
  else await out.write(text);
  if (format === "github") streams.err(renderAnnotations(report).trimEnd());
  else if (out !== undefined || format === "bmf") streams.err(`gate: ${report.sentence}`);
}

if (import.meta.main) await runCommand("gate", () => gate(Deno.args));
