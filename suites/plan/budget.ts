/**
 * How the seconds of a run are divided: every case first gets its minimum number of samples, the
 * lightest first. The rest is spent on further samples.
 *
 * @module
 */
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import { OWN_WARM_UP_SECONDS, STAGED_SECONDS, SUBMISSION_SECONDS } from "./durations.ts";
import { membersOf, type PlannedCase, type PlannedGroup } from "./planned_case.ts";
import { predictSeconds } from "./predict.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";

/**
 * Share of the spare time that one group may spend on further samples: cases come before samples.
 */
const SPARE_SHARE = 0.2;

/** Share of a budget that is reserved for what comes after the groups. */
const RESERVED_SHARE = 0.15;

/** Share of a budget below which a case or a group counts as light: many of them fit. */
const LIGHT_SHARE = 0.05;

/**
 * Share of a budget, and seconds, that the rounds of any group may take, however tight the budget.
 */
const MINIMUM_GROUP_SHARE = 0.005;
const MINIMUM_GROUP_SECONDS = 1;

/**
 * Share of the time left that one case of a peer may take: other people's code may be arbitrarily
 * slow.
 */
const PEER_SHARE = 0.5;

/**
 * Share of a budget that a group may take for the samples that it is promised, see
 * {@linkcode PlannedCase.promisedSamples}. The rest of the run keeps the other half.
 */
const PROMISED_SHARE = 0.5;

/** Seconds of a check per element of K until two checks were seen; gradients cost more. */
const CHECK_SECONDS_PER_ELEMENT = { forward: 4e-8, gradients: 1e-7 };

/** How many times slower than expected a host may be per element. */
const SLOW_HOST = 4;

/** Tracks the time spent and the measured cost of executions. */
export class Budget {
  readonly #calibration: CalibrationRecord;
  readonly #samples: { minimum: number; maximum: number };
  #deadline: number;
  readonly #now: () => number;
  readonly #seconds: number;
  readonly #always: ReadonlySet<string>;
  readonly #scales = new Map<string, number>();
  /** How many times slower the device was during calibration than it is now. */
  #slowness = 1;
  /**
   * Wall-clock seconds of a submission beyond its work: submitting, polling. Learned from
   * executions, separately for those of several submissions, each of which a host waits for.
   */
  readonly #overheads: { single?: number; several?: number } = {};
  /** What the first and the last case of each kind took besides their executions. */
  readonly #setups = new Map<string, { first: Setup; last: Setup }>();

  /**
   * @param options `seconds` in all, of which `spent` are over; `always`: ids of cases that get
   * their minimum even if nothing is left; `now` in seconds, for tests.
   */
  constructor(options: {
    calibration: CalibrationRecord;
    samples: { minimum: number; maximum: number };
    seconds: number;
    spent?: number;
    always?: ReadonlySet<string>;
    now?: () => number;
  }) {
    this.#calibration = options.calibration;
    this.#samples = options.samples;
    this.#now = options.now ?? (() => performance.now() / 1e3);
    this.#seconds = options.seconds;
    this.#always = options.always ?? new Set();
    this.#deadline = this.#now() + options.seconds - (options.spent ?? 0);
  }

  /** The clock of the budget, seconds. */
  now(): number {
    return this.#now();
  }

  /** Adds seconds that went into what no case is charged for. */
  postpone(seconds: number): void {
    this.#deadline += seconds;
  }

  /** Seconds left; negative when overspent. */
  get left(): number {
    return this.#deadline - this.#now();
  }

