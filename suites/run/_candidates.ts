/**
 * Kernels that wait for a measurement: each differs from a default in one option and has an estimate
 * of its time. `_measure_candidates.ts` measures them beside the default.
 *
 * @module
 */
import type { MatrixBackwardTiling, MatrixTiling } from "../../kernels/dense_attention/tilings.ts";
import type { LighthouseTuning } from "../../kernels/lighthouse/lighthouse_attention.ts";

/** A tiling, and what is expected of it. */
export interface Candidate<T> {
  readonly tiling: T;
  /** Rows of the rectangles of dS. Default: as many as fit 1 GiB. */
  readonly cut?: number;
  /** In a few words: counts per 16 × 16 scores, and the rate that follows. */
  readonly estimate: string;
}

/** The candidates of one kernel at one size, the default first. */
export interface CandidateGroup<T> {
  readonly headDim: number;
  readonly rows: number;
  readonly candidates: readonly Candidate<T>[];
}

const PAIR = { tileColumns: 16, stages: 2, blocks: 1 } as const;
const KEYS = { tileColumns: 64, stages: 1, blocks: 1 } as const;

const KEY_VALUES_128: readonly Candidate<MatrixBackwardTiling>[] = [
  { tiling: { subgroups: 8, ...KEYS }, estimate: "default: 22 KiB, 236" },
  { tiling: { subgroups: 8, ...KEYS, columns: 8 }, estimate: "22 KiB, 230-250" },
  {
    tiling: { subgroups: 8, ...PAIR, paired: "apart" },
    estimate: "15 KiB, 2 barriers, 290-330",
  },
  {
    tiling: { subgroups: 8, ...PAIR, paired: "apart", columns: 8 },
    estimate: "15 KiB, 2 barriers, 290-340",
  },
  {
    tiling: { subgroups: 4, ...PAIR, paired: "apart" },
    estimate: "15 KiB, 33 KiB a workgroup: one or two fit, 180 or 330",
  },
  {
    tiling: { subgroups: 4, ...PAIR, paired: "in place" },
    estimate: "15 KiB, 28 KiB a workgroup: two fit, 3 barriers, 300-340",
  },
  {
    tiling: { subgroups: 4, ...PAIR, paired: "in place", direct: true },
    estimate: "16 registers fewer, loads show: 270-320",
  },
  {
    tiling: { subgroups: 8, ...PAIR, paired: "apart", direct: true },
    estimate: "8 registers fewer, loads show: 220-260",
  },
  {
    tiling: { subgroups: 4, ...PAIR, paired: "in place", columns: 8 },
    estimate: "28 KiB a workgroup: two fit, 300-350",
  },
];

const KEY_VALUES_64: readonly Candidate<MatrixBackwardTiling>[] = [
  { tiling: { subgroups: 8, ...KEYS }, estimate: "default: 14 KiB for half the work" },
  { tiling: { subgroups: 8, ...PAIR, paired: "apart" }, estimate: "11 KiB, 2 barriers: 1.1 x" },
  {
    tiling: { subgroups: 4, ...PAIR, paired: "in place" },
    estimate: "11 KiB, 3 barriers, up to 4 workgroups: 1.2 x",
  },
  { tiling: { subgroups: 8, ...KEYS, blocks: 2 }, estimate: "10 KiB, 32 keys: 1.25 x" },
  { tiling: { subgroups: 4, ...KEYS, tileColumns: 32, blocks: 2 }, estimate: "10 KiB: 1.25 x" },
];

/** The pass that computes dK and dV; rates in TFLOP/s. */
export const KEY_VALUE_GROUPS: readonly CandidateGroup<MatrixBackwardTiling>[] = [
  { headDim: 128, rows: 16_384, candidates: KEY_VALUES_128 },
  { headDim: 64, rows: 16_384, candidates: KEY_VALUES_64 },
  { headDim: 128, rows: 65_536, candidates: KEY_VALUES_128.slice(0, 7) },
];

