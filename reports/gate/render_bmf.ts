/**
 * A result in Bencher Metric Format (https://bencher.dev/docs/reference/bencher-metric-format), for
 * `bencher run --adapter json`.
 *
 * @module
 */
import type { Result } from "../../suites/result_schema.ts";
import { plainText } from "../format.ts";

/** Longest name of a benchmark that Bencher takes. */
const NAME_LIMIT = 1024;

/**
 * Latency in nanoseconds and throughput in tokens per second of each measured case, with the ends
 * of their 95 % intervals; ends in a line break.
 */
export function renderBmf({ cases }: Result): string {
  const metrics = cases.flatMap((record) => {
    const { id, status, check, statistic, throughput } = record;
    if (status !== "ok" || check?.passed === false || !statistic) return [];
    const metric = (from: NonNullable<typeof statistic>, scale: number) => ({
      value: from.median * scale,
      lower_value: from.low * scale,
      upper_value: from.high * scale,
    });
    return [
      [plainText(id).slice(0, NAME_LIMIT), {
        latency: metric(statistic, 1e9),
        ...(throughput && { throughput: metric(throughput, 1) }),
      }] as const,
    ];
  });
  return `${JSON.stringify(Object.fromEntries(metrics), null, 2)}\n`;
}
