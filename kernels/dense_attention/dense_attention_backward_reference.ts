/**
 * Gradients of dense causal attention in float64, with the tolerance of an f32 kernel.
 *
 * Tolerances propagate the errors of the forward reference (see dense_attention_reference.ts): a
 * weight P_ij is off by a factor within e^±ε_ij, dP_ij = dO_i·v_j by γ·Σ|dO·v|, and delta_i by
 * γ·Σ|dO·o| plus the rounding of the stored O; then come the sums over rows and the rounding on
 * storing. Each weight, score gradient and product may be flushed to zero below 2^-126. With f16
 * `weights`, as on matrix units, P and dS are off by another half unit in the last place of f16.
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";
import { SMALLEST_NORMAL, UNIT_ROUNDOFF } from "../gpu/half.ts";
import { requireDType, requireRecord } from "../gpu/require.ts";
import {
  type DenseReferenceInputs,
  denseRowValues,
  type ReferenceOptions,
  requireHead,
  storageRounding,
  widen,
} from "./dense_attention_reference.ts";

/** Inputs of the backward pass of one head, each `[rows, d]` as stored. */
export interface DenseBackwardReferenceInputs extends DenseReferenceInputs {
  /** dO. */
  readonly outputGradient: ArrayLike<number>;
}

/** What a kernel stores and rounds, for its tolerance; `dtype` is the storage of O. */
export interface BackwardReferenceOptions extends ReferenceOptions {
  /** Storage of the gradients. Default: `dtype`. */
  readonly gradientType?: DType;
}

/** Per-row inputs of the backward pass: `[rows]` each. */
export interface RowStatistics {
  readonly lse: ArrayLike<number>;
  /** Σ_c dO_c·O_c. */
  readonly delta: ArrayLike<number>;
  /** Σ_c |dO_c·O_c|, which bounds the error of delta. */
  readonly deltaSize: ArrayLike<number>;
}

/** A gradient row and its tolerance, `[d]` each. */
export interface GradientRow {
  /** In float64. */
  readonly gradient: Float64Array;
  /** Largest difference that f32 arithmetic and storage rounding explain. */
  readonly tolerance: Float64Array;
}

/** Below this a device may flush a result to zero. */
const FLUSHED = SMALLEST_NORMAL.f32;

/**
 * Log-sum-exp and delta of rows `first … last` of one head in float64.
 *
 * @param options.forward the forward reference of all rows, if known: `[rows, d]` and `[rows]`.
 */
export function rowStatistics(
  inputs: DenseBackwardReferenceInputs,
  options: {
    first?: number;
    last?: number;
    forward?: { readonly output: Float64Array; readonly lse: Float64Array };
  } = {},
): { lse: Float64Array; delta: Float64Array; deltaSize: Float64Array } {
  const d = inputs.headDim;
  const rows = inputs.q.length / d;
  const statistics = {
    lse: new Float64Array(rows),
    delta: new Float64Array(rows),
    deltaSize: new Float64Array(rows),
  };
  for (let i = options.first ?? 0; i <= (options.last ?? rows - 1); i++) {
    const { forward } = options;
    const { output, lse } = forward
      ? { output: forward.output.subarray(i * d, (i + 1) * d), lse: forward.lse[i] }
      : denseRowValues(inputs, i);
    statistics.lse[i] = lse;
    for (let c = 0; c < d; c++) {
      const product = inputs.outputGradient[i * d + c] * output[c];
      statistics.delta[i] += product;
      statistics.deltaSize[i] += Math.abs(product);
    }
  }
  return statistics;
}

interface Pair {
  readonly weight: number;
  readonly weightError: number;
  readonly scoreGradient: number;
  readonly scoreGradientError: number;
}

/** P_ij and dS_ij with their error bounds. */
function pair(
  inputs: DenseBackwardReferenceInputs,
  statistics: RowStatistics,
  at: { row: number; column: number; dtype: DType; weights?: DType },
): Pair {
  const { q, k, v, outputGradient, headDim: d } = inputs;
  const scale = inputs.scale ?? 1 / Math.sqrt(d);
  const { row, column } = at;
  let dot = 0;
  let size = 0;
  let gradient = 0;
  let gradientSize = 0;
  for (let c = 0, own = row * d, other = column * d; c < d; c++, own++, other++) {
    const product = q[own] * k[other];
    dot += product;
    size += Math.abs(product);
    const move = outputGradient[own] * v[other];
    gradient += move;
    gradientSize += Math.abs(move);
  }
  const gamma = (d + 4) * UNIT_ROUNDOFF;
  const logit = dot * scale;
  const x = logit - statistics.lse[row];
  const weight = Math.exp(x);
  // The errors of the score, of the stored log-sum-exp and of the exponential.
  const slack = 2 * gamma * size * scale +
    8 * UNIT_ROUNDOFF * (Math.abs(logit) + Math.abs(statistics.lse[row])) +
    (3 + 2 * Math.abs(x) * Math.LOG2E) * 2 * UNIT_ROUNDOFF + 8 * UNIT_ROUNDOFF;
  // On matrix units P and dS are rounded to f16, and delta comes from an output with that error.
  const half = at.weights === "f16" ? 2 ** -11 : 0;
  const weightError = weight * (Math.expm1(Math.min(slack, 100)) + half);
  const difference = gradient - statistics.delta[row];
  const differenceError = 2 * d * FLUSHED + gamma * (gradientSize + statistics.deltaSize[row]) +
    (storageRounding(at.dtype, 1) + 4 * half) * statistics.deltaSize[row];
  return {
    weight,
    weightError: weightError + FLUSHED,
    scoreGradient: weight * difference,
    scoreGradientError: (weightError + FLUSHED) * (Math.abs(difference) + differenceError) +
      weight * (differenceError + half * Math.abs(difference)) + FLUSHED,
  };
}

