/**
 * Seeded bootstrap of a median, with seeded random numbers and robust summaries.
 *
 * @module
 */
import { medianSorted, standardDeviation } from "simple-statistics";

/** Samples of one case, grouped into blocks that are drawn as a whole, such as rounds. */
export type Blocks = readonly (readonly number[])[];

/** Options of {@linkcode bootstrapError}. */
export interface BootstrapOptions {
  /** Default 1. */
  seed?: number;
  /** Default 400: enough for a standard error. */
  resamples?: number;
}

/** More samples than this are thinned evenly: they cost time without adding certainty. */
export const MOST_SAMPLES = 400;

/**
 * Standard error of the logarithm of the median of positive samples.
 *
 * Blocks are drawn with replacement, so samples that follow each other stay together; fewer than
 * three blocks are drawn sample by sample.
 *
 * @throws {RangeError} without samples, or with one that is not positive.
 *
 * @example
 * ```ts
 * import { bootstrapError } from "./bootstrap.ts";
 * import assert from "node:assert/strict";
 * assert.equal(bootstrapError([[2], [2], [2]]), 0);
 * const error = bootstrapError([[1], [1.01], [1.02], [1.03], [1.04]]);
 * assert.ok(error > 0.005 && error < 0.015);
 * ```
 */
export function bootstrapError(blocks: Blocks, options: BootstrapOptions = {}): number {
  const { seed = 1, resamples = 400 } = options;
  const flat = blocks.flat();
  if (flat.length === 0 || !flat.every((x) => x > 0 && Number.isFinite(x))) {
    throw new RangeError(`median: ${flat.length} samples given, all must be positive`);
  }
  const drawn = blocks.length < 3 ? flat.map((x) => [x]) : blocks;
  const sorted = drawn.flatMap((values, block) => values.map((value) => ({ value, block })))
    .sort((a, b) => a.value - b.value);
  const random = createRandom(seed);
  const times = new Uint32Array(drawn.length);
  // A resample's median comes from how often each block was drawn, without sorting again.
  const drawMedian = () => {
    times.fill(0);
    let count = 0;
    for (let i = 0; i < drawn.length; i++) {
      const block = Math.floor(random() * drawn.length);
      times[block]++;
      count += drawn[block].length;
    }
    const [below, above] = [(count - 1) >> 1, count >> 1];
    let seen = 0;
    let lower = NaN;
    for (const { value, block } of sorted) {
      seen += times[block];
      if (Number.isNaN(lower) && seen > below) lower = value;
      if (seen > above) return (lower + value) / 2;
    }
    return NaN;
  };
  return standardDeviation(Array.from({ length: resamples }, () => Math.log(drawMedian())));
}

/** The median. Sorts a copy. */
export function medianOf(values: readonly number[]): number {
  return medianSorted([...values].sort((a, b) => a - b));
}

/** Standard deviation from the median absolute deviation, which outliers do not move. */
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

/** Unit normal numbers from uniform ones in [0, 1), by the polar method of Box and Muller. */
export function createNormal(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log1p(-random())) * Math.cos(2 * Math.PI * random());
}
