/**
 * When dense causal attention runs on subgroup matrices (tensor cores on NVIDIA, matrix units
 * elsewhere), and how it is tiled there. `dense_attention.ts` says what is computed and plans both
 * kernels; `dense_matrix_codegen.ts` writes this one.
 *
 * Shapes and results are those of the portable kernel; f16 storage only, d = 64 or 128, 16 rows at
 * least.
 *
 * Numerics: products of f16 with f32 accumulation. Softmax weights are rounded to f16 before the
 * second product, which the portable kernel does not do: each weight is off by half a unit in the
 * last place of f16 more.
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";
import type { Capabilities } from "../gpu/device.ts";
import { matrixBackwardBytes, type MatrixBackwardTiling } from "./dense_matrix_backward_codegen.ts";
import { type MatrixTiling, matrixWorkgroupBytes } from "./dense_matrix_codegen.ts";

/** Head dimensions that the kernel supports. */
export const MATRIX_HEAD_DIMS: readonly number[] = [64, 128];

/** Rows of one matrix: shorter sequences have no place in it. */
const MATRIX_ROWS = 16;

/**
 * Which kernels run on matrix units without being asked to. The others compile everywhere and have
 * tests, but no device with matrix units has run these yet: `kernel: "matrix"` asks for them.
 */
export const MATRIX_BY_DEFAULT = { rows: true, "squared-norms": false, backward: false } as const;

/** The declared space: every tiling that is ever chosen, the widest first. */
export const MATRIX_TILINGS: readonly MatrixTiling[] = [
  { subgroups: 8, blocks: 2, tileColumns: 64, stages: 1, scratches: 1, ahead: 0 },
  { subgroups: 8, blocks: 2, tileColumns: 64, stages: 1, scratches: 1, ahead: 1 },
  { subgroups: 8, blocks: 2, tileColumns: 32, stages: 1, scratches: 2, ahead: 1 },
  { subgroups: 8, blocks: 2, tileColumns: 32, stages: 2, scratches: 1, ahead: 0 },
  { subgroups: 8, blocks: 2, tileColumns: 32, stages: 2, scratches: 1, ahead: 1 },
  { subgroups: 8, blocks: 2, tileColumns: 16, stages: 2, scratches: 2, ahead: 0 },
  { subgroups: 4, blocks: 2, tileColumns: 64, stages: 1, scratches: 1, ahead: 0 },
  { subgroups: 4, blocks: 2, tileColumns: 64, stages: 1, scratches: 2, ahead: 0 },
  { subgroups: 4, blocks: 2, tileColumns: 64, stages: 1, scratches: 2, ahead: 1 },
  { subgroups: 4, blocks: 2, tileColumns: 32, stages: 2, scratches: 1, ahead: 0 },
  { subgroups: 4, blocks: 2, tileColumns: 32, stages: 2, scratches: 2, ahead: 0 },
  { subgroups: 4, blocks: 2, tileColumns: 32, stages: 2, scratches: 2, ahead: 1 },
  { subgroups: 8, blocks: 1, tileColumns: 64, stages: 1, scratches: 1, ahead: 0 },
  { subgroups: 8, blocks: 1, tileColumns: 32, stages: 2, scratches: 1, ahead: 1 },
  { subgroups: 4, blocks: 1, tileColumns: 32, stages: 1, scratches: 1, ahead: 0 },
];

/**
 * Why the device cannot run the kernel; undefined when it can. The configuration is read from the
 * device's own table: f16 × f16 → f32 at 16 × 16 × 16, in subgroups of 32.
 */
export function whyNoMatrixUnits(capabilities: Capabilities): string | undefined {
  const { subgroupMatrix, subgroupMinSize, subgroupMaxSize } = capabilities;
  if (subgroupMatrix.length === 0) return "the device has no subgroup matrices";
  const found = subgroupMatrix.some((c) =>
    c.componentType === "f16" && c.resultComponentType === "f32" &&
    c.M === MATRIX_ROWS && c.N === MATRIX_ROWS && c.K === MATRIX_ROWS
  );
  if (!found) return "the device has no f16 × f16 → f32 subgroup matrices of 16 × 16 × 16";
  if (subgroupMinSize !== 32 || subgroupMaxSize !== 32) {
    return `subgroups of ${subgroupMinSize} to ${subgroupMaxSize} threads are not of 32`;
  }
  return undefined;
}

