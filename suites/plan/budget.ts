/**
 * How the seconds of a run are shared out: every case first gets its least number of samples, the
 * lightest first, and what is left over becomes further samples.
 *
 * @module
 */
import { predictSeconds } from "./plan.ts";
import type { PlannedCase, PlannedGroup } from "./plan.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";

/** Share of the spare time that one group may turn into further samples: cases come before samples. */
const SPARE_SHARE = 0.2;

/** From this length on an execution warms itself up and its samples tell the stages apart. */
const LONG_SECONDS = 5;
const STAGED_SECONDS = 0.25;

/** Longest predicted submission: the timer's default. */
const SUBMISSION_SECONDS = 0.25;

/** Share of a budget that is kept back for what comes after the groups. */
const RESERVED_SHARE = 0.15;

/** Share of a budget that the rounds of any group may take, however tight it looks. */
const TRIFLING_SHARE = 0.005;

/** Share of what is left that one case of a peer may take: others' code may be slow without bound. */
const PEER_SHARE = 0.5;

/** Seconds of a check for each element of K, before any was seen. */
const CHECK_SECONDS_PER_ELEMENT = 4e-8;

/** Tracks time spent and what executions were found to cost. */
export class Budget {
  readonly #calibration: CalibrationRecord;
  readonly #samples: { minimum: number; maximum: number };
  readonly #deadline: number;
  readonly #now: () => number;
  readonly #seconds: number;
  readonly #scales = new Map<string, number>();
  /** Wall-clock seconds of a submission beyond its work: submitting, polling. Learned. */
  #overhead: number | undefined;
  /** Seconds that checking on the host takes for each element of K; learned. */
  readonly #checks = new Map<string, number>();

  /** @param options `seconds` from now on; `now` in seconds, for tests. */
  constructor(options: {
    calibration: CalibrationRecord;
    samples: { minimum: number; maximum: number };
    seconds: number;
    now?: () => number;
  }) {
    this.#calibration = options.calibration;
    this.#samples = options.samples;
    this.#now = options.now ?? (() => performance.now() / 1e3);
    this.#seconds = options.seconds;
    this.#deadline = this.#now() + options.seconds;
  }

  /** Seconds left; negative when overspent. */
  get left(): number {
    return this.#deadline - this.#now();
  }