/** Delta, dK, dV and dQ together, with tilings of the pass over keys and values. */
export const BACKWARD_GROUP: CandidateGroup<MatrixBackwardTiling> = {
  headDim: 128,
  rows: 16_384,
  candidates: [
    KEY_VALUES_128[0],
    { ...KEY_VALUES_128[0], cut: 4096, estimate: "dS of 256 MiB: 0.97 x" },
    { ...KEY_VALUES_128[0], cut: 2048, estimate: "64 MiB, half of it in cache; 128 groups: 0.8 x" },
    { ...KEY_VALUES_128[2], estimate: "5 / (4 / 310 + 1 / 237) = 292" },
    { ...KEY_VALUES_128[5], estimate: "the same" },
  ],
};

const QUERIES = { tileColumns: 64, stages: 1, blocks: 2 } as const;

/** The pass that computes dQ. */
export const QUERY_GROUPS: readonly CandidateGroup<MatrixBackwardTiling>[] = [
  {
    headDim: 128,
    rows: 16_384,
    candidates: [
      { tiling: { subgroups: 4, ...QUERIES }, estimate: "default: 3.5 KiB, 237" },
      { tiling: { subgroups: 4, ...QUERIES, columns: 8 }, estimate: "3.5 KiB, 230-250" },
      {
        tiling: { subgroups: 4, ...QUERIES, tileColumns: 32 },
        estimate: "24 registers fewer, twice the barriers: 220-250",
      },
    ],
  },
];

const TWO_BLOCKS = { subgroups: 8, tileColumns: 32, stages: 2, blocks: 2 } as const;

const FORWARD: readonly Candidate<MatrixTiling>[] = [
  { tiling: TWO_BLOCKS, estimate: "default: 7 KiB, 336-360" },
  { tiling: { ...TWO_BLOCKS, columns: 8 }, estimate: "7 KiB, 340-375" },
];

/** The forward pass. */
export const FORWARD_GROUPS: readonly CandidateGroup<MatrixTiling>[] = [
  { headDim: 128, rows: 16_384, candidates: FORWARD },
  { headDim: 128, rows: 65_536, candidates: FORWARD },
  { headDim: 64, rows: 16_384, candidates: FORWARD },
];

/** The dilated scorer at N = 8,192, δ = 4: 32 sequences of 2,048 rows. */
export const SQUARED_NORMS: CandidateGroup<MatrixTiling> = {
  headDim: 128,
  rows: 8192,
  candidates: [
    { tiling: TWO_BLOCKS, estimate: "default, not timed here before" },
    { tiling: { subgroups: 8, tileColumns: 64, stages: 1, blocks: 2 }, estimate: "285" },
    { tiling: { subgroups: 8, tileColumns: 32, stages: 2, blocks: 1 }, estimate: "220" },
    { tiling: { ...TWO_BLOCKS, columns: 8 }, estimate: "as forward" },
  ],
};

/** A division of a Lighthouse layer's passes. */
export interface LayerCandidate {
  readonly name: string;
  readonly tuning: LighthouseTuning;
  readonly estimate: string;
}

/** Lighthouse with the norm scorer at N = 8,192. */
export const LAYERS: readonly LayerCandidate[] = [
  { name: "default", tuning: {}, estimate: "pool 50, select 43, gather 20, scatter 16 us" },
  {
    name: "select cached 256",
    tuning: { selection: { cached: true, threads: 256 } },
    estimate: "select 13 us",
  },
  {
    name: "select cached 512",
    tuning: { selection: { cached: true, threads: 512 } },
    estimate: "select 11 us",
  },
  {
    name: "select cached 1024",
    tuning: { selection: { cached: true, threads: 1024 } },
    estimate: "select 11 us",
  },
  { name: "merged", tuning: { merged: true }, estimate: "pool 25, gather 9 us" },
  {
    name: "merged, select cached 512",
    tuning: { merged: true, selection: { cached: true, threads: 512 } },
    estimate: "all but attention 45-60 us",
  },
];
