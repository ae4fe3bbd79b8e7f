/**
 * One trial of dense attention in float64 on the host, from the same seeds as on a device: a
 * reference for the kernels that read out the last row.
 *
 * @module
 */
import { seededRows } from "../../kernels/gpu/random.ts";
import { decodeDigit, plantQuery, plantRows, type RowEdit, type TrialSource } from "./planting.ts";

/** The last row of dense attention in one trial. */
export interface SimulatedTrial {
  /** Logits of all rows, planted. */
  readonly logits: Float64Array;
  /** `[d]`. */
  readonly output: Float64Array;
  readonly digit: number;
  /** Attention mass on the edited rows, in their order. */
  readonly masses: readonly number[];
  /** Whether the first edited row has the largest logit. */
  readonly largest: boolean;
}

/** Which rows attend. Default: all. */
export type RowFilter = (row: number, logit: number) => boolean;

/**
 * Simulates one trial.
 *
 * @example
 * ```ts
 * import { simulateTrial } from "./simulator.ts";
 * import assert from "node:assert/strict";
 * const source = { seed: 1, head: 0, heads: 1, context: 256, headDim: 16, dtype: "f32" } as const;
 * const { digit, masses } = simulateTrial(source, [{ row: 9, margin: 20, digit: 4 }]);
 * assert.equal(digit, 4);
 * assert.ok(masses[0] > 0.99);
 * ```
 */
export function simulateTrial(
  source: TrialSource,
  edits: readonly RowEdit[],
  options: { filter?: RowFilter } = {},
): SimulatedTrial {
  const { seed, head, heads, context, headDim: dim, dtype } = source;
  const all = { head, heads, first: 0, count: context, dim, dtype };
  const keys = Float64Array.from(seededRows(seed + 1, all));
  const values = Float64Array.from(seededRows(seed + 2, all));
  const query = plantQuery(source);
  for (const { row, key, value } of plantRows(source, query, edits)) {
    keys.set(key, row * dim);
    values.set(value, row * dim);
  }
  const logits = Float64Array.from({ length: context }, (_, row) => {
    let sum = 0;
    for (let c = 0; c < dim; c++) sum += query[c] * keys[row * dim + c];
    return sum / Math.sqrt(dim);
  });
  const filter = options.filter ?? (() => true);
  const weights = logits.map((logit, row) => filter(row, logit) ? Math.exp(logit) : 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const output = new Float64Array(dim);
  for (let row = 0; row < context; row++) {
    for (let c = 0; c < dim; c++) output[c] += weights[row] / total * values[row * dim + c];
  }
  return {
    logits,
    output,
    digit: decodeDigit(output),
    masses: edits.map(({ row }) => weights[row] / total),
    largest: edits.length > 0 && logits.every((logit) => logit <= logits[edits[0].row]),
  };
}
