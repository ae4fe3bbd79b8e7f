/**
 * Speed-ups over dense attention, from the interleaved ratios of a result.
 *
 * @module
 */
import { headsKey } from "./head_counts.ts";
import type { CaseRecord, Result, Statistic } from "../../suites/result/result_schema.ts";
import { casesById, isContextCase, isMeasured, OWN_DENSE, timesLayer } from "./cases.ts";
import { ratioSpread, type Spread, spreadOf } from "./spread.ts";
import {
  bySeries,
  clampOf,
  type ContextSeries,
  interpolateLogLog,
  seriesIdentity,
} from "./context_series.ts";

/** Dense seconds / seconds of another layer at one context. */
export interface SpeedupPoint extends Spread {
  context: number;
  ratio: number;
  rounds: number;
  numerator: CaseRecord;
  denominator: CaseRecord;
}

/** Speed-up against context of one implementation. */
export interface SpeedupSeries extends Omit<ContextSeries, "points" | "fit"> {
  points: SpeedupPoint[];
}

/** The context where a speed-up passes 1. */
export type Crossover =
  | { kind: "at"; context: number }
  /** Already above 1 at the smallest context measured. */
  | { kind: "below"; context: number }
  /** Not above 1 up to the largest context measured. */
  | { kind: "above"; context: number };

/** Speed-ups over dense attention from the interleaved ratios of a result. */
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
  for (const series of groups.values()) {
    series.points.sort((a, b) => a.context - b.context);
    series.clamp = clampOf(series.points.map(({ denominator }) => denominator));
  }
  return [...groups.values()].sort(bySeries);
}

/** Every ratio of dense over another layer at one shape whose two cases were both measured. */
export function speedupPoints(result: Result): SpeedupPoint[] {
  const byId = casesById(result);
  const points: SpeedupPoint[] = [];
  for (const record of result.ratios) {
    const { numerator: above, denominator: below, ratio, rounds } = record;
    const numerator = byId.get(above);
    const denominator = byId.get(below);
    if (numerator === undefined || denominator === undefined || !(ratio > 0)) continue;
    // Ratios of whole training steps are not those of a layer.
    if (!timesLayer(numerator) || !timesLayer(denominator)) continue;
    if (!isMeasured(numerator) || !isMeasured(denominator)) continue;
    if (numerator.implementation !== OWN_DENSE || denominator.family === "dense") continue;
    // An external layer over our dense attention is not a speed-up of either.
    if (denominator.implementation.startsWith("peer:")) continue;
    if (numerator.direction !== denominator.direction) continue;
    const [a, b] = [numerator.shape, denominator.shape];
    if (a.context !== b.context || headsKey(a) !== headsKey(b) || a.headDim !== b.headDim) continue;
    points.push({
      context: b.context,
      ratio,
      ...ratioSpread(record, { numerator, denominator }),
      rounds,
      numerator,
      denominator,
    });
  }
  return points;
}

/** Whether a series is of Lighthouse's family: only to it the paper's numbers apply. */
export function isLighthouseSeries({ points }: Pick<SpeedupSeries, "points">): boolean {
  return points.some(({ denominator }) => denominator.family === "lighthouse");
}

/** Where the speed-up first passes 1; null without a point. */
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

/** A speed-up over the fastest dense attention of a run, if that is not our own. */
export interface FastestDense extends Spread {
  /** `peer:torch-fa2`, … */
  implementation: string;
  record: CaseRecord;
  /** Its median over Lighthouse's; the ends pair the ends of the two. */
  ratio: number;
}

/**
 * Looks up, for a speed-up of a result, the same ratio over the fastest dense attention that the run
 * timed at the same shape, peers included; null if that is the suite's own, or a tie with it.
 */
export function fastestDenseOf(
  result: Result,
): (point: Pick<SpeedupPoint, "numerator" | "denominator">) => FastestDense | null {
  const workOf = ({ suite, direction, shape }: CaseRecord) =>
    [suite, direction, shape.context, headsKey(shape), shape.headDim, shape.dtype].join(" ");
  const fastest = new Map<string, CaseRecord & { statistic: Statistic }>();
  for (const record of result.cases) {
    if (record.family !== "dense" || !isMeasured(record)) continue;
    const work = workOf(record);
    const known = fastest.get(work);
    if (known === undefined || record.statistic.median < known.statistic.median) {
      fastest.set(work, record);
    }
  }
  return ({ numerator, denominator }) => {
    const record = fastest.get(workOf(numerator));
    if (record === undefined || record.implementation === numerator.implementation) return null;
    const { statistic } = denominator;
    if (statistic === undefined || workOf(denominator) !== workOf(numerator)) return null;
    const [above, below] = [spreadOf(record.statistic), spreadOf(statistic)];
    return {
      implementation: record.implementation,
      record,
      ratio: record.statistic.median / statistic.median,
      low: above.low / below.high,
      high: above.high / below.low,
      count: Math.min(above.count, below.count),
      kind: above.kind === "range" || below.kind === "range" ? "range" : "interval",
    };
  };
}
