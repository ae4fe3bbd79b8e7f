/**
 * Inputs of gla scores, their results on a device, and the error that is allowed, for tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readWords, submit, upload, uploadGarbage } from "../../../gpu/_test_buffers.ts";
import type { DType } from "../../../gpu/buffers.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { pcgSum4, seededRows } from "../../../gpu/random.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";
import { createGlaScores, type GlaScoresOptions, planGlaScores } from "./gla_scores.ts";
import { glaOutputReference, glaScoresReference } from "./gla_scores_reference.ts";

export interface Inputs {
  readonly q: Float32Array | Float16Array;
  readonly k: Float32Array | Float16Array;
  readonly v: Float32Array | Float16Array;
  /** `[heads, N]`. */
  readonly gates: Float32Array;
}

export const memoryless = () => -Infinity;
export const usual = (x: number) => -Math.log1p(Math.exp(-x)) / 16;
/** A memory of several chunks. */
export const slow = (x: number) => usual(x) / 4;
/** Clears the state at some rows, as at document boundaries. */
export const resetting = (x: number) => x > 2 ? -Infinity : usual(x);

export function seededInputs(
  shape: { heads: number; context: number; headDim: number; dtype: DType },
  gate: (x: number) => number,
): Inputs {
  const { heads, context, headDim, dtype } = shape;
  const tensor = (seed: number) => {
    const data = dtype === "f16"
      ? new Float16Array(heads * context * headDim)
      : new Float32Array(heads * context * headDim);
    for (let head = 0; head < heads; head++) {
      const range = { head, heads, first: 0, count: context, dim: headDim, dtype };
      data.set(seededRows(seed, range), head * context * headDim);
    }
    return data;
  };
  const gates = Float32Array.from({ length: heads * context }, (_, i) => gate(pcgSum4(9, i)));
  return { q: tensor(1), k: tensor(2), v: tensor(3), gates };
}

/** Base scores `[heads, N]` of both directions. */
export async function scoresOnDevice(
  gpu: Gpu,
  context: number,
  options: GlaScoresOptions & { inputs: Inputs },
) {
  const geometry = planGeometry(context, { levels: 2, pooling: 2, k: 128 });
  const { maxWorkgroupBytes } = gpu.capabilities;
  const plan = planGlaScores(geometry, { maxWorkgroupBytes, ...options });
  const kernel = await createGlaScores(gpu, plan);
  const { inputs, heads } = options;
  const buffers = {
    q: await upload(gpu, inputs.q),
    k: await upload(gpu, inputs.k),
    v: await upload(gpu, inputs.v),
    gates: await upload(gpu, inputs.gates),
    queryScores: await uploadGarbage(gpu, plan.scoreBytes),
    keyScores: await uploadGarbage(gpu, plan.scoreBytes),
    states: await uploadGarbage(gpu, plan.scratch.states),
    decays: await uploadGarbage(gpu, plan.scratch.decays),
    carry: await uploadGarbage(gpu, plan.scratch.carry),
    ...plan.scratch.scales && { scales: await uploadGarbage(gpu, plan.scratch.scales) },
  };
  await submit(gpu, kernel.bind(buffers));
  const read = async (name: "queryScores" | "keyScores") => {
    const words = await readWords(gpu, buffers[name], heads * geometry.entries);
    const base = new Uint32Array(heads * context);
    for (let head = 0; head < heads; head++) {
      const first = head * geometry.entries;
      base.set(words.subarray(first, first + context), head * context);
      const rest = words.subarray(first + context, first + geometry.entries);
      assert.ok(rest.every((word) => word === 0xa5a5a5a5), "wrote past the base scores");
    }
    return new Float32Array(base.buffer);
  };
  const scores = { queryScores: await read("queryScores"), keyScores: await read("keyScores") };
  kernel.destroy();
  for (const { buffer } of Object.values(buffers)) buffer.destroy();
  return { ...scores, segments: plan.segments.length };
}

/**
 * The largest error of a score relative to the error allowed for f32 sums.
 *
 * An output element is a sum whose terms pass through at most two dot products over d, one over the
 * C rows of a chunk and two roundings per chunk; with u = 2^-24 its error is at most u times that
 * count times the same sum over absolute values. Each decay of a term adds the error of one
 * exponential, 3 + 2|x| units in the last place, and of the cumulative gates, log2(2C) roundings of
 * sums up to A = Σ|g| of a chunk at both ends.
 *
 * On matrix units a term passes through three more roundings to f16, each of half a unit in the
 * last place: of a decayed reader, of the state and of a decayed value, or of a product of a reader
 * and a writer. A decayed reader below the normal numbers of f16 is off by 2^-25.
 */
export function worstError(
  got: { queryScores: Float32Array; keyScores: Float32Array },
  options: GlaScoresOptions & { inputs: Inputs; head: number },
): number {
  const { inputs, head, heads, headDim, dilation } = options;
  const chunkRows = options.chunkRows ?? 64;
  const context = inputs.gates.length / heads;
  const rows = (x: Inputs["q"]) =>
    Float64Array.from(x.subarray(head * context * headDim, (head + 1) * context * headDim));
  const gates = inputs.gates.subarray(head * context, (head + 1) * context);
  const tensors = { q: rows(inputs.q), k: rows(inputs.k), v: rows(inputs.v), gates };
  const scores = glaScoresReference(tensors, { headDim, dilation });
  const chunks = Math.ceil(context / dilation / chunkRows);
  let total = 0;
  for (let first = 0; first < dilation * chunkRows * chunks; first++) {
    // The chunk that begins at row `first` of its residue class; unaligned ones only raise the
    // bound.
    let sum = 0;
    for (let n = first; n < Math.min(context, first + dilation * chunkRows); n += dilation) {
      sum += Math.min(-gates[n], 104);
    }
    total = Math.max(total, sum);
  }
  // If the state is cleared, no decayed term remains.
  if (gates.every((gate) => gate === -Infinity)) total = 0;
  const decay = 2 * (3 + 2 * Math.min(total, 104)) + 2 * Math.log2(2 * chunkRows) * total;
  const unit = 2 ** -24 * (2 * headDim + chunkRows + 2 * chunks + (chunks + 1) * decay);
  const absolute = (x: Float64Array) => x.map(Math.abs);
  let worst = 0;
  for (const name of ["queryScores", "keyScores"] as const) {
    const [readers, writers] = name === "queryScores"
      ? [tensors.q, tensors.k]
      : [tensors.k, tensors.q];
    const output = glaOutputReference({ readers, writers, values: tensors.v, gates }, options);
    const magnitude = glaOutputReference({
      readers: absolute(readers),
      writers: absolute(writers),
      values: absolute(tensors.v),
      gates,
    }, options);
    const halves = options.kernel === "matrix" ? 3 * 2 ** -11 : 0;
    const floor = glaOutputReference({
      readers: readers.map(() => 1),
      writers: absolute(writers),
      values: absolute(tensors.v),
      gates: gates.map(() => 0),
    }, options);
    for (let n = 0; n < context; n++) {
      let bound = (headDim + 2) * 2 ** -24 * scores[name][n];
      for (let c = n * headDim; c < (n + 1) * headDim; c++) {
        const error = (unit + halves) * magnitude[c] + (halves && 2 ** -24 * floor[c]);
        bound += 2 * Math.abs(output[c]) * error + error * error;
      }
      const error = Math.abs(got[name][head * context + n] - scores[name][n]);
      assert.ok(!Number.isNaN(error), `${name} ${n}: ${got[name][head * context + n]}`);
      worst = Math.max(worst, error / bound);
    }
  }
  return worst;
}
