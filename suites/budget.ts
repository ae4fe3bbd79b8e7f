/**
 * How the seconds of a run are shared out: every case first gets its least number of samples, the
 * lightest first, and what is left over becomes further samples.
 *
 * @module
 */
import { predictSeconds } from "./plan.ts";
import type { PlannedCase, PlannedGroup } from "./plan.ts";
import type { CalibrationRecord } from "./result_schema.ts";

/** Share of the spare time that one group may turn into further samples. */
const SPARE_SHARE = 0.5;

/** Executions besides the samples: one to warm up and check, one staged (for several stages). */
const EXTRA_EXECUTIONS = 1;

/** Tracks time spent and what executions were found to cost. */
export class Budget {
  readonly #calibration: CalibrationRecord;
  readonly #samples: { minimum: number; maximum: number };
  readonly #deadline: number;
  readonly #now: () => number;
  readonly #scales = new Map<string, number>();
  /** Wall-clock seconds of an execution beyond its own: submitting, polling. Learned. */
  #overhead: number | undefined;
  /** Seconds that checking one row on the host takes for each element of K; learned. */
  #checkSecondsPerElement = 4e-8;

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
    this.#deadline = this.#now() + options.seconds;
  }

  /** Seconds left; negative when overspent. */
  get left(): number {
    return this.#deadline - this.#now();
  }

  /** Rounds of two samples for each side: the least and the most. */
  get rounds(): { least: number; most: number } {
    const { minimum, maximum } = this.#samples;
    return { least: Math.ceil(minimum / 2), most: Math.ceil(maximum / 2) };
  }

  /** Predicted seconds of one execution. */
  predict(entry: PlannedCase): number {
    if (!entry.plan) return 0;
    const scale = this.#scales.get(entry.implementation);
    return predictSeconds(entry.plan, { calibration: this.#calibration, scale });
  }

  /**
   * Learns from an execution what the implementation takes against its prediction. A single slow
   * execution at most doubles what is expected: a host can stall for seconds, a kernel does not.
   */
  learn(entry: PlannedCase, times: { seconds: number; wallSeconds: number }): void {
    if (!entry.plan) return;
    const plain = predictSeconds(entry.plan, { calibration: this.#calibration });
    if (plain > 0 && times.seconds > 0) {
      const seen = times.seconds / plain;
      const known = this.#scales.get(entry.implementation);
      this.#scales.set(entry.implementation, Math.min(seen, 2 * (known ?? Infinity)));
    }
    const overhead = Math.max(0, times.wallSeconds - times.seconds);
    this.#overhead = Math.min(overhead, 2 * (this.#overhead ?? Infinity));
  }

  /** Learns from a check of sampled rows what it costs. */
  learnCheck(entry: PlannedCase, seconds: number): void {
    const measured = seconds / elementsOf(entry);
    this.#checkSecondsPerElement = 0.5 * (this.#checkSecondsPerElement + measured);
  }

  /** FLOP per second to cut submissions by: what is predicted of the implementation. */
  flopsPerSecond(entry: PlannedCase): number | undefined {
    const seconds = this.predict(entry);
    return entry.plan && seconds > 0 ? entry.plan.flops / seconds : undefined;
  }

  /** Seconds of one case with a number of samples, its check included. */
  caseSeconds(entry: PlannedCase, samples: number): number {
    if (!entry.plan || entry.skip) return 0;
    const staged = entry.plan.stages.length > 1 ? 1 : 0;
    const each = this.predict(entry) + (this.#overhead ?? 0);
    return each * (samples + EXTRA_EXECUTIONS + staged) +
      this.#checkSecondsPerElement * elementsOf(entry);
  }

  /** Seconds of a group with a number of rounds for each of its pairs. */
  groupSeconds(group: PlannedGroup, rounds: number): number {
    const { baseline, candidates } = group;
    const pairs = Math.max(1, candidates.filter((entry) => !entry.skip).length);
    let seconds = baseline ? this.caseSeconds(baseline, 2 * rounds * pairs) : 0;
    for (const entry of candidates) seconds += this.caseSeconds(entry, 2 * rounds);
    return seconds;
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

function elementsOf(entry: PlannedCase): number {
  const { context, headDim } = entry.problem.shape;
  return context * headDim;
}
