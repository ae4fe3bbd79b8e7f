/**
 * A Lighthouse layer in float64 for a given selection, and how far a kernel may be from it.
 *
 * The tolerance follows the row through the layer. Pooled rows of seeded inputs are exact in f32:
 * elements are multiples of 2^-15 below 4, so sums of up to 128 of them fit 24 bits, and the window
 * is a power of two. They are rounded to storage once, which the reference does too. Attention over
 * the gathered rows has the tolerance of dense attention, derived there. Scatter adds up to L such
 * rows: their tolerances add, plus one f32 rounding for each addition and one of storage.
 *
 * In f16 WGSL lets a device flush subnormals (below 2^-14) to zero. What that can change is
 * computed, by a second reference that flushes them, and added.
 *
 * @module
 */
import {
  denseAttentionReference,
  storageRounding,
} from "../../kernels/dense_attention/dense_attention_reference.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import {
  gatherReference,
  poolReference,
  scatterReference,
} from "../../kernels/lighthouse/lighthouse_reference.ts";

/** Rows under one coarsest entry up to which seeded inputs pool exactly in f32. */
export const EXACT_WINDOW_ROWS = 128;

const UNIT = 2 ** -24;
const SMALLEST_NORMAL = 2 ** -14;

/** One head of a layer. */
export interface LayerReference {
  /** `[N, d]`. */
  readonly output: Float64Array;
  readonly tolerance: Float64Array;
  /** `[S]`. */
  readonly lse: Float64Array;
  readonly lseTolerance: Float64Array;
  /** Σ |Õ| over the rows that a base row adds up, `[N, d]`. */
  readonly magnitude: Float64Array;
}

/**
 * One head of the layer on stored inputs `[N, d]`.
 *
 * @throws {RangeError} when windows are too long for pooled rows to be exact.
 */
export function layerReference(
  inputs: { readonly q: Float64Array; readonly k: Float64Array; readonly v: Float64Array },
  options: {
    geometry: LighthouseGeometry;
    selection: Int32Array;
    headDim: number;
    dtype: DType;
  },
): LayerReference {
  const { geometry, selection, headDim, dtype } = options;
  const { windowRows, context, levels } = geometry;
  if (windowRows > EXACT_WINDOW_ROWS) {
    throw new RangeError(
      `reference: windows of ${windowRows} rows exceed the ${EXACT_WINDOW_ROWS} that pool exactly`,
    );
  }
  const store = dtype === "f16" ? Math.f16round : Math.fround;
  const gather = (rows: ArrayLike<number>) =>
    gatherReference(selection, {
      rows,
      pooled: poolReference(rows, geometry, headDim).map(store),
      context,
      headDim,
    });
  const gathered = { q: gather(inputs.q), k: gather(inputs.k), v: gather(inputs.v), headDim };
  const attended = denseAttentionReference(gathered, { dtype });
  const { lse } = attended;
  let tolerance = attended.tolerance;
  let lseTolerance = attended.lseTolerance;
  if (dtype === "f16" && [gathered.q, gathered.k, gathered.v].some((rows) => rows.some(isSmall))) {
    const flush = (rows: Float64Array) => rows.map((x) => isSmall(x) ? 0 : x);
    const flushed = denseAttentionReference({
      q: flush(gathered.q),
      k: flush(gathered.k),
      v: flush(gathered.v),
      headDim,
    }, { dtype });
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
      // A row that nothing covers is exactly zero.
      magnitude[i] === 0
        ? 0
        : x + (levels - 1) * UNIT * magnitude[i] + storageRounding(dtype, output[i]) +
          flushing(output[i])
    ),
    lse,
    lseTolerance,
    magnitude,
  };
}

function isSmall(x: number): boolean {
  return x !== 0 && Math.abs(x) < SMALLEST_NORMAL;
}