  /**
   * Minimum time in seconds that every group may spend on samples. Early groups are the shortest,
   * and the budget looks tightest to them: predictions have seen nothing yet, and checks have a
   * fixed cost. A few milliseconds of further samples must not depend on that.
   */
  get minimumGroupSeconds(): number {
    const seconds = Math.max(MINIMUM_GROUP_SECONDS, MINIMUM_GROUP_SHARE * this.#seconds);
    return Math.max(0, Math.min(seconds, this.left));
  }

  /**
   * Whether the minimum number of samples of a case fits while `reserve` seconds are kept back. A
   * case that is promised samples may take at most half of the budget: the longest case must not be
   * the only one.
   */
  affords(entry: PlannedCase, options: { reserve: number; peer: boolean }): boolean {
    if (this.#always.has(entry.id)) return true;
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
   * Whether the time left suffices for the rest of a case that ran once, judged by the device time
   * of that execution. The host's overhead does not count: a host can stall.
   */
  canFinish(entry: PlannedCase): boolean {
    return this.#always.has(entry.id) ||
      this.predict(entry) * 2 * this.rounds.least <= Math.max(0, this.left);
  }

  /**
   * Rounds that a group is promised. It gets them before other groups get more than their minimum.
   */
  promisedRounds({ baseline, candidates }: PlannedGroup): number {
    const samples = [baseline, ...candidates].map((entry) => entry?.promisedSamples ?? 0);
    return Math.min(this.rounds.most, Math.ceil(Math.max(0, ...samples) / 2));
  }

  /** Rounds of two samples for each side: minimum and maximum. */
  get rounds(): { least: number; most: number } {
    const { minimum, maximum } = this.#samples;
    return { least: Math.ceil(minimum / 2), most: Math.ceil(maximum / 2) };
  }

  /** Whether an execution of the implementation was seen, in either direction. */
  knows(entry: PlannedCase): boolean {
    return this.#scales.has(rateOf(entry));
  }

  /** Predicted seconds of one execution. */
  predict(entry: PlannedCase): number {
    if (!entry.plan) return 0;
    const scale = this.#scales.get(keyOf(entry)) ?? this.#scales.get(rateOf(entry)) ?? 1;
    return this.#plainSeconds(entry.plan) * scale;
  }

  /** Takes a guess for an execution unlike any that was seen; what was seen is never replaced. */
  assume(entry: PlannedCase, seconds: number): void {
    if (this.knows(entry) || !entry.plan) return;
    const scale = this.#scaleOf(entry, seconds);
    if (scale !== undefined) this.#scales.set(rateOf(entry), scale);
  }

  #plainSeconds(plan: ImplementationPlan): number {
    return predictSeconds(plan, { calibration: this.#calibration }) / this.#slowness;
  }

  /**
   * Discards predictions from a device whose clock was low during calibration.
   *
   * @param factor how many times slower it was.
   */
  rebase(factor: number): void {
    this.#slowness *= factor;
  }

  /**
   * Predicted wall-clock seconds of one execution: its own time and the cost of each submission.
   */
  executionSeconds(entry: PlannedCase): number {
    const seconds = this.predict(entry);
    const count = submissions(seconds);
    const { single = 0, several = single } = this.#overheads;
    return seconds + (count > 1 ? several : single) * count;
  }

  /**
   * Learns from an execution how long the implementation takes against its prediction. A single
   * slow execution at most doubles the prediction: a host can stall for seconds, a kernel does not.
   * Without `wallSeconds` nothing is learned about the cost of submissions.
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

  /** Learns from an execution at a low clock: the implementation takes at most that long. */
  learnAtMost(entry: PlannedCase, seconds: number): void {
    const seen = this.#scaleOf(entry, seconds);
    const expected = this.#scales.get(keyOf(entry)) ?? this.#scales.get(rateOf(entry)) ?? 1;
    if (seen !== undefined && seen < expected) this.#setScale(entry, seen);
  }

  /** Measured time of an execution over its unscaled prediction. */
  #scaleOf({ plan }: PlannedCase, seconds: number): number | undefined {
    const plain = plan ? this.#plainSeconds(plan) : 0;
    return plain > 0 && seconds > 0 ? seconds / plain : undefined;
  }

  #setScale(entry: PlannedCase, scale: number): void {
    this.#scales.set(keyOf(entry), scale);
    // This also scales the implementation's other directions until they were seen.
    this.#scales.set(rateOf(entry), scale);
  }

  /** Learns how long preparing and checking a case took. */
  learnSetup(entry: PlannedCase, seconds: number): void {
    const last = { elements: elementsOf(entry), seconds };
    this.#setups.set(keyOf(entry), { first: this.#setups.get(keyOf(entry))?.first ?? last, last });
  }

  /** FLOP per second by which submissions are split: the rate predicted for the implementation. */
  flopsPerSecond(entry: PlannedCase): number | undefined {
    const seconds = this.predict(entry);
    return entry.plan && seconds > 0 ? entry.plan.flops / seconds : undefined;
  }

  /** Seconds of one case with a number of samples, including preparation and checks. */
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
   * Predicted seconds of preparing and checking a case: what the last case of its kind took,
   * adjusted by the measured cost per element for the difference in elements of K. For a kind that
   * was not seen, the fixed part is the smallest of the other kinds.
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
    // One stall of a busy host must not make long contexts look impossible.
    const each = Math.max(0, Math.min(slope, SLOW_HOST * expected));
    return Math.max(0, last.seconds + each * (elements - last.elements));
  }

  /** Seconds of a group with a number of rounds that all its cases share. */
  groupSeconds(group: PlannedGroup, rounds: number): number {
    return membersOf(group).reduce(
      (sum, entry) => sum + this.caseSeconds(entry, 2 * rounds),
      0,
    );
  }

  /**
   * Seconds to reserve for cases that come after all groups, so that the heaviest group does not
   * take them: what they need, up to a share of the whole budget.
   */
  reserve(cases: readonly PlannedCase[]): number {
    const needed = cases.reduce((sum, entry) => sum + this.caseSeconds(entry, 2), 0);
    return Math.min(needed, RESERVED_SHARE * this.#seconds);
  }

  /**
   * Seconds that a case must leave to others in order to run. A light case leaves none. A case with
   * promised samples leaves later light groups their time. Any other case leaves what all later,
   * lighter groups need and what is reserved for the cases `after` all groups: one long context
   * must not displace many short ones.
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

  /** What a group needs: time for its promised samples if they fit, else for the minimum. */
  #floorSeconds(group: PlannedGroup, within: number): number {
    const { least } = this.rounds;
    const promised = this.groupSeconds(group, Math.max(least, this.promisedRounds(group)));
    return promised <= Math.min(within, PROMISED_SHARE * this.#seconds)
      ? promised
      : this.groupSeconds(group, least);
  }

  /**
   * Seconds of the rounds of a group whose cases are prepared: two samples of each case per round.
   */
  #roundsSeconds(group: PlannedGroup, rounds: number): number {
    return membersOf(group).reduce(
      (sum, entry) => sum + 2 * rounds * this.executionSeconds(entry),
      0,
    );
  }

  /**
   * Seconds that the rounds of a group may take whose cases are prepared: the minimum, or the
   * promised samples if they fit, and at most a fifth of the spare time once all later groups that
   * still fit have what they need and `kept` seconds are reserved.
   */
  allowance(group: PlannedGroup, later: readonly PlannedGroup[], kept = 0): number {
    const { least, most } = this.rounds;
    const left = this.left - kept;
    const promised = this.#roundsSeconds(group, Math.max(least, this.promisedRounds(group)));
    const own = promised <= left ? promised : this.#roundsSeconds(group, least);
    let spare = left - own;
    let waiting = 0;
    for (const next of later) {
      // Only a promise may use the reserve.
      const within = spare + (this.promisedRounds(next) > 0 ? kept : 0);
      const needed = this.#floorSeconds(next, within);
      // A group that no longer fits will be skipped, so it reserves nothing.
      const fits = needed <= within;
      if (fits) spare -= needed;
      // Until something similar was seen, it may still fit.
      if (fits || !this.#wasSeen(next)) waiting++;
    }
    const wish = this.#roundsSeconds(group, most) - own;
    const share = waiting === 0 ? 1 : SPARE_SHARE;
    return own + Math.max(0, Math.min(wish, share * spare));
  }
}

/** How long preparing and checking a case took. */
interface Setup {
  readonly elements: number;
  readonly seconds: number;
}

/** All executions of an implementation run at similar rates, whatever the direction. */
function rateOf({ rate, implementation }: PlannedCase): string {
  return rate ?? implementation;
}

/** All executions of an implementation in one direction run at one rate. */
function keyOf(entry: PlannedCase): string {
  return `${rateOf(entry)}/${entry.direction}`;
}

function submissions(seconds: number): number {
  return Math.max(1, Math.ceil(seconds / SUBMISSION_SECONDS));
}

function elementsOf(entry: PlannedCase): number {
  const { context, headDim } = entry.problem.shape;
  return context * headDim;
}
