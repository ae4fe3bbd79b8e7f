/**
 * What matrix products are planned for and bound to. `matrix_product.ts` says what is computed.
 *
 * @module
 */
import type { BufferSlice, DType } from "../../gpu/buffers.ts";
import type { PipelineSource } from "../../gpu/pipeline.ts";
import type { MatrixProductTiling, PortableProductTiling } from "./product_tilings.ts";

/**
 * Which factors are stored transposed, as BLAS calls it. `NT`: left `[rows, depth]`, right
 * `[columns, depth]` (a layer's output). `NN`: right `[depth, columns]` (the gradient of its
 * input). `TN`: left `[depth, rows]`, right `[depth, columns]` (the gradient of its weights).
 */
export type ProductForm = "NT" | "NN" | "TN";

/** All forms. */
export const PRODUCT_FORMS: readonly ProductForm[] = ["NT", "NN", "TN"];

/**
 * A matrix of tokens that is stored by heads: `[parts, sequences, heads, context, headDim]` stands
 * for `[sequences * context, parts * heads * headDim]`. Q, K and V are three parts of one matrix.
 */
export interface HeadLayout {
  /** Tensors side by side: 3 for Q, K and V, 1 for the output of attention. */
  readonly parts: number;
  /** B. */
  readonly sequences: number;
  /** H of one part. */
  readonly heads: number;
  /** N. */
  readonly context: number;
  /** d, a multiple of 8. */
  readonly headDim: number;
  /** Elements from one part to the next; a multiple of 8. Default: a part's own. */
  readonly partStride?: number;
}

/**
 * What is done with the sums before they are stored:
 *
 * - `store`: nothing; as f32 or f16, by rows or by heads.
 * - `rope`: all parts but the last are rotated by position (`rope/rope.ts`), and stored by heads.
 * - `residual`: an f32 matrix of the same shape is added, the result is f32.
 * - `swiglu`: columns are gates and values in turn, `g0 v0 g1 v1 …`; they are stored as they are,
 *   and `silu(g)·v` of the stored ones, half as wide, beside them.
 * - `accumulate`: f32, added to what the result holds.
 */
export type ProductResult =
  | { readonly kind: "store"; readonly dtype: DType; readonly heads?: HeadLayout }
  | { readonly kind: "rope"; readonly heads: HeadLayout }
  | { readonly kind: "residual" }
  | { readonly kind: "swiglu" }
  | { readonly kind: "accumulate" };

/** What to plan for. Sizes that lie side by side in memory are multiples of 8. */
export interface ProductOptions {
  /** Which factors are stored transposed. */
  readonly form: ProductForm;
  /** Rows of the result. */
  readonly rows: number;
  /** Columns of the result. */
  readonly columns: number;
  /** Products in one sum. */
  readonly depth: number;
  /** Storage of both factors, and of results where the epilogue does not say. */
  readonly dtype: DType;
  /** How the left factor is stored, where not by rows. */
  readonly leftHeads?: HeadLayout;
  /** The same of the right factor; only in form `TN`, where it holds tokens. */
  readonly rightHeads?: HeadLayout;
  /** The epilogue. */
  readonly result: ProductResult;
  /**
   * `matrix`: on matrix units, f16 alone. Default: on matrix units where device and sizes allow.
   */
  readonly kernel?: "portable" | "matrix";
  /** Tiling of the portable kernel, which it selects. */
  readonly tiling?: PortableProductTiling;
  /** Tiling of the kernel on matrix units, which it selects. */
  readonly matrixTiling?: MatrixProductTiling;
  /**
   * Parts that the depth of an `accumulate`, or of an f32 `store` by rows, is cut into; each is
   * summed apart, then all in order. Default: as many as keep a GPU busy, of a `store` where it is
   * long.
   */
  readonly slices?: number;
}

/** Fields of the uniform: sizes, and the distance of parts in 16-byte or 8-byte vectors. */
export const PRODUCT_PARAMS = {
  rows: "u32",
  columns: "u32",
  depth: "u32",
  sliceDepth: "u32",
  context: "u32",
  leftPart: "u32",
  rightPart: "u32",
  resultPart: "u32",
} as const;

/** Everything about the launch that can be known without a device. */
export interface ProductPlan extends ProductOptions {
  /** Which of the two variants. */
  readonly kernel: "portable" | "matrix";
  /** The kernel and its tiling, in a few words. */
  readonly variant: string;
  /** What will be compiled. */
  readonly pipeline: PipelineSource;
  /** Values of the uniform's fields. */
  readonly params: Readonly<Record<keyof typeof PRODUCT_PARAMS, number>>;
  /** How many workgroups run, slices in z. */
  readonly workgroups: readonly [number, number, number];
  /** Parts that the depth is cut into. */
  readonly slices: number;
  /** Bytes of the buffer of partial sums; 0 for one slice. */
  readonly partialBytes: number;
  /** Bytes of workgroup memory. */
  readonly workgroupBytes: number;
  /** Least bytes of each buffer. */
  readonly bufferBytes: Readonly<Partial<Record<keyof ProductBuffers, number>>>;
  /** FLOP. */
  readonly flops: number;
  /** Least bytes that must move. */
  readonly bytes: number;
}

/** The bindings. */
export interface ProductBuffers {
  /** The left factor. */
  readonly left: BufferSlice;
  /** The right factor. */
  readonly right: BufferSlice;
  /** Written; `accumulate` adds to it. */
  readonly result: BufferSlice;
  /** `rope`: cosines and sines, f32 `[N, d/2, 2]`. */
  readonly table?: BufferSlice;
  /** `residual`: f32 `[rows, columns]`, added; not the result itself. */
  readonly residual?: BufferSlice;
  /** `swiglu`: `[rows, columns / 2]`, written. */
  readonly activation?: BufferSlice;
  /** Partial sums of slices, scratch that products may share. */
  readonly partials?: BufferSlice;
}
