/**
 * Latency against context: series of cases that differ only in context, and their slopes.
 *
 * @module
 */
import { headsKey } from "./head_counts.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { type Spread, spreadOf } from "./spread.ts";
import { DIRECTION_ORDER, isContextCase, isMeasured, OWN_DENSE } from "./cases.ts";

const SCORERS = ["norm", "dilated", "gla"];

/** One measured case on a curve over context. Times in seconds. */
export interface ContextPoint extends Spread {
  context: number;
  median: number;
  case: CaseRecord;
}

/** Contexts at which a rule such as k = N/64 gives less than the minimum k of a layer. */
export interface Clamp {
  /** The k that is used instead. */
  k: number;
  /** Longest context of the series where it is used. */
  upTo: number;
  /** Whether it is used at every context, so that k is constant. */
  whole: boolean;
}

/** A straight line in log-log: seconds = coefficient · N^exponent. */
export interface PowerFit {
  exponent: number;
  coefficient: number;
  /** Number of points in the least-squares fit. */
  count: number;
}

/** A straight line in log-log through the longest contexts of a curve. */
export interface LocalFit extends PowerFit {
  /** First and last context of the fit, in tokens. */
  from: number;
  to: number;
}

/** Latency against context of one implementation with everything else fixed. */
export interface ContextSeries {
  key: string;
  implementation: string;
  direction: CaseRecord["direction"];
  heads: number;
  /** Heads of keys and values, if they are fewer. */
  kvHeads?: number;
  headDim: number;
  dtype: string;
  levels: number | null;
  pooling: number | null;
  /** `N/64` if k grows with N, a number if it is fixed, null for dense attention. */
  k: string | null;
  /** δ, null if the scorer has none. */
  dilation: number | null;
  /** Options of what is not Lighthouse, each with its value or its rule: `window = 9N/512`. */
  settings: readonly string[];
  /** Null where k is what its rule says everywhere. */
  clamp: Clamp | null;
  points: ContextPoint[];
  /** The slope where the curve ends; null where it bends there too. */
  fit: LocalFit | null;
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
    const { median } = record.statistic;
    const context = record.shape.context;
    // Of two cases at one context the first counts.
    const place = `${identity.key} ${context}`;
    if (taken.has(place)) continue;
    taken.add(place);
    series.points.push({ context, median, ...spreadOf(record.statistic), case: record });
  }
  for (const series of groups.values()) {
    series.points.sort((a, b) => a.context - b.context);
    series.clamp = clampOf(series.points.map((point) => point.case));
    // Where k is held below some context only, the curve has two laws: the longer contexts count.
    const held = series.clamp === null || series.clamp.whole ? 0 : series.clamp.upTo;
    series.fit = localFit(
      series.points.flatMap(({ context, median }) => context > held ? [[context, median]] : []),
    );
  }
  return [...groups.values()].sort(bySeries);
}

/**
 * Least squares of log y on log x over the positive points; null with fewer than two distinct x.
 *
 * @example
 * ```ts
 * import { fitPowerLaw } from "./context_series.ts";
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

/** Farthest that a point of a local fit may lie from its line, as a share of its value. */
const MOST_DEPARTURE = 0.05;

/**
 * The power law at the longest contexts: over the last factor of four, or of two where the curve
 * bends within that. Null where no point of the two windows has a neighbour, or where a point lies
 * more than 5 % off the line even in the narrower one.
 *
 * @param points Context and value, by ascending context.
 */
export function localFit(points: readonly (readonly [number, number])[]): LocalFit | null {
  const to = points.at(-1)?.[0] ?? 0;
  for (const factor of [4, 2]) {
    const near = points.filter(([context]) => context * factor >= to);
    const fit = fitPowerLaw(near);
    const follows = fit !== null &&
      near.every(([x, y]) =>
        Math.abs(y / (fit.coefficient * x ** fit.exponent) - 1) <= MOST_DEPARTURE
      );
    if (follows) return { ...fit, from: near[0][0], to };
  }
  return null;
}

