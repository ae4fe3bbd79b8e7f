/**
 * NSA in float64, for one key head and its query heads: output, log-sum-exp, what ranks the blocks,
 * and gradients, each with a bound on what f32 arithmetic may differ by.
 *
 * Bounds follow the terms of each sum: a softmax weight is off by 3 + 2x + |logit| units in the
 * last place of f32, with x the distance of its logit from the largest, at most twice the largest
 * |logit|; a sum of n terms in any order errs like a random walk of n half units; on matrix units
 * weights and gradients of scores are rounded to f16, and a branch's output is kept in the storage
 * type for the backward pass.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { roundToHalf } from "../../gpu/half.ts";
import type { ReferenceInputs, ReferenceResult, ReferenceRow } from "../../implementation.ts";
import { windowCount } from "./branch_walks.ts";
import { nsaOptions } from "./nsa_options.ts";

const HALF_ULP = { f16: 2 ** -11, f32: 2 ** -24 } as const;

/** A branch of one row of one query head. */
interface Branch {
  /** Keys and values that the row attends to: rows of `[…, d]`. */
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly seen: readonly number[];
  readonly weights: Float64Array;
  readonly output: Float64Array;
  readonly lse: number;
  /** Relative error of a weight. */
  readonly relative: number;
  /** Largest |v| of the seen values. */
  readonly largest: number;
}

/** Compressed rows, rounded as the device stores them. */
function compress(
  rows: ArrayLike<number>,
  { count, window, stride, d, dtype }: {
    readonly count: number;
    readonly window: number;
    readonly stride: number;
    readonly d: number;
    readonly dtype: DType;
  },
): Float64Array {
  const means = new Float64Array(count * d);
  const round = dtype === "f16" ? roundToHalf : Math.fround;
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < d; c++) {
      let sum = 0;
      for (let n = 0; n < window; n++) sum += rows[(i * stride + n) * d + c];
      means[i * d + c] = round(sum / window);
    }
  }
  return means;
}

function attend(
  query: ArrayLike<number>,
  { keys, values, seen, halves }: Pick<Branch, "keys" | "values" | "seen"> & {
    readonly halves: boolean;
  },
): Branch {
  const d = query.length;
  const logits = seen.map((key) => {
    let dot = 0;
    for (let c = 0; c < d; c++) dot += query[c] * keys[key * d + c];
    return dot / Math.sqrt(d);
  });
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const size = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const total = weights.reduce((a, b) => a + b, 0);
  const output = new Float64Array(d);
  let largest = 0;
  for (const [i, key] of seen.entries()) {
    weights[i] /= total;
    for (let c = 0; c < d; c++) {
      const value = values[key * d + c];
      output[c] += weights[i] * value;
      largest = Math.max(largest, Math.abs(value));
    }
  }
  const relative = 2 ** -23 * (3 + 5 * size) + 4 * Math.sqrt(seen.length) * 2 ** -24 +
    (halves ? HALF_ULP.f16 : 0);
  const lse = seen.length === 0 ? -Infinity : most + Math.log(total);
  return { keys, values, seen, weights, output, lse, relative, largest };
}

/** Numbers from `first` to `end - 1`. */
function span(first: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
}

/** How strides of s rows windows and blocks have in common. */
function share(
  window: number,
  block: number,
  { length, stride, size }: {
    readonly length: number;
    readonly stride: number;
    readonly size: number;
  },
): number {
  const first = Math.max(window * stride, block * size);
  const end = Math.min(window * stride + length, (block + 1) * size);
  return Math.max(0, end - first) / stride;
}

