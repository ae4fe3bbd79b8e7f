/**
 * FLOP and byte formulas of dense causal attention (specification, section 8).
 *
 * @module
 */
import { bytesPerElement, type DType } from "../gpu/buffers.ts";
import { kvHeadsOf } from "../key_heads.ts";

/** Dimensions of one attention problem; `rows` is N, or S for gathered rows. */
export interface DenseSize {
  readonly heads: number;
  /** Heads of keys and values. Default: `heads`. */
  readonly kvHeads?: number;
  readonly rows: number;
  readonly headDim: number;
}

/** Forward FLOP: 2·N²·d·H, the causal half of two N×N×d products. */
export function denseForwardFlops({ heads, rows, headDim }: DenseSize): number {
  return 2 * rows * rows * headDim * heads;
}

/** Minimum bytes of the forward pass: Q, K, V read once, O written once. */
export function denseForwardBytes(size: DenseSize & { dtype: DType }): number {
  const heads = 2 * size.heads + 2 * kvHeadsOf(size);
  return heads * size.rows * size.headDim * bytesPerElement(size.dtype);
}

/** Backward FLOP: 2.5 times the forward's, five causal products. Recomputed scores do not count. */
export function denseBackwardFlops(size: DenseSize): number {
  return 2.5 * denseForwardFlops(size);
}

/**
 * Minimum bytes of the backward pass: Q, K, V, O, dO and two statistics read, dQ, dK, dV written.
 *
 * @param size `gradientType`: type of dO, dQ, dK and dV. Default: `dtype`.
 */
export function denseBackwardBytes(
  size: DenseSize & { dtype: DType; gradientType?: DType },
): number {
  const { heads, rows, headDim, dtype, gradientType = dtype } = size;
  const kvHeads = kvHeadsOf(size);
  // Q and O; K and V; dO and dQ; dK and dV.
  const bytes = (2 * heads + 2 * kvHeads) *
    (bytesPerElement(dtype) + bytesPerElement(gradientType));
  return rows * headDim * bytes + 2 * 4 * heads * rows;
}
