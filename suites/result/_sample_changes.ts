/**
 * Changes that tests make to a synthetic case: its direction, its length, its quality, its status.
 *
 * @module
 */
import { sampleStatistic } from "./_sample_statistic.ts";
import type { CaseRecord } from "./result_schema.ts";

/** Turns a forward case into another direction: 3.5 times the work, and backward stages. */
export function directed(record: CaseRecord, direction: CaseRecord["direction"]): CaseRecord {
  if (direction === "forward") return record;
  const forward = record.stages.map((stage) => structuredClone(stage));
  const backward = record.stages.filter(({ name }) => ["attention", "scatter"].includes(name))
    .map((stage) => {
      const copy = structuredClone(stage);
      copy.name = stage.name === "attention" ? "attention-backward" : "scatter-gradient";
      copy.flops *= 2.5;
      copy.samples = copy.samples.map((seconds) => seconds * 2.5);
      copy.statistic = sampleStatistic(stage.statistic!.median * 2.5);
      return copy;
    });
  const both = { ...structuredClone(record), direction };
  scale(both, 3.5);
  return {
    ...both,
    id: record.id.replace("/forward/", `/${direction}/`),
    flops: 3.5 * record.flops,
    peakBytes: 2 * record.peakBytes,
    stages: [...forward, ...backward],
  };
}

/** Quality and memory from formulas. */
export function addQuality(record: CaseRecord): void {
  const { context, heads } = record.shape;
  record.measuredPeakBytes = record.peakBytes;
  record.leastBytes = record.peakBytes * 2 / 3;
  if (record.options === undefined || record.direction !== "forward") return;
  const rows = heads * context;
  const overlap = { jaccard: 0.4, levels: [0.3, 0.5, 1] };
  record.selectionQuality = {
    rows,
    uncoveredRows: 3 * heads,
    fanIn: [3 * heads, rows / 2, rows / 4, rows / 4 - 3 * heads],
    levelShares: [0.4, 0.4, 0.2],
    overlaps: record.scorer === "norm" ? [] : [{ implementation: "lighthouse-norm", ...overlap }],
    stability: { noise: 2 ** -8, jaccard: 0.9, levels: [0.85, 0.95, 1] },
  };
}

/** Nine digits, as in recorded values. */
export function short(value: number): number {
  return Number(value.toPrecision(9));
}

export function scale(record: CaseRecord, factor: number): void {
  for (const sample of record.samples) sample.seconds *= factor;
  for (const stage of record.stages) {
    stage.samples = stage.samples.map((seconds) => seconds * factor);
    stage.statistic = sampleStatistic(stage.statistic!.median * factor);
  }
  record.statistic = sampleStatistic(record.statistic!.median * factor);
  record.throughput = sampleStatistic(record.throughput!.median / factor);
}

export function unmeasured(
  record: CaseRecord,
  status: "skipped" | "failed",
  reason: string,
): CaseRecord {
  const { statistic: _, throughput: __, check: ___, digest: ____, ...rest } = record;
  return {
    ...rest,
    status,
    reason,
    samples: [],
    stages: rest.stages.map(({ name, flops, bytes }) => ({ name, flops, bytes, samples: [] })),
  };
}
