/**
 * How the seconds of a run are shared out: every case first gets its least number of samples, the
 * lightest first, and what is left over becomes further samples.
 *
 * @module
 */
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import { OWN_WARM_UP_SECONDS, STAGED_SECONDS, SUBMISSION_SECONDS } from "./durations.ts";
import { membersOf, type PlannedCase, type PlannedGroup } from "./planned_case.ts";
import { predictSeconds } from "./predict.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";

/** Share of the spare time that one group may turn into further samples: cases come before samples. */
const SPARE_SHARE = 0.2;

/** Share of a budget that is kept back for what comes after the groups. */
const RESERVED_SHARE = 0.15;

/** Share of a budget up to which a case or a group is light: many of them fit. */
const LIGHT_SHARE = 0.05;

/** Share of a budget that the rounds of any group may take, however tight it looks, and seconds. */
const TRIFLING_SHARE = 0.005;
const TRIFLING_SECONDS = 1;

/** Share of what is left that one case of a peer may take: others' code may be slow without bound. */
const PEER_SHARE = 0.5;

/**
 * Share of a budget that a group may take for the samples that it is promised, see
 * {@linkcode PlannedCase.promisedSamples}: the rest of the run keeps the other half.
 */
const PROMISED_SHARE = 0.5;

/** Seconds of a check for each element of K, before two were seen; gradients cost more. */
const CHECK_SECONDS_PER_ELEMENT = { forward: 4e-8, gradients: 1e-7 };

/** How many times slower than expected a host may turn out to be for each element. */
const SLOW_HOST = 4;

/** Tracks time spent and what executions were found to cost. */
export class Budget {
  readonly #calibration: CalibrationRecord;
  readonly #samples: { minimum: number; maximum: number };
  readonly #deadline: number;
  readonly #now: () => number;
  readonly #seconds: number;
  readonly #scales = new Map<string, number>();
  /** How many times slower the device was when it was calibrated than it is. */
  #slowness = 1;
  /**
   * Wall-clock seconds of a submission beyond its work: submitting, polling. Learned, and apart for
   * executions of several submissions, each of which a host waits for.
   */
  readonly #overheads: { single?: number; several?: number } = {};
  /** What the first and the last case of each kind took beside its executions. */
  readonly #setups = new Map<string, { first: Setup; last: Setup }>();

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

