/**
 * Statistics of counts: intervals of rates and paired tests.
 *
 * @module
 */
import { binomialBelow, normalQuantile } from "./normal.ts";

/** A rate and the ends of its interval. */
export interface RateInterval {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval of a rate.
 *
 * @throws {RangeError} unless 0 ≤ successes ≤ trials and trials ≥ 1.
 *
 * @example
 * ```ts
 * import { wilsonInterval } from "./intervals.ts";
 * import assert from "node:assert/strict";
 * const { low, high } = wilsonInterval(0, 200);
 * assert.equal(low, 0);
 * assert.ok(high > 0.018 && high < 0.02);
 * ```
 */
export function wilsonInterval(
  successes: number,
  trials: number,
  options: { confidence?: number } = {},
): RateInterval {
  if (!(trials >= 1 && successes >= 0 && successes <= trials)) {
    throw new RangeError(`wilson interval: ${successes} of ${trials} is not a rate`);
  }
  const z = normalQuantile(0.5 + (options.confidence ?? 0.95) / 2);
  const rate = successes / trials;
  const scale = 1 + z * z / trials;
  const centre = (rate + z * z / (2 * trials)) / scale;
  const half = z / scale * Math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials));
  return {
    rate,
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === trials ? 1 : Math.min(1, centre + half),
  };
}

/**
 * McNemar's exact test: given the trials in which exactly one of two arms succeeded, the
 * two-sided probability of a split at least as uneven if both were equally good.
 */
export function mcNemar(onlyFirst: number, onlySecond: number): number {
  const count = onlyFirst + onlySecond;
  if (count === 0) return 1;
  const less = Math.min(onlyFirst, onlySecond);
  return Math.min(1, 2 * binomialBelow(less + 1, { count, p: 0.5 }));
}

/**
 * The rates that a binomial count of `trials` at rate `p` takes with probability of at least
 * `confidence`; each excluded tail holds at most half of the rest.
 */
export function acceptanceBand(
  p: number,
  options: { trials: number; confidence: number },
): { low: number; high: number } {
  const { trials, confidence } = options;
  const tail = (1 - confidence) / 2;
  // Largest count with at most `tail` below it, and smallest with at most `tail` above it.
  const search = (holds: (count: number) => boolean): number => {
    let [low, high] = [0, trials];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (holds(middle)) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const low = search((count) => binomialBelow(count, { count: trials, p }) <= tail);
  const missed = search((count) => binomialBelow(count, { count: trials, p: 1 - p }) <= tail);
  return { low: low / trials, high: (trials - missed) / trials };
}
