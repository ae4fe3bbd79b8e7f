/**
 * FLOP and byte formulas of dense causal attention (specification, section 8).
 *
 * @module
 */
import { bytesPerElement, type DType } from "../gpu/buffers.ts";

/** Dimensions of one attention problem; `rows` is N, or S for gathered rows. */
export interface DenseSize {
  readonly heads: number;
  readonly rows: number;
  readonly headDim: number;
}

/** Forward FLOP: 2·N²·d·H, the causal half of two N×N×d products. */
export function denseForwardFlops({ heads, rows, headDim }: DenseSize): number {
  return 2 * rows * rows * headDim * heads;
}

/** Least bytes of the forward pass: Q, K, V read once, O written once. */
export function denseForwardBytes(size: DenseSize & { dtype: DType }): number {
  return 4 * size.heads * size.rows * size.headDim * bytesPerElement(size.dtype);
}
