/**
 * The planted needle: the rows written into seeded Q, K and V, on the host, row by row.
 *
 * Everything else stays as generated, so a device fills 512K tokens by itself, and a
 * trial differs from its unplanted twin only in the edited rows.
 *
 * Scale: σ = 2/√3 is the deviation of a generated element. The last query keeps its direction and
 * gets the norm √d/σ, so that the logit q·k/√d of a generated key has variance 1. (Its distribution
 * is a weighted sum of d generated values: excess kurtosis about -0.9/d.) All other queries are
 * halved, so that the last one's norm is 1.5 times theirs: the result then depends on the needle
 * and not on whether the query itself is selected.
 *
 * @module
 */
import { seededRows } from "../../kernels/gpu/random.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import { DIGITS } from "./law.ts";

/** Standard deviation of a generated element. */
export const DEVIATION = 2 / Math.sqrt(3);

/** Factor on all queries but the last. */
export const QUERY_SCALE = 0.5;

/** The source of generated rows. One head is one trial. */
export interface TrialSource {
  /** Q, K and V take the seed and the two after it. */
  readonly seed: number;
  readonly head: number;
  /** Heads generated together; part of the generator's counter. */
  readonly heads: number;
  readonly context: number;
  readonly headDim: number;
  readonly dtype: DType;
}

/** One row of K and V that differs from the generated one. */
export interface RowEdit {
  readonly row: number;
  /** Added to the row's logit for the last query. */
  readonly margin: number;
  /**
   * Norm of the key in units of σ√d, reached by scaling the component orthogonal to the last query;
   * the component along it, and so the logit, is unchanged. Absent: the generated orthogonal
   * component.
   */
  readonly salience?: number;
  /** Replaces the value by this digit's code, of norm σ√d. */
  readonly digit?: number;
  /** Adds a multiple of a digit's code to the value. */
  readonly shift?: { readonly digit: number; readonly amount: number };
}

/** An edited row as the tensors hold it. */
export interface PlantedRow {
  readonly row: number;
  readonly key: Float32Array | Float16Array;
  readonly value: Float32Array | Float16Array;
  /** q·k/√d of the rows as stored. */
  readonly logit: number;
  /** Norm of the key as stored, in units of σ√d. */
  readonly salience: number;
}

/**
 * Unit code of a digit: row `digit` + 1 of the Walsh-Hadamard matrix over √d. Codes of different
 * digits are orthogonal, all have the same norm, and ±1 is exact in every storage type.
 *
 * @throws {RangeError} when `headDim` is not a power of two of at least 16.
 *
 * @example
 * ```ts
 * import { digitCode } from "./planting.ts";
 * import assert from "node:assert/strict";
 * const [a, b] = [digitCode(3, 16), digitCode(7, 16)];
 * assert.equal(a.reduce((sum, x, i) => sum + x * b[i], 0), 0);
 * ```
 */
export function digitCode(digit: number, headDim: number): Float64Array {
  if (!Number.isInteger(Math.log2(headDim)) || headDim < 16) {
    throw new RangeError(`digit code: headDim ${headDim} is not a power of two from 16 on`);
  }
  return Float64Array.from({ length: headDim }, (_, c) => {
    let bits = c & (digit + 1);
    let odd = 0;
    for (; bits; bits &= bits - 1) odd ^= 1;
    return (odd ? -1 : 1) / Math.sqrt(headDim);
  });
}

const codes = new Map<number, Float64Array[]>();

function codesOf(headDim: number): Float64Array[] {
  let known = codes.get(headDim);
  if (!known) {
    known = Array.from({ length: DIGITS }, (_, digit) => digitCode(digit, headDim));
    codes.set(headDim, known);
  }
  return known;
}

/**
 * The digit whose code is nearest to an output row: all norms are equal, so the largest projection.
 */
export function decodeDigit(output: ArrayLike<number>): number {
  const all = codesOf(output.length);
  let best = 0;
  let most = -Infinity;
  for (const [digit, code] of all.entries()) {
    let sum = 0;
    for (let c = 0; c < code.length; c++) sum += code[c] * output[c];
    if (sum > most) [best, most] = [digit, sum];
  }
  return best;
}

/** The last query `[d]` of a trial, rounded as stored. */
export function plantQuery(source: TrialSource): Float32Array | Float16Array {
  const row = generated(source, 0, source.context - 1);
  const norm = Math.hypot(...row);
  const wanted = Math.sqrt(source.headDim) / DEVIATION;
  return stored(source, row.map((x) => x / norm * wanted));
}

/**
 * Edited rows of a trial, rounded as stored.
 *
 * @throws {RangeError} when a row is not one of the context.
 */
export function plantRows(
  source: TrialSource,
  query: ArrayLike<number>,
  edits: readonly RowEdit[],
): PlantedRow[] {
  const { headDim, context } = source;
  const root = Math.sqrt(headDim);
  const norm = Math.sqrt(dot(query, query));
  return edits.map((edit) => {
    if (!Number.isInteger(edit.row) || edit.row < 0 || edit.row >= context) {
      throw new RangeError(`plant rows: row ${edit.row} is not one of 0 to ${context - 1}`);
    }
    const key = generated(source, 1, edit.row);
    const value = generated(source, 2, edit.row);
    // Along the query: the generated component plus the part that adds `margin` to the logit.
    const before = dot(key, query) / norm;
    const along = before + edit.margin * root / norm;
    let across = 1;
    if (edit.salience !== undefined) {
      const have = dot(key, key) - before * before;
      const want = (edit.salience * DEVIATION * root) ** 2 - along * along;
      across = Math.sqrt(Math.max(0, want) / have);
    }
    for (let c = 0; c < headDim; c++) {
      const unit = query[c] / norm;
      key[c] = along * unit + across * (key[c] - before * unit);
    }
    const all = codesOf(headDim);
    if (edit.digit !== undefined) {
      const code = all[edit.digit];
      for (let c = 0; c < headDim; c++) value[c] = DEVIATION * root * code[c];
    }
    if (edit.shift) {
      const code = all[edit.shift.digit];
      for (let c = 0; c < headDim; c++) value[c] += edit.shift.amount * DEVIATION * root * code[c];
    }
    const [storedKey, storedValue] = [stored(source, key), stored(source, value)];
    return {
      row: edit.row,
      key: storedKey,
      value: storedValue,
      logit: dot(storedKey, query) / root,
      salience: Math.sqrt(dot(storedKey, storedKey)) / (DEVIATION * root),
    };
  });
}

/** Rows as generated, for restoring them. */
export function originalRows(source: TrialSource, rows: readonly number[]) {
  return rows.map((row) => ({
    row,
    key: stored(source, generated(source, 1, row)),
    value: stored(source, generated(source, 2, row)),
  }));
}

/** A generated row of Q (0), K (1) or V (2), in float64. */
function generated(source: TrialSource, tensor: number, row: number): Float64Array {
  const { seed, head, heads, headDim: dim, dtype } = source;
  return Float64Array.from(
    seededRows(seed + tensor, { head, heads, first: row, count: 1, dim, dtype }),
  );
}

function stored({ dtype }: TrialSource, row: Float64Array): Float32Array | Float16Array {
  return dtype === "f16" ? Float16Array.from(row) : Float32Array.from(row);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let c = 0; c < a.length; c++) sum += a[c] * b[c];
  return sum;
}
