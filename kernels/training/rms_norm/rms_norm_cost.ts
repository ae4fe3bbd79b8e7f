/**
 * Least bytes of RMSNorm; its FLOP are not counted, as memory bounds it.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import type { RmsNormOptions } from "./rms_norm.ts";
import type { RmsNormBackwardOptions } from "./rms_norm_backward.ts";

/** x read, y and r written. */
export function rmsNormBytes({ rows, columns, dtype }: RmsNormOptions): number {
  return rows * columns * (4 + bytesPerElement(dtype)) + rows * 4 + columns * 4;
}

/** x, dy, dx and r read, dx and its copy written, and y where it is made again. */
export function rmsNormBackwardBytes(
  { rows, columns, dtype, remakes = false }: RmsNormBackwardOptions,
): number {
  const stored = (remakes ? 2 : 1) * bytesPerElement(dtype);
  return rows * columns * (4 * 4 + stored) + rows * 4 + 2 * columns * 4;
}
