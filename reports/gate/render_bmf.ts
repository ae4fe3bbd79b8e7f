/**
 * A gate's findings in Bencher Metric Format
 * (https://bencher.dev/docs/reference/bencher-metric-format), for `bencher run --adapter json`.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import type { GateReport, TimeComparison } from "./gate_report.ts";

/** Longest name of a benchmark that Bencher accepts. */
const NAME_LIMIT = 1024;

const NANOSECONDS = 1e9;

/** A measure of a benchmark. */
interface Metric {
  value: number;
  lower_value?: number;
  upper_value?: number;
}

/**
 * For each case that the candidate measured: `latency` in nanoseconds, `throughput` in tokens per
 * second, and, where a report is given, `baseline-latency` and `time-ratio` (candidate to baseline).
 * Times of interleaved cases include all their rounds. Bounds are the ends of 95 %
 * intervals, and of the ratio the gate's own; ends in a line break.
 *
 * @param result The candidate's.
 */
export function renderBmf(
  { cases }: Pick<Result, "cases">,
  report?: Pick<GateReport, "cases">,
): string {
  const compared = new Map(report?.cases.map(({ id, time }) => [id, time]));
  const metrics = cases.flatMap((record) => {
    const time = compared.get(record.id);
    // Paired rounds may have settled what a single bench could not.
    const measured = record.status === "ok" ||
      record.status === "inconclusive" && time?.intervals !== undefined;
    if (!measured || record.check?.passed === false) return [];
    const found = measuresOf(record, time);
    return found === undefined ? [] : [[plainText(record.id).slice(0, NAME_LIMIT), found] as const];
  });
  return `${JSON.stringify(Object.fromEntries(metrics), null, 2)}\n`;
}

function measuresOf(
  { statistic, throughput }: CaseRecord,
  time: TimeComparison | undefined,
): Record<string, Metric> | undefined {
  const turns = time?.intervals && {
    median: time.candidateSeconds,
    low: time.intervals.candidate[0],
    high: time.intervals.candidate[1],
  };
  const seconds = turns ?? statistic;
  if (!seconds) return undefined;
  // The number of tokens of a run is known from the bench; the time may come from the paired rounds.
  const tokens = throughput && statistic && throughput.median * statistic.median;
  return {
    latency: metric(seconds, NANOSECONDS),
    ...(tokens && turns
      ? {
        throughput: {
          value: tokens / turns.median,
          lower_value: tokens / turns.high,
          upper_value: tokens / turns.low,
        },
      }
      : throughput && { throughput: metric(throughput, 1) }),
    ...(time && {
      "baseline-latency": {
        value: time.baselineSeconds * NANOSECONDS,
        ...(time.intervals && {
          lower_value: time.intervals.baseline[0] * NANOSECONDS,
          upper_value: time.intervals.baseline[1] * NANOSECONDS,
        }),
      },
      "time-ratio": { value: time.ratio, lower_value: time.low, upper_value: time.high },
    }),
  };
}

function metric(
  { median, low, high }: { median: number; low: number; high: number },
  scale: number,
): Metric {
  return { value: median * scale, lower_value: low * scale, upper_value: high * scale };
}