/** Why matrix units cannot take this sequence on this device; undefined when they can. */
export function whyNotOnMatrixUnits(
  capabilities: Capabilities,
  shape: { readonly rows: number; readonly headDim: number; readonly dtype: DType },
): string | undefined {
  const { rows, headDim, dtype } = shape;
  const missing = whyNoMatrixUnits(capabilities);
  if (missing) return missing;
  if (dtype !== "f16") return `storage ${dtype} is not f16`;
  if (!MATRIX_HEAD_DIMS.includes(headDim)) {
    return `head dimension ${headDim} is not one of ${MATRIX_HEAD_DIMS.join(", ")}`;
  }
  if (rows < MATRIX_ROWS) return `${rows} rows are fewer than a matrix has, ${MATRIX_ROWS}`;
  if (!MATRIX_TILINGS.some((tiling) => matrixFits(capabilities, tiling, headDim))) {
    return `no tiling fits ${capabilities.maxWorkgroupBytes} bytes of workgroup memory`;
  }
  return undefined;
}

/** Whether a device has the workgroup memory and threads for a tiling, forward or backward. */
export function matrixFits(
  { maxWorkgroupBytes, maxInvocations }: Capabilities,
  tiling: MatrixTiling | MatrixBackwardTiling,
  headDim: number,
): boolean {
  const bytes = "blocks" in tiling
    ? matrixWorkgroupBytes(tiling, headDim)
    : matrixBackwardBytes(tiling, headDim);
  return bytes <= maxWorkgroupBytes && 32 * tiling.subgroups <= maxInvocations;
}

/**
 * The name of a tiling in results: subgroups / keys of a tile / blocks of rows / stages / scratches /
 * steps ahead.
 */
export function matrixTilingName(tiling: MatrixTiling): string {
  const { subgroups, tileColumns, blocks, stages, scratches, ahead } = tiling;
  return [subgroups, tileColumns, blocks, stages, scratches, ahead].join("/");
}

/**
 * The tiling for a sequence. Short ones want more, smaller workgroups; long ones more reuse of each
 * staged key. Measured on an H100: `TUNING.md`.
 *
 * @throws {RangeError} when none fits the device.
 */
export function chooseMatrixTiling(
  capabilities: Capabilities,
  { rows, headDim }: { rows: number; headDim: number },
): MatrixTiling {
  const found = MATRIX_TILINGS.filter((tiling) => matrixFits(capabilities, tiling, headDim));
  if (found.length === 0) {
    throw new RangeError(
      `choose a tiling of matrix units: none fits ${capabilities.maxWorkgroupBytes} bytes`,
    );
  }
  // Up to here an H100 has too few workgroups of the widest tiling.
  const narrow = rows <= 6144 ? found.find(({ blocks }) => blocks === 1) : undefined;
  return narrow ?? found[0];
}

/** Tilings of the two backward passes. */
export interface MatrixBackwardTilings {
  /** Of the pass that gives dQ. */
  readonly query: MatrixBackwardTiling;
  /** Of the pass that gives dK and dV. */
  readonly keyValue: MatrixBackwardTiling;
}

/** The declared space of each backward pass, the widest first. */
export const MATRIX_BACKWARD_TILINGS: readonly MatrixBackwardTiling[] = [
  { subgroups: 8, tileColumns: 32, stages: 1, ahead: 0 },
  { subgroups: 8, tileColumns: 32, stages: 1, ahead: 1 },
  { subgroups: 8, tileColumns: 16, stages: 2, ahead: 0 },
  { subgroups: 4, tileColumns: 64, stages: 1, ahead: 0 },
  { subgroups: 4, tileColumns: 32, stages: 2, ahead: 0 },
  { subgroups: 4, tileColumns: 32, stages: 2, ahead: 1 },
  { subgroups: 4, tileColumns: 32, stages: 1, ahead: 0 },
  { subgroups: 4, tileColumns: 16, stages: 1, ahead: 0 },
];

/** Why matrix units cannot take the backward passes; undefined when they can. */
export function whyNoMatrixBackward(
  capabilities: Capabilities,
  shape: { readonly rows: number; readonly headDim: number; readonly dtype: DType },
): string | undefined {
  const unfit = whyNotOnMatrixUnits(capabilities, shape);
  if (unfit) return unfit;
  return MATRIX_BACKWARD_TILINGS.some((tiling) => matrixFits(capabilities, tiling, shape.headDim))
    ? undefined
    : `no tiling fits ${capabilities.maxWorkgroupBytes} bytes of workgroup memory`;
}

/**
 * Tilings of the backward passes. Measured on an H100: `TUNING.md`.
 *
 * @throws {RangeError} when none fits the device.
 */
export function chooseMatrixBackward(
  capabilities: Capabilities,
  headDim: number,
): MatrixBackwardTilings {
  const widest = MATRIX_BACKWARD_TILINGS.find((tiling) =>
    matrixFits(capabilities, tiling, headDim)
  );
  if (!widest) {
    throw new RangeError(
      `choose tilings of matrix units, backward: none fits ${capabilities.maxWorkgroupBytes} bytes`,
    );
  }
  return { query: widest, keyValue: widest };
}
