/**
 * Dense causal attention in float64 with plain loops, and the tolerance of an f32 kernel.
 *
 * The tolerance is derived, per row and column, from the row's own numbers (u = 2^-24):
 *
 * - A logit is an f32 dot product of length d, so it is off by at most
 *   γ·Σ|q_c·k_c|·scale with γ = (d + 4)·u, and by u·|logit| for its own rounding.
 * - An exponential adds a relative error of (3 + 2|x|) ulp at x (WGSL's accuracy of exp2), so the
 *   weight of key j is off by a factor within e^±ε_j.
 * - Weights off by such factors move the weighted mean by at most
 *   Σ p_j·(e^ε_j - 1)·|v_j - o| / Σ p_j·e^-ε_j, and never beyond the farthest value whose weight
 *   could matter. With extreme logits no tighter bound holds: f32 cannot distinguish near-ties.
 * - Summing n products in f32 in any blocked order has a random-walk error: 4·√n·u·Σ p_j·|v_j|.
 * - Weights rounded to f16 are off by half a unit in the last place each, which moves the mean by
 *   at most 2^-11·Σ p_j·|v_j|; those that f16 rounds away together weigh at most 2^-11 of the sum
 *   (see dense_matrix_codegen.ts), which adds 2^-11·mean|v_j|.
 * - Storing rounds once, to nearest; one unit in the last place is allowed, so that a value near a
 *   tie may fall either way.
 * - A device may flush results below 2^-126 to zero: of each weight, of each product, and on
 *   storing; below 2^-14 where it stores f16 and is known to flush them.
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";
import { SMALLEST_NORMAL, UNIT_ROUNDOFF } from "../gpu/half.ts";
import {
  requireDType,
  requireNumbers,
  requirePositive,
  requireRecord,
  requireWhole,
} from "../gpu/require.ts";

/** Elements of Q, K, V as stored, each `[rows, d]` of one head. */
export interface DenseReferenceInputs {
  /** Queries. */
  readonly q: ArrayLike<number>;
  /** Keys. */
  readonly k: ArrayLike<number>;
  /** Values. */
  readonly v: ArrayLike<number>;
  /** d. */
  readonly headDim: number;
  /** Softmax scale. Default 1/√d. */
  readonly scale?: number;
}

/** What a kernel stores and rounds, for its tolerance. */
export interface ReferenceOptions {
  /** Storage of the output under test. Default f32. */
  readonly dtype?: DType;
  /** Type that softmax weights are rounded to: f16 on matrix units. Default f32. */
  readonly weights?: DType;
  /** Whether the device flushes subnormals of f16 to zero. Default false. */
  readonly flushes?: boolean;
}

/** One row of the result with the tolerance of an f32 kernel. */
export interface DenseReferenceRow {
  /** `[d]`. */
  readonly output: Float64Array;
  /** Natural log-sum-exp of the row's scaled logits. */
  readonly lse: number;
  /** `[d]`: largest difference that f32 arithmetic and storage rounding explain. */
  readonly tolerance: Float64Array;
  /** The same for the log-sum-exp. */
  readonly lseTolerance: number;
}

/** Below this a device may flush a result to zero. */
const FLUSHED = SMALLEST_NORMAL.f32;

/**
 * Checks the tensors of one head and the named storage types.
 *
 * @param options `rows`: rows of every tensor. Default: those of the first, which may be part of Q.
 * @throws {TypeError} when a tensor is missing or not numbers, or a type is unknown.
 * @throws {RangeError} when tensors are not rows of d, or differ in their number of rows.
 */
export function requireHead(
  action: string,
  tensors: Readonly<Record<string, ArrayLike<number>>>,
  options: {
    headDim: number;
    rows?: number;
    scale?: number;
    dtype?: DType;
    weights?: DType;
  },
): void {
  const { headDim, scale, dtype, weights } = options;
  requireWhole(action, "headDim", headDim);
  requirePositive(action, "scale", scale);
  if (dtype !== undefined) requireDType(action, dtype);
  if (weights !== undefined) requireDType(`${action}: weights`, weights);
  for (const [name, tensor] of Object.entries(tensors)) {
    requireNumbers(action, name, tensor);
    const rows = options.rows ?? Object.values(tensors)[0].length / headDim;
    if (!Number.isInteger(rows) || rows < 1) {
      throw new RangeError(
        `${action}: ${tensor.length} elements of ${name} are not rows of ${headDim}`,
      );
    }
    requireNumbers(action, name, tensor, { count: rows * headDim, shape: `[${rows}, ${headDim}]` });
  }
}

/**
 * One unit in the last place of a stored value: relative part and smallest step. The step is the
 * whole of any number that the device may flush to zero.
 *
 * @param options `flushes`: the device flushes f16 subnormals. Default false. Any device may flush
 * f32.
 */
