/**
 * A Lighthouse layer in float64 for a given selection, and how far a kernel may differ from it.
 *
 * The tolerance follows the row through the layer. Pooled rows of seeded inputs are exact in f32:
 * elements are multiples of 2^-15 below 4, so sums of up to 128 of them fit 24 bits, and the window
 * is a power of two. They are rounded to storage once, which the reference does too. Attention over
 * the gathered rows has the tolerance of dense attention, derived there. Scatter adds up to L such
 * rows: their tolerances add, plus one f32 rounding for each addition and one of storage.
 *
 * In f16 WGSL lets a device flush subnormals (below 2^-14) to zero. A second reference that flushes
 * them gives the size of that effect, which is added.
 *
 * @module
 */
import { storageRounding } from "../../kernels/dense_attention/dense_attention_reference.ts";
import {
  gatherGradientReference,
  joinGatheredGradients,
} from "../../kernels/lighthouse/lighthouse_backward_reference.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import { roundToHalf, UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import type { Problem } from "../../kernels/implementation.ts";
import {
  type LighthouseGeometry,
  planGeometry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import {
  gatherReference,
  poolReference,
  scatterReference,
} from "../../kernels/lighthouse/lighthouse_reference.ts";
import type { ReferenceGradients, ReferenceRows } from "../check/reference_rows.ts";
import { exactHead, headOf, type LayerRun } from "./layer_run.ts";
import {
  attentionOutputs,
  attentionReference,
  gradientReference,
  type HeadTensors,
} from "./references.ts";

/** Rows under one coarsest entry up to which seeded inputs pool exactly in f32. */
export const EXACT_WINDOW_ROWS = 128;

const SMALLEST_NORMAL = 2 ** -14;

/** One head of a layer. */
export interface LayerReference {
  /** `[N, d]`. */
  readonly output: Float64Array;
  readonly tolerance: Float64Array;
  /** `[S]`. */
  readonly lse: Float64Array;
  readonly lseTolerance: Float64Array;
  /** Σ |Õ| over the rows that a base row sums, `[N, d]`. */
  readonly magnitude: Float64Array;
  /** The rows that attention runs over, as stored, `[S, d]`, and attention over them. */
  readonly gathered: HeadTensors;
  readonly attended: ReferenceRows;
}

/** Options of {@linkcode layerReference}. */
export interface LayerReferenceOptions {
  readonly geometry: LighthouseGeometry;
  /** Pyramid indices in gathered order, `[S]`. */
  readonly selection: Int32Array;
  readonly headDim: number;
  readonly dtype: DType;
  /** The type that softmax weights are rounded to: f16 on matrix units. */
  readonly weights: DType;
  /** Whether the device flushes subnormals of f16 to zero. */
  readonly flushes?: boolean;
}

/**
 * One head of the layer on stored inputs `[N, d]`.
 *
 * @throws {RangeError} when windows are too long for pooled rows to be exact.
 */
export async function layerReference(
  inputs: HeadTensors,
  options: LayerReferenceOptions,
): Promise<LayerReference> {
  const { geometry, selection, headDim, dtype, weights, flushes } = options;
  const { windowRows, context, levels } = geometry;
  if (windowRows > EXACT_WINDOW_ROWS) {
    throw new RangeError(
      `reference: windows of ${windowRows} rows exceed the ${EXACT_WINDOW_ROWS} that pool exactly`,
    );
  }
  const store = storeAs(dtype);
  const gather = (rows: ArrayLike<number>) =>
    gatherReference(selection, {
      rows,
      pooled: poolReference(rows, geometry, headDim).map(store),
      context,
      headDim,
    });
  const gathered = { q: gather(inputs.q), k: gather(inputs.k), v: gather(inputs.v) };
  const small = dtype === "f16" &&
    [gathered.q, gathered.k, gathered.v].some((rows) => rows.some(isSmall));
  const flush = (rows: Float64Array) => rows.map((x) => isSmall(x) ? 0 : x);
  const [attended, [flushed]] = await Promise.all([
    attentionReference(gathered, { headDim, dtype, weights, flushes }),
    attentionOutputs(
      small ? [{ q: flush(gathered.q), k: flush(gathered.k), v: flush(gathered.v) }] : [],
      { headDim },
    ),
  ]);
  const { lse } = attended;
  let { tolerance, lseTolerance } = attended;
  if (flushed) {
    tolerance = tolerance.map((x, i) => x + Math.abs(attended.output[i] - flushed.output[i]));
    lseTolerance = lseTolerance.map((x, s) => x + Math.abs(lse[s] - flushed.lse[s]));
  }
  const flushing = (x: number) =>
    dtype === "f16" && Math.abs(x) < 2 * SMALLEST_NORMAL ? SMALLEST_NORMAL : 0;
  const scatter = (rows: Float64Array) => scatterReference(rows, selection, geometry);
  const output = scatter(attended.output);
  const magnitude = scatter(attended.output.map(Math.abs));
  const scattered = scatter(tolerance.map((x, i) => x + flushing(attended.output[i])));
  return {
    output,
    tolerance: scattered.map((x, i) =>
      // A row that no entry covers is exactly zero.
      magnitude[i] === 0
        ? 0
        : x + (levels - 1) * UNIT_ROUNDOFF * magnitude[i] + storageRounding(dtype, output[i]) +
          flushing(output[i])
    ),
    lse,
    lseTolerance,
    magnitude,
    gathered,
    attended,
  };
}

/** dQ, dK and dV of one head of the layer, given its forward pass. */
export async function layerGradients(
  { gathered, attended }: LayerReference,
  outputGradient: Float64Array,
  { geometry, selection, headDim, dtype, weights, flushes }: LayerReferenceOptions,
): Promise<ReferenceGradients> {
  const reached = gatherGradientReference(outputGradient, selection, geometry);
  const found = await gradientReference(
    // Matrix units multiply f16 numbers that kernels scale beforehand.
    { ...gathered, outputGradient: weights === "f16" ? reached.map(roundToHalf) : reached },
    { forward: attended, headDim, dtype, weights, gradientType: "f32" },
  );
  return joinGatheredGradients(found, geometry, { selection, dtype, flushes });
}

/** The forward pass of all heads of a run, each for the selection that the device made. */
export function layerHeads(run: LayerRun, problem: Problem): Promise<LayerReference[]> {
  return Promise.all(
    Array.from({ length: problem.shape.heads }, (_, head) => {
      const of = { head, heads: problem.shape.heads };
      const { q, k, v } = run.inputs;
      const inputs = { q: exactHead(q, of), k: exactHead(k, of), v: exactHead(v, of) };
      return layerReference(inputs, headOptions(run, problem, head));
    }),
  );
}

/** The gradients of all heads of a run, given its forward pass. */
export function gradientHeads(
  run: LayerRun,
  problem: Problem,
  layers: readonly LayerReference[],
): Promise<ReferenceGradients[]> {
  return Promise.all(layers.map((layer, head) => {
    const outputGradient = exactHead(run.inputs.outputGradient!, { head, heads: layers.length });
    return layerGradients(layer, outputGradient, headOptions(run, problem, head));
  }));
}

function headOptions(run: LayerRun, problem: Problem, head: number): LayerReferenceOptions {
  const { heads, context, headDim, dtype } = problem.shape;
  return {
    geometry: planGeometry(context, lighthouseOptions(problem)),
    selection: headOf(run.selection!, { head, heads }),
    headDim,
    dtype,
    weights: run.weights,
    flushes: run.flushes,
  };
}

function storeAs(dtype: DType): (value: number) => number {
  return dtype === "f16" ? Math.f16round : Math.fround;
}

function isSmall(x: number): boolean {
  return x !== 0 && Math.abs(x) < SMALLEST_NORMAL;
}
