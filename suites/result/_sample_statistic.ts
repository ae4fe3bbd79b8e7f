/**
 * Synthetic statistics for tests of the renderers.
 *
 * @module
 */
import type { Statistic } from "./result_schema.ts";

/** A statistic whose interval is `spread` (a fraction) around the median. */
export function sampleStatistic(median: number, { count = 6, spread = 0.01 } = {}): Statistic {
  return {
    count,
    median,
    low: median * (1 - spread),
    high: median * (1 + spread),
    min: median * (1 - 2 * spread),
    max: median * (1 + 2 * spread),
    mean: median,
    outliers: 0,
  };
}
