/**
 * The selections of a result that have a recorded quality.
 *
 * @module
 */
import type { Result, SelectionQualityRecord } from "../../suites/result/result_schema.ts";
import { isContextCase } from "./analysis.ts";

/** One recorded selection. */
export interface QualityCase {
  id: string;
  implementation: string;
  context: number;
  heads: number;
  /** `L = 3, p = 4, k = 1536, δ = 4`. */
  setting: string;
  /** What distinguishes it from others of its implementation and context: `δ = 4`, or nothing. */
  distinction: string;
  /** Whether the case belongs to the sweep over contexts. */
  inContexts: boolean;
  quality: SelectionQualityRecord;
}

/** Recorded selections, by implementation in their order, contexts ascending. */
export function qualityCases(result: Result): QualityCase[] {
  const cases = result.cases.flatMap((record): QualityCase[] => {
    const { selectionQuality: quality, options, shape, implementation, id } = record;
    if (quality === undefined || options === undefined || quality.rows === 0) return [];
    const { levels, pooling, k, dilation } = options;
    const setting = [`L = ${levels}`, `p = ${pooling}`, `k = ${k}`];
    if (dilation !== undefined) setting.push(`δ = ${dilation}`);
    return [{
      id,
      implementation,
      context: shape.context,
      heads: shape.heads,
      setting: setting.join(", "),
      distinction: "",
      inContexts: isContextCase(record),
      quality,
    }];
  });
  // How many cases of an implementation and context have each part of a setting, and how many there are.
  const keyOf = ({ implementation, context, inContexts }: QualityCase) =>
    JSON.stringify([implementation, context, inContexts]);
  const counts = new Map<string, Map<string, number>>();
  const totals = new Map<string, number>();
  for (const one of cases) {
    const key = keyOf(one);
    const parts = counts.get(key) ?? new Map<string, number>();
    counts.set(key, parts);
    totals.set(key, (totals.get(key) ?? 0) + 1);
    for (const part of one.setting.split(", ")) parts.set(part, (parts.get(part) ?? 0) + 1);
  }
  for (const one of cases) {
    const key = keyOf(one);
    one.distinction = one.setting.split(", ")
      .filter((part) => counts.get(key)!.get(part) !== totals.get(key)).join(", ");
  }
  return cases.sort((a, b) => a.context - b.context);
}
