/**
 * Two checkouts in two fresh processes that run in turns, A B B A, so that whatever the machine
 * does it does to both.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Problem } from "../../../kernels/implementation.ts";
import { packageFolders } from "../../device/native_libraries.ts";
import { UsageError } from "../../errors.ts";
import type { Block, Quad, Sides, TurnCase } from "./judge_paired.ts";
import type { Answer, Clock, Request } from "./turns_worker.ts";

/** A case with what the processes need to know of it. */
export interface TimedProblem extends TurnCase {
  readonly implementation: string;
  readonly problem: Problem;
  readonly seed: number;
  readonly flopsPerSecond?: number;
  /** Expected seconds of one execution. */
  readonly seconds: number;
}

/** Two checkouts. */
export interface Checkouts {
  readonly baseline: string;
  readonly candidate: string;
}

/**
 * A B B A, then B A A B, and so on: as often in one pair of processes as takes about this many
 * seconds for each case, within bounds. Noise of a busy machine was found to be that of single
 * turns and not of processes, so that turns are what averages it.
 */
const CASE_SECONDS = 4;
/** What a turn takes beside the case: the control, and reading timestamps back. */
const OVERHEAD_SECONDS = 0.04;
const LEAST_QUADS = 6;
const MOST_QUADS = 16;

/** Least seconds of a turn: short cases run more than once in it, and their median counts. */
const TURN_SECONDS = 0.01;

/** Most executions in a turn. */
const MOST_EXECUTIONS = 5;

const SIDES = ["baseline", "candidate"] as const;
type Side = typeof SIDES[number];

/**
 * Takes one block: two fresh processes, every case prepared in both, and turns.
 *
 * @param options.quads as many of each case, instead of what its time suggests.
 * @returns quads of each case by its id. A case that could not be prepared has its reason.
 * @throws {UsageError} when a process ends before its time: one line.
 */
export async function takeBlock(
  checkouts: Checkouts,
  cases: readonly TimedProblem[],
  options: {
    stack: string;
    clock: Clock;
    names: Checkouts;
    quads?: number;
    signal?: AbortSignal;
  },
): Promise<Block> {
  const processes = SIDES.map((side) =>
    new TurnsProcess(checkouts[side], {
      control: checkouts.candidate,
      stack: options.stack,
      clock: options.clock,
      name: options.names[side],
    })
  );
  const [baseline, candidate] = processes;
  const of = { baseline, candidate };
  try {
    for (const process of processes) requireReady(await process.read(), process.name);
    const block: Block = {};
    for (const entry of cases) block[entry.id] = await takeCase(of, entry, options);
    return block;
  } finally {
    for (const process of processes) await process.end();
  }
}

/** Turns of one case. */
async function takeCase(
  processes: Record<Side, TurnsProcess>,
  entry: TimedProblem,
  options: { quads?: number; signal?: AbortSignal },
): Promise<Block[string]> {
  const { implementation, problem, seed, flopsPerSecond, seconds } = entry;
  for (const side of SIDES) {
    const answer = await processes[side].ask({
      do: "prepare",
      implementation,
      problem,
      seed,
      flopsPerSecond,
    });
    if ("error" in answer) {
      return { quads: [], control: [], reason: `${processes[side].name}: ${answer.error}` };
    }
  }
  const caseTimes = Math.max(1, Math.min(MOST_EXECUTIONS, Math.round(TURN_SECONDS / seconds)));
  const turn: Request = { do: "turn", caseTimes, controlTimes: 1 };
  const wanted = Math.round(CASE_SECONDS / (4 * (caseTimes * seconds + OVERHEAD_SECONDS)));
  const count = options.quads ?? Math.max(LEAST_QUADS, Math.min(MOST_QUADS, wanted));
  const [quads, control]: [Quad[], Quad[]] = [[], []];
  for (let i = 0; i < count; i++) {
    options.signal?.throwIfAborted();
    const order: Side[] = i % 2 === 0
      ? ["baseline", "candidate", "candidate", "baseline"]
      : ["candidate", "baseline", "baseline", "candidate"];
    const own: Sides<number[]> = { baseline: [], candidate: [] };
    const still: Sides<number[]> = { baseline: [], candidate: [] };
    for (const side of order) {
      const answer = await processes[side].ask(turn);
      if (!("caseSeconds" in answer)) {
        const reason = "error" in answer ? answer.error : "no answer to a turn";
        return { quads: [], control: [], reason: `${processes[side].name}: ${reason}` };
      }
      own[side].push(answer.caseSeconds);
      still[side].push(answer.controlSeconds);
    }
    quads.push(own);
    control.push(still);
  }
  return { quads, control };
}

function requireReady(answer: Answer, name: string): void {
  if (!("ready" in answer)) throw new UsageError(`gate: ${name} cannot be run in turns`);
}

/** A process that runs cases of one checkout. */
class TurnsProcess {
  readonly name: string;
  readonly #process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #complaint: Promise<string>;
  #rest = "";

  constructor(
    folder: string,
    options: { control: string; stack: string; clock: Clock; name: string },
  ) {
    this.name = options.name;
    const worker = fileURLToPath(new URL("turns_worker.ts", import.meta.url));
    this.#process = new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-lock",
        `--config=${folder.replace(/\/*$/, "/")}deno.json`,
        "--allow-read",
        "--allow-env",
        "--allow-sys",
        ...(options.stack === "dawn" ? [`--allow-ffi=${packageFolders().join(",")}`] : []),
        worker,
        folder,
        options.control,
        options.stack,
        options.clock,
      ],
      clearEnv: true,
      env: { ...passedEnvironment(), NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#writer = this.#process.stdin.getWriter();
    this.#complaint = new Response(this.#process.stderr).text();
  }

  async ask(request: Request): Promise<Answer> {
    try {
      await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    } catch {
      // It is gone; reading says why.
    }
    return await this.read();
  }

  /** The next answer. */
  async read(): Promise<Answer> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) {
        const lines = (await this.#complaint).trim().split("\n");
        const said = lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? "";
        throw new UsageError(`gate: the process of ${this.name} ended: ${said.trim()}`);
      }
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + 1);
    return JSON.parse(line);
  }

  async end(): Promise<void> {
    await this.#writer.close().catch(() => {});
    try {
      this.#process.kill();
    } catch {
      // It has ended by itself.
    }
    await this.#lines.cancel().catch(() => {});
    await this.#process.status;
    await this.#complaint;
  }
}

/**
 * The environment without loader variables: Deno passes those on only with the right to run all.
 */
export function passedEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([key]) => !/^(LD|DYLD)_/.test(key)),
  );
}
