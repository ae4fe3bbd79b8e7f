/**
 * Compares two checkouts of this project on one machine: one run of the bench of each for what is
 * exact, then blocks of turns in fresh processes until every case has a verdict or the budget is
 * spent.
 *
 * @module
 */
import type { GateConfig } from "../../../reports/gate/gate_config.ts";
import { settingsOf } from "../../../reports/gate/gate_config.ts";
import type { GateReport } from "../../../reports/gate/gate_report.ts";
import { formatPlural } from "../../../reports/text/format.ts";
import { readResult } from "../../result/read_result.ts";
import { type KeepWarm, startKeepWarm } from "../../device/keep_warm.ts";
import { errorLine, EXIT, UsageError } from "../../errors.ts";
import { PEER_PREFIX } from "../../plan/measurable.ts";
import type { CaseRecord, EnvironmentRecord, Result } from "../../result/result_schema.ts";
import { findRecord } from "../../result/suite_record.ts";
import { SUITE_RECORDS } from "../../result/suite_records.ts";
import {
  type Block,
  clockStepOf,
  compareExactly,
  countGated,
  judgePaired,
  judgeTurns,
  LOOKS,
  type PairedRuns,
  type Sides,
} from "./judge_paired.ts";
import { passedEnvironment, takeBlock, type TimedProblem } from "./take_turns.ts";
import type { Clock } from "./turns_worker.ts";

/** What is measured of both revisions where nothing is asked for. */
export const DEFAULT_BENCH = [
  "latency",
  "--context",
  "2048",
  "--heads",
  "1",
  "--head-dim",
  "64",
  "--samples",
  "4",
  "--budget",
  "20",
] as const;

/** One run of a side's bench, on a stack or on the one that it chooses itself. */
export type MeasureSide = (
  side: keyof Sides<unknown>,
  stack?: Result["stack"],
) => Promise<Result>;

/** One block of turns of some cases. */
export type MeasureTurns = (
  cases: readonly TimedProblem[],
  options: { stack: string; clock: Clock; adapter: EnvironmentRecord["adapter"] },
) => Promise<Block>;

/** Options of {@linkcode runPaired}. */
export interface PairedOptions {
  readonly names: Sides<string>;
  readonly config?: GateConfig;
  /** Seconds after which no further block starts. */
  readonly budgetSeconds: number;
  readonly bench: MeasureSide;
  readonly turns: MeasureTurns;
  readonly say?: (line: string) => void;
  /** Stops before the next process. */
  readonly signal?: AbortSignal;
  /** In seconds, for tests. */
  readonly now?: () => number;
}

/**
 * Compares exactly first: what is wrong exactly stays wrong however often it is timed, and what has
 * the same code needs no timing. Then takes blocks; verdicts are taken at the numbers of blocks in
 * {@linkcode LOOKS}, and a case that has one is not run again.
 */
