/**
 * The part of a comparison with noise: ratios of medians, and verdicts on them. GATE.md explains
 * why it works this way.
 *
 * @module
 */
import { twoSidedStudent } from "../../suites/statistics/quantiles.ts";
import { bootstrapError, medianOf } from "./bootstrap.ts";
import type { CaseSettings } from "./gate_config.ts";
import type { CaseVerdict, TimeComparison } from "./gate_report.ts";
import {
  type EarlierRuns,
  type Evidence,
  halfWidth,
  type NoiseSource,
  SAMPLE_SHARE,
  type Shift,
  spreadsAmongCases,
  spreadsAmongRuns,
} from "./run_noise.ts";
import type { Reading, TimedCase } from "./times_of_samples.ts";

/** With fewer samples a side's own spread is not trusted: the run's is used if it is larger. */
const TRUSTED_SAMPLES = 10;

/** A case that both sides timed. */
export interface TimedPair {
  readonly id: string;
  readonly kind: string;
  readonly baseline: TimedCase;
  readonly candidate: TimedCase;
  /** The ratio as measured and, if both sides have a canary, relative to the canary. */
  readonly shifts: readonly Shift[];
}

/** Probabilities with which the intervals of one case may miss its true ratio. */
export interface Levels {
  /** Of the interval that decides whether it moved. */
  readonly alarm: number;
  /** Of the interval that decides whether a change of `tolerance` is ruled out. */
  readonly pass: number;
}

/**
 * Level of the interval by which a case passes: one that moved by `tolerance` is called the same with
 * half of this probability, since only one end of the interval can be wrong.
 */
const PASS_LEVEL = 0.05;

/** The interval of a log ratio. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Ratios of cases that both sides timed, in the order given. */
export function pairTimes(
  pairs: readonly { baseline: TimedCase; candidate: TimedCase }[],
): TimedPair[] {
  const measured = shiftsOf(pairs, ({ measured }) => measured);
  const byCanary = shiftsOf(pairs, ({ byCanary }) => byCanary);
  return pairs.map(({ baseline, candidate }, i) => ({
    id: candidate.id,
    kind: candidate.kind,
    baseline,
    candidate,
    shifts: [measured[i]!, ...byCanary[i] ? [byCanary[i]] : []],
  }));
}

function shiftsOf(
  pairs: readonly { baseline: TimedCase; candidate: TimedCase }[],
  readingOf: (times: TimedCase) => Reading | null,
): (Shift | null)[] {
  const read = pairs.map(({ baseline, candidate }) => [baseline, candidate].map(readingOf));
  const there = read.flat().filter((reading) => reading !== null);
  if (there.length === 0) return pairs.map(() => null);
  const pooled = medianOf(there.map(({ deviation }) => deviation));
  const all = there.reduce((sum, { blocks }) => sum + countSamples(blocks) - 1, 0);
  return read.map(([before, after], i) => {
    if (!before || !after) return null;
    const { baseline, candidate } = pairs[i];
    const trusted = Math.min(baseline.count, candidate.count) >= TRUSTED_SAMPLES;
    const own = baseline.count + candidate.count - 2;
    return {
      kind: candidate.kind,
      log: after.log - before.log,
      error: Math.hypot(...[before, after].map((reading) => medianError(reading, pooled))),
      freedom: Math.max(1, trusted ? own : all),
      sampled: SAMPLE_SHARE * Math.hypot(...[baseline, candidate].map(ownDeviation)),
    };
  });
}

/** The larger of the bootstrap's error and that of a median of normal samples, 1.2533 σ / √n. */
function medianError({ blocks, deviation }: Reading, pooled: number): number {
  const count = countSamples(blocks);
  const own = count < TRUSTED_SAMPLES ? Math.max(deviation, pooled) : deviation;
  return Math.max(bootstrapError(blocks), 1.2533 * own / Math.sqrt(count));
}

/** Of two readings the one with less noise: the canary adds its own noise, and removes drift. */
function ownDeviation({ measured, byCanary }: TimedCase): number {
  return Math.min(measured.deviation, byCanary?.deviation ?? Infinity);
}

function countSamples(blocks: Reading["blocks"]): number {
  return blocks.reduce((sum, block) => sum + block.length, 0);
}

/**
 * What is known about the noise of every pair, in each of its readings, in the order of the pairs.
 *
 * @param options.earlier Runs of the baseline's code, including the baseline.
 */
export function weighNoise(
  pairs: readonly TimedPair[],
  options: { earlier: readonly (readonly TimedCase[])[] },
): Evidence[][] {
  const evidence: Evidence[][] = pairs.map(() => []);
  for (const [reading, byCanary] of [false, true].entries()) {
    const read = pairs.flatMap(({ id, shifts }, at) =>
      shifts[reading] ? [{ id, at, shift: shifts[reading] }] : []
    );
    const runs: EarlierRuns | null = spreadsAmongRuns(options.earlier, { byCanary });
    const spreads = spreadsAmongCases(read.map(({ shift }) => shift));
    for (const [i, { id, at, shift: { error, freedom, sampled } }] of read.entries()) {
      const earlier = runs?.of(id) ?? null;
      evidence[at].push({ error, freedom, sampled, ...spreads[i], earlier });
    }
  }
  return evidence;
}

