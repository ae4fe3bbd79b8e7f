/**
 * Checks the options of dense attention in either direction.
 *
 * @module
 */
import { headsPerBlock } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  requireDType,
  requirePositive,
  requireRecord,
  requireWhole,
  show,
} from "../gpu/require.ts";
import { requireKeyHeads } from "../key_heads.ts";
import { type DenseAttentionOptions, HEAD_DIMS } from "./types.ts";

/** Softmax scales for which masked scores have no effect and no score overflows. */
const SCALES = { least: 2 ** -32, most: 2 ** 32 } as const;

const KERNELS: readonly unknown[] = ["matrix", "portable"];

/**
 * Checks options that forward and backward kernels share.
 *
 * @throws {TypeError} when the element type or the kernel is unknown.
 * @throws {RangeError} naming the value and the limit.
 */
export function requireDenseOptions(
  action: string,
  gpu: Pick<Gpu, "capabilities">,
  options: Pick<
    DenseAttentionOptions,
    "heads" | "kvHeads" | "rows" | "headDim" | "dtype" | "scale" | "flopsPerDispatch" | "kernel"
  >,
): void {
  requireRecord(action, "the options", options);
  const { heads, rows, headDim, dtype, scale = 1, kernel = "portable" } = options;
  requireWhole(action, "heads", heads);
  requireKeyHeads(action, options);
  requireWhole(action, "rows", rows);
  requireDType(action, dtype);
  if (!HEAD_DIMS.includes(headDim)) {
    throw new RangeError(
      `${action}: head dimension ${show(headDim)} is not one of ${HEAD_DIMS.join(", ")}`,
    );
  }
  // This also keeps the number of tiles below exactly representable.
  headsPerBlock(gpu, [{ heads, rows, dim: headDim, dtype }]);
  if (typeof scale !== "number" || !(scale >= SCALES.least && scale <= SCALES.most)) {
    throw new RangeError(
      `${action}: scale ${show(scale)} is not a number from ${SCALES.least} to ${SCALES.most}`,
    );
  }
  requirePositive(action, "flopsPerDispatch", options.flopsPerDispatch);
  if (!KERNELS.includes(kernel)) {
    throw new TypeError(`${action}: kernel ${show(kernel)} is not one of ${KERNELS.join(", ")}`);
  }
}
