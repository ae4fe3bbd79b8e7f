/**
 * Cases of the backward passes on matrix units, for `dense_matrix_backward_test.ts`.
 *
 * @module
 */
import { MATRIX_BACKWARD_TILINGS, type MatrixBackwardTilings } from "../tilings.ts";
import { SMALLEST } from "./_matrix_bench.ts";

/** One case: a shape, how it is cut, and what is special about its numbers. */
export interface BackwardCase {
  readonly rows: number;
  readonly headDim: number;
  readonly tilings?: MatrixBackwardTilings;
  /** Factor of dO: large factors overflow f16 unless the kernel scales dO down. */
  readonly size?: number;
  /** Rows of the rectangles that dS is split into. Default: as many as fit. */
  readonly cut?: number;
  /** Heads that the partial sums have room for. Default: as many as fit. */
  readonly heads?: number;
  /**
   * dO and the gradients are f32, dO far beyond f16 in some rows and far below it in others, some
   * of them side by side.
   */
  readonly wide?: boolean;
  /** Magnitude of every logit; O and log-sum-exp then come from the reference. */
  readonly logit?: number;
}

/** The first declared tilings for every head dimension. */
export const [WIDEST_QUERY, WIDEST_KEY] = [
  MATRIX_BACKWARD_TILINGS.query[0],
  MATRIX_BACKWARD_TILINGS["key-value"].find(({ blocks }) => blocks === 1)!,
];

/** On real matrix units. */
export const BACKWARD_CASES: readonly BackwardCase[] = [
  ...[16, 17, 100, 257, 401].flatMap((rows) => [64, 128].map((headDim) => ({ rows, headDim }))),
  ...MATRIX_BACKWARD_TILINGS.query.map((query) => ({ query, keyValue: WIDEST_KEY })).map((
    tilings,
  ) => ({
    rows: 333,
    headDim: 128,
    tilings,
  })),
  ...MATRIX_BACKWARD_TILINGS["key-value"].map((keyValue) => ({
    rows: 333,
    headDim: keyValue.blocks === 2 ? 64 : 128,
    tilings: { query: WIDEST_QUERY, keyValue },
  })),
  { rows: 300, headDim: 128, size: 2000 },
  { rows: 1001, headDim: 128, cut: 256 },
  { rows: 900, headDim: 64, cut: 512, heads: 1, size: 2000 },
  ...[16, 100, 257, 401].flatMap((rows) =>
    [64, 128].map((headDim) => ({ rows, headDim, wide: true }))
  ),
  ...MATRIX_BACKWARD_TILINGS["key-value"].map((keyValue) => ({
    rows: 333,
    headDim: keyValue.blocks === 2 ? 64 : 128,
    tilings: { query: WIDEST_QUERY, keyValue },
    wide: true,
  })),
  { rows: 900, headDim: 64, cut: 512, heads: 1, wide: true },
  ...[64, 128].map((headDim) => ({ rows: 100, headDim, logit: 750365176 })),
];

/** The smallest of both passes. */
export const SMALLEST_BACKWARD: MatrixBackwardTilings = { query: SMALLEST, keyValue: SMALLEST };

/** Products of 8 columns. */
export const NARROW: readonly BackwardCase[] = [
  {
    rows: 61,
    headDim: 64,
    tilings: {
      query: { ...SMALLEST, blocks: 2, columns: 8 },
      keyValue: SMALLEST,
    },
    cut: 32,
    wide: true,
  },
  {
    rows: 61,
    headDim: 64,
    tilings: { query: SMALLEST, keyValue: { ...SMALLEST, columns: 8 } },
    cut: 32,
  },
];

/**
 * 32 keys a subgroup. The rounds of the wide case let a software adapter take no more than some 50
 * rows.
 */
export const TWO_BLOCKS: readonly BackwardCase[] = [17, 45].map((rows) => ({
  rows,
  headDim: 64,
  tilings: {
    query: rows === 45 ? { ...SMALLEST, tileColumns: 32, blocks: 2 } : SMALLEST,
    keyValue: { ...SMALLEST, tileColumns: 32, blocks: 2 },
  },
  wide: rows === 45,
}));

/** Emulated. */
export const EMULATED_BACKWARD: readonly BackwardCase[] = [
  // The case of a Lighthouse layer, which covers everything that the others do.
  {
    rows: 61,
    headDim: 64,
    tilings: {
      query: { ...SMALLEST, columns: 8 },
      keyValue: { ...SMALLEST, tileColumns: 32 },
    },
    cut: 32,
    wide: true,
  },
  // Some queries of a workgroup do not attend to its last keys.
  {
    rows: 61,
    headDim: 64,
    tilings: { query: { ...SMALLEST, subgroups: 2 }, keyValue: SMALLEST },
    cut: 32,
  },
  { rows: 61, headDim: 64, tilings: SMALLEST_BACKWARD, cut: 32 },
  { rows: 61, headDim: 128, tilings: SMALLEST_BACKWARD, wide: true },
  { rows: 61, headDim: 64, tilings: SMALLEST_BACKWARD, logit: 750365176 },
  { rows: 17, headDim: 64, tilings: SMALLEST_BACKWARD, wide: true },
  ...[61, 16, 17].map((rows) => ({ rows, headDim: 64, tilings: SMALLEST_BACKWARD })),
  ...[61, 150].flatMap((rows) => {
    const query = { ...SMALLEST, blocks: 2 } as const;
    const keyValue = { ...SMALLEST, tileColumns: 32 } as const;
    const two = { ...SMALLEST, subgroups: 2 } as const;
    return [
      { rows, headDim: 64, tilings: { query, keyValue: SMALLEST } },
      { rows, headDim: 64, tilings: { query, keyValue }, cut: 32 },
      {
        rows,
        headDim: 64,
        tilings: { query: { ...two, tileColumns: 32 }, keyValue: two },
        cut: 32,
      },
    ];
  }),
  {
    rows: 100,
    headDim: 64,
    tilings: { query: { ...SMALLEST, blocks: 4 }, keyValue: SMALLEST },
    cut: 64,
  },
  // A number of rows that changes little when rounded up to the widest declared tiling.
  { rows: 250, headDim: 64, tilings: SMALLEST_BACKWARD, size: 2000, cut: 128, heads: 1 },
  { rows: 50, headDim: 64, tilings: SMALLEST_BACKWARD, size: 2000 },
  ...NARROW,
  ...TWO_BLOCKS,
];
