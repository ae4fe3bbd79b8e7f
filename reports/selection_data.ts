/**
 * The selections of a result whose quality was recorded.
 *
 * @module
 */
import type { Result, SelectionQualityRecord } from "../suites/result_schema.ts";
import { isContextCase } from "./analysis.ts";

/** One recorded selection. */
export interface QualityCase {
  id: string;
  implementation: string;
  context: number;
  heads: number;
  /** `L = 3, p = 4, k = 1536`. */
  setting: string;
  /** Whether the case belongs to the sweep over contexts. */
  inContexts: boolean;
  quality: SelectionQualityRecord;
}

/** Recorded selections, by implementation as they come, contexts ascending. */
export function qualityCases(result: Result): QualityCase[] {
  const cases = result.cases.flatMap((record): QualityCase[] => {
    const { selectionQuality: quality, lighthouse, shape, implementation, id } = record;
    if (quality === undefined || lighthouse === undefined || quality.rows === 0) return [];
    const { levels, pooling, k } = lighthouse;
    return [{
      id,
      implementation,
      context: shape.context,
      heads: shape.heads,
      setting: `L = ${levels}, p = ${pooling}, k = ${k}`,
      inContexts: isContextCase(record),
      quality,
    }];
  });
  return cases.sort((a, b) => a.context - b.context);
}