/** Computes rows of the query heads of a key head. */
export function nsaReference(given: ReferenceInputs): ReferenceResult {
  const { problem, rows, group, halves, outputGradient, keyGradients } = given;
  const { context, headDim: d, dtype } = problem.shape;
  const options = nsaOptions("check nsa", problem);
  const { compression: { window: length, stride }, block: size } = options;
  const count = windowCount(context, options.compression);
  const keys = Float64Array.from(given.keys);
  const values = Float64Array.from(given.values);
  const sizes = { count, window: length, stride, d, dtype };
  const [shortKeys, shortValues] = [compress(keys, sizes), compress(values, sizes)];
  const scale = 1 / Math.sqrt(d);
  const results: ReferenceRow[][] = [];
  const sums = keyGradients ? startSums(context, count, d) : undefined;
  for (const [at, row] of rows.entries()) {
    const past = row + 1 < length ? 0 : Math.floor((row + 1 - length) / stride) + 1;
    const selected = Array.from(given.list(row)).filter((b) => b >= 0).flatMap((b) =>
      span(b * size, Math.min((b + 1) * size, row + 1))
    );
    const importance = new Float64Array(Math.floor(row / size) + 1);
    let slack = 0;
    const members = Array.from({ length: group }, (_, member) => {
      const query = given.query(member, at);
      const gates = given.gates(member, at);
      const branches = [
        { keys: shortKeys, values: shortValues, seen: span(0, past) },
        { keys, values, seen: selected },
        { keys, values, seen: span(Math.max(0, row + 1 - options.window), row + 1) },
      ].map((branch) => attend(query, { ...branch, halves }));
      const [compressed] = branches;
      for (const [i, weight] of compressed.weights.entries()) {
        const [first, last] = [i * stride, i * stride + length - 1].map((x) =>
          Math.floor(x / size)
        );
        for (let b = first; b <= Math.min(last, importance.length - 1); b++) {
          importance[b] += share(i, b, { length, stride, size }) * weight;
        }
      }
      // Ranking is f32, whatever attention rounds.
      slack = Math.max(slack, compressed.relative - (halves ? HALF_ULP.f16 : 0) + d * 2 ** -24);
      const joined = joinBranches(branches, { gates, dtype });
      if (!outputGradient) return joined;
      const gradients = differentiate(branches, {
        query,
        gates,
        outputGradient: outputGradient(member, at),
        dtype,
        halves,
        scale,
      });
      if (sums) addToSums(sums, branches, { ...gradients, query, gates, scale });
      return { ...joined, ...gradients };
    });
    results.push(members);
    const own = Math.floor(row / size);
    const forced = span(0, own + 1).filter((b) => b < options.initial || b > own - options.local);
    given.ranked?.(row, {
      scores: importance,
      tolerance: 2 * slack * importance.reduce((a, b) => Math.max(a, b), 0),
      forced,
    });
  }
  return {
    rows: results,
    ...sums && finishSums(sums, { context, count, length, stride, d, dtype }),
  };
}

/** The sum of the branches times their gates. */
function joinBranches(
  branches: readonly Branch[],
  { gates, dtype }: { readonly gates: readonly number[]; readonly dtype: DType },
): ReferenceRow {
  const output = branches[0].output.map((_, c) =>
    branches.reduce((sum, branch, i) => sum + gates[i] * branch.output[c], 0)
  );
  const most = output.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const error = branches.reduce(
    (sum, branch, i) => sum + gates[i] * 2 * branch.largest * branch.relative,
    0,
  );
  return {
    output,
    outputTolerance: error + 2 * HALF_ULP[dtype] * most + 2 ** -24,
    lse: branches.map(({ lse }) => lse),
    lseTolerance: branches.map(({ lse, relative }) =>
      relative + 2 ** -22 * Math.max(1, Math.abs(lse))
    ),
  };
}

interface RowGradients {
  readonly queryGradient: Float64Array;
  readonly queryTolerance: number;
  readonly gateGradients: readonly number[];
  readonly gateTolerances: readonly number[];
  /** Of each branch: dS of the seen keys, and a bound of its error. */
  readonly scores: readonly { readonly gradients: Float64Array; readonly errors: Float64Array }[];
  readonly outputGradient: ArrayLike<number>;
}

