/**
 * Gradients of the layer in float64 with plain loops, for one head at a time and a given selection,
 * with the tolerance of an f32 kernel. Written from the specification, section 6, in scatter form:
 * a loop over the selected entries adds to the rows that each covers.
 *
 * Shapes: base rows `[N, d]`, gathered rows `[S, d]`, selection `[S]` pyramid indices in gathered
 * order.
 *
 * @module
 */
import {
  denseBackwardReference,
  type GradientRow,
} from "../dense_attention/dense_attention_backward_reference.ts";
import { requireHead, storageRounding } from "../dense_attention/dense_attention_reference.ts";
import type { DType } from "../gpu/buffers.ts";
import { requireRecord } from "../gpu/require.ts";
import { type LighthouseGeometry, locateEntry } from "./lighthouse_geometry.ts";
import {
  gatherReference,
  type Numbers,
  poolReference,
  requireSelection,
} from "./lighthouse_reference.ts";

/** Gradient of the forward scatter: sums of the rows that each selected entry reaches, `[S, d]`. */
export function gatherGradientReference(
  outputGradient: Numbers,
  selection: Numbers,
  geometry: LighthouseGeometry,
): Float64Array {
  const headDim = outputGradient.length / geometry.context;
  const gathered = new Float64Array(selection.length * headDim);
  for (let s = 0; s < selection.length; s++) {
    const { level, index } = locateEntry(geometry, selection[s]);
    const window = geometry.pooling ** level;
    const first = window * index + window - 1;
    const end = Math.min(first + window, geometry.context);
    for (let j = first; j < end; j++) {
      for (let c = 0; c < headDim; c++) {
        gathered[s * headDim + c] += outputGradient[j * headDim + c];
      }
    }
  }
  return gathered;
}

/**
 * Gradient of gather and pyramid: each gathered row, divided by p^ℓ, added to the p^ℓ base rows
 * that its entry is the mean of, `[N, d]`.
 */
export function scatterGradientReference(
  gathered: Numbers,
  selection: Numbers,
  geometry: LighthouseGeometry,
): Float64Array {
  const headDim = gathered.length / selection.length;
  const gradient = new Float64Array(geometry.context * headDim);
  for (let s = 0; s < selection.length; s++) {
    const { level, index } = locateEntry(geometry, selection[s]);
    const window = geometry.pooling ** level;
    for (let j = window * index; j < window * (index + 1); j++) {
      for (let c = 0; c < headDim; c++) {
        gradient[j * headDim + c] += gathered[s * headDim + c] / window;
      }
    }
  }
  return gradient;
}

/** Options of {@linkcode lighthouseBackwardReference}. */
export interface LighthouseBackwardReferenceOptions {
  /** d. */
  readonly headDim: number;
  /** Pyramid indices in gathered order, `[S]`. */
  readonly selection: Int32Array;
  /**
   * Rounds pooled rows as storage does, for example `Math.f16round`, so that only arithmetic is
   * compared. Default: no rounding.
   */
  readonly store?: (value: number) => number;
  /** Rounds gathered output gradients like operands of matrix units. Default: no rounding. */
  readonly storeGradient?: (value: number) => number;
  /** Type that weights and gradients of scores are rounded to: f16 on matrix units. Default f32. */
  readonly weights?: DType;
  /** Whether the device flushes subnormals of f16 to zero. Default false. */
  readonly flushes?: boolean;
  /** Storage that tolerances allow for. Default f32. */
  readonly dtype?: DType;
}

/**
 * dQ, dK, dV of one head, `[N, d]` each, with their tolerances.
 *
 * A tolerance carries that of the gathered gradients (dense_attention_backward_reference.ts)
 * through the weighted sum over levels, whose L terms add L·2^-24 of their sizes, and rounds once
 * more on storing. Sums of pooled rows and of output gradients must be exact in f32, as they are
 * for `pcg-sum4` inputs (multiples of 2^-15 below 4) and windows up to 64 rows: the tolerance does
 * not cover their rounding.
 *
 * @throws {TypeError} when a tensor is missing or not numbers, or the element type is unknown.
 * @throws {RangeError} when tensors or the selection do not fit the geometry.
 */
export function lighthouseBackwardReference(
  tensors: { q: Numbers; k: Numbers; v: Numbers; outputGradient: Numbers },
  geometry: LighthouseGeometry,
  options: LighthouseBackwardReferenceOptions,
): { q: GradientRow; k: GradientRow; v: GradientRow } {
  const action = "lighthouse backward reference";
  requireRecord(action, "tensors", tensors);
  requireRecord(action, "the options", options);
  const { headDim, selection, store, storeGradient, weights } = options;
  const dtype = options.dtype ?? "f32";
  const { q, k, v, outputGradient } = tensors;
  requireHead(action, { q, k, v, outputGradient }, { headDim, rows: geometry.context, dtype });
  requireSelection(action, selection, geometry);
  const stored = (rows: Float64Array) => store ? rows.map(store) : rows;
  const gather = (rows: Numbers) =>
    gatherReference(selection, {
      rows,
      pooled: stored(poolReference(rows, geometry, headDim)),
      context: geometry.context,
      headDim,
    });
  const gradients = gatherGradientReference(outputGradient, selection, geometry);
  const gathered = denseBackwardReference({
    q: gather(tensors.q),
    k: gather(tensors.k),
    v: gather(tensors.v),
    outputGradient: storeGradient ? gradients.map(storeGradient) : gradients,
    headDim,
  }, { dtype, weights, gradientType: "f32" });
  return joinGatheredGradients(gathered, geometry, { selection, dtype, flushes: options.flushes });
}

/** dQ, dK, dV `[N, d]` from those of the gathered rows, `[S, d]`, both with their tolerances. */
export function joinGatheredGradients(
  gathered: { q: GradientRow; k: GradientRow; v: GradientRow },
  geometry: LighthouseGeometry,
  { selection, dtype, flushes }: { selection: Int32Array; dtype: DType; flushes?: boolean },
): { q: GradientRow; k: GradientRow; v: GradientRow } {
  const scatter = (rows: Float64Array) => scatterGradientReference(rows, selection, geometry);
  const finish = (row: GradientRow): GradientRow => {
    const gradient = scatter(row.gradient);
    const carried = scatter(row.tolerance);
    const sizes = scatter(row.gradient.map(Math.abs));
    const tolerance = gradient.map((value, i) =>
      carried[i] + geometry.levels * 2 ** -24 * (sizes[i] + carried[i]) +
      storageRounding(dtype, value, { flushes })
    );
    return { gradient, tolerance };
  };
  return { q: finish(gathered.q), k: finish(gathered.k), v: finish(gathered.v) };
}
