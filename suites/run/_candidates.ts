/**
 * Kernels that wait for a measurement: each differs from a default in one option and has an estimate
 * of its time. `_measure_candidates.ts` measures them beside the default.
 *
 * @module
 */
import type { MatrixBackwardTiling } from "../../kernels/dense_attention/tilings.ts";
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

const ONE: MatrixBackwardTiling = { subgroups: 8, tileColumns: 64, stages: 1, blocks: 1 };
const TWO: MatrixBackwardTiling = { ...ONE, blocks: 2 };
const SPLIT: MatrixBackwardTiling = { ...TWO, tileColumns: 32, split: 1 };

const KEY_VALUES_128: readonly Candidate<MatrixBackwardTiling>[] = [
  { tiling: ONE, estimate: "default: 22 KiB, 230" },
  { tiling: SPLIT, estimate: "14 KiB, a ring: values 335, keys 300, both 317" },
  { tiling: { ...SPLIT, split: 2 }, estimate: "8 registers fewer, weights show: 290" },
  { tiling: { ...SPLIT, split: 3 }, estimate: "8 registers fewer, tiles show: 285" },
];

const KEY_VALUES_64: readonly Candidate<MatrixBackwardTiling>[] = [
  { tiling: TWO, estimate: "default: 10 KiB, 207" },
  { tiling: SPLIT, estimate: "10 KiB too, but a ring, and P in memory: 200-230" },
];

/** The pass that computes dK and dV; rates in TFLOP/s. */
export const KEY_VALUE_GROUPS: readonly CandidateGroup<MatrixBackwardTiling>[] = [
  { headDim: 128, rows: 16_384, candidates: KEY_VALUES_128 },
  { headDim: 64, rows: 16_384, candidates: KEY_VALUES_64 },
  { headDim: 128, rows: 65_536, candidates: KEY_VALUES_128 },
];

/** Delta, dK, dV and dQ together, with tilings of the pass over keys and values. */
export const BACKWARD_GROUPS: readonly CandidateGroup<MatrixBackwardTiling>[] = [
  {
    headDim: 128,
    rows: 16_384,
    candidates: [
      { tiling: ONE, estimate: "5 / (4 / 230 + 1 / 251) = 234" },
      { tiling: SPLIT, estimate: "5 / (4 / 317 + 1 / 251) = 301" },
      { tiling: { ...SPLIT, split: 2 }, estimate: "282" },
      { tiling: { ...SPLIT, split: 3 }, estimate: "278" },
    ],
  },
];

const QUERIES: MatrixBackwardTiling = { subgroups: 4, tileColumns: 64, stages: 1, blocks: 2 };

/** The pass that computes dQ. */
export const QUERY_GROUPS: readonly CandidateGroup<MatrixBackwardTiling>[] = [128, 64].map((
  headDim,
) => ({
  headDim,
  rows: 16_384,
  candidates: [
    { tiling: QUERIES, estimate: "3.5 KiB at d = 128" },
    { tiling: { ...QUERIES, columns: 8 }, estimate: "1.04 x, as measured at d = 128" },
  ],
}));

/** A division of a Lighthouse layer's passes. */
export interface LayerCandidate {
  readonly name: string;
  readonly tuning: LighthouseTuning;
  readonly estimate: string;
}

/** Lighthouse with the norm scorer. */
export const LAYERS: readonly LayerCandidate[] = [
  {
    name: "single passes, keys not cached",
    tuning: { merged: false, selection: { cached: false } },
    estimate: "before",
  },
  { name: "default", tuning: {}, estimate: "1.27 x at 8K, 1.01 x at 128K" },
];