  /**
   * Seconds of rounds that nobody misses. Early groups are the shortest, and the budget looks tightest
   * to them: predictions have seen nothing yet, and checks have a fixed cost. Milliseconds of further
   * samples must not depend on that.
   */
  get trifle(): number {
    return Math.max(0, Math.min(TRIFLING_SHARE * this.#seconds, this.left));
  }

  /** Whether the least number of samples of a case fits, `reserve` seconds kept back. */
  affords(entry: PlannedCase, options: { reserve: number; peer: boolean }): boolean {
    const left = this.left - options.reserve;
    return this.caseSeconds(entry, 2 * this.rounds.least) <= (options.peer ? PEER_SHARE : 1) * left;
  }

  /** Rounds of two samples for each side: the least and the most. */
  get rounds(): { least: number; most: number } {
    const { minimum, maximum } = this.#samples;
    return { least: Math.ceil(minimum / 2), most: Math.ceil(maximum / 2) };
  }

  /** Whether an execution of the implementation was seen, in whichever direction. */
  knows(entry: PlannedCase): boolean {
    return this.#scales.has(entry.implementation);
  }

  /** Predicted seconds of one execution. */
  predict(entry: PlannedCase): number {
    if (!entry.plan) return 0;
    const scale = this.#scales.get(keyOf(entry)) ?? this.#scales.get(entry.implementation);
    return predictSeconds(entry.plan, { calibration: this.#calibration, scale });
  }

  /** Predicted wall-clock seconds of one execution: its own, and what each submission costs. */
  executionSeconds(entry: PlannedCase): number {
    const seconds = this.predict(entry);
    return seconds + (this.#overhead ?? 0) * submissions(seconds);
  }

  /**
   * Learns from an execution what the implementation takes against its prediction. A single slow
   * execution at most doubles what is expected: a host can stall for seconds, a kernel does not.
   * Without `wallSeconds` nothing is learned of what submissions cost.
   */
  learn(entry: PlannedCase, times: { seconds: number; wallSeconds?: number }): void {
    if (!entry.plan) return;
    const plain = predictSeconds(entry.plan, { calibration: this.#calibration });
    if (plain > 0 && times.seconds > 0) {
      const seen = times.seconds / plain;
      const known = this.#scales.get(keyOf(entry));
      const scale = Math.min(seen, 2 * (known ?? Infinity));
      // Also what is expected of the implementation's other directions until they were seen.
      this.#scales.set(keyOf(entry), scale);
      this.#scales.set(entry.implementation, scale);
    }
    if (times.wallSeconds === undefined) return;
    const spent = Math.max(0, times.wallSeconds - times.seconds);
    const overhead = spent / submissions(times.seconds);
    this.#overhead = Math.min(overhead, 2 * (this.#overhead ?? Infinity));
  }

  /** Learns from a check of sampled rows what it costs. */
  learnCheck(entry: PlannedCase, seconds: number): void {
    // The last one counts: short contexts pay for fixed costs that longer ones do not multiply.
    this.#checks.set(keyOf(entry), seconds / elementsOf(entry));
  }

  /** FLOP per second to cut submissions by: what is predicted of the implementation. */
  flopsPerSecond(entry: PlannedCase): number | undefined {
    const seconds = this.predict(entry);
    return entry.plan && seconds > 0 ? entry.plan.flops / seconds : undefined;
  }

  /** Seconds of one case with a number of samples, its check included. */
  caseSeconds(entry: PlannedCase, samples: number): number {
    if (!entry.plan || entry.skip || entry.predictedOnly) return 0;
    const seconds = this.predict(entry);
    const warmUp = seconds < LONG_SECONDS ? 1 : 0;
    const staged = entry.plan.stages.length > 1 && seconds < STAGED_SECONDS ? 1 : 0;
    return this.executionSeconds(entry) * (samples + warmUp + staged) +
      this.checkSeconds(entry);
  }

  /** Predicted seconds of checking sampled rows of a case on the host. */
  checkSeconds(entry: PlannedCase): number {
    return (this.#checks.get(keyOf(entry)) ?? CHECK_SECONDS_PER_ELEMENT) * elementsOf(entry);
  }

  /** Seconds of a group with a number of rounds, which all of its cases share. */
  groupSeconds(group: PlannedGroup, rounds: number): number {
    const { baseline, candidates } = group;
    let seconds = baseline ? this.caseSeconds(baseline, 2 * rounds) : 0;
    for (const entry of candidates) seconds += this.caseSeconds(entry, 2 * rounds);
    return seconds;
  }

  /**
   * Seconds to keep back for cases that come after all groups, so that the heaviest group does not
   * take them: what they need, and no more than a share of the whole budget.
   */
  reserve(cases: readonly PlannedCase[]): number {
    const needed = cases.reduce((sum, entry) => sum + this.caseSeconds(entry, 2), 0);
    return Math.min(needed, RESERVED_SHARE * this.#seconds);
  }

  /**
   * Seconds that a group may take, given the groups after it: its least, and at most half of what
   * is spare once all later groups that still fit have their least too.
   */
  allowance(group: PlannedGroup, later: readonly PlannedGroup[]): number {
    const { least, most } = this.rounds;
    const own = this.groupSeconds(group, least);
    let spare = this.left - own;
    let waiting = 0;
    for (const next of later) {
      const needed = this.groupSeconds(next, least);
      // A group that no longer fits will be skipped: it reserves nothing.
      if (needed > spare) continue;
      spare -= needed;
      waiting++;
    }
    const wish = this.groupSeconds(group, most) - own;
    const share = waiting === 0 ? 1 : SPARE_SHARE;
    return own + Math.max(0, Math.min(wish, share * spare));
  }
}

/** What an implementation does in one direction runs at one rate. */
function keyOf({ implementation, direction }: PlannedCase): string {
  return `${implementation}/${direction}`;
}

function submissions(seconds: number): number {
  return Math.max(1, Math.ceil(seconds / SUBMISSION_SECONDS));
}

function elementsOf(entry: PlannedCase): number {
  const { context, headDim } = entry.problem.shape;
  return context * headDim;
}
