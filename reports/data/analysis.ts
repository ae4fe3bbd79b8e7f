/**
 * What the numbers of a result say: series over context, slopes, speed-ups, the crossover, and how
 * far each case is from the ceilings that the same run measured. Pure functions of the record.
 *
 * @module
 */
import type {
  CalibrationRecord,
  CaseRecord,
  Result,
  StageRecord,
  Statistic,
} from "../../suites/result/result_schema.ts";
import { largest } from "./extremes.ts";

/** The setting of the paper's latency figure. */
export interface LatencySetting {
  heads: number;
  headDim: number;
  levels: number;
  pooling: number;
  /** k = N / kDivisor. */
  kDivisor: number;
}

const SCORERS = ["norm", "dilated", "gla"];

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

/** Whether a stage of a Lighthouse layer moves data and does next to no arithmetic. */
export function movesData({ name }: Pick<StageRecord, "name">): boolean {
  return name !== "score" && !name.startsWith("attention");
}

/** Series of each direction that any of them has, in the order of {@linkcode DIRECTION_ORDER}. */
export function byDirection<T extends { direction: CaseRecord["direction"] }>(
  series: readonly T[],
): { direction: CaseRecord["direction"]; series: T[] }[] {
  return DIRECTION_ORDER.map((direction) => ({
    direction,
    series: series.filter((one) => one.direction === direction),
  })).filter(({ series }) => series.length > 0);
}

/** One measured case on a curve over context. Times in seconds. */
export interface ContextPoint {
  context: number;
  median: number;
  low: number;
  high: number;
  case: CaseRecord;
}

/** A straight line in log-log: seconds = coefficient · N^exponent. */
export interface PowerFit {
  exponent: number;
  coefficient: number;
  /** Points that entered the least-squares fit. */
  count: number;
}

/** Latency against context of one implementation with everything else held. */
export interface ContextSeries {
  key: string;
  implementation: string;
  direction: CaseRecord["direction"];
  heads: number;
  headDim: number;
  dtype: string;
  levels: number | null;
  pooling: number | null;
  /** `N/64` where k grows with N, a number where it is held, null for dense attention. */
  k: string | null;
  /** δ, null where the scorer has none. */
  dilation: number | null;
  points: ContextPoint[];
  fit: PowerFit | null;
}

/** Dense seconds / Lighthouse seconds at one context. */
export interface SpeedupPoint {
  context: number;
  ratio: number;
  low: number;
  high: number;
  rounds: number;
  numerator: CaseRecord;
  denominator: CaseRecord;
}

/** Speed-up against context of one Lighthouse implementation. */
export interface SpeedupSeries extends Omit<ContextSeries, "points" | "fit"> {
  points: SpeedupPoint[];
}

/** Where a speed-up passes 1. */
export type Crossover =
  | { kind: "at"; context: number }
  /** Already above 1 at the smallest context measured. */
  | { kind: "below"; context: number }
  /** Not above 1 up to the largest context measured. */
  | { kind: "above"; context: number };

/** Ceilings in FLOP/s and bytes/s; null where the run did not measure one. */
export interface Ceilings {
  fmaF32: number | null;
  fmaF16: number | null;
  /** Best subgroup-matrix configuration. */
  matrix: number | null;
  copy: number | null;
}

/** What a piece of work reached of the ceilings. */
export interface Achieved {
  flopsPerSecond: number;
  bytesPerSecond: number;
  /** FLOP per byte that must move. */
  intensity: number;
  ofFmaF32: number | null;
  ofMatrix: number | null;
  ofCopy: number | null;
  /** Fraction of min(highest compute ceiling, intensity · copy): the roofline. */
  ofRoof: number | null;
  bound: "compute" | "memory" | null;
}

/** A data-moving stage against the time of copying its least bytes. */
export interface CopyFloor {
  stage: string;
  seconds: number;
  floorSeconds: number;
  /** seconds / floorSeconds: 1 is as fast as a copy. */
  multiple: number;
}

