/**
 * What an implementation states for the checks of its results where keys depend on the inputs or
 * the output is more than one softmax: how queries select blocks or tokens, its own reference in
 * float64, and that of a scorer.
 *
 * @module
 */
import type { Problem, RowSpan } from "./problem.ts";

/** The blocks that a query may select, in float64: what its list is held against. */
export interface RankedBlocks {
  /** Scores of the blocks `0 … scores.length - 1`, of which the best are selected. */
  readonly scores: ArrayLike<number>;
  /** How far an f32 score may be from this one. */
  readonly tolerance: number;
  /** Blocks that are selected whatever their score, ascending; they count. */
  readonly forced: readonly number[];
}

/**
 * How an implementation chooses the keys of each query by the inputs: lists of blocks, the rows of
 * `readSelection`. The larger score is selected first, of equal ones the smaller block.
 */
export interface SelectorDescriptor {
  /** Most blocks of a list: the last axis of `readSelection`, `[heads, context, width]`. */
  readonly width: (problem: Problem) => number;
  /** Key rows that a query sees, from its list: ascending blocks, padded with -1. */
  readonly visible: (
    list: ArrayLike<number>,
    row: number,
    problem: Problem,
  ) => readonly RowSpan[];
  /**
   * What the queries of a head rank, in float64, from all its keys `[context, headDim]`. Not where
   * the layer's own reference says it.
   */
  readonly rank?: (
    keys: ArrayLike<number>,
    problem: Problem,
  ) => (row: number, query: ArrayLike<number>) => RankedBlocks;
}

/** What the last query of a layer attends to. */
export interface LastQuery {
  /** Keys that it sees themselves, not as a part of a mean: ascending spans that do not touch. */
  readonly spans: readonly RowSpan[];
  /** What its output row has of each row of V, `[context]`. */
  readonly weights: Float64Array;
}

/** A key head and its query heads, for a reference in float64. */
export interface ReferenceInputs {
  /** The layer. */
  readonly problem: Problem;
  /** Rows to compute, ascending. */
  readonly rows: readonly number[];
  /** G, query heads of the key head. */
  readonly group: number;
  /** `[context, headDim]`. */
  readonly keys: ArrayLike<number>;
  /** The same. */
  readonly values: ArrayLike<number>;
  /** Row `rows[at]` of Q of a query head of the group. */
  readonly query: (member: number, at: number) => ArrayLike<number>;
  /** The same of dO, if gradients are compared. */
  readonly outputGradient?: (member: number, at: number) => ArrayLike<number>;
  /** Gates of the branches. */
  readonly gates: (member: number, at: number) => readonly number[];
  /** Blocks that a row selected on the device. */
  readonly list: (row: number) => ArrayLike<number>;
  /** Takes what a row ranks. */
  readonly ranked?: (row: number, blocks: RankedBlocks) => void;
  /** Softmax weights and gradients of scores are rounded to f16: matrix units. */
  readonly halves: boolean;
  /** Whether the rows are all, and dK and dV are computed. */
  readonly keyGradients: boolean;
}

/** One row of one query head in float64, with bounds of what f32 arithmetic may differ by. */
export interface ReferenceRow {
  /** `[headDim]`. */
  readonly output: Float64Array;
  /** Largest difference of any of its elements. */
  readonly outputTolerance: number;
  /** Of each branch; -∞ where it sees no key. */
  readonly lse: readonly number[];
  /** Largest difference of each. */
  readonly lseTolerance: readonly number[];
  /** dQ, `[headDim]`. */
  readonly queryGradient?: Float64Array;
  /** Largest difference of any of its elements. */
  readonly queryTolerance?: number;
  /** Of each branch. */
  readonly gateGradients?: readonly number[];
  /** Largest difference of each. */
  readonly gateTolerances?: readonly number[];
}

/** What a reference computes. */
export interface ReferenceResult {
  /** `[rows][query heads of the group]`. */
  readonly rows: readonly (readonly ReferenceRow[])[];
  /** Of every row of the context. */
  readonly keyGradients?: Readonly<
    Record<"k" | "v", readonly { readonly gradient: Float64Array; readonly tolerance: number }[]>
  >;
}

/**
 * How an index selects the tokens of each query, one list for all heads: the `width` largest of
 * I[t, s] = Σ_j w[t, j]·max(0, q[t, j]·k[s]), s ≤ t; of equal scores the smaller token first.
 */
export interface TokenSelector {
  /** Entries of a list, without fewer tokens padded with -1. */
  readonly width: (problem: Problem) => number;
  /**
   * Blocks that are ranked first by the means of their index keys: a query keeps the first block,
   * its own and the best of those between, `blockCount` in all, and ranks only their tokens.
   * Undefined: all tokens.
   */
  readonly blocks: (
    problem: Problem,
  ) => { readonly blockRows: number; readonly blockCount: number } | undefined;
}

/** Scores of one base row in float64, as selections rank them, and how far f32 ones may differ. */
export interface CheckedScores {
  /** The row. */
  readonly row: number;
  /** As a query. */
  readonly query: { readonly score: number; readonly tolerance: number };
  /** As a key. */
  readonly key: { readonly score: number; readonly tolerance: number };
}

/** What a scorer's own reference computes scores of. */
export interface ScoreReferenceInputs {
  /** The layer's. */
  readonly problem: Problem;
  /** The head that is scored. */
  readonly head: number;
  /** Base rows whose scores are asked for, ascending. */
  readonly rows: readonly number[];
  /** Rows `first … first + count - 1` of that head of Q, K or V as stored, `[count, headDim]`. */
  readonly read: (
    tensor: "q" | "k" | "v",
    range: { readonly first: number; readonly count: number },
  ) => Promise<ArrayLike<number>>;
}
