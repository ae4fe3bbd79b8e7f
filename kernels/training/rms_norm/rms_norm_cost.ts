/**
 * Least bytes of RMSNorm; its FLOP are not counted, as memory bounds it.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import type { RmsNormOptions } from "./rms_norm.ts";

/** x read, y and r written. */
export function rmsNormBytes({ rows, columns, dtype }: RmsNormOptions): number {
  return rows * columns * (4 + bytesPerElement(dtype)) + rows * 4 + columns * 4;
}

/** x, dy, dx and r read, dx and its copy written. */
export function rmsNormBackwardBytes({ rows, columns, dtype }: RmsNormOptions): number {
  return rows * columns * (4 * 4 + bytesPerElement(dtype)) + rows * 4 + 2 * columns * 4;
}
