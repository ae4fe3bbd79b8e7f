/**
 * Seeded bootstrap of the ratio of two medians whose sides were measured apart.
 *
 * @module
 */
import { medianSorted, quantileSorted } from "simple-statistics";

/** Samples of one side, grouped into the blocks that are drawn as a whole, such as rounds. */
export type Blocks = readonly (readonly number[])[];

/** Options of {@linkcode bootstrapLogRatio}. */
export interface RatioOptions {
  /** For example 0.99. */
  confidence: number;
  /** Default 1. */
  seed?: number;
  /** Default 2,000. */
  resamples?: number;
}

/** Natural logarithm of a ratio, with the ends of its interval. */
export interface LogRatio {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Samples beyond this number are thinned evenly: they add time, not certainty. */
export const MOST_SAMPLES = 400;

/**
 * ln(median of numerator / median of denominator) with a percentile-bootstrap interval. Blocks are
 * drawn with replacement, so samples that follow each other stay together; a side with fewer than
 * three blocks is drawn sample by sample.
 *
 * @throws {RangeError} when a side has no samples or one that is not positive.
 *
 * @example
 * ```ts
 * import { bootstrapLogRatio } from "./bootstrap.ts";
 * import assert from "node:assert/strict";
 * const { estimate, low, high } = bootstrapLogRatio([[2], [2.1], [1.9]], [[1], [1], [1]], {
 *   confidence: 0.99,
 * });
 * assert.equal(estimate, Math.log(2));
 * assert.ok(low >= Math.log(1.9) - 1e-9 && high <= Math.log(2.1) + 1e-9);
 * ```
 */
export function bootstrapLogRatio(
  numerator: Blocks,
  denominator: Blocks,
  options: RatioOptions,
): LogRatio {
  const { confidence, resamples = 2000 } = options;
  const random = createRandom(options.seed ?? 1);
  const sides = [numerator, denominator].map((blocks) => {
    const flat = blocks.flat();
    if (flat.length === 0 || !flat.every((x) => x > 0 && Number.isFinite(x))) {
      throw new RangeError(`ratio of medians: ${flat.length} samples given, all must be positive`);
    }
    return blocks.length < 3 ? flat.map((x) => [x]) : blocks;
  });
  const longest = (blocks: Blocks) => Math.max(...blocks.map(({ length }) => length));
  const buffer = new Float64Array(
    Math.max(...sides.map((blocks) => blocks.length * longest(blocks))),
  );
  const draw = (blocks: Blocks) => {
    let count = 0;
    for (let i = 0; i < blocks.length; i++) {
      for (const value of blocks[Math.floor(random() * blocks.length)]) buffer[count++] = value;
    }
    // Typed arrays sort as numbers and in place: this loop is nearly all of a gate's time.
    return medianSorted(buffer.subarray(0, count).sort() as unknown as number[]);
  };
  const values = new Array<number>(resamples);
  for (let i = 0; i < resamples; i++) {
    values[i] = Math.log(draw(sides[0])) - Math.log(draw(sides[1]));
  }
  values.sort((a, b) => a - b);
  const estimate = Math.log(medianOf(sides[0].flat())) - Math.log(medianOf(sides[1].flat()));
  const tail = (1 - confidence) / 2;
  return {
    estimate,
    low: Math.min(estimate, quantileSorted(values, tail)),
    high: Math.max(estimate, quantileSorted(values, 1 - tail)),
  };
}

/** The median. Sorts a copy. */
export function medianOf(values: readonly number[]): number {
  return medianSorted([...values].sort((a, b) => a - b));
}

/** Standard deviation by the median absolute deviation: outliers do not move it. */
export function robustDeviation(values: readonly number[]): number {
  const middle = medianOf(values);
  return 1.4826 * medianOf(values.map((value) => Math.abs(value - middle)));
}

/** At most {@linkcode MOST_SAMPLES} of the values, evenly spaced in their order. */
export function thin<T>(values: readonly T[]): readonly T[] {
  if (values.length <= MOST_SAMPLES) return values;
  return Array.from(
    { length: MOST_SAMPLES },
    (_, i) => values[Math.floor(i * values.length / MOST_SAMPLES)],
  );
}

/** Seeded numbers in [0, 1): mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Student's t quantile by the expansion of Cornish and Fisher; two-sided confidence. */
export function studentQuantile(confidence: number, freedom: number): number {
  const z = normalQuantile((1 + confidence) / 2);
  const n = Math.max(1, freedom);
  if (n === 1) return Math.tan(Math.PI * confidence / 2);
  if (n === 2) {
    const p = (1 + confidence) / 2;
    return (2 * p - 1) / Math.sqrt(2 * p * (1 - p));
  }
  return z + (z ** 3 + z) / (4 * n) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * n ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * n ** 3);
}

/** Quantile of the standard normal distribution (Acklam's rational approximation, 1e-9). */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`normal quantile: ${p} is not between 0 and 1`);
  if (p > 0.5) return -normalQuantile(1 - p);
  const polynomial = (x: number, terms: number[]) => terms.reduce((sum, term) => sum * x + term, 0);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(q, [
      -7.784894002430293e-3,
      -0.3223964580411365,
      -2.400758277161838,
      -2.549732539343734,
      4.374664141464968,
      2.938163982698783,
    ]) / polynomial(q, [
      7.784695709041462e-3,
      0.3224671290700398,
      2.445134137142996,
      3.754408661907416,
      1,
    ]);
  }
  const q = p - 0.5;
  const r = q * q;
  return q * polynomial(r, [
    -39.69683028665376,
    220.9460984245205,
    -275.9285104469687,
    138.3577518672690,
    -30.66479806614716,
    2.506628277459239,
  ]) / polynomial(r, [
    -54.47609879822406,
    161.5858368580409,
    -155.6989798598866,
    66.80131188771972,
    -13.28068155288572,
    1,
  ]);
}
