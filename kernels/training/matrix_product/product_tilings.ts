/**
 * The tilings of matrix products: what they are and which are declared. A tiling decides the time
 * of a result and the order of its sums, nothing else.
 *
 * @module
 */

/** Tiling of the portable kernel. A thread owns 8 columns. */
export interface PortableProductTiling {
  /** Rows of a workgroup: 4 or 8 for each of its rows of threads. */
  readonly rows: number;
  /** Columns of a workgroup, a multiple of 8. */
  readonly columns: number;
  /** Rows of threads. */
  readonly threadsY: number;
  /** Depth that is staged at a time, a multiple of 4. */
  readonly depth: number;
}

/** Tiling of the kernel on matrix units. */
export interface MatrixProductTiling {
  /** Rows of a workgroup; a multiple of 16 * subgroupsY. */
  readonly rows: number;
  /** Columns of a workgroup; a multiple of 16 * subgroupsX. */
  readonly columns: number;
  /** Depth that is staged at a time, a multiple of 16. */
  readonly depth: number;
  /** Subgroups one above the other. */
  readonly subgroupsY: number;
  /** Subgroups side by side. */
  readonly subgroupsX: number;
  /**
   * Staged steps that workgroup memory holds: with 1 it holds half as much, and a step has two
   * barriers. Default 2.
   */
  readonly stages?: 1 | 2;
  /**
   * True: vectors are loaded without a branch where all sizes are whole tiles. Default false: each
   * load is bounded.
   */
  readonly unguarded?: boolean;
  /**
   * True, with two stages of 16: the operands of a step are loaded while those of the step before
   * are multiplied, and two steps' vectors are under way in registers. Default false.
   */
  readonly early?: boolean;
  /**
   * Rows of tiles in a band, through which workgroups go column by column. Default: 12 where a
   * result has more columns of tiles than rows, else none.
   */
  readonly bandRows?: number;
}

/** The declared space of the portable kernel, the widest first. */
export const PORTABLE_PRODUCT_TILINGS: readonly PortableProductTiling[] = [
  { rows: 128, columns: 128, threadsY: 16, depth: 16 },
  { rows: 64, columns: 64, threadsY: 16, depth: 16 },
  { rows: 32, columns: 64, threadsY: 8, depth: 16 },
];

/**
 * The declared space of the kernel on matrix units for all forms, the widest first. The first is
 * the fastest that was measured on an H200 in the forms NT and NN (`TUNING.md`); the others are for
 * products of few tiles.
 */
export const MATRIX_PRODUCT_TILINGS: readonly MatrixProductTiling[] = [
  {
    rows: 128,
    columns: 128,
    depth: 32,
    subgroupsY: 2,
    subgroupsX: 2,
    stages: 1,
    unguarded: true,
  },
  { rows: 64, columns: 128, depth: 32, subgroupsY: 2, subgroupsX: 2 },
  { rows: 64, columns: 64, depth: 32, subgroupsY: 2, subgroupsX: 2 },
];

/**
 * The fastest in form TN, where all tiles are whole. Both factors of TN are stored in rows of 256
 * bytes; where rows lie along the depth, a step of 16 loads 32 bytes of each, which costs more than
 * this gains.
 */
const EARLY: MatrixProductTiling = {
  rows: 128,
  columns: 128,
  depth: 16,
  subgroupsY: 2,
  subgroupsX: 2,
  unguarded: true,
  early: true,
};

/** All declared tilings of the kernel on matrix units. */
export const DECLARED_MATRIX_TILINGS: readonly MatrixProductTiling[] = [
  ...MATRIX_PRODUCT_TILINGS,
  EARLY,
];

/** Those that products of a form are planned with, the first that fits. */
export function matrixTilingsOf(form: "NT" | "NN" | "TN"): readonly MatrixProductTiling[] {
  return form === "TN" ? [EARLY, ...MATRIX_PRODUCT_TILINGS] : MATRIX_PRODUCT_TILINGS;
}

/** Depth of a pass through a tiling's loop: one step, or two that are written out. */
export function loopDepth({ depth, early }: MatrixProductTiling): number {
  return early ? 2 * depth : depth;
}

/**
 * Numbers of a tiling: rows / columns / depth / threads or subgroups; then options that are not
 * default.
 */
export function productTilingName(tiling: PortableProductTiling | MatrixProductTiling): string {
  const { rows, columns, depth } = tiling;
  if ("threadsY" in tiling) return `${rows}/${columns}/${depth}/${tiling.threadsY}×${columns / 8}`;
  const { subgroupsY, subgroupsX, stages, unguarded, early, bandRows } = tiling;
  return [
    `${rows}/${columns}/${depth}/${subgroupsY}×${subgroupsX}`,
    ...stages === 1 ? ["one stage"] : [],
    ...early ? ["early"] : [],
    ...bandRows ? [`bands of ${bandRows}`] : [],
    ...unguarded ? ["unguarded"] : [],
  ].join(", ");
}

/** Bytes of workgroup memory of the portable kernel: two stages of both factors in f32. */
export function portableProductBytes({ rows, columns, depth }: PortableProductTiling): number {
  return 2 * depth * (rows + columns) * 4;
}

/** Which side of a tile of a factor is stored as rows of 16-byte vectors. */
export interface StagedFactor {
  /** Rows or columns of the tile that belong to the result. */
  readonly lines: number;
  /** Depth of the tile. */
  readonly depth: number;
  /** Whether the elements of one line lie side by side. */
  readonly alongDepth: boolean;
}

/** 16-byte vectors from one row of a staged tile to the next: without padding, banks conflict. */
export function stagedStride({ lines, depth, alongDepth }: StagedFactor): number {
  return (alongDepth ? depth : lines) / 8 + 1;
}

/** 16-byte vectors of a staged tile. */
export function stagedVectors(factor: StagedFactor): number {
  return (factor.alongDepth ? factor.lines : factor.depth) * stagedStride(factor);
}

/**
 * 16-byte vectors from one row of results to the next, in the memory that a subgroup stores them
 * to: four rows of 8 threads' results meet no bank twice.
 */
export function resultStride({ columns, subgroupsX }: MatrixProductTiling): number {
  return columns / subgroupsX / 4 + 2;
}

/** 16-byte vectors of workgroup memory on matrix units: its stages, or 16 rows of all results. */
export function matrixProductVectors(
  tiling: MatrixProductTiling,
  factors: { readonly left: StagedFactor; readonly right: StagedFactor },
): number {
  const { stages = 2 } = tiling;
  const staged = stages * (stagedVectors(factors.left) + stagedVectors(factors.right));
  return Math.max(staged, tiling.subgroupsY * tiling.subgroupsX * 16 * resultStride(tiling));
}