function differentiate(
  branches: readonly Branch[],
  { query, gates, outputGradient, dtype, halves, scale }: {
    readonly query: ArrayLike<number>;
    readonly gates: readonly number[];
    readonly outputGradient: ArrayLike<number>;
    readonly dtype: DType;
    readonly halves: boolean;
    readonly scale: number;
  },
): RowGradients {
  const d = query.length;
  const queryGradient = new Float64Array(d);
  const queryErrors = new Float64Array(d);
  const gateGradients: number[] = [];
  const gateTolerances: number[] = [];
  const scores = branches.map(({ keys, values, seen, weights, output, relative, largest }, i) => {
    let [delta, size] = [0, 0];
    for (let c = 0; c < d; c++) {
      delta += outputGradient[c] * output[c];
      size += Math.abs(outputGradient[c]) *
        (Math.abs(output[c]) * 2 * HALF_ULP[dtype] + 2 * largest * relative);
    }
    gateGradients.push(delta);
    gateTolerances.push(size + d * 2 ** -24 * Math.abs(delta) + 2 ** -24);
    const gradients = new Float64Array(seen.length);
    const errors = new Float64Array(seen.length);
    for (const [n, key] of seen.entries()) {
      let [dot, terms] = [0, 0];
      for (let c = 0; c < d; c++) {
        const term = outputGradient[c] * values[key * d + c];
        dot += term;
        terms += Math.abs(term);
      }
      const weight = gates[i] * weights[n];
      gradients[n] = weight * (dot - delta);
      const rounded = halves ? 2 * HALF_ULP.f16 : 2 ** -24;
      errors[n] = Math.abs(gradients[n]) * (2 * relative + rounded) +
        weight * (size + d * 2 ** -24 * terms) + (halves ? 2 ** -32 : 0);
      for (let c = 0; c < d; c++) {
        queryGradient[c] += scale * gradients[n] * keys[key * d + c];
        queryErrors[c] += scale * errors[n] * Math.abs(keys[key * d + c]);
      }
    }
    return { gradients, errors };
  });
  const most = queryGradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const queryTolerance = queryErrors.reduce((a, b) => Math.max(a, b), 0) +
    2 * HALF_ULP[dtype] * most + 2 ** -24;
  return { queryGradient, queryTolerance, gateGradients, gateTolerances, scores, outputGradient };
}

/** dK, dV of the keys, and of the compressed ones, with bounds. */
interface KeySums {
  readonly whole: Record<"k" | "v" | "kError" | "vError", Float64Array>;
  readonly short: Record<"k" | "v" | "kError" | "vError", Float64Array>;
}

function startSums(context: number, count: number, d: number): KeySums {
  const zeros = (rows: number) => ({
    k: new Float64Array(rows * d),
    v: new Float64Array(rows * d),
    kError: new Float64Array(rows * d),
    vError: new Float64Array(rows * d),
  });
  return { whole: zeros(context), short: zeros(count) };
}

function addToSums(
  sums: KeySums,
  branches: readonly Branch[],
  { scores, query, gates, scale, outputGradient }: RowGradients & {
    readonly query: ArrayLike<number>;
    readonly gates: readonly number[];
    readonly scale: number;
  },
): void {
  const d = query.length;
  for (const [i, { seen, weights, relative }] of branches.entries()) {
    const into = i === 0 ? sums.short : sums.whole;
    const { gradients, errors } = scores[i];
    for (const [n, key] of seen.entries()) {
      const weight = gates[i] * weights[n];
      for (let c = 0; c < d; c++) {
        const at = key * d + c;
        into.k[at] += scale * gradients[n] * query[c];
        into.kError[at] += scale * errors[n] * Math.abs(query[c]);
        into.v[at] += weight * outputGradient[c];
        into.vError[at] += weight * (2 * relative + 2 ** -22) * Math.abs(outputGradient[c]);
      }
    }
  }
}

function finishSums(
  { whole, short }: KeySums,
  { context, count, length, stride, d, dtype }: {
    readonly context: number;
    readonly count: number;
    readonly length: number;
    readonly stride: number;
    readonly d: number;
    readonly dtype: DType;
  },
): Pick<ReferenceResult, "keyGradients"> {
  const finish = (name: "k" | "v") => {
    const errors = whole[`${name}Error`];
    for (let i = 0; i < count; i++) {
      for (let n = 0; n < length; n++) {
        for (let c = 0; c < d; c++) {
          whole[name][(i * stride + n) * d + c] += short[name][i * d + c] / length;
          errors[(i * stride + n) * d + c] += short[`${name}Error`][i * d + c] / length;
        }
      }
    }
    return Array.from({ length: context }, (_, row) => {
      const gradient = whole[name].subarray(row * d, (row + 1) * d);
      const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const error = errors.subarray(row * d, (row + 1) * d).reduce((a, b) => Math.max(a, b), 0);
      return { gradient, tolerance: error + 2 * HALF_ULP[dtype] * most + 2 ** -24 };
    });
  };
  return { keyGradients: { k: finish("k"), v: finish("v") } };
}
