/**
 * Options, buffers and variants of dense attention. `dense_attention.ts` documents the computation.
 *
 * @module
 */
import type { BufferSlice, DType } from "../gpu/buffers.ts";
import type { PipelineSource } from "../gpu/pipeline.ts";
import type { TileRange } from "./portable/tile_ranges.ts";
import type { TileWalk, WalkTile } from "./tile_walk.ts";
import type { BackwardTilings, MatrixBackwardTilings, MatrixTiling, Tiling } from "./tilings.ts";

/** Head dimensions that the kernel supports. */
export const HEAD_DIMS: readonly number[] = [32, 64, 96, 128];

/** The two kernel variants: for any device, or for matrix units. */
export type DenseKernel = "portable" | "matrix";

/** What the kernel writes for each output row. */
export type DenseResult = "rows" | "squared-norms";

/** What the forward kernel reads and writes. */
export interface DenseVariant {
  readonly result: DenseResult;
  /** Distance between consecutive rows of a sequence in the tensors: δ for residue classes. */
  readonly rowStride: number;
  /** Type of the output's rows. Default: that of the tensors. */
  readonly outputType?: DType;
}

/** Dense attention of whole heads. */
export const WHOLE_ROWS: DenseVariant = { result: "rows", rowStride: 1 };

/** What to plan for: one block of heads. */
export interface DenseAttentionOptions {
  /** Heads in one binding. */
  readonly heads: number;
  /** Heads of K, V, dK and dV in one binding; divides `heads`. Default: `heads`. */
  readonly kvHeads?: number;
  /** N, any whole number from 1. */
  readonly rows: number;
  /** d, one of {@linkcode HEAD_DIMS}. */
  readonly headDim: number;
  /** Type that tensors are stored in. */
  readonly dtype: DType;
  /** Softmax scale. Default 1/√d. */
  readonly scale?: number;
  /** Maximum FLOP of one dispatch; longer work is split by query range. Default: never split. */
  readonly flopsPerDispatch?: number;
  /**
   * `matrix`: on matrix units, for f16 and d = 64 or 128; `portable`: on any device. Default:
   * matrix units if the device and the shape allow them. Results agree within rounding.
   */
  readonly kernel?: DenseKernel;
  /**
   * Tiling of the portable kernel; setting it selects that kernel. Default: the measured tiling,
   * else one chosen for the adapter.
   */
  readonly tiling?: Tiling;
  /**
   * Tiling of the kernel on matrix units; setting it selects that kernel. Default: the measured
   * tiling, else one chosen for the shape.
   */
  readonly matrixTiling?: MatrixTiling;
  /** A sparse pattern over tiles, in place of all keys up to the diagonal. Default: dense. */
  readonly walk?: TileWalk;
}

/** What to plan for: one block of heads. */
export interface DenseBackwardOptions
  extends Omit<DenseAttentionOptions, "tiling" | "matrixTiling"> {
  /**
   * Storage of dO, dQ, dK and dV. May be f32 where everything else is f16, for gradients that are
   * summed or divided further and may not fit f16 themselves. Default: `dtype`.
   */
  readonly gradientType?: DType;
  /**
   * Tilings of the portable kernels; setting them selects those kernels. Default: the measured
   * tilings, else chosen for the adapter.
   */
  readonly tilings?: BackwardTilings;
  /**
   * Tilings of the kernels on matrix units; setting them selects those kernels. Default: the
   * measured tilings, else chosen for the shape.
   */
  readonly matrixTilings?: MatrixBackwardTilings;
}

/** Everything about the launch that is known without a device. */
export interface DenseAttentionPlan extends DenseAttentionOptions {
  /** Softmax scale. */
  readonly scale: number;
  /** Which of the two variants. */
  readonly kernel: DenseKernel;
  /** Type of the output's rows. Default: `dtype`. */
  readonly outputType?: DType;
  /** The kernel and its tiling, in a few words. */
  readonly variant: string;
  /** The part of the tiling that a walk uses. */
  readonly tile: WalkTile;
  /** The shader to compile. */
  readonly pipeline: PipelineSource;
  /** Query-tile ranges, one per dispatch, heaviest first. */
  readonly ranges: readonly TileRange[];
  /** Bytes of workgroup memory. */
  readonly workgroupBytes: number;
  /** FLOP of all ranges together. */
  readonly flops: number;
  /** Minimum bytes that must move. */
  readonly bytes: number;
}

/** The bindings of one block of heads. */
export interface DenseAttentionBuffers {
  /** `[heads, N, d]`. */
  readonly q: BufferSlice;
  /** `[kvHeads, N, d]`. */
  readonly k: BufferSlice;
  /** `[kvHeads, N, d]`. */
  readonly v: BufferSlice;
  /** `[heads, N, d]`, written. */
  readonly o: BufferSlice;
  /** `[heads, N]` f32, written. */
  readonly lse: BufferSlice;
  /** With a walk: the layer's head that is the first of the block. Default 0. */
  readonly firstHead?: number;
}

/** The bindings of one block of heads. */
export interface DenseBackwardBuffers {
  /** `[heads, N, d]`. */
  readonly q: BufferSlice;
  /** `[kvHeads, N, d]`. */
  readonly k: BufferSlice;
  /** `[kvHeads, N, d]`. */
  readonly v: BufferSlice;
  /** `[heads, N, d]`, from the forward kernel. */
  readonly o: BufferSlice;
  /**
   * `[heads, N, d]`. On matrix units only the first pass reads an f32 dO: it may then share the
   * buffer of `queryGradient`, which overwrites it.
   */
  readonly outputGradient: BufferSlice;
  /** `[heads, N]` f32, from the forward kernel. */
  readonly lse: BufferSlice;
  /** `[heads, N]` f32, scratch: written by the first pass. */
  readonly delta: BufferSlice;
  /** `[heads, N, d]`, written. */
  readonly queryGradient: BufferSlice;
  /** `[kvHeads, N, d]`, written. */
  readonly keyGradient: BufferSlice;
  /** `[kvHeads, N, d]`, written. */
  readonly valueGradient: BufferSlice;
  /** With a walk: the layer's head that is the first of the block. Default 0. */
  readonly firstHead?: number;
}
