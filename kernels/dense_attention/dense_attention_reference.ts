/**
 * Dense causal attention in float64, plain loops: what the kernels are checked against.
 *
 * @module
 */

/** Elements of Q, K, V as stored, each `[rows, d]` of one head. */
export interface DenseReferenceInputs {
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  readonly headDim: number;
  /** Softmax scale. Default 1/√d. */
  readonly scale?: number;
}

/** One row of the result. */
export interface DenseReferenceRow {
  /** `[d]`. */
  readonly output: Float64Array;
  /** Natural log-sum-exp of the row's scaled logits. */
  readonly lse: number;
}

/**
 * Row `row` of causal attention of one head. `q` may hold only that row when `queryOffset` says at
 * which row it starts.
 */
export function denseAttentionRow(
  inputs: DenseReferenceInputs,
  row: number,
  options: { queryOffset?: number } = {},
): DenseReferenceRow {
  const { q, k, v, headDim: d } = inputs;
  const scale = inputs.scale ?? 1 / Math.sqrt(d);
  const at = (row - (options.queryOffset ?? 0)) * d;
  const logits = new Float64Array(row + 1);
  let max = -Infinity;
  for (let j = 0; j <= row; j++) {
    let dot = 0;
    for (let c = 0; c < d; c++) dot += q[at + c] * k[j * d + c];
    logits[j] = dot * scale;
    if (logits[j] > max) max = logits[j];
  }
  const output = new Float64Array(d);
  let sum = 0;
  for (let j = 0; j <= row; j++) {
    const weight = Math.exp(logits[j] - max);
    sum += weight;
    for (let c = 0; c < d; c++) output[c] += weight * v[j * d + c];
  }
  for (let c = 0; c < d; c++) output[c] /= sum;
  return { output, lse: max + Math.log(sum) };
}

/** Causal attention of one head: output `[rows, d]` and log-sum-exp `[rows]`. */
export function denseAttentionReference(
  inputs: DenseReferenceInputs,
): { output: Float64Array; lse: Float64Array } {
  const d = inputs.headDim;
  const rows = inputs.q.length / d;
  const output = new Float64Array(rows * d);
  const lse = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const result = denseAttentionRow(inputs, row);
    output.set(result.output, row * d);
    lse[row] = result.lse;
  }
  return { output, lse };
}
