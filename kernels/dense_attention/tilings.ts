/**
 * The tilings of dense attention: what they are, which are declared, and their names in results.
 *
 * The declared space is small: tilings that compile fast everywhere and that were the fastest on
 * some device for some shape (`TUNING.md`). A tiling affects only the time of a result and the
 * order of its sums.
 *
 * @module
 */

/** Tiling of a portable kernel. */
export interface Tiling {
  /** Rows of one workgroup; a multiple of 4 * threadsY. */
  readonly tileRows: number;
  /** Columns of one tile; a multiple of 4 * threadsX. */
  readonly tileColumns: number;
  /** Threads along columns. */
  readonly threadsX: number;
  /** Threads along rows. */
  readonly threadsY: number;
  /**
   * Elements of d staged at a time for a first product; a multiple of 8 that divides d an even
   * number of times.
   */
  readonly chunk: number;
}

/** Tilings of the two tiled passes of the portable backward kernels. */
export interface BackwardTilings {
  /** For the pass that computes dQ. */
  readonly query: Tiling;
  /** For the pass that computes dK and dV. */
  readonly keyValue: Tiling;
}

/** Tiling of a kernel on matrix units. */
export interface MatrixTiling {
  /** Subgroups of 32 threads in a workgroup. */
  readonly subgroups: number;
  /** Rows of a tile that is streamed through workgroup memory; a multiple of 16. */
  readonly tileColumns: number;
  /**
   * Tiles in workgroup memory. One: all threads load it between two barriers. Two, with one barrier
   * per tile: a ring that receives 16 new rows at every step.
   */
  readonly stages: 1 | 2;
  /** Blocks of 16 rows that a subgroup owns; 3 and 4 fit the registers at d = 64 only. */
  readonly blocks: 1 | 2 | 3 | 4;
  /**
   * Forward, in a ring without a walk: rows of a step of the loop, 16 or 32, which overlaps the
   * products of its second half with the exponentials of its first. Default 16.
   */
  readonly step?: 32;
}

/** Tiling of a backward pass on matrix units. */
export interface MatrixBackwardTiling extends MatrixTiling {
  /** A ring was not faster here, and registers are scarce. */
  readonly stages: 1;
  /** Columns of a product: 16, or 8 with twice as many products. Default 16. */
  readonly columns?: 8;
}

/** The two backward passes. */
export type MatrixBackwardPass = "query" | "key-value";

/** Tilings of the two backward passes on matrix units. */
export interface MatrixBackwardTilings {
  /** For the pass that computes dQ. */
  readonly query: MatrixBackwardTiling;
  /** For the pass that computes dK and dV; `blocks` may be 2 at d = 64: registers hold no more. */
  readonly keyValue: MatrixBackwardTiling;
}

/** The declared space of the portable forward kernel. */
export const PORTABLE_TILINGS: readonly Tiling[] = [
  { tileRows: 128, tileColumns: 128, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 64, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 64, threadsX: 16, threadsY: 16, chunk: 32 },
  { tileRows: 128, tileColumns: 64, threadsX: 8, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 32, threadsX: 8, threadsY: 16, chunk: 16 },
  { tileRows: 64, tileColumns: 128, threadsX: 16, threadsY: 8, chunk: 16 },
  { tileRows: 64, tileColumns: 64, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 64, tileColumns: 64, threadsX: 16, threadsY: 8, chunk: 16 },
  { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 },
];

/** The declared space of each portable backward pass. */
export const PORTABLE_BACKWARD_TILINGS: readonly Tiling[] = [
  { tileRows: 128, tileColumns: 128, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 64, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 64, threadsX: 8, threadsY: 16, chunk: 16 },
  { tileRows: 128, tileColumns: 32, threadsX: 8, threadsY: 16, chunk: 16 },
  { tileRows: 64, tileColumns: 128, threadsX: 16, threadsY: 16, chunk: 32 },
  { tileRows: 64, tileColumns: 64, threadsX: 16, threadsY: 16, chunk: 16 },
  { tileRows: 64, tileColumns: 32, threadsX: 8, threadsY: 16, chunk: 16 },
  { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 },
];

/**
 * The declared space of the forward kernel on matrix units, widest first. All of them keep scores
 * in f32: f16 scores would also be accumulated in f16, and overflow where this kernel is exact.
 */
export const MATRIX_TILINGS: readonly MatrixTiling[] = [
  // At d = 64 only, where Q and O take half of the registers.
  { subgroups: 12, tileColumns: 32, stages: 2, blocks: 2 },
  { subgroups: 8, tileColumns: 32, stages: 2, blocks: 2, step: 32 },
  { subgroups: 8, tileColumns: 32, stages: 2, blocks: 2 },
  { subgroups: 8, tileColumns: 64, stages: 1, blocks: 2 },
  { subgroups: 4, tileColumns: 32, stages: 1, blocks: 2 },
  { subgroups: 8, tileColumns: 32, stages: 2, blocks: 1 },
  { subgroups: 4, tileColumns: 32, stages: 2, blocks: 1 },
  { subgroups: 4, tileColumns: 32, stages: 1, blocks: 1 },
];

/**
 * The declared space of each backward pass on matrix units; many queries get the first one that
 * fits.
 */
export const MATRIX_BACKWARD_TILINGS: Readonly<
  Record<MatrixBackwardPass, readonly MatrixBackwardTiling[]>
> = {
  query: [
    { subgroups: 4, tileColumns: 64, stages: 1, blocks: 2, columns: 8 },
    { subgroups: 4, tileColumns: 64, stages: 1, blocks: 2 },
    { subgroups: 8, tileColumns: 64, stages: 1, blocks: 2 },
    { subgroups: 4, tileColumns: 32, stages: 1, blocks: 1 },
  ],
  // Two blocks fit the registers at d = 64 only.
  "key-value": [
    { subgroups: 8, tileColumns: 64, stages: 1, blocks: 2 },
    { subgroups: 8, tileColumns: 64, stages: 1, blocks: 1, columns: 8 },
    { subgroups: 8, tileColumns: 64, stages: 1, blocks: 1 },
    { subgroups: 8, tileColumns: 32, stages: 1, blocks: 1 },
    { subgroups: 4, tileColumns: 64, stages: 1, blocks: 1 },
    { subgroups: 4, tileColumns: 32, stages: 1, blocks: 1 },
    { subgroups: 4, tileColumns: 32, stages: 1, blocks: 2 },
  ],
};

/** Whether two tilings have the same fields and values, in any order. */
export function sameTiling(one: object, other: object): boolean {
  const text = (tiling: object) => JSON.stringify(Object.entries(tiling).sort());
  return text(one) === text(other);
}

/**
 * The name of a tiling in results: its numbers. Portable: rows / columns / threads in x / threads
 * in y / chunk. On matrix units: subgroups / rows of a streamed tile / stages / blocks of own rows,
 * then what is not the default.
 */
export function tilingName(tiling: object): string {
  if (!("blocks" in tiling)) return Object.values(tiling).join("/");
  const { subgroups, tileColumns, stages, blocks, step, columns } = tiling as MatrixBackwardTiling;
  const numbers = [subgroups, tileColumns, stages, blocks].join("/");
  return numbers + (step ? ` step ${step}` : "") + (columns ? ` columns ${columns}` : "");
}