  /** The clock of the budget, seconds. */
  now(): number {
    return this.#now();
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
    const trifle = Math.max(TRIFLING_SECONDS, TRIFLING_SHARE * this.#seconds);
    return Math.max(0, Math.min(trifle, this.left));
  }

  /**
   * Whether the least number of samples of a case fits, `reserve` seconds kept back. A case that is
   * promised samples may take half of the budget at most: the longest of all must not be the only one.
   */
  affords(entry: PlannedCase, options: { reserve: number; peer: boolean }): boolean {
    const left = this.left - options.reserve;
    const needed = this.caseSeconds(entry, 2 * this.rounds.least);
    if (needed > this.limitOf(entry)) return false;
    return needed <= (options.peer ? PEER_SHARE : 1) * left;
  }

  /** Seconds of the budget that a case may take, however much is left. */
  limitOf(entry: PlannedCase): number {
    return entry.promisedSamples ? PROMISED_SHARE * this.#seconds : Infinity;
  }

  /**
   * Whether the device has the time for the rest of a case that ran once, by what that one execution
   * took. What a host added to it does not count: a host can stall.
   */
  canFinish(entry: PlannedCase): boolean {
    return this.predict(entry) * 2 * this.rounds.least <= Math.max(0, this.left);
  }

  /** Rounds that a group is promised, and gets before other groups get more than their least. */
  promisedRounds({ baseline, candidates }: PlannedGroup): number {
    const samples = [baseline, ...candidates].map((entry) => entry?.promisedSamples ?? 0);
    return Math.min(this.rounds.most, Math.ceil(Math.max(0, ...samples) / 2));
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
    const scale = this.#scales.get(keyOf(entry)) ?? this.#scales.get(entry.implementation) ?? 1;
    return this.#plainSeconds(entry.plan) * scale;
  }

  #plainSeconds(plan: ImplementationPlan): number {
    return predictSeconds(plan, { calibration: this.#calibration }) / this.#slowness;
  }

  /**
   * Takes back what was expected of a device whose clock was down while it was calibrated.
   *
   * @param factor how many times slower it was.
   */
  rebase(factor: number): void {
    this.#slowness *= factor;
  }

  /** Predicted wall-clock seconds of one execution: its own, and what each submission costs. */
  executionSeconds(entry: PlannedCase): number {
    const seconds = this.predict(entry);
    const count = submissions(seconds);
    const { single = 0, several = single } = this.#overheads;
    return seconds + (count > 1 ? several : single) * count;
  }

  /**
   * Learns from an execution what the implementation takes against its prediction. A single slow
   * execution at most doubles what is expected: a host can stall for seconds, a kernel does not.
   * Without `wallSeconds` nothing is learned of what submissions cost.
   */
  learn(entry: PlannedCase, times: { seconds: number; wallSeconds?: number }): void {
    const seen = this.#scaleOf(entry, times.seconds);
    if (seen !== undefined) {
      this.#setScale(entry, Math.min(seen, 2 * (this.#scales.get(keyOf(entry)) ?? Infinity)));
    }
    if (times.wallSeconds === undefined) return;
    const spent = Math.max(0, times.wallSeconds - times.seconds);
    const count = submissions(times.seconds);
    const kind = count > 1 ? "several" : "single";
    this.#overheads[kind] = Math.min(spent / count, 2 * (this.#overheads[kind] ?? Infinity));
  }

  /** Learns from an execution at a slow clock that the implementation takes no longer than that. */
  learnAtMost(entry: PlannedCase, seconds: number): void {
    const seen = this.#scaleOf(entry, seconds);
    const expected = this.#scales.get(keyOf(entry)) ?? this.#scales.get(entry.implementation) ?? 1;
    if (seen !== undefined && seen < expected) this.#setScale(entry, seen);
  }

  /** What an execution took over its plain prediction. */
  #scaleOf({ plan }: PlannedCase, seconds: number): number | undefined {
    const plain = plan ? this.#plainSeconds(plan) : 0;
    return plain > 0 && seconds > 0 ? seconds / plain : undefined;
  }

  #setScale(entry: PlannedCase, scale: number): void {
    this.#scales.set(keyOf(entry), scale);
    // Also what is expected of the implementation's other directions until they were seen.
    this.#scales.set(entry.implementation, scale);
  }

  /** Learns what preparing and checking a case took. */
  learnSetup(entry: PlannedCase, seconds: number): void {
    const last = { elements: elementsOf(entry), seconds };
    this.#setups.set(keyOf(entry), { first: this.#setups.get(keyOf(entry))?.first ?? last, last });
  }

  /** FLOP per second to cut submissions by: what is predicted of the implementation. */
  flopsPerSecond(entry: PlannedCase): number | undefined {
    const seconds = this.predict(entry);
    return entry.plan && seconds > 0 ? entry.plan.flops / seconds : undefined;
  }

  /** Seconds of one case with a number of samples, what it takes beside them included. */
  caseSeconds(entry: PlannedCase, samples: number): number {
    if (!entry.plan || entry.skip || entry.predictedOnly) return 0;
    const seconds = this.predict(entry);
    if (entry.course) {
      const { executions, leastSeconds = 0, inFlight } = entry.course;
      const each = inFlight ? seconds : this.executionSeconds(entry);
      return Math.max(leastSeconds, executions * each) + this.setupSeconds(entry);
    }
    const warmUp = seconds < OWN_WARM_UP_SECONDS ? 1 : 0;
    const staged = entry.plan.stages.length > 1 && seconds < STAGED_SECONDS ? 1 : 0;
    return this.executionSeconds(entry) * (samples + warmUp + staged) +
      this.setupSeconds(entry);
  }

