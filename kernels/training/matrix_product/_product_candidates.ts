/**
 * Tilings of products on matrix units that are not declared: to be measured beside those that are. The
 * fastest goes into `MATRIX_PRODUCT_TILINGS` as it stands here.
 *
 * Workgroup memory is what a multiprocessor has little of under WebGPU: two workgroups at a time need at
 * most about 24 KiB each.
 *
 * @module
 */
import type { MatrixProductTiling } from "./product_tilings.ts";

/** Eight subgroups of 64 × 64 results. */
const WIDE = { rows: 128, columns: 256, depth: 16, subgroupsY: 2, subgroupsX: 4 } as const;
const TALL = { rows: 256, columns: 128, depth: 16, subgroupsY: 4, subgroupsX: 2 } as const;

/** Four subgroups of 64 × 64 results, eight of 64 × 32 or 32 × 64. */
const SQUARE = { rows: 128, columns: 128, depth: 16, subgroupsY: 2, subgroupsX: 2 } as const;
const MANY = { rows: 128, columns: 128, depth: 32, subgroupsY: 2, subgroupsX: 4 } as const;
const STACKED = { ...MANY, subgroupsY: 4, subgroupsX: 2 } as const;

const UNGUARDED = { unguarded: true } as const;
const TWO_AHEAD = { unguarded: true, ahead: 2 } as const;
const ONE_STAGE = { unguarded: true, stages: 1, depth: 32 } as const;

/** All candidates: those near the fastest that were measured, and what was not. */
export const MATRIX_PRODUCT_CANDIDATES: readonly MatrixProductTiling[] = [
  { ...WIDE, ...ONE_STAGE },
  { ...TALL, ...ONE_STAGE },
  { ...SQUARE, ...ONE_STAGE, distances: true },
  { ...WIDE, ...ONE_STAGE, distances: true },
  // A branch around a load may keep it where it is written.
  { ...SQUARE, stages: 1, depth: 32 },
  { ...WIDE, stages: 1, depth: 32 },
  { ...WIDE, ...ONE_STAGE, multipliesFirst: 1 },
  { ...WIDE, ...ONE_STAGE, bandRows: 8 },
  { ...WIDE, ...ONE_STAGE, ahead: 2, depth: 16 },
  { ...WIDE, ...TWO_AHEAD },
  { ...WIDE, ...TWO_AHEAD, multipliesFirst: 1 },
  { ...SQUARE, ...ONE_STAGE, multipliesFirst: 1 },
  { ...SQUARE, ...ONE_STAGE, bandRows: 16 },
  { ...SQUARE, ...ONE_STAGE, ahead: 2, depth: 16 },
  { ...SQUARE, ...UNGUARDED, multipliesFirst: 1 },
  // Half the results of a thread: registers for four subgroups at a scheduler, or for what is under way.
  { ...MANY, stages: 1 },
  { ...MANY, ...ONE_STAGE },
  { ...MANY, ...ONE_STAGE, ahead: 2 },
  { ...MANY, ...ONE_STAGE, distances: true },
  { ...MANY, ...ONE_STAGE, depth: 64 },
  { ...MANY, ...ONE_STAGE, multipliesFirst: 1 },
  { ...STACKED, ...ONE_STAGE },
  { ...STACKED, ...ONE_STAGE, ahead: 2 },
  { ...STACKED, ...ONE_STAGE, depth: 64 },
  // Larger parts of a subgroup read less workgroup memory for each product, and need more registers.
  { ...ONE_STAGE, rows: 192, columns: 128, subgroupsY: 2, subgroupsX: 2 },
];