export function storageRounding(
  dtype: DType,
  value: number,
  { flushes = false }: { flushes?: boolean } = {},
): number {
  const size = Math.abs(value);
  if (dtype === "f32") return Math.max(size * 2 ** -23, SMALLEST_NORMAL.f32);
  const smallest = flushes && size < 2 * SMALLEST_NORMAL.f16 ? SMALLEST_NORMAL.f16 : 2 ** -24;
  return Math.max(size * 2 ** -10, smallest);
}

/**
 * Row `row` of causal attention of one head. `q` may hold only rows from `queryOffset` on.
 *
 * @throws {TypeError} when a tensor is missing or not numbers, or a type is unknown.
 * @throws {RangeError} when tensors do not fit together, or there is no such row.
 */
export function denseAttentionRow(
  inputs: DenseReferenceInputs,
  row: number,
  options: { queryOffset?: number } & ReferenceOptions = {},
): DenseReferenceRow {
  requireRow(inputs, row, options);
  return denseRow(inputs, row, options);
}

function requireRow(
  inputs: DenseReferenceInputs,
  row: number,
  options: { queryOffset?: number } & ReferenceOptions,
): void {
  const action = "dense attention row";
  requireRecord(action, "inputs", inputs);
  const { q, k, v, headDim } = inputs;
  requireHead(action, { k, v }, { ...options, headDim, scale: inputs.scale });
  requireHead(action, { q }, { headDim });
  const first = options.queryOffset ?? 0;
  requireWhole(action, "queryOffset", first, { least: 0 });
  const most = Math.min(k.length, q.length + first * headDim) / headDim - 1;
  requireWhole(action, "row", row, { least: first, most });
}

/** {@linkcode denseAttentionRow} for inputs that were already checked. */
export function denseRow(
  inputs: DenseReferenceInputs,
  row: number,
  options: { queryOffset?: number } & ReferenceOptions = {},
): DenseReferenceRow {
  const { k, v, headDim: d } = inputs;
  const scale = inputs.scale ?? 1 / Math.sqrt(d);
  const query = queryOf(inputs, row, options);
  const count = row + 1;
  const logits = new Float64Array(count);
  const slack = new Float64Array(count);
  let max = -Infinity;
  for (let j = 0; j < count; j++) {
    let dot = 0;
    let size = 0;
    for (let c = 0, i = j * d; c < d; c++, i++) {
      const product = query[c] * k[i];
      dot += product;
      size += Math.abs(product);
    }
    logits[j] = dot * scale;
    slack[j] = (d + 4) * UNIT_ROUNDOFF * size * scale + UNIT_ROUNDOFF * Math.abs(logits[j]);
    if (logits[j] > max) max = logits[j];
  }
  const output = new Float64Array(d);
  const absolute = new Float64Array(d);
  const lost = new Float64Array(d);
  let sum = 0;
  let least = 0;
  let lseSlack = 0;
  let widest = 0;
  for (let j = 0; j < count; j++) {
    const x = logits[j] - max;
    const weight = Math.exp(x);
    // Beyond e^-110 both sides underflow to nothing in f32, unless the slack could lift them.
    slack[j] += (3 + 2 * Math.abs(x) * Math.LOG2E) * 2 * UNIT_ROUNDOFF;
    sum += weight;
    least += weight * Math.exp(-Math.min(slack[j], 700));
    lseSlack += weight * slack[j];
    if (slack[j] > widest) widest = slack[j];
    if (weight === 0) continue;
    const flushed = weight < 2 * FLUSHED ? weight : 0;
    for (let c = 0, i = j * d; c < d; c++, i++) {
      lost[c] += flushed * Math.abs(v[i]) + FLUSHED;
      output[c] += weight * v[i];
      absolute[c] += weight * Math.abs(v[i]);
    }
  }
  for (let c = 0; c < d; c++) {
    output[c] /= sum;
    absolute[c] /= sum;
  }
  const moved = new Float64Array(d);
  const farthest = new Float64Array(d);
  for (let j = 0; j < count; j++) {
    const x = logits[j] - max;
    const reach = x + slack[j] + widest; // could this key's computed weight matter at all?
    if (reach < -40) continue;
    const weight = Math.exp(x) * Math.expm1(Math.min(slack[j], 700));
    for (let c = 0, i = j * d; c < d; c++, i++) {
      const distance = Math.abs(v[i] - output[c]);
      moved[c] += weight * distance;
      if (distance > farthest[c]) farthest[c] = distance;
    }
  }
  const walk = 4 * Math.sqrt(count) * UNIT_ROUNDOFF;
  const tolerance = new Float64Array(d);
  const meanSize = (c: number) => {
    let total = 0;
    for (let j = 0; j < count; j++) total += Math.abs(v[j * d + c]);
    return total / count;
  };
  for (let c = 0; c < d; c++) {
    tolerance[c] = Math.min(least > 0 ? moved[c] / least : Infinity, farthest[c]) +
      walk * absolute[c] + lost[c] / sum +
      storageRounding(options.dtype ?? "f32", output[c], options);
    if (options.weights === "f16") tolerance[c] += 2 ** -11 * (absolute[c] + meanSize(c));
  }
  const lse = max + Math.log(sum);
  const lseTolerance = Math.max(lseSlack / sum, slack[logits.indexOf(max)]) + walk +
    4 * UNIT_ROUNDOFF * Math.max(1, Math.abs(lse));
  return { output, lse, tolerance, lseTolerance };
}

