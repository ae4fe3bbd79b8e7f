/**
 * Decides when dense causal attention runs on subgroup matrices (tensor cores on NVIDIA, matrix
 * units elsewhere), and with which tiling. `dense_attention.ts` documents the computation;
 * `dense_matrix_codegen.ts` generates the shader.
 *
 * Shapes and results are those of the portable kernel; f16 storage only, d = 64 or 128, at least 16
 * rows.
 *
 * Numerics: f16 products with f32 accumulation. Softmax weights are rounded to f16 before the
 * second product, unlike in the portable kernel: that adds an error of half a unit in the last
 * place of f16 to each weight.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import type { Capabilities, SubgroupMatrixConfig } from "../../gpu/device.ts";
import {
  MATRIX_BACKWARD_TILINGS,
  MATRIX_TILINGS,
  type MatrixBackwardPass,
  type MatrixBackwardTiling,
  type MatrixBackwardTilings,
  type MatrixTiling,
} from "../tilings.ts";
import type { TileWalk } from "../tile_walk.ts";
import {
  MATRIX_ROWS,
  matrixBackwardBytes,
  matrixTileRows,
  matrixWorkgroupBytes,
  whyFewRows,
} from "./matrix_layout.ts";
import { showBytes, showExcess } from "../../gpu/bytes.ts";
import { groupOf } from "../../key_heads.ts";
import { headsText } from "./matrix_schedule.ts";

/** Head dimensions that the kernel supports. */
export const MATRIX_HEAD_DIMS: readonly number[] = [64, 128];

/** Whether a configuration is f16 × f16 → f32 with 16 rows and this many columns. */
function isConfig(config: SubgroupMatrixConfig, columns: number): boolean {
  const { componentType, resultComponentType, M, N, K } = config;
  return componentType === "f16" && resultComponentType === "f32" &&
    M === MATRIX_ROWS && N === columns && K === MATRIX_ROWS;
}

/**
 * Why the device cannot run the kernel; undefined when it can. The configuration is read from the
 * device's own table: f16 × f16 → f32 at 16 × 16 × 16, in subgroups of 32.
 */
