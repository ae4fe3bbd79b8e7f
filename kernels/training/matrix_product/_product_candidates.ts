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

/** Four subgroups of 64 × 64 results. */
const SQUARE = { rows: 128, columns: 128, depth: 16, subgroupsY: 2, subgroupsX: 2 } as const;

const UNGUARDED = { unguarded: true } as const;
const TWO_AHEAD = { unguarded: true, ahead: 2 } as const;
const ONE_STAGE = { unguarded: true, stages: 1, depth: 32 } as const;

/** All candidates. */
export const MATRIX_PRODUCT_CANDIDATES: readonly MatrixProductTiling[] = [
  WIDE,
  { ...WIDE, ...UNGUARDED },
  { ...WIDE, ...TWO_AHEAD },
  { ...WIDE, ...UNGUARDED, access: "read" },
  { ...WIDE, ...TWO_AHEAD, access: "read" },
  { ...WIDE, ...TWO_AHEAD, bandRows: 8 },
  { ...WIDE, ...UNGUARDED, multipliesFirst: 1 },
  { ...WIDE, ...TWO_AHEAD, multipliesFirst: 1 },
  { ...WIDE, ...ONE_STAGE },
  { ...WIDE, ...ONE_STAGE, multipliesFirst: 1 },
  { ...TALL, ...UNGUARDED },
  { ...TALL, ...TWO_AHEAD },
  { ...TALL, ...ONE_STAGE },
  { ...SQUARE, ...UNGUARDED },
  { ...SQUARE, ...TWO_AHEAD },
  { ...SQUARE, ...UNGUARDED, access: "read" },
  { ...SQUARE, ...TWO_AHEAD, bandRows: 16 },
  { ...SQUARE, ...UNGUARDED, multipliesFirst: 1 },
  { ...SQUARE, ...UNGUARDED, depth: 32 },
  { ...SQUARE, ...UNGUARDED, depth: 32, multipliesFirst: 1 },
  { ...SQUARE, ...ONE_STAGE },
  { ...SQUARE, ...ONE_STAGE, multipliesFirst: 1 },
  { ...SQUARE, ...ONE_STAGE, depth: 64 },
  // Larger parts of a subgroup read less workgroup memory for each product, and need more registers.
  { ...UNGUARDED, rows: 192, columns: 128, depth: 16, subgroupsY: 2, subgroupsX: 2 },
  { ...UNGUARDED, rows: 128, columns: 192, depth: 16, subgroupsY: 2, subgroupsX: 2 },
];
