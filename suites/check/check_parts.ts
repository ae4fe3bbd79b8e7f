/**
 * Parts of a check: comparisons with their tolerances, the tolerance of peers, and the part that
 * represents several.
 *
 * @module
 */
import type { Layer } from "../plan/measurable.ts";
import type { CheckRecord } from "../result/result_schema.ts";
import { type AttentionRow, maxDifference } from "./attention_rows.ts";

/** One comparison of a check, as the result file records it. */
export type Part = NonNullable<CheckRecord["parts"]>[number];

/** One entry for each name: the failed one, else the one closest to its tolerance. */
export function mergeParts(parts: readonly Part[]): Part[] {
  const names = [...new Set(parts.map((part) => part.name))];
  return names.map((name) => {
    const same = parts.filter((part) => part.name === name);
    return same.find((part) => !part.passed) ?? worstOf(same) ?? same[0];
  });
}

/** The part that came closest to its tolerance. */
export function worstOf(parts: readonly Part[]): Part | undefined {
  const share = (part: Part) =>
    part.maxError === null || !part.tolerance ? -1 : part.maxError / part.tolerance;
  return parts.reduce<Part | undefined>(
    (worst, part) => worst === undefined || share(part) > share(worst) ? part : worst,
    undefined,
  );
}

/**
 * How many times our tolerance a peer may reach. A peer's internal rounding is not constrained; the
 * check shows that it computes the same thing.
 */
export const PEER_LEEWAY = 4;

/** How the method of a peer's check describes its tolerance. */
export const PEER_METHOD = `a peer is allowed ${PEER_LEEWAY} times our tolerance and need not be ` +
  "deterministic";

/** How many times our tolerance a layer may reach. */
export function leewayOf({ peer }: Layer): number {
  return peer ? PEER_LEEWAY : 1;
}

interface Comparison {
  readonly label: string;
  readonly error: number;
  readonly tolerance: number;
}

/**
 * The error of a row of the output, and twice that of a plain f32 computation plus the rounding
 * floor.
 */
export function compareOutput(
  have: ArrayLike<number>,
  options: {
    want: ArrayLike<number>;
    plain: ArrayLike<number>;
    floor: number;
    leeway: number;
  },
): { error: number; tolerance: number } {
  const { want, plain, floor, leeway } = options;
  return {
    error: maxDifference(have, want),
    tolerance: leeway * (2 * maxDifference(plain, want) + floor),
  };
}

/** The errors of some rows' log-sum-exp, with tolerances as for the output. */
export function compareLse(
  finished: readonly AttentionRow[],
  options: {
    have: readonly ArrayLike<number>[];
    head: number;
    rows: readonly number[];
    leeway: number;
  },
): Comparison[] {
  const { have, head, rows, leeway } = options;
  return finished.map((row, i) => ({
    label: `head ${head}, row ${rows[i]}`,
    error: maxDifference(have[i], [row.lse]),
    tolerance: leeway * (2 * Math.abs(row.plainLse - row.lse) + row.lseFloor),
  }));
}

/** The comparison that came closest to its tolerance, as a part. */
export function partOf(name: string, comparisons: readonly Comparison[]): Part {
  // Rows that no entry covers have no error and no tolerance.
  const share = ({ error, tolerance }: Comparison) =>
    error === 0 ? 0 : Number.isNaN(error) ? Infinity : error / tolerance;
  const worst = comparisons.reduce((a, b) => share(b) > share(a) ? b : a);
  return {
    name,
    passed: share(worst) <= 1,
    maxError: Number.isNaN(worst.error) ? null : worst.error,
    tolerance: worst.tolerance,
    detail: `${comparisons.length} rows, closest to its tolerance: ${worst.label}`,
  };
}
