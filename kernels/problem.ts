/**
 * The problem that an implementation of an attention layer computes: its shape, options and
 * direction.
 *
 * @module
 */
import type { DType } from "./gpu/buffers.ts";

/**
 * Shape of one attention layer: Q and the output are `[heads, context, headDim]`, K and V
 * `[kvHeads, context, headDim]`.
 */
export interface AttentionShape {
  /** H. */
  readonly heads: number;
  /**
   * Hkv, heads of K and V; divides H. Query head h reads key head ⌊h / (H / Hkv)⌋. Default: H; a
   * layer with as many key heads as heads leaves it out.
   */
  readonly kvHeads?: number;
  /** N. */
  readonly context: number;
  /** d. */
  readonly headDim: number;
  /** Type that Q, K, V and the results are stored in. */
  readonly dtype: DType;
}

/** Options of a layer by name, for example `{ levels: 3, pooling: 4, k: 1536 }`. */
export type LayerOptions = Readonly<Record<string, number | undefined>>;

/** Options of a Lighthouse layer (specification, sections 1 to 4). */
export type LighthouseOptions = {
  /** L, at least 2. */
  readonly levels: number;
  /** p, a power of two, at least 2. */
  readonly pooling: number;
  /** k, a multiple of 128. */
  readonly k: number;
  /** δ of scorers that work in residue classes; divides N. */
  readonly dilation?: number;
};

/** Rows `first … end - 1`. */
export interface RowSpan {
  /** The first row. */
  readonly first: number;
  /** One past the last row. */
  readonly end: number;
}

/** What is computed and timed: the layer, its gradients, or both together. */
export type Direction = "forward" | "backward" | "forward-backward";

/** All directions. */
export const DIRECTIONS = [
  "forward",
  "backward",
  "forward-backward",
] as const satisfies readonly Direction[];

/** The problem to compute. */
export interface Problem {
  /** Sizes of the layer. */
  readonly shape: AttentionShape;
  /** Default `forward`. `backward` runs the forward pass once, untimed, when it is prepared. */
  readonly direction?: Direction;
  /** Values of the implementation's options; absent if it has none. */
  readonly options?: LayerOptions;
}