class Accumulator {
  readonly gradient: Float64Array;
  readonly #error: Float64Array;
  readonly #size: Float64Array;
  #count = 0;

  constructor(d: number) {
    this.gradient = new Float64Array(d);
    this.#error = new Float64Array(d);
    this.#size = new Float64Array(d);
  }

  add(weight: number, error: number, values: ArrayLike<number>, at: number) {
    this.#count++;
    const { gradient } = this;
    const [errors, sizes] = [this.#error, this.#size];
    for (let c = 0; c < gradient.length; c++) {
      const value = values[at + c];
      const product = weight * value;
      gradient[c] += product;
      errors[c] += error * Math.abs(value) + FLUSHED;
      sizes[c] += Math.abs(product);
    }
  }

  finish(factor: number, dtype: DType, options: BackwardReferenceOptions): GradientRow {
    const walk = 4 * Math.sqrt(this.#count) * UNIT_ROUNDOFF;
    const tolerance = new Float64Array(this.gradient.length);
    for (let c = 0; c < tolerance.length; c++) {
      this.gradient[c] *= factor;
      tolerance[c] = (this.#error[c] + walk * this.#size[c]) * factor +
        storageRounding(dtype, this.gradient[c], options);
    }
    return { gradient: this.gradient, tolerance };
  }
}

/** dQ of one row. Needs the statistics of that row only. */
export function queryGradientRow(
  inputs: DenseBackwardReferenceInputs,
  statistics: RowStatistics,
  options: { row: number } & BackwardReferenceOptions,
): GradientRow {
  const d = inputs.headDim;
  const { dtype = "f32", gradientType = dtype } = options;
  const sum = new Accumulator(d);
  for (let column = 0; column <= options.row; column++) {
    const { scoreGradient, scoreGradientError } = pair(inputs, statistics, {
      row: options.row,
      column,
      dtype,
      weights: options.weights,
    });
    sum.add(scoreGradient, scoreGradientError, inputs.k, column * d);
  }
  return sum.finish(inputs.scale ?? 1 / Math.sqrt(d), gradientType, options);
}

/** dK and dV of one row. Needs the statistics of that row and all later ones. */
export function keyValueGradientRow(
  inputs: DenseBackwardReferenceInputs,
  statistics: RowStatistics,
  options: { row: number } & BackwardReferenceOptions,
): { key: GradientRow; value: GradientRow } {
  const d = inputs.headDim;
  const { dtype = "f32", gradientType = dtype } = options;
  const rows = inputs.q.length / d;
  const key = new Accumulator(d);
  const value = new Accumulator(d);
  for (let row = options.row; row < rows; row++) {
    const found = pair(inputs, statistics, { ...options, row, column: options.row, dtype });
    key.add(found.scoreGradient, found.scoreGradientError, inputs.q, row * d);
    value.add(found.weight, found.weightError, inputs.outputGradient, row * d);
  }
  return {
    key: key.finish(inputs.scale ?? 1 / Math.sqrt(d), gradientType, options),
    value: value.finish(1, gradientType, options),
  };
}

/**
 * All gradients of one head, `[rows, d]` each, with their tolerances.
 *
 * @throws {TypeError} when a tensor is missing or not numbers, or a type is unknown.
 * @throws {RangeError} when tensors do not fit together.
 */
export function denseBackwardReference(
  given: DenseBackwardReferenceInputs,
  options: BackwardReferenceOptions = {},
): { q: GradientRow; k: GradientRow; v: GradientRow } {
  const action = "dense backward reference";
  requireRecord(action, "inputs", given);
  const { q, k, v, outputGradient, headDim, scale } = given;
  requireHead(action, { q, k, v, outputGradient }, { ...options, headDim, scale });
  if (options.gradientType !== undefined) requireDType(action, options.gradientType);
  const inputs = widen(given);
  const d = inputs.headDim;
  const rows = inputs.q.length / d;
  const statistics = rowStatistics(inputs);
  const make = () => ({
    gradient: new Float64Array(rows * d),
    tolerance: new Float64Array(rows * d),
  });
  const all = { q: make(), k: make(), v: make() };
  const put = (into: GradientRow, from: GradientRow, row: number) => {
    into.gradient.set(from.gradient, row * d);
    into.tolerance.set(from.tolerance, row * d);
  };
  // Each sum takes its pairs in the order in which the functions for one row take them.
  const { dtype = "f32", gradientType = dtype, weights } = options;
  const factor = scale ?? 1 / Math.sqrt(d);
  const keys = Array.from({ length: rows }, () => new Accumulator(d));
  const values = Array.from({ length: rows }, () => new Accumulator(d));
  for (let row = 0; row < rows; row++) {
    const queries = new Accumulator(d);
    for (let column = 0; column <= row; column++) {
      const found = pair(inputs, statistics, { row, column, dtype, weights });
      queries.add(found.scoreGradient, found.scoreGradientError, inputs.k, column * d);
      keys[column].add(found.scoreGradient, found.scoreGradientError, inputs.q, row * d);
      values[column].add(found.weight, found.weightError, inputs.outputGradient, row * d);
    }
    put(all.q, queries.finish(factor, gradientType, options), row);
  }
  for (let row = 0; row < rows; row++) {
    put(all.k, keys[row].finish(factor, gradientType, options), row);
    put(all.v, values[row].finish(1, gradientType, options), row);
  }
  return all;
}