  /**
   * Predicted seconds of preparing and checking a case: what the last one of its kind took, and for
   * each element of K more or less what elements were seen to cost. Of a kind that was not seen the
   * fixed part is the least that any other had.
   */
  setupSeconds(entry: PlannedCase): number {
    const { forward, gradients } = CHECK_SECONDS_PER_ELEMENT;
    const expected = entry.direction === "forward" ? forward : gradients;
    const elements = elementsOf(entry);
    const seen = this.#setups.get(keyOf(entry));
    if (!seen) {
      const others = [...this.#setups.values()].map(({ first }) => first.seconds);
      return (others.length > 0 ? Math.min(...others) : 0) + expected * elements;
    }
    const { first, last } = seen;
    const grown = last.elements - first.elements;
    const slope = grown > 0 ? (last.seconds - first.seconds) / grown : expected;
    // A host that was busy with something else once must not make long contexts look impossible.
    const each = Math.max(0, Math.min(slope, SLOW_HOST * expected));
    return Math.max(0, last.seconds + each * (elements - last.elements));
  }

  /** Seconds of a group with a number of rounds, which all of its cases share. */
  groupSeconds(group: PlannedGroup, rounds: number): number {
    return membersOf(group).reduce(
      (sum, entry) => sum + this.caseSeconds(entry, 2 * rounds),
      0,
    );
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
   * Seconds that a case must leave to others if it is to run at all. A light one leaves none. One that
   * is promised samples leaves the light groups after it theirs, and any other what all groups after it
   * need that are lighter than it, and what is kept back for the cases `after` all groups: one long
   * context must not take the place of many short ones.
   */
  reserveFor(
    entry: PlannedCase,
    { later, after }: { later: readonly PlannedGroup[]; after: readonly PlannedCase[] },
  ): number {
    const light = LIGHT_SHARE * this.#seconds;
    const own = this.caseSeconds(entry, 2 * this.rounds.least);
    if (own <= light) return 0;
    const below = entry.promisedSamples ? light : own;
    const lighter = later.map((group) => this.groupSeconds(group, this.rounds.least))
      .filter((seconds) => seconds <= below)
      .reduce((sum, seconds) => sum + seconds, 0);
    return lighter + (entry.promisedSamples ? 0 : this.reserve(after));
  }

  #wasSeen(group: PlannedGroup): boolean {
    return membersOf(group).every((entry) => this.knows(entry));
  }

  /** What a group needs: for the samples that it is promised where these fit, else for the least. */
  #floorSeconds(group: PlannedGroup, within: number): number {
    const { least } = this.rounds;
    const promised = this.groupSeconds(group, Math.max(least, this.promisedRounds(group)));
    return promised <= Math.min(within, PROMISED_SHARE * this.#seconds)
      ? promised
      : this.groupSeconds(group, least);
  }

  /** Seconds of rounds of a group whose cases are prepared: two samples of each in every round. */
  #roundsSeconds(group: PlannedGroup, rounds: number): number {
    return membersOf(group).reduce(
      (sum, entry) => sum + 2 * rounds * this.executionSeconds(entry),
      0,
    );
  }

  /**
   * Seconds that the rounds of a group may take whose cases are prepared: the least, or what it is
   * promised if that fits, and at most a fifth of what is spare once all later groups that still fit
   * have what they need too, and `kept` seconds are kept back.
   */
  allowance(group: PlannedGroup, later: readonly PlannedGroup[], kept = 0): number {
    const { least, most } = this.rounds;
    const left = this.left - kept;
    const promised = this.#roundsSeconds(group, Math.max(least, this.promisedRounds(group)));
    const own = promised <= left ? promised : this.#roundsSeconds(group, least);
    let spare = left - own;
    let waiting = 0;
    for (const next of later) {
      // What is kept back is kept from everything but a promise.
      const within = spare + (this.promisedRounds(next) > 0 ? kept : 0);
      const needed = this.#floorSeconds(next, within);
      // A group that no longer fits will be skipped: it reserves nothing.
      const fits = needed <= within;
      if (fits) spare -= needed;
      // Before anything like it was seen, it may yet turn out to fit.
      if (fits || !this.#wasSeen(next)) waiting++;
    }
    const wish = this.#roundsSeconds(group, most) - own;
    const share = waiting === 0 ? 1 : SPARE_SHARE;
    return own + Math.max(0, Math.min(wish, share * spare));
  }
}

/** What preparing and checking a case took. */
interface Setup {
  readonly elements: number;
  readonly seconds: number;
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
