/**
 * Runs two checkouts of this project interleaved, A/B/B/A, each run in a fresh process, until every
 * case has a verdict or the budget is spent.
 *
 * @module
 */
import type { GateConfig } from "../../reports/gate/gate_config.ts";
import type { GateReport } from "../../reports/gate/gate_report.ts";
import { readResult } from "../../reports/read_result.ts";
import { errorLine, UsageError } from "../errors.ts";
import type { Result } from "../result_schema.ts";
import { type Block, judgePaired, LEAST_BLOCKS } from "./judge_paired.ts";

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

/** The control case: plain attention of the candidate's checkout, whichever side ran before. */
export const CONTROL_BENCH = [
  "latency",
  "--implementation",
  "dense-naive",
  "--context",
  "512",
  "--heads",
  "1",
  "--head-dim",
  "64",
  "--samples",
  "4",
  "--budget",
  "10",
] as const;

/** A run of one side, or of the control after it. */
export type Measure = (
  side: "baseline" | "candidate",
  kind: "bench" | "control",
) => Promise<Result>;

/** Options of {@linkcode runPaired}. */
export interface PairedOptions {
  readonly names: { readonly baseline: string; readonly candidate: string };
  readonly config?: GateConfig;
  /** Seconds after which no further block starts. */
  readonly budgetSeconds: number;
  readonly measure: Measure;
  readonly say?: (line: string) => void;
  /** In seconds, for tests. */
  readonly now?: () => number;
}

/**
 * Takes blocks until no case is inconclusive, at least {@linkcode LEAST_BLOCKS}, or until another
 * block would overrun the budget.
 */
export async function runPaired(
  options: PairedOptions,
): Promise<{ report: GateReport; result: Result }> {
  const { measure, names, config, say, budgetSeconds } = options;
  const now = options.now ?? (() => performance.now() / 1e3);
  const deadline = now() + budgetSeconds;
  const blocks: Block[] = [];
  let longest = 0;
  let report: GateReport | undefined;
  while (true) {
    const started = now();
    if (blocks.length > 0 && started + longest > deadline) break;
    const runs = { baseline: [] as Result[], candidate: [] as Result[] };
    const controls = { baseline: [] as Result[], candidate: [] as Result[] };
    for (const side of ["baseline", "candidate", "candidate", "baseline"] as const) {
      runs[side].push(await measure(side, "bench"));
      controls[side].push(await measure(side, "control"));
    }
    blocks.push({
      ...runs,
      baselineControl: controls.baseline,
      candidateControl: controls.candidate,
    });
    longest = Math.max(longest, now() - started);
    report = judgePaired(blocks, { names, config });
    say?.(`block ${blocks.length}: ${report.sentence}`);
    // What is wrong exactly stays wrong however often it is timed.
    const wrong = report.cases.some(({ fails, verdict }) => fails && verdict !== "slower");
    if (wrong || blocks.length >= LEAST_BLOCKS && report.outcome !== "inconclusive") break;
  }
  return { report: report!, result: blocks[0].candidate[0] };
}

/** Runs a program without a shell; its output as text. */
async function runProgram(
  name: string,
  args: readonly string[],
  cwd: string | URL,
): Promise<{ code: number; stdout: string; stderr: string }> {
  // Deno passes loader variables on only with the right to run everything.
  const env = Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([key]) => !/^(LD|DYLD)_/.test(key)),
  );
  const { code, stdout, stderr } = await new Deno.Command(name, {
    args: [...args],
    cwd,
    clearEnv: true,
    env: { ...env, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const ROOT = new URL("../..", import.meta.url);

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
  const commit = revision.startsWith("-")
    ? undefined
    : await runProgram("git", ["rev-parse", "--verify", `${revision}^{commit}`], repository);
  if (commit?.code !== 0) {
    throw new UsageError(`revision ${revision} is not one that this repository knows`);
  }
  const parent = await Deno.makeTempDir({ prefix: "lighthouse-gate-" });
  const folder = `${parent}/revision`;
  try {
    const add = ["worktree", "add", "--quiet", "--detach", folder, commit.stdout.trim()];
    const added = await runProgram("git", add, repository);
    if (added.code !== 0) {
      throw new UsageError(`revision ${revision} cannot be checked out: ${lastLine(added.stderr)}`);
    }
    return await run(folder);
  } finally {
    await runProgram("git", ["worktree", "remove", "--force", folder], repository);
    await Deno.remove(parent, { recursive: true }).catch(() => {});
  }
}

/**
 * Makes sure that a checkout's bench can be run.
 *
 * @throws {UsageError} one line with the first complaint of the compiler.
 */
export async function requireBuild(folder: string, name: string): Promise<void> {
  const args = ["check", "--quiet", "suites/cli/bench.ts"];
  const { code, stderr } = await runProgram("deno", args, folder);
  if (code === 0) return;
  const line = stderr.split("\n").find((text) => /\bTS\d+|error/i.test(text)) ?? lastLine(stderr);
  throw new UsageError(`revision ${name} does not build: ${line.trim()}`);
}

/** Measures with the bench of two checkouts; results go to a temporary folder. */
export async function withProcesses<T>(
  folders: { baseline: string; candidate: string },
  bench: readonly string[],
  run: (measure: Measure) => Promise<T>,
): Promise<T> {
  const out = await Deno.makeTempDir({ prefix: "lighthouse-gate-" });
  let count = 0;
  try {
    return await run(async (side, kind) => {
      const folder = kind === "control" ? folders.candidate : folders[side];
      const target = `${out}/${count++}`;
      const args = kind === "control" ? CONTROL_BENCH : bench;
      const line = ["task", "--quiet", "bench", ...args, "--quiet", "--no-install"];
      const { code, stderr } = await runProgram("deno", [...line, "--out", target], folder);
      // A failed case is the comparison's to judge; anything else left no result to compare.
      if (code > 1) {
        throw new UsageError(`bench of the ${side} ended with ${code}: ${lastLine(stderr)}`);
      }
      try {
        return await readResult(`${target}/result.json`);
      } catch (error) {
        throw new UsageError(`bench of the ${side}: ${lastLine(stderr) || errorLine(error)}`);
      }
    });
  } finally {
    await Deno.remove(out, { recursive: true }).catch(() => {});
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}
