/**
 * Medians with seeded bootstrap intervals, and flags for outliers. METHOD.md explains the choice.
 *
 * @module
 */
import { max, mean, median, medianAbsoluteDeviation, min, quantileSorted } from "simple-statistics";
import { pcg } from "../../kernels/gpu/random.ts";
import type { Statistic } from "../result/result.ts";

/** Resamples of every bootstrap. */
export const RESAMPLES = 2000;

/** Options of the bootstrap. */
export interface BootstrapOptions {
  /** Seed of the resampling. Default 1. */
  seed?: number;
  /** Default {@linkcode RESAMPLES}. */
  resamples?: number;
}

/** An estimate with the ends of its 95 % interval. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Samples of two cases from one round of the interleaving. */
export interface PairedRound {
  readonly numerator: readonly number[];
  readonly denominator: readonly number[];
}

/**
 * Median, 95 % percentile-bootstrap interval of the median, and what surrounds it.
 *
 * @throws {RangeError} without samples, or when one of them is not finite.
 *
 * @example
 * ```ts
 * import { summarize } from "./statistics.ts";
 * import assert from "node:assert/strict";
 * const { median, low, high, outliers } = summarize([1, 2, 3, 2, 2, 90]);
 * assert.deepEqual([median, outliers], [2, 1]);
 * assert.ok(low <= median && median <= high);
 * ```
 */
export function summarize(samples: readonly number[], options: BootstrapOptions = {}): Statistic {
  requireSamples(samples);
  const interval = bootstrapMedian(samples, options);
  return {
    count: samples.length,
    median: interval.estimate,
    low: interval.low,
    high: interval.high,
    min: min([...samples]),
    max: max([...samples]),
    mean: mean([...samples]),
    outliers: outerOutliers(samples).length,
  };
}

/** The median of samples and its 95 % percentile-bootstrap interval. */
export function bootstrapMedian(
  samples: readonly number[],
  options: BootstrapOptions = {},
): Interval {
  requireSamples(samples);
  const draw = createDraw(options.seed ?? 1);
  const resample = new Array<number>(samples.length);
  return percentileInterval(median([...samples]), options.resamples, () => {
    for (let i = 0; i < samples.length; i++) resample[i] = samples[draw(samples.length)];
    return medianInPlace(resample);
  });
}

/**
 * median(numerator) / median(denominator) with a 95 % bootstrap interval that keeps the pairing:
 * whole rounds are drawn, so a disturbance that slowed both sides of a round does not widen it.
 *
 * Fewer than three rounds hold too few distinct draws to be informative; then the samples
 * of each side are drawn separately, which gives the wider, safer interval.
 *
 * @throws {RangeError} without rounds, or when a round lacks one of the sides.
 */
export function bootstrapRatio(
  rounds: readonly PairedRound[],
  options: BootstrapOptions = {},
): Interval {
  if (rounds.length === 0) throw new RangeError("bootstrap ratio: 0 rounds given, 1 needed");
  for (const round of rounds) {
    requireSamples(round.numerator);
    requireSamples(round.denominator);
  }
  const numerator = rounds.flatMap((round) => round.numerator);
  const denominator = rounds.flatMap((round) => round.denominator);
  const draw = createDraw(options.seed ?? 1);
  const estimate = median(numerator) / median(denominator);
  if (rounds.length < 3) {
    const each = (samples: readonly number[]) => samples.map(() => samples[draw(samples.length)]);
    return percentileInterval(
      estimate,
      options.resamples,
      () => medianInPlace(each(numerator)) / medianInPlace(each(denominator)),
    );
  }
  return percentileInterval(estimate, options.resamples, () => {
    const drawn = rounds.map(() => rounds[draw(rounds.length)]);
    return medianInPlace(drawn.flatMap((round) => round.numerator)) /
      medianInPlace(drawn.flatMap((round) => round.denominator));
  });
}

/**
 * Indices of the samples outside Tukey's outer fences: more than three interquartile ranges below
 * the first or above the third quartile. Fewer than four samples have no quartiles to speak of.
 */
export function outerOutliers(samples: readonly number[]): number[] {
  if (samples.length < 4) return [];
  const sorted = [...samples].sort((a, b) => a - b);
  const [first, third] = [quantileSorted(sorted, 0.25), quantileSorted(sorted, 0.75)];
  const reach = 3 * (third - first);
  return samples.flatMap((x, i) => x < first - reach || x > third + reach ? [i] : []);
}

/** Median absolute deviation divided by the median: a spread that outliers do not move. */
export function relativeSpread(samples: readonly number[]): number {
  requireSamples(samples);
  return medianAbsoluteDeviation([...samples]) / Math.abs(median([...samples]));
}

/** A statistic in another unit: every value times `factor`, which is positive. */
export function scaleStatistic(statistic: Statistic, factor: number): Statistic {
  const { median, low, high, min, max, mean } = statistic;
  return {
    ...statistic,
    median: median * factor,
    low: low * factor,
    high: high * factor,
    min: min * factor,
    max: max * factor,
    mean: mean * factor,
  };
}

/** The statistic of `scale` / seconds: a rate from times. */
export function invertStatistic(
  times: readonly number[],
  options: BootstrapOptions & { scale: number },
): Statistic {
  return summarize(times.map((seconds) => options.scale / seconds), options);
}

function requireSamples(samples: readonly number[]): void {
  if (samples.length === 0) throw new RangeError("summarize: 0 samples given, 1 needed");
  const bad = samples.find((sample) => !Number.isFinite(sample));
  if (bad !== undefined) throw new RangeError(`summarize: sample ${bad} is not a finite number`);
}

function percentileInterval(
  estimate: number,
  resamples: number | undefined,
  next: () => number,
): Interval {
  const drawn = new Float64Array(resamples ?? RESAMPLES);
  for (let i = 0; i < drawn.length; i++) drawn[i] = next();
  const values = [...drawn.sort()];
  // The estimate belongs to its interval: with an even count, medians of few distinct resamples
  // can leave it just outside.
  return {
    estimate,
    low: Math.min(estimate, quantileSorted(values, 0.025)),
    high: Math.max(estimate, quantileSorted(values, 0.975)),
  };
}

function medianInPlace(values: number[]): number {
  if (values.length > FEW) values.sort((a, b) => a - b);
  else sortFew(values);
  const middle = values.length >> 1;
  return values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/** Numbers that are sorted faster one by one than by calling a comparison. */
const FEW = 32;

/** Sorts by insertion. */
function sortFew(values: number[]): void {
  for (let i = 1; i < values.length; i++) {
    const value = values[i];
    let at = i;
    for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
    values[at] = value;
  }
}

/** Seeded integers in [0, n): the counter-based generator that also makes the inputs. */
function createDraw(seed: number): (n: number) => number {
  const key = pcg(seed >>> 0);
  let counter = 0;
  return (n) => Math.floor(pcg((key + counter++) >>> 0) / 2 ** 32 * n);
}