/**
 * The x at which a curve through `points` (ascending x) first reaches `target`, by straight lines
 * in log-log; null if the curve does not pass it. Nothing is extrapolated.
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

/** What the cases of a series share. */
export type SeriesIdentity = Omit<ContextSeries, "points" | "fit">;

/** The series that a case belongs to. */
export function seriesIdentity(record: CaseRecord): SeriesIdentity {
  const { heads, kvHeads, headDim, dtype } = record.shape;
  const ours = record.family === "lighthouse";
  const options = ours ? record.options : undefined;
  const settings = ours ? [] : settingsOf(record);
  const k = options === undefined ? null : ruleOfK(record);
  const parts = [
    record.implementation,
    record.direction,
    `H${headsKey(record.shape)}`,
    `d${headDim}`,
    dtype,
  ];
  if (options !== undefined) parts.push(`L${options.levels}`, `p${options.pooling}`, `k${k}`);
  const dilation = options?.dilation ?? null;
  if (dilation !== null) parts.push(`δ${dilation}`);
  parts.push(...settings);
  return {
    key: parts.join(" "),
    implementation: record.implementation,
    direction: record.direction,
    heads,
    ...(kvHeads !== undefined && { kvHeads }),
    headDim,
    dtype,
    levels: options?.levels ?? null,
    pooling: options?.pooling ?? null,
    k,
    dilation,
    settings,
    clamp: null,
  };
}

/** Options in words, those that a rule gave by their rule. */
function settingsOf({ options = {}, rules }: CaseRecord): string[] {
  return Object.entries(options).map(([name, value]) => `${name} = ${rules?.[name] ?? value}`);
}

/** Where cases of one series have a k that is larger than their rule gives. */
export function clampOf(cases: readonly CaseRecord[]): Clamp | null {
  const raised = cases.filter(({ options, rules, shape: { context } }) => {
    const divisor = /^N\/(\d+)$/.exec(String(rules?.k ?? ""))?.[1];
    return options !== undefined && divisor !== undefined &&
      options.k * Number(divisor) > context;
  });
  if (raised.length === 0) return null;
  const last = raised.reduce((a, b) => b.shape.context > a.shape.context ? b : a);
  return {
    k: last.options!.k,
    upTo: last.shape.context,
    whole: raised.length === cases.length,
  };
}

/**
 * The rule behind k. Runs record it in `rules`, since k is rounded up to a multiple of 128 and so
 * differs from N/64 at short contexts; without it, k = N/64 is the paper's rule and any other k is fixed.
 */
function ruleOfK({ options, rules, shape: { context } }: CaseRecord): string {
  const { k } = options!;
  if (rules?.k !== undefined) return String(rules.k);
  return k * 64 === context ? "N/64" : String(k);
}

/** Dense first, then Lighthouse, then peers; of one implementation the paper's setting first. */
export function bySeries(a: SeriesIdentity, b: SeriesIdentity): number {
  const group = ({ implementation }: SeriesIdentity) =>
    implementation === OWN_DENSE ? 0 : implementation.startsWith("lighthouse") ? 1 : 2;
  const order = (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0;
  const unusual = ({ k, levels, pooling, dilation }: SeriesIdentity) =>
    k === null || k === "N/64" && levels === 3 && pooling === 4 && (dilation ?? 4) === 4 ? 0 : 1;
  // The scorers in the specification's order, then any others.
  const scorer = ({ implementation }: SeriesIdentity) => {
    const at = SCORERS.indexOf(implementation.replace(/^lighthouse-/, ""));
    return at < 0 ? SCORERS.length : at;
  };
  return group(a) - group(b) || scorer(a) - scorer(b) ||
    order(a.implementation, b.implementation) ||
    DIRECTION_ORDER.indexOf(a.direction) - DIRECTION_ORDER.indexOf(b.direction) ||
    unusual(a) - unusual(b) || (a.dilation ?? 0) - (b.dilation ?? 0) || order(a.key, b.key);
}