export async function runPaired(
  options: PairedOptions,
): Promise<{ report: GateReport; result: Result }> {
  const { bench, turns, names, say, budgetSeconds } = options;
  const config: GateConfig = options.config ?? { cases: [] };
  const now = options.now ?? (() => performance.now() / 1e3);
  const deadline = now() + budgetSeconds;
  const side = async (...which: Parameters<MeasureSide>) => {
    options.signal?.throwIfAborted();
    const result = await bench(...which);
    // An interrupted bench leaves a result as well.
    options.signal?.throwIfAborted();
    return result;
  };
  const result = await side("candidate");
  // Left to itself, another revision may choose another stack, and nothing could be compared.
  const results = { baseline: await side("baseline", result.stack), candidate: result };
  const exact = compareExactly(results, { names, config });
  if (exact.timesNotComparable.length > 0) return { report: exact, result };
  const different = exact.cases.some(({ fails, verdict }) => fails && verdict !== "slower");
  const judge = (blocks: PairedRuns["blocks"]) =>
    judgePaired({ results, blocks }, { names, config });
  if (different || exact.identicalCode) return { report: judge(new Map()), result };
  const timed = timedProblems(results);
  const blocks = new Map(timed.map(({ id }) => [id, [] as Block[string][]]));
  const { stack, calibration, environment: { adapter } } = result;
  const where = { stack, clock: calibration?.clock ?? "wall", adapter };
  const shared = { cases: countGated(blocks.keys(), config), step: clockStepOf(results) };
  let open = timed;
  let longest = 0;
  for (let count = 1; open.length > 0 && count <= LOOKS.at(-1)!; count++) {
    const started = now();
    if (count > 1 && started + longest > deadline) break;
    let block: Block;
    try {
      options.signal?.throwIfAborted();
      block = await turns(open, where);
    } catch (error) {
      // What is measured is judged; cases that are still open stay inconclusive.
      if (!options.signal?.aborted || count === 1) throw error;
      break;
    }
    for (const { id } of open) blocks.get(id)!.push(block[id]);
    longest = Math.max(longest, now() - started);
    if (!(LOOKS as readonly number[]).includes(count)) continue;
    open = open.filter(({ id }) => {
      const { verdict } = judgeTurns(blocks.get(id)!, { id, config, ...shared });
      return verdict === "inconclusive" && settingsOf(id, config).times === "gate";
    });
    const left = open.length === 0 ? "none" : formatPlural(open.length, "case");
    say?.(`${formatPlural(count, "block")}: ${left} of ${timed.length} still open`);
  }
  return { report: judge(blocks), result };
}

/** Cases that both sides timed and that processes can run in turns. */
export function timedProblems({ baseline, candidate }: Sides<Result>): TimedProblem[] {
  const before = new Map(baseline.cases.map((record) => [record.id, record]));
  const seconds = (record: CaseRecord) => record.statistic?.median ?? record.samples[0]?.seconds;
  return candidate.cases.flatMap((record) => {
    const known = before.get(record.id);
    const times = [known, record].map((one) => one && wasTimed(one) ? seconds(one) : undefined);
    if (!times[0] || !times[1]) return [];
    const { implementation, direction, shape, options, flops } = record;
    const { heads, kvHeads, context, headDim, dtype } = shape;
    const slower = Math.max(times[0], times[1]);
    return [{
      id: record.id,
      implementation,
      problem: {
        shape: { heads, ...(kvHeads !== undefined && { kvHeads }), context, headDim, dtype },
        direction,
        ...(options && { options }),
      },
      seed: candidate.seed,
      // Half of what was seen: submissions stay short enough where the clock goes down.
      ...(flops > 0 && { flopsPerSecond: flops / slower / 2 }),
      seconds: slower,
    }];
  });
}

/** Peers are somebody else's: no change can reach them. Other suites are more than one layer. */
function wasTimed({ suite, status, implementation, samples }: CaseRecord): boolean {
  const { layers, checks } = findRecord(SUITE_RECORDS, suite);
  return layers === true && !checks && samples.length > 0 &&
    (status === "ok" || status === "inconclusive") && !implementation.startsWith(PEER_PREFIX);
}

