/**
 * Differences between two ways of training, paired by seed: the same initial weights and data,
 * evaluated on the same items (prompts of a cell, held-out sequences).
 *
 * @module
 */
import { mean, sampleStandardDeviation } from "simple-statistics";
import { pcg } from "../../kernels/gpu/random.ts";
import { twoSidedStudent } from "./quantiles.ts";
import { type Interval, RESAMPLES } from "./statistics.ts";

/** Level of the intervals. */
const LEVEL = 0.05;

/**
 * The mean difference over seeds with a 95 % interval. It is the wider one of two: a hierarchical
 * bootstrap, which draws seeds and then items of each, and Student's t over the means of the seeds,
 * since a bootstrap of few seeds is too narrow. With one seed there is no interval: its ends are
 * infinite.
 *
 * @param seeds differences of the items of each seed.
 * @throws {RangeError} without seeds, or when one has no items.
 *
 * @example
 * ```ts
 * import { pairedDifference } from "./paired_seeds.ts";
 * import assert from "node:assert/strict";
 * const { estimate, low, high } = pairedDifference([[0.1, 0.3], [0.2, 0.2], [0.1, 0.1]]);
 * assert.ok(Math.abs(estimate - 1 / 6) < 1e-9 && low < 0.1 && high > 0.2);
 * ```
 */
export function pairedDifference(
  seeds: readonly (readonly number[])[],
  { seed = 1, resamples = RESAMPLES }: { seed?: number; resamples?: number } = {},
): Interval {
  if (seeds.length === 0) throw new RangeError("paired difference: 0 seeds given, 1 needed");
  if (seeds.some((items) => items.length === 0)) {
    throw new RangeError("paired difference: a seed without items");
  }
  const means = seeds.map((items) => mean([...items]));
  const estimate = mean(means);
  if (seeds.length === 1) return { estimate, low: -Infinity, high: Infinity };
  let [state, at] = [pcg(seed), 0];
  const draw = (count: number) => {
    state = pcg((state + ++at) >>> 0);
    return state % count;
  };
  const drawn = Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < seeds.length; i++) {
      const items = seeds[draw(seeds.length)];
      let own = 0;
      for (let j = 0; j < items.length; j++) own += items[draw(items.length)];
      sum += own / items.length;
    }
    return sum / seeds.length;
  }).sort((a, b) => a - b);
  const quantile = (share: number) => drawn[Math.round(share * (resamples - 1))];
  const student = twoSidedStudent(LEVEL, seeds.length - 1) * sampleStandardDeviation(means) /
    Math.sqrt(seeds.length);
  return {
    estimate,
    low: Math.min(quantile(LEVEL / 2), estimate - student),
    high: Math.max(quantile(1 - LEVEL / 2), estimate + student),
  };
}
