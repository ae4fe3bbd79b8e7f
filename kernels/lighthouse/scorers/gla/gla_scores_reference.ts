/**
 * Gated linear attention scores in float64 with plain loops over the recurrence, for one head, used
 * by tests and `verify`.
 *
 * Shapes: rows `[N, d]`, log gates `[N]`, outputs `[N, d]`, scores `[N]` (`maximaReference` extends
 * them to `[P]`).
 *
 * @module
 */
import { requireHead } from "../../../dense_attention/dense_attention_reference.ts";
import { requireNumbers, requireRecord, requireWhole } from "../../../gpu/require.ts";
import type { Numbers } from "../../lighthouse_reference.ts";

/** Options of the reference. */
export interface GlaReferenceOptions {
  /** d. */
  readonly headDim: number;
  /** δ; each residue class of rows modulo δ is a separate sequence. */
  readonly dilation: number;
}

/**
 * o_t = r_t·S_t / √d with S_t = exp(g_t)·S_{t-1} + w_t v_tᵀ, within each residue class; r are the
 * rows that read the state, w the rows that write it.
 *
 * @example
 * ```ts
 * import { glaOutputReference } from "./gla_scores_reference.ts";
 * import assert from "node:assert/strict";
 * // d = 1: the second row reads half of what the first wrote, and its own.
 * const output = glaOutputReference(
 *   { readers: [1, 1], writers: [3, 5], values: [2, 1], gates: [0, Math.log(0.5)] },
 *   { headDim: 1, dilation: 1 },
 * );
 * assert.deepEqual([...output], [6, 8]);
 * ```
 */
export function glaOutputReference(
  tensors: { readers: Numbers; writers: Numbers; values: Numbers; gates: Numbers },
  options: GlaReferenceOptions,
): Float64Array {
  const { readers, writers, values, gates } = tensors;
  const { headDim, dilation } = options;
  const count = gates.length;
  const output = new Float64Array(count * headDim);
  const scale = 1 / Math.sqrt(headDim);
  for (let residue = 0; residue < dilation; residue++) {
    const state = new Float64Array(headDim * headDim);
    for (let t = residue; t < count; t += dilation) {
      const keep = Math.exp(gates[t]);
      for (let a = 0; a < headDim; a++) {
        const write = writers[t * headDim + a];
        const read = readers[t * headDim + a] * scale;
        for (let b = 0; b < headDim; b++) {
          const kept = state[a * headDim + b] * keep + write * values[t * headDim + b];
          state[a * headDim + b] = kept;
          output[t * headDim + b] += read * kept;
        }
      }
    }
  }
  return output;
}

/**
 * Squared norms of the outputs in both directions, `[N]` each.
 *
 * @throws {TypeError} when a tensor is missing or does not hold numbers.
 * @throws {RangeError} when tensors do not match, or δ is not a whole number from 1.
 */
export function glaScoresReference(
  tensors: { q: Numbers; k: Numbers; v: Numbers; gates: Numbers },
  options: GlaReferenceOptions,
): { queryScores: Float64Array; keyScores: Float64Array } {
  const action = "gla scores reference";
  requireRecord(action, "tensors", tensors);
  requireRecord(action, "the options", options);
  const { q, k, v: values, gates } = tensors;
  requireWhole(action, "dilation", options.dilation);
  requireNumbers(action, "gates", gates);
  requireHead(action, { q, k, v: values }, { headDim: options.headDim, rows: gates.length });
  const score = (readers: Numbers, writers: Numbers) => {
    const output = glaOutputReference({ readers, writers, values, gates }, options);
    return Float64Array.from({ length: gates.length }, (_, t) => {
      const row = output.subarray(t * options.headDim, (t + 1) * options.headDim);
      return row.reduce((sum, x) => sum + x * x, 0);
    });
  };
  return { queryScores: score(q, k), keyScores: score(k, q) };
}