/** Runs a program without a shell; its output as text. */
async function runProgram(
  name: string,
  args: readonly string[],
  { cwd, signal }: { cwd: string | URL; signal?: AbortSignal },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(name, {
    args: [...args],
    cwd,
    signal,
    clearEnv: true,
    env: { ...passedEnvironment(), NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const ROOT = new URL("../../..", import.meta.url);

/**
 * Checks a revision out into a temporary folder.
 *
 * @param run Takes the folder; it is removed afterwards, whatever happens.
 * @throws {UsageError} when the revision is not known.
 */
export async function withCheckout<T>(
  revision: string,
  run: (folder: string) => Promise<T>,
  options: { repository?: string | URL } = {},
): Promise<T> {
  const repository = options.repository ?? ROOT;
  const inside = await runProgram("git", ["rev-parse", "--show-prefix"], { cwd: repository });
  // A copy of the project may lie in a repository of something else.
  if (inside.code !== 0 || inside.stdout.trim() !== "") {
    throw new UsageError(
      `revision ${revision} cannot be checked out: the project has no git repository of its own`,
    );
  }
  const commit = revision.startsWith("-")
    ? undefined
    : await runProgram("git", ["rev-parse", "--verify", `${revision}^{commit}`], {
      cwd: repository,
    });
  if (commit?.code !== 0) {
    throw new UsageError(`revision ${revision} is not one that this repository knows`);
  }
  const parent = await Deno.makeTempDir({ prefix: "lighthouse-gate-" });
  const folder = `${parent}/revision`;
  try {
    const add = ["worktree", "add", "--quiet", "--detach", folder, commit.stdout.trim()];
    const added = await runProgram("git", add, { cwd: repository });
    if (added.code !== 0) {
      throw new UsageError(`revision ${revision} cannot be checked out: ${lastLine(added.stderr)}`);
    }
    return await run(folder);
  } finally {
    await runProgram("git", ["worktree", "remove", "--force", folder], { cwd: repository });
    await Deno.remove(parent, { recursive: true }).catch(() => {});
  }
}

/**
 * Makes sure that a checkout's bench can be run.
 *
 * @param name what errors call it: `revision HEAD~1`, `the working tree`.
 * @throws {UsageError} one line with the first complaint of the compiler and its place.
 */
export async function requireBuild(folder: string, name: string): Promise<void> {
  const args = ["check", "--quiet", "suites/cli/bench.ts"];
  const { code, stderr } = await runProgram("deno", args, { cwd: folder });
  if (code === 0) return;
  const lines = stderr.split("\n");
  const at = lines.findIndex((text) => /\bTS\d+|error/i.test(text));
  const line = at < 0 ? lastLine(stderr) : lines[at];
  const place = lines.slice(at + 1).map((text) => /^\s*at file:\/\/(.*)$/.exec(text)?.[1]).find(
    Boolean,
  );
  const where = place === undefined
    ? ""
    : ` (${place.split(`${folder.replace(/\/*$/, "")}/`).at(-1)})`;
  throw new UsageError(`${name} does not build: ${line.trim()}${where}`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/** The bench and the turns of two checkouts; results go to a temporary folder. */
export async function withProcesses<T>(
  folders: Sides<string>,
  options: { bench: readonly string[]; names: Sides<string>; signal?: AbortSignal },
  run: (measure: { bench: MeasureSide; turns: MeasureTurns }) => Promise<T>,
): Promise<T> {
  const out = await Deno.makeTempDir({ prefix: "lighthouse-gate-" });
  const bench: MeasureSide = async (side, stack) => {
    const target = `${out}/${side}`;
    const line = ["task", "--quiet", "bench", ...options.bench, "--quiet", "--no-install"];
    // Turns take the kernels' own tilings. An older revision has no others, and no such option.
    if (await exists(`${folders[side]}/suites/cli/tune.ts`)) line.push("--tuning", "none");
    if (stack !== undefined) line.push("--stack", stack);
    const { code, stderr } = await runProgram("deno", [...line, "--out", target], {
      cwd: folders[side],
      signal: options.signal,
    });
    // Failed and inconclusive cases are the comparison's to judge.
    const judged: number[] = [EXIT.fine, EXIT.failed, EXIT.inconclusive];
    if (!judged.includes(code)) throw new SideError(side, { code, line: lastLine(stderr) });
    try {
      return await readResult(`${target}/result.json`);
    } catch (error) {
      throw new SideError(side, { code, line: lastLine(stderr) || errorLine(error) });
    }
  };
  let warm: Promise<KeepWarm | undefined> | undefined;
  const turns: MeasureTurns = async (cases, { adapter, ...where }) => {
    await (warm ??= startKeepWarm(adapter));
    const { names, signal } = options;
    return await takeBlock(folders, cases, { ...where, names, signal });
  };
  try {
    return await run({ bench, turns });
  } finally {
    await (await warm)?.stop();
    await Deno.remove(out, { recursive: true }).catch(() => {});
  }
}

/** A bench that left no result: one line, with the exit code of a bench that measured nothing. */
class SideError extends UsageError {
  override readonly name = "SideError";
  override readonly exitCode: number;

  constructor(side: string, { code, line }: { code: number; line: string }) {
    super(`bench of the ${side} ended with ${code}: ${line}`);
    this.exitCode = code === EXIT.nothingMeasured ? EXIT.nothingMeasured : EXIT.usage;
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}