export function whyNoMatrixUnits(capabilities: Capabilities): string | undefined {
  const { subgroupMatrix, subgroupMinSize, subgroupMaxSize } = capabilities;
  if (subgroupMatrix.length === 0) return "the device has no subgroup matrices";
  const found = subgroupMatrix.some((config) => isConfig(config, MATRIX_ROWS));
  if (!found) return "the device has no f16 × f16 → f32 subgroup matrices of 16 × 16 × 16";
  if (subgroupMinSize !== 32 || subgroupMaxSize !== 32) {
    return `subgroups have ${subgroupMinSize} to ${subgroupMaxSize} threads, not 32`;
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
  const few = whyFewRows(rows);
  if (few) return few;
  if (
    !MATRIX_TILINGS.some((tiling) => matrixFits(capabilities, { pass: "forward", tiling, headDim }))
  ) {
    return `no tiling fits ${showBytes(capabilities.maxWorkgroupBytes)} of workgroup memory`;
  }
  return undefined;
}

/**
 * Registers of a multiprocessor, for each of the 32 lanes of a subgroup; a lane has at most 255.
 */
const ALL_REGISTERS = 2048;

/** Subgroups that can use all of them. */
const WIDE_SUBGROUPS = 8;

/**
 * Registers of a lane for places, statistics, rows in flight and operands from workgroup memory.
 */
const OTHER_REGISTERS = 40;

/** Whether the registers of NVIDIA's devices hold what a tiling keeps in them; else it spills. */
function fitsRegisters({ pass, tiling }: MatrixPassTiling, headDim: number): boolean {
  const { subgroups, blocks, tileColumns, step = 16 } = tiling;
  const own = pass === "forward"
    ? blocks * (0.75 * headDim + step / 2) // Q and O, and the scores of a step
    : pass === "query"
    ? blocks * (0.5 * headDim + tileColumns / 4) // dQ, and dS of a tile
    : blocks * 1.5 * headDim + 16; // K, V, dK and dV, and the scores of a block
  return own + OTHER_REGISTERS <= ALL_REGISTERS / Math.max(WIDE_SUBGROUPS, subgroups);
}

/**
 * Whether a device has the matrices, the workgroup memory and the threads for a tiling of a pass.
 */
export function matrixFits(
  { maxWorkgroupBytes, maxInvocations, subgroupMatrix }: Capabilities,
  { headDim, ...own }: MatrixPassTiling & { readonly headDim: number },
): boolean {
  const { pass, tiling } = own;
  if (
    "columns" in tiling && tiling.columns === 8 &&
    !subgroupMatrix.some((config) => isConfig(config, 8))
  ) return false;
  if (!fitsRegisters(own, headDim)) return false;
  const bytes = pass === "forward"
    ? matrixWorkgroupBytes(tiling, headDim)
    : matrixBackwardBytes(pass, tiling, headDim);
  return bytes <= maxWorkgroupBytes && 32 * tiling.subgroups <= maxInvocations;
}

/** A tiling and its pass. */
export type MatrixPassTiling =
  | { readonly pass: "forward"; readonly tiling: MatrixTiling }
  | { readonly pass: MatrixBackwardPass; readonly tiling: MatrixBackwardTiling };

/** Sizes of some sequences. */
interface MatrixShape {
  /** Sequences: heads, or heads times residue classes. */
  readonly heads: number;
  /** Rows of one sequence. */
  readonly rows: number;
  /** d. */
  readonly headDim: number;
}

/** Whether a tiling was measured with walks, and its kernel takes them. */
export function takesWalks({ subgroups, step }: MatrixTiling): boolean {
  return subgroups <= WIDE_SUBGROUPS && step === undefined;
}

/**
 * Whether the backward kernels along walks take a tiling of a pass: one block of keys, 16 columns.
 */
export function walksBackward(
  pass: "forward" | MatrixBackwardPass,
): (tiling: MatrixTiling & Pick<MatrixBackwardTiling, "columns">) => boolean {
  return ({ blocks, columns }) => pass !== "key-value" || (blocks === 1 && !columns);
}

/** Filters the tilings of a pass that fit a device, in order. */
export type Suited = <T extends MatrixTiling>(
  pass: "forward" | MatrixBackwardPass,
  tilings: readonly T[],
) => readonly T[];

/** Up to this many queries, an H100 has too few workgroups for the widest tilings. */
const FEW_QUERIES = 8 * 6144;

/** Up to this many queries, it has too few for all but the narrowest. */
const FEWEST_QUERIES = 8 * 3072;

/**
 * From this many queries on, an H200 has enough workgroups of more than eight subgroups: with
 * fewer, too many of its multiprocessors are idle at the end.
 */
const MANY_QUERIES = 8 * 24576;

/** Least queries of a tiling among those for many. */
function leastQueries({ subgroups }: MatrixTiling): number {
  return subgroups > WIDE_SUBGROUPS ? MANY_QUERIES : 0;
}

/**
 * Chooses the tiling for a batch of sequences. Few queries need more and smaller workgroups; with
 * many, each staged key should be reused more. Measured on an H100 and an H200: `TUNING.md`.
 *
 * @param suited filters the tilings. Default: all are allowed.
 * @throws {RangeError} when none fits the device.
 */
export function chooseMatrixTiling(
  capabilities: Capabilities,
  { heads, rows, headDim }: MatrixShape,
  suited: Suited = (_, tilings) => tilings,
): MatrixTiling {
  const fitting = MATRIX_TILINGS.filter((tiling) =>
    matrixFits(capabilities, { pass: "forward", tiling, headDim })
  );
  const found = suited("forward", fitting);
  if (found.length === 0) {
    throw new RangeError(
      `choose a tiling of matrix units: none fits ` +
        `${showBytes(capabilities.maxWorkgroupBytes)} of workgroup memory`,
    );
  }
  const queries = heads * rows;
  // A tile's rows beyond the sequence are wasted work.
  const filled = found.filter((tiling) => matrixTileRows(tiling) <= rows);
  const chosen = filled.length === 0 || queries <= FEWEST_QUERIES
    ? found.find(({ subgroups, blocks }) => subgroups === 4 && blocks === 1)
    : queries <= FEW_QUERIES
    ? filled.find(({ blocks }) => blocks === 1)
    : filled.find((tiling) => queries >= leastQueries(tiling));
  return chosen ?? found[0];
}

/** Rows of the widest backward tiling: partial sums are padded to a multiple of it. */
const MOST_TILE_ROWS = Math.max(
  ...Object.values(MATRIX_BACKWARD_TILINGS).flat().map(matrixTileRows),
);

/** Storage buffers that the pass over keys and values binds; one more for an f32 dO. */
const BACKWARD_BINDINGS = 11;

/** Why the device cannot run the backward passes on matrix units; undefined when it can. */
export function whyNoMatrixBackward(
  capabilities: Capabilities,
  shape: {
    readonly rows: number;
    readonly headDim: number;
    readonly dtype: DType;
    /** Storage of dO and the gradients. Default: `dtype`. */
    readonly gradientType?: DType;
    /** A sparse pattern, which binds its own buffers. */
    readonly walk?: TileWalk;
    /** Heads, of queries and of keys and values. Default: as many of these as of those. */
    readonly heads?: number;
    readonly kvHeads?: number;
  },
): string | undefined {
  const unfit = whyNotOnMatrixUnits(capabilities, shape);
  if (unfit) return unfit;
  const { maxStorageBuffers, maxBindingBytes, maxBufferBytes } = capabilities;
  const { heads = 1, kvHeads = heads } = shape;
  const group = groupOf({ heads, kvHeads });
  const rows = Math.ceil(shape.rows / MOST_TILE_ROWS) * MOST_TILE_ROWS;
  const partialBytes = group * rows * shape.headDim * 4;
  const most = Math.min(maxBindingBytes, maxBufferBytes);
  if (partialBytes > most) {
    const { bytes, limit } = showExcess(partialBytes, most);
    return `partial sums of ${headsText(group)} need a binding of ${bytes}; the limit is ${limit}`;
  }
  const own = shape.gradientType === "f32" ? BACKWARD_BINDINGS + 1 : BACKWARD_BINDINGS;
  const bindings = own + (shape.walk?.bindings.filter((kind) => kind !== "uniform").length ?? 0);
  if (maxStorageBuffers < bindings) {
    return `${bindings} storage buffers are more than a shader may bind here, ${maxStorageBuffers}`;
  }
  // The number of heads decides which tiling is best, not whether one fits.
  const head = { ...shape, heads: 1 };
  return firstFit(capabilities, "query", head) && firstFit(capabilities, "key-value", head)
    ? undefined
    : `no tiling fits ${showBytes(capabilities.maxWorkgroupBytes)} of workgroup memory`;
}

/**
 * Whether a tiling of the pass over keys and values is faster than others: products of 8 columns
 * are at d = 128.
 */
function gains({ columns }: MatrixBackwardTiling, headDim: number): boolean {
  return columns === undefined || headDim === 128;
}

/**
 * The first tiling that fits; for few queries or short sequences, the first with fewer subgroups. A
 * workgroup of 256 keys leaves a device idle where there are not many.
 */
function firstFit(
  capabilities: Capabilities,
  pass: MatrixBackwardPass,
  { heads, rows, headDim }: MatrixShape,
  suited: Suited = (_, tilings) => tilings,
): MatrixBackwardTiling | undefined {
  const fitting = MATRIX_BACKWARD_TILINGS[pass].filter((tiling) =>
    matrixFits(capabilities, { pass, tiling, headDim }) &&
    (pass === "query" || gains(tiling, headDim))
  );
  const found = suited(pass, fitting);
  const filled = found.filter((tiling) => matrixTileRows(tiling) <= rows);
  const chosen = filled.length === 0 || heads * rows <= FEWEST_QUERIES
    ? found.find(({ subgroups }) => subgroups === 4)
    : filled.find(({ blocks }) =>
      pass !== "key-value" || blocks === 1 || heads * rows > FEW_QUERIES
    );
  return chosen ?? found[0];
}

/**
 * Chooses the tilings of the backward passes for a batch of sequences. Measured on an H100 and an
 * H200: `TUNING.md`.
 *
 * @param suited filters the tilings. Default: all are allowed.
 * @throws {RangeError} when none fits the device.
 */
export function chooseMatrixBackward(
  capabilities: Capabilities,
  shape: MatrixShape,
  suited?: Suited,
): MatrixBackwardTilings {
  const query = firstFit(capabilities, "query", shape, suited);
  const keyValue = firstFit(capabilities, "key-value", shape, suited);
  if (!query || !keyValue) {
    throw new RangeError(
      `choose tilings of matrix units, backward: none fits ` +
        `${showBytes(capabilities.maxWorkgroupBytes)} of workgroup memory`,
    );
  }
  return { query, keyValue };
}
