/**
 * The spread of a median: a 95 % interval if there are enough samples, else their range.
 *
 * @module
 */
import type { CaseRecord, RatioRecord, Statistic } from "../../suites/result/result_schema.ts";
import { largest, smallest } from "./extremes.ts";

/**
 * Fewest samples for a 95 % interval of their median. The widest interval that `n` samples
 * give without an assumption, from minimum to maximum, contains the median with probability
 * 1 − 2^(1−n): 94 % with five samples, 97 % with six.
 */
export const LEAST_FOR_INTERVAL = 6;

/** Fewest rounds for a bootstrap over rounds. */
const LEAST_ROUNDS = 3;

/** The two ends around a value, and their meaning. */
export interface Spread {
  low: number;
  high: number;
  /** Number of samples; for a ratio that of the side with fewer. */
  count: number;
  /** `range`: minimum and maximum of the samples, if `count` is too small for an interval. */
  kind: "interval" | "range";
}

/**
 * The spread of a median.
 *
 * @example
 * ```ts
 * import { spreadOf } from "./spread.ts";
 * import assert from "node:assert/strict";
 * const two = { count: 2, median: 2, low: 1, high: 3, min: 1, max: 3, mean: 2, outliers: 0 };
 * assert.equal(spreadOf(two).kind, "range");
 * assert.equal(spreadOf({ ...two, count: 12 }).kind, "interval");
 * ```
 */
export function spreadOf({ count, low, high, min, max }: Statistic): Spread {
  return count >= LEAST_FOR_INTERVAL
    ? { low, high, count, kind: "interval" }
    : { low: Math.min(min, low), high: Math.max(max, high), count, kind: "range" };
}

/**
 * The spread of a ratio of two cases of the same rounds. Without an interval it goes from the smallest
 * numerator over the largest denominator to the reverse.
 */
export function ratioSpread(
  { low, high, rounds }: Pick<RatioRecord, "low" | "high" | "rounds">,
  { numerator, denominator }: { numerator: CaseRecord; denominator: CaseRecord },
): Spread {
  // A side that is part of several pairs has samples from rounds without the other side.
  const count = Math.min(
    2 * rounds,
    numerator.statistic?.count ?? 0,
    denominator.statistic?.count ?? 0,
  );
  if (count >= LEAST_FOR_INTERVAL && rounds >= LEAST_ROUNDS) {
    return { low, high, count, kind: "interval" };
  }
  const shared = new Set(numerator.samples.map(({ round }) => round)).intersection(
    new Set(denominator.samples.map(({ round }) => round)),
  );
  const secondsOf = ({ samples }: CaseRecord) =>
    samples.filter(({ round, flag }) => flag === undefined && shared.has(round))
      .map(({ seconds }) => seconds);
  const [above, below] = [secondsOf(numerator), secondsOf(denominator)];
  const ends = [smallest(above) / largest(below), largest(above) / smallest(below)]
    .filter((end) => Number.isFinite(end) && end > 0);
  return {
    low: Math.min(low, ...ends),
    high: Math.max(high, ...ends),
    count,
    kind: "range",
  };
}

/** The spread of the inverse of a value. */
export function inverseSpread({ low, high, ...rest }: Spread): Spread {
  return { ...rest, low: 1 / high, high: 1 / low };
}
