/**
 * What surrounds a median: a 95 % interval where the samples can carry one, else their range.
 *
 * @module
 */
import type { CaseRecord, RatioRecord, Statistic } from "../../suites/result/result_schema.ts";
import { largest, smallest } from "./extremes.ts";

/**
 * Fewest samples that carry a 95 % interval of their median. The widest interval that `n` samples
 * give without an assumption, from the least to the greatest, holds the median with probability
 * 1 − 2^(1−n): 94 % with five samples, 97 % with six.
 */
export const LEAST_FOR_INTERVAL = 6;

/** Fewest rounds that a bootstrap over rounds can draw from. */
const LEAST_ROUNDS = 3;

/** The two ends around a value, and what they are. */
export interface Spread {
  low: number;
  high: number;
  /** Samples that it rests on, of a ratio those of the side with fewer. */
  count: number;
  /** `range`: the least and the greatest sample, where `count` carries no interval. */
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
 * The spread of a ratio of two cases of the same rounds. Without an interval it goes from the least
 * numerator over the greatest denominator to the other way round.
 */
export function ratioSpread(
  { low, high, rounds }: Pick<RatioRecord, "low" | "high" | "rounds">,
  { numerator, denominator }: { numerator: CaseRecord; denominator: CaseRecord },
): Spread {
  // A side that is part of several pairs has samples of rounds that the other was not in.
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
