/**
 * FLOP and byte formulas of matrix products.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import type { ProductOptions } from "./types.ts";

/** Sizes of a product. */
export type ProductSize = Pick<ProductOptions, "rows" | "columns" | "depth">;

/** A multiplication and an addition for each of rows × columns × depth. */
export function productFlops({ rows, columns, depth }: ProductSize): number {
  return 2 * rows * columns * depth;
}

/** Least bytes: both factors and what the epilogue adds read once, results written once. */
export function productBytes(options: ProductSize & Pick<ProductOptions, "dtype" | "result">) {
  const { rows, columns, depth, dtype, result } = options;
  const size = bytesPerElement(dtype);
  const stored = {
    store: result.kind === "store" ? bytesPerElement(result.dtype) : 0,
    rope: size,
    residual: 4 + 4,
    swiglu: 1.5 * size,
    accumulate: 4 + 4,
  }[result.kind];
  return (rows + columns) * depth * size + rows * columns * stored;
}