/** Output and log-sum-exp of {@linkcode denseRow}, bit for bit, without their tolerances. */
export function denseRowValues(
  inputs: DenseReferenceInputs,
  row: number,
): Pick<DenseReferenceRow, "output" | "lse"> {
  const { k, v, headDim: d } = inputs;
  const scale = inputs.scale ?? 1 / Math.sqrt(d);
  const query = queryOf(inputs, row);
  const logits = new Float64Array(row + 1);
  let max = -Infinity;
  for (let j = 0; j <= row; j++) {
    let dot = 0;
    for (let c = 0, i = j * d; c < d; c++, i++) dot += query[c] * k[i];
    logits[j] = dot * scale;
    if (logits[j] > max) max = logits[j];
  }
  const output = new Float64Array(d);
  let sum = 0;
  for (let j = 0; j <= row; j++) {
    const weight = Math.exp(logits[j] - max);
    sum += weight;
    if (weight === 0) continue;
    for (let c = 0, i = j * d; c < d; c++, i++) output[c] += weight * v[i];
  }
  for (let c = 0; c < d; c++) output[c] /= sum;
  return { output, lse: max + Math.log(sum) };
}

function queryOf(
  { q, headDim }: DenseReferenceInputs,
  row: number,
  { queryOffset = 0 }: { queryOffset?: number } = {},
): Float64Array {
  const at = (row - queryOffset) * headDim;
  return Float64Array.from({ length: headDim }, (_, c) => q[at + c]);
}

/** The same inputs as float64 arrays, which plain loops read several times faster than float16. */
export function widen<T extends DenseReferenceInputs>(inputs: T): T {
  const wide = { ...inputs } as Record<string, unknown>;
  for (const [name, value] of Object.entries(inputs)) {
    if (typeof value === "object") wide[name] = Float64Array.from(value as ArrayLike<number>);
  }
  return wide as unknown as T;
}

/**
 * Causal attention of one head: `[rows, d]` and `[rows]`, each with its tolerance.
 *
 * @throws {TypeError} when a tensor is missing or not numbers, or a type is unknown.
 * @throws {RangeError} when tensors do not fit together.
 */
export function denseAttentionReference(
  given: DenseReferenceInputs,
  options: ReferenceOptions = {},
): {
  output: Float64Array;
  lse: Float64Array;
  tolerance: Float64Array;
  lseTolerance: Float64Array;
} {
  const action = "dense attention reference";
  requireRecord(action, "inputs", given);
  const { q, k, v, headDim, scale } = given;
  requireHead(action, { q, k, v }, { ...options, headDim, scale });
  const inputs = widen(given);
  const d = inputs.headDim;
  const rows = inputs.q.length / d;
  const output = new Float64Array(rows * d);
  const tolerance = new Float64Array(rows * d);
  const lse = new Float64Array(rows);
  const lseTolerance = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const result = denseRow(inputs, row, options);
    output.set(result.output, row * d);
    tolerance.set(result.tolerance, row * d);
    lse[row] = result.lse;
    lseTolerance[row] = result.lseTolerance;
  }
  return { output, lse, tolerance, lseTolerance };
}

/**
 * Largest |got - want| / tolerance over all elements: at most 1 if rounding explains every element.
 * Infinity if there is any NaN.
 *
 * @throws {RangeError} when their lengths differ.
 */
export function worstRatio(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: ArrayLike<number>,
): number {
  const action = "worst ratio";
  requireNumbers(action, "want", want);
  requireNumbers(action, "got", got, { count: want.length });
  requireNumbers(action, "tolerance", tolerance, { count: want.length });
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const ratio = Math.abs(got[i] - want[i]) / tolerance[i];
    if (!(ratio <= worst)) worst = Number.isNaN(ratio) ? Infinity : ratio;
  }
  return worst;
}
