/**
 * Which cases of a result a report may show, and how they are grouped.
 *
 * @module
 */
import type {
  CaseRecord,
  Result,
  StageRecord,
  Statistic,
} from "../../suites/result/result_schema.ts";

/** The suite's own dense attention, the baseline of every ratio. */
export const OWN_DENSE = "dense";
/** The layer of the paper's headline, and its scorer. */
export const LEAD_LAYER = "lighthouse-norm";
export const LEAD_SCORER = "norm";

/** Whether a case belongs to the suite that times one layer. */
export function timesLayer({ suite }: Pick<CaseRecord, "suite">): boolean {
  return suite === "latency";
}

/** Whether a case belongs to the suite that runs a layer repeatedly, by the wall clock. */
export function runsBackToBack({ suite }: Pick<CaseRecord, "suite">): boolean {
  return suite === "throughput";
}

/** The setting of the paper's latency figure. */
export interface LatencySetting {
  heads: number;
  headDim: number;
  levels: number;
  pooling: number;
  /** k = N / kDivisor. */
  kDivisor: number;
}
/** Directions in the order in which reports show them. */
export const DIRECTION_ORDER: readonly CaseRecord["direction"][] = [
  "forward",
  "forward-backward",
  "backward",
];

/** A direction in words. */
export const DIRECTION_NAMES: Record<CaseRecord["direction"], string> = {
  "forward": "forward",
  "forward-backward": "forward and backward",
  "backward": "backward",
};

/** Whether a stage of a Lighthouse layer moves data and does almost no arithmetic. */
export function movesData({ name }: Pick<StageRecord, "name">): boolean {
  return name !== "score" && !name.startsWith("attention");
}

/** Series by direction, for the directions that occur, in the order of {@linkcode DIRECTION_ORDER}. */
export function byDirection<T extends { direction: CaseRecord["direction"] }>(
  series: readonly T[],
): { direction: CaseRecord["direction"]; series: T[] }[] {
  return DIRECTION_ORDER.map((direction) => ({
    direction,
    series: series.filter((one) => one.direction === direction),
  })).filter(({ series }) => series.length > 0);
}

/** Whether a case has a time that may be shown: it ran, and none of its checks failed. */
export function isMeasured(record: CaseRecord): record is CaseRecord & { statistic: Statistic } {
  return record.status === "ok" && record.check?.passed !== false &&
    record.statistic !== undefined && record.statistic.median > 0;
}

/** Median seconds of a stage, or null without samples. */
export function stageSeconds(stage: StageRecord): number | null {
  if (stage.statistic !== undefined) return stage.statistic.median;
  if (stage.samples.length === 0) return null;
  const sorted = [...stage.samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Whether a case belongs to the sweep over contexts. */
export function isContextCase(record: CaseRecord): boolean {
  if (!timesLayer(record)) return false;
  return record.sweeps === undefined || record.sweeps.length === 0 ||
    record.sweeps.includes("context");
}

/** Cases by id; of two with one id the first counts. */
export function casesById(result: Result): Map<string, CaseRecord> {
  const byId = new Map<string, CaseRecord>();
  for (const record of result.cases) if (!byId.has(record.id)) byId.set(record.id, record);
  return byId;
}

/** Whether a Lighthouse (or dense) case has the shape of the paper's latency figure, at any N. */
export function hasSetting(record: CaseRecord, setting: LatencySetting): boolean {
  const { heads, kvHeads = heads, headDim, context } = record.shape;
  if (kvHeads !== heads) return false;
  if (heads !== setting.heads || headDim !== setting.headDim) return false;
  const { options } = record;
  return options === undefined ||
    options.levels === setting.levels && options.pooling === setting.pooling &&
      options.k * setting.kDivisor === context;
}