/** Whether a case carries a time that may be shown: it ran, and no check of it failed. */
export function isMeasured(record: CaseRecord): record is CaseRecord & { statistic: Statistic } {
  return record.status === "ok" && record.check?.passed !== false &&
    record.statistic !== undefined && record.statistic.median > 0;
}

/** Median seconds of a stage, or null when it has no samples. */
export function stageSeconds(stage: StageRecord): number | null {
  if (stage.statistic !== undefined) return stage.statistic.median;
  if (stage.samples.length === 0) return null;
  const sorted = [...stage.samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Whether a case belongs to the sweep over contexts. */
export function isContextCase(record: CaseRecord): boolean {
  if (record.suite !== "latency") return false;
  return record.sweeps === undefined || record.sweeps.length === 0 ||
    record.sweeps.includes("context");
}

/** Latency curves of a result, dense first, then by name; points ascend in context. */
export function contextSeries(result: Result): ContextSeries[] {
  const groups = new Map<string, ContextSeries>();
  const taken = new Set<string>();
  for (const record of result.cases) {
    if (!isMeasured(record) || !isContextCase(record)) continue;
    const identity = seriesIdentity(record);
    const series = groups.get(identity.key) ?? { ...identity, points: [], fit: null };
    groups.set(identity.key, series);
    const { median, low, high } = record.statistic;
    const context = record.shape.context;
    // Of two cases at one context the first counts.
    const place = `${identity.key} ${context}`;
    if (taken.has(place)) continue;
    taken.add(place);
    series.points.push({ context, median, low, high, case: record });
  }
  for (const series of groups.values()) {
    series.points.sort((a, b) => a.context - b.context);
    series.fit = fitPowerLaw(series.points.map(({ context, median }) => [context, median]));
  }
  return [...groups.values()].sort(bySeries);
}

/** Speed-ups of Lighthouse over dense attention from the interleaved ratios of a result. */
export function speedupSeries(result: Result): SpeedupSeries[] {
  const groups = new Map<string, SpeedupSeries>();
  const taken = new Set<string>();
  for (const point of speedupPoints(result)) {
    if (!isContextCase(point.denominator)) continue;
    const identity = seriesIdentity(point.denominator);
    const series = groups.get(identity.key) ?? { ...identity, points: [] };
    groups.set(identity.key, series);
    const place = `${identity.key} ${point.context}`;
    if (!taken.has(place)) series.points.push(point);
    taken.add(place);
  }
  for (const series of groups.values()) series.points.sort((a, b) => a.context - b.context);
  return [...groups.values()].sort(bySeries);
}

/** Every ratio of dense over Lighthouse at one shape whose two cases were both measured. */
export function speedupPoints(result: Result): SpeedupPoint[] {
  const byId = casesById(result);
  const points: SpeedupPoint[] = [];
  for (const { numerator: above, denominator: below, ratio, low, high, rounds } of result.ratios) {
    const numerator = byId.get(above);
    const denominator = byId.get(below);
    if (numerator === undefined || denominator === undefined || !(ratio > 0)) continue;
    if (!isMeasured(numerator) || !isMeasured(denominator)) continue;
    if (numerator.implementation !== "dense" || denominator.family === "dense") continue;
    // Somebody else's layer over our dense attention is no speed-up of either.
    if (denominator.implementation.startsWith("peer:")) continue;
    if (numerator.direction !== denominator.direction) continue;
    const [a, b] = [numerator.shape, denominator.shape];
    if (a.context !== b.context || a.heads !== b.heads || a.headDim !== b.headDim) continue;
    points.push({ context: b.context, ratio, low, high, rounds, numerator, denominator });
  }
  return points;
}

/** Cases by id; of two with one id the first counts. */
export function casesById(result: Result): Map<string, CaseRecord> {
  const byId = new Map<string, CaseRecord>();
  for (const record of result.cases) if (!byId.has(record.id)) byId.set(record.id, record);
  return byId;
}

/** Whether a Lighthouse (or dense) case has the shape of the paper's latency figure, at any N. */
export function hasSetting(record: CaseRecord, setting: LatencySetting): boolean {
  const { heads, headDim, context } = record.shape;
  if (heads !== setting.heads || headDim !== setting.headDim) return false;
  const { options } = record;
  return options === undefined ||
    options.levels === setting.levels && options.pooling === setting.pooling &&
      options.k * setting.kDivisor === context;
}

/**
 * Least squares of log y on log x over the positive points; null with fewer than two distinct x.
 *
 * @example
 * ```ts
 * import { fitPowerLaw } from "./analysis.ts";
 * import assert from "node:assert/strict";
 * assert.equal(Math.round(fitPowerLaw([[1, 3], [2, 12], [4, 48]])!.exponent * 1e9), 2e9);
 * ```
 */
export function fitPowerLaw(points: readonly (readonly [number, number])[]): PowerFit | null {
  const logs = points.filter(([x, y]) => x > 0 && y > 0).map((
    [x, y],
  ) => [Math.log(x), Math.log(y)]);
  const count = logs.length;
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / count;
  const xx = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const xy = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  if (count < 2 || xx === 0) return null;
  const exponent = xy / xx;
  return { exponent, coefficient: Math.exp(meanY - exponent * meanX), count };
}

/**
 * The x at which a curve through `points` (ascending x) first reaches `target`, by straight lines
 * in log-log; null where the curve does not pass it. Nothing is extrapolated.
 */
export function interpolateLogLog(
  points: readonly (readonly [number, number])[],
  target: number,
): number | null {
  for (let i = 0; i < points.length; i++) {
    const [x, y] = points[i];
    if (y === target) return x;
    if (i === 0) continue;
    const [x0, y0] = points[i - 1];
    if ((y0 - target) * (y - target) > 0) continue;
    const part = Math.log(target / y0) / Math.log(y / y0);
    return Math.exp(Math.log(x0) + part * Math.log(x / x0));
  }
  return null;
}

/** Where the speed-up first rises through 1; null without a point. */
export function findCrossover(
  points: readonly Pick<SpeedupPoint, "context" | "ratio">[],
): Crossover | null {
  if (points.length === 0) return null;
  if (points[0].ratio >= 1) return { kind: "below", context: points[0].context };
  const context = interpolateLogLog(points.map(({ context, ratio }) => [context, ratio]), 1);
  return context === null
    ? { kind: "above", context: points[points.length - 1].context }
    : { kind: "at", context };
}

/** Medians of the calibration, null where a part was not measured. */
export function ceilingsOf(calibration: CalibrationRecord | null): Ceilings {
  const matrix = (calibration?.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
  return {
    fmaF32: positive(calibration?.fmaF32?.median),
    fmaF16: positive(calibration?.fmaF16?.median),
    matrix: positive(matrix.length === 0 ? undefined : largest(matrix)),
    copy: positive(calibration?.copy?.median),
  };
}

/** What `work` (FLOP, bytes, seconds) reached of the ceilings. */
export function achievedOf(
  work: { flops: number; bytes: number; seconds: number },
  ceilings: Ceilings,
): Achieved {
  const flopsPerSecond = work.flops / work.seconds;
  const bytesPerSecond = work.bytes / work.seconds;
  const intensity = work.flops / work.bytes;
  const compute = Math.max(ceilings.fmaF32 ?? 0, ceilings.fmaF16 ?? 0, ceilings.matrix ?? 0);
  const { copy } = ceilings;
  const known = compute > 0 && copy !== null && work.flops > 0 && work.bytes > 0;
  const memoryRoof = intensity * (copy ?? 0);
  return {
    flopsPerSecond,
    bytesPerSecond,
    intensity,
    ofFmaF32: ceilings.fmaF32 === null ? null : flopsPerSecond / ceilings.fmaF32,
    ofMatrix: ceilings.matrix === null ? null : flopsPerSecond / ceilings.matrix,
    ofCopy: copy === null ? null : bytesPerSecond / copy,
    ofRoof: known ? flopsPerSecond / Math.min(compute, memoryRoof) : null,
    bound: known ? (memoryRoof < compute ? "memory" : "compute") : null,
  };
}

/**
 * The data-moving stages of a Lighthouse case against a copy of their least bytes, and their sum
 * under the name `all`. Empty where bytes, samples or the ceiling are missing.
 */
export function copyFloors(record: CaseRecord, copyBytesPerSecond: number | null): CopyFloor[] {
  if (copyBytesPerSecond === null || record.family !== "lighthouse") return [];
  const floors: CopyFloor[] = [];
  let seconds = 0;
  let floorSeconds = 0;
  for (const stage of record.stages.filter(movesData)) {
    const measured = stageSeconds(stage);
    if (measured === null) return [];
    const floor = stage.bytes / copyBytesPerSecond;
    seconds += measured;
    floorSeconds += floor;
    // Selection must move so little that its own multiple says nothing about bandwidth.
    if (floor > 0) {
      floors.push({
        stage: stage.name,
        seconds: measured,
        floorSeconds: floor,
        multiple: measured / floor,
      });
    }
  }
  if (floorSeconds > 0) {
    floors.push({ stage: "all", seconds, floorSeconds, multiple: seconds / floorSeconds });
  }
  return floors;
}

type SeriesIdentity = Omit<ContextSeries, "points" | "fit">;

function seriesIdentity(record: CaseRecord): SeriesIdentity {
  const { heads, headDim, dtype } = record.shape;
  const { options } = record;
  const k = options === undefined ? null : ruleOfK(record);
  const parts = [record.implementation, record.direction, `H${heads}`, `d${headDim}`, dtype];
  if (options !== undefined) parts.push(`L${options.levels}`, `p${options.pooling}`, `k${k}`);
  const dilation = options?.dilation ?? null;
  if (dilation !== null) parts.push(`δ${dilation}`);
  return {
    key: parts.join(" "),
    implementation: record.implementation,
    direction: record.direction,
    heads,
    headDim,
    dtype,
    levels: options?.levels ?? null,
    pooling: options?.pooling ?? null,
    k,
    dilation,
  };
}

/**
 * The rule behind k. Runs record it in `rules`, since k is rounded up to a multiple of 128 and so
 * differs from N/64 at short contexts; without it, k = N/64 is the paper's rule and any other k is held.
 */
function ruleOfK({ options, rules, shape: { context } }: CaseRecord): string {
  const { k } = options!;
  if (rules?.k !== undefined) return String(rules.k);
  return k * 64 === context ? "N/64" : String(k);
}

/** Dense first, then Lighthouse, then peers; of one implementation the paper's setting first. */
function bySeries(a: SeriesIdentity, b: SeriesIdentity): number {
  const group = ({ implementation }: SeriesIdentity) =>
    implementation === "dense" ? 0 : implementation.startsWith("lighthouse") ? 1 : 2;
  const order = (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0;
  const unusual = ({ k, levels, pooling, dilation }: SeriesIdentity) =>
    k === null || k === "N/64" && levels === 3 && pooling === 4 && (dilation ?? 4) === 4 ? 0 : 1;
  // The scorers in the specification's order, whatever else there is after them.
  const scorer = ({ implementation }: SeriesIdentity) => {
    const at = SCORERS.indexOf(implementation.replace(/^lighthouse-/, ""));
    return at < 0 ? SCORERS.length : at;
  };
  return group(a) - group(b) || scorer(a) - scorer(b) ||
    order(a.implementation, b.implementation) ||
    DIRECTION_ORDER.indexOf(a.direction) - DIRECTION_ORDER.indexOf(b.direction) ||
    unusual(a) - unusual(b) || (a.dilation ?? 0) - (b.dilation ?? 0) || order(a.key, b.key);
}

function positive(value: number | undefined): number | null {
  return value !== undefined && value > 0 ? value : null;
}