/**
 * The interval that a pair's log ratio leaves with probability `level` if nothing changed.
 *
 * A kernel follows the clock fully, as the canary does, or partly, or not at all. The ratio as
 * measured and the ratio relative to the canary are the two extremes, so the interval covers both. One
 * step of the clock is added in full: an error that every sample shares is not noise.
 */
export function intervalOf(
  { shifts, baseline, candidate }: TimedPair,
  options: {
    evidence: readonly Evidence[];
    level: number;
    /** Seconds of one step of the clock. */
    step: number;
    /** Noise between runs from the configuration, which replaces every estimate. */
    noise?: number;
  },
): Interval & { readonly betweenRuns: number; readonly source: NoiseSource } {
  const { level, noise } = options;
  const step = stepNoise(options.step, Math.min(baseline.seconds, candidate.seconds));
  const read = noise === undefined ? shifts : shifts.slice(0, 1);
  const widths = read.map(({ error, freedom }, i) =>
    noise === undefined
      ? halfWidth(options.evidence[i], level)
      : fixedWidth(twoSidedStudent(level, freedom) * error, noise)
  );
  // Earlier runs show which reading the case follows: the one in which they spread least.
  const spreads = options.evidence.slice(0, read.length).map(({ earlier }) => earlier?.spread);
  const told = spreads.every((spread) => spread !== undefined);
  const followed = told ? spreads.indexOf(Math.min(...spreads as number[])) : undefined;
  const halves = read.map(({ log }, i) => ({ log, ...widths[followed ?? i] }));
  const [{ log, betweenRuns, source }] = halves;
  return {
    estimate: log,
    low: Math.min(...halves.map(({ log, half }) => log - half)) - step,
    high: Math.max(...halves.map(({ log, half }) => log + half)) + step,
    betweenRuns,
    source,
  };
}

/** A share of a step that the rounding of recorded seconds may add to it. */
const ROUNDING = 1e-6;

/** One step of the clock, as a change of the logarithm of the given seconds. */
export function stepNoise(step: number, seconds: number): number {
  return Math.log1p(step * (1 + ROUNDING) / seconds);
}

function fixedWidth(sampling: number, noise: number): ReturnType<typeof halfWidth> {
  const betweenRuns = Math.log1p(noise);
  return { half: Math.hypot(sampling, betweenRuns), betweenRuns, source: "configuration" };
}

/** The verdict on a pair, with its ratio. */
export function judgePair(
  pair: TimedPair,
  options: {
    evidence: readonly Evidence[];
    settings: CaseSettings;
    levels: Levels;
    step: number;
  },
): { verdict: CaseVerdict; time: TimeComparison } {
  const { evidence, settings, levels, step } = options;
  const width = { evidence, step, noise: settings.noise };
  const alarm = intervalOf(pair, { ...width, level: levels.alarm });
  const pass = intervalOf(pair, { ...width, level: levels.pass });
  const { estimate, low, high } = alarm;
  const atPowerLimit = (["baseline", "candidate"] as const).filter((side) =>
    pair[side].atPowerLimit
  );
  return {
    verdict: verdictOf({ alarm, pass }, settings),
    time: {
      ratio: Math.exp(estimate),
      low: Math.exp(low),
      high: Math.exp(high),
      baselineSeconds: pair.baseline.seconds,
      candidateSeconds: pair.candidate.seconds,
      baselineSamples: pair.baseline.count,
      candidateSamples: pair.candidate.count,
      ...(atPowerLimit.length > 0 && { atPowerLimit }),
      threshold: Math.expm1(Math.max(estimate - low, high - estimate)),
      runNoise: Math.expm1(alarm.betweenRuns),
      noiseSource: alarm.source,
    },
  };
}

/**
 * Levels for one of a number of cases. A single false alarm in a comparison is too many, so all
 * cases share what `confidence` leaves. A case that moved passes only if that very case is misjudged,
 * so the other level is not shared.
 */
export function levelsOf(confidence: number, cases: number): Levels {
  return { alarm: (1 - confidence) / Math.max(1, cases), pass: PASS_LEVEL };
}

/**
 * The verdict from two intervals of a log ratio: `alarm` decides whether it moved, `pass`
 * whether a change of `tolerance` is ruled out.
 */
export function verdictOf(
  { alarm, pass }: { alarm: Interval; pass: Interval },
  settings: Pick<CaseSettings, "minimum" | "tolerance">,
): CaseVerdict {
  const minimum = Math.log1p(settings.minimum);
  const tolerance = Math.log1p(Math.max(settings.tolerance, settings.minimum));
  if (alarm.low > 0 && alarm.estimate > minimum) return "slower";
  if (alarm.high < 0 && alarm.estimate < -minimum) return "faster";
  return pass.high <= tolerance && pass.low >= -tolerance ? "same" : "inconclusive";
}

/** Typical deviation of single samples within a run, in logarithms; null without pairs. */
export function sampleSpread(pairs: readonly TimedPair[]): number | null {
  if (pairs.length === 0) return null;
  return medianOf(pairs.flatMap(({ baseline, candidate }) => [
    baseline.measured.deviation,
    candidate.measured.deviation,
  ]));
}
