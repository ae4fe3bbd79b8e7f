/**
 * Formats the tables of GATE.md.
 *
 * @module
 */
import { exactRateInterval } from "../../suites/statistics/quantiles.ts";

/** One-sided confidence of an upper limit of a rate of false alarms. */
export const LIMIT_CONFIDENCE = 0.95;

/** Comparisons of the same code, and how many of them had an alarm. */
export interface AlarmCount {
  readonly runs: number;
  readonly alarms: number;
}

/** Their rate, and the largest rate that is consistent with them. */
export function rateOf(
  counts: readonly AlarmCount[],
): AlarmCount & { rate: number; limit: number } {
  const runs = counts.reduce((sum, count) => sum + count.runs, 0);
  const alarms = counts.reduce((sum, count) => sum + count.alarms, 0);
  const [, limit] = exactRateInterval(alarms, runs, { confidence: 2 * LIMIT_CONFIDENCE - 1 });
  return { runs, alarms, rate: alarms / runs, limit };
}

/** `0.25 %`. */
export function percent(value: number, digits = 2): string {
  return `${(100 * value).toFixed(digits)} %`;
}

/** `25 %`. */
export function whole(value: number): string {
  return `${Math.round(100 * value)} %`;
}

/** A table as markdown, with its first column aligned to the left. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => i === 0 ? "---" : "---:")), ...rows.map(line)]
    .join("\n");
}
