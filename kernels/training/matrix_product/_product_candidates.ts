/**
 * Tilings of products on matrix units that are not declared: to be measured beside those that are.
 * The fastest goes into `product_tilings.ts` as it stands here.
 *
 * Workgroup memory is what a multiprocessor has little of under WebGPU: two workgroups at a time
 * need at most about 24 KiB each.
 *
 * @module
 */
import { probesOf, type ProductProbe } from "./_product_probes.ts";
import { MATRIX_PRODUCT_TILINGS, type MatrixProductTiling } from "./product_tilings.ts";

const ONE_STAGE = { unguarded: true, stages: 1 } as const;

/** All candidates: all were measured on an H200 but the last four. */
export const MATRIX_PRODUCT_CANDIDATES: readonly MatrixProductTiling[] = [
  // Eight subgroups of 64 × 64 results: a quarter less to load for each product, one workgroup at a
  // time.
  { rows: 256, columns: 128, depth: 32, subgroupsY: 4, subgroupsX: 2, ...ONE_STAGE },
  {
    rows: 256,
    columns: 128,
    depth: 16,
    subgroupsY: 4,
    subgroupsX: 2,
    unguarded: true,
    early: true,
  },
  // A branch around a load keeps it where it is written.
  { rows: 128, columns: 128, depth: 32, subgroupsY: 2, subgroupsX: 2, stages: 1 },
  // 12 rows and 11 of 24 columns are what runs at a time: 5 % faster in form NT.
  { rows: 128, columns: 128, depth: 32, subgroupsY: 2, subgroupsX: 2, ...ONE_STAGE, bandRows: 12 },
  // Products of few tiles.
  { rows: 64, columns: 128, depth: 16, subgroupsY: 2, subgroupsX: 2, unguarded: true, early: true },
  { rows: 64, columns: 128, depth: 32, subgroupsY: 2, subgroupsX: 2, ...ONE_STAGE },
  { rows: 64, columns: 64, depth: 32, subgroupsY: 2, subgroupsX: 2, ...ONE_STAGE },
];

/** The default's shader without one part each, timed in the forms NN and TN. */
export const PRODUCT_PROBES: readonly ProductProbe[] = probesOf(MATRIX_PRODUCT_TILINGS[0]);
