/**
 * Sizes derived from a tiling of the kernels on matrix units: rows of a workgroup, and the layout
 * of its memory. Matrices have 16 rows and 16 columns.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import type { MatrixBackwardPass, MatrixBackwardTiling, MatrixTiling } from "../tilings.ts";

/** Rows of a matrix. */
export const MATRIX_ROWS = 16;

/** Why a sequence is too short for matrices; undefined when it is not. */
export function whyFewRows(rows: number): string | undefined {
  return rows >= MATRIX_ROWS
    ? undefined
    : `${showCount(rows, "row")} ${
      rows === 1 ? "is" : "are"
    } fewer than the ${MATRIX_ROWS} rows of a matrix`;
}

/** 16-byte vectors from one row of scores in a scratch to the next. */
export const SCORE_STRIDE = 6;
/** 16-byte vectors from one row of weights in a scratch to the next. */
export const WEIGHT_STRIDE = 3;
/** 16-byte vectors of a scratch: 16 rows of scores. */
export const SCRATCH = 16 * SCORE_STRIDE;

/**
 * 16-byte vectors from one staged row to the next: without padding, loads conflict in their banks.
 */
export function stageStride(headDim: number): number {
  return headDim / 8 + 1;
}

/** Rows that a workgroup owns: queries, or keys in the pass that computes dK and dV. */
export function matrixTileRows({ subgroups, blocks }: MatrixTiling): number {
  return 16 * blocks * subgroups;
}

/** Bytes of workgroup memory of the forward kernel. */
export function matrixWorkgroupBytes(tiling: MatrixTiling, headDim: number): number {
  const { subgroups, tileColumns, stages } = tiling;
  const staged = 2 * stages * tileColumns * stageStride(headDim);
  return (staged + subgroups * SCRATCH) * 16 + 8;
}

/**
 * 16-byte vectors of a subgroup's scratch in the pass over queries: weights of all blocks, or
 * scores.
 */
export function queryScratch(blocks: number): number {
  return Math.ceil(blocks / 2) * SCRATCH;
}

/** Bytes of workgroup memory of a backward pass. */
export function matrixBackwardBytes(
  pass: MatrixBackwardPass,
  tiling: MatrixBackwardTiling,
  headDim: number,
): number {
  const { subgroups, tileColumns, blocks } = tiling;
  const stage = tileColumns * stageStride(headDim);
  return pass === "query"
    ? (stage + subgroups * queryScratch(blocks)) * 16
    : (2 * stage + subgroups * blocks * SCRATCH) * 16 + 8 * tileColumns + 24;
}

/** Rows of an f32 dO that share a power. */
export const CLASS_ROWS = 64;
