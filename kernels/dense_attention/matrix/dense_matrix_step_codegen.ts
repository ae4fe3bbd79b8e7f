/**
 * WGSL of one step of the forward kernel on subgroup matrices, the work on 16 staged keys: first
 * the schedule, then the statements. See `dense_matrix_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { flatWgsl, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixTiling } from "../tilings.ts";
import type { DenseResult } from "../types.ts";
import {
  columnsOfHalves,
  loadWeights,
  multiplyAdd,
  packWeights,
  readScores,
  RESULT,
  RIGHT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { WEIGHT_STRIDE } from "./matrix_layout.ts";
import type { InputAccess, StagedRows } from "./row_staging_codegen.ts";

/** Products P·V by which the first blocks are ahead of the others. */
const BLOCK_AHEAD = 3;

/** What the kernel is generated for. */
export interface DenseMatrixOptions {
  readonly headDim: number;
  /** δ: each residue class of rows is a separate sequence. Default 1. */
  readonly rowStride?: number;
  /** Default `rows`. */
  readonly result?: DenseResult;
  /** Query heads that share a head of keys and values. Default 1. */
  readonly group?: number;
  /** How queries, keys and values are bound. */
  readonly inputs: InputAccess;
  /** WGSL of a walk over tiles (`tile_walk.ts`). Default: all keys up to the diagonal. */
  readonly walk?: string;
  /** Keys and values are rows of other tensors than queries ({@linkcode TileWalk.apart}). Default false. */
  readonly apart?: boolean;
  /** The walk declares `nearKey` ({@linkcode TileWalk.near}). Default: with `apart`. */
  readonly near?: boolean;
  /** Most queries see the first keys of their walk ({@linkcode TileWalk.seesFirst}). Default false. */
  readonly seesFirst?: boolean;
  /** Type of the output's rows. Default f16. */
  readonly outputType?: DType;
}

/** A tiling, the problem it is applied to, and the sizes derived from both. */
export interface ForwardKernel extends MatrixTiling, Required<DenseMatrixOptions> {
  /** 16-byte vectors of a row. */
  readonly vectors: number;
  /** 16-byte vectors from one staged row to the next. */
  readonly stride: number;
  readonly threads: number;
  /** Indices of a subgroup's blocks of 16 rows. */
  readonly blockNumbers: readonly number[];
  /** Indices of the matrices that make up 16 rows. */
  readonly depth: readonly number[];
}

/** The variable of the first row of the sequence in keys and values. */
export function keyRowOf({ group }: ForwardKernel): "headRow" | "keyRow" {
  return group > 1 ? "keyRow" : "headRow";
}

/** Offset and stride, in 16-byte vectors, of the c-th matrix of 16 rows of the queries. */
export function matrixInQueries(kernel: ForwardKernel, row: string, c: number): string {
  return matrixInTensor(kernel, { headRow: "headRow", row, c });
}

/** The same of the keys or values. */
export function matrixInKeys(kernel: ForwardKernel, row: string, c: number): string {
  if (kernel.apart) {
    return `(column0Row + ${row}) * ${kernel.vectors}u + ${2 * c}u, ${kernel.vectors}u`;
  }
  return matrixInTensor(kernel, { headRow: keyRowOf(kernel), row, c });
}

function matrixInTensor(
  { vectors }: ForwardKernel,
  { headRow, row, c }: { readonly headRow: string; readonly row: string; readonly c: number },
): string {
  return `(${headRow} + ${row} * ROW_STRIDE) * ${vectors}u + ${2 * c}u, ${vectors}u * ROW_STRIDE`;
}

/** WGSL of the number of keys of a head. */
export function columnRows({ apart }: ForwardKernel): string {
  return apart ? "columnRows" : "params.rows";
}

/** The work on 16 staged keys, in the order that was fastest: `TUNING.md`. */
export function scheduleStep(
  kernel: ForwardKernel,
  { row, firstRow, prefetch }: StagedRows,
): string[] {
  const { blocks, blockNumbers } = kernel;
  const exchangeScores = (b: number) => [
    storeResult("scratch0", `s${b}`),
    readScores("scratch0", `x${b}`),
  ];
  const mask = (b: number) =>
    kernel.walk
      ? maskUnseen({ b, x: `x${b}`, firstKey: "key0", mask: "seen" })
      : maskScores({ b, x: `x${b}`, firstKey: firstRow });
  return [
    ...kernel.walk
      ? [
        `let key0 = walkedRow(path, ${firstRow});`,
        `let seen = walkedMask(path, ${firstRow});`,
      ]
      : [],
    ...multiplyScores(kernel, row),
    ...blockNumbers.flatMap(exchangeScores),
    // After the first mask the products are done and their registers are free.
    mask(0),
    ...prefetch(blocks === 1 ? "x0a.x" : undefined),
    ...blockNumbers.slice(1).map(mask),
    ...blocks === 1 ? scheduleOneBlock(kernel, row) : scheduleBlocks(kernel, row),
    ...blockNumbers.map(addWeights),
  ];
}

/** Weights and outputs of a single block. */
function scheduleOneBlock(kernel: ForwardKernel, row: string): string[] {
  return [
    ...exponentials(0),
    exchangeWeights(0),
    ...kernel.depth.flatMap((c) => [loadValues(kernel, row, c), multiplyOutput(0, c)]),
  ];
}

/**
 * Weights and outputs of several blocks: the exponentials of the second half of them overlap the first
 * half's products.
 */
function scheduleBlocks(kernel: ForwardKernel, row: string): string[] {
  const { depth, blocks, blockNumbers } = kernel;
  const first = blockNumbers.slice(0, Math.floor(blocks / 2));
  const others = blockNumbers.slice(first.length);
  const ahead = depth.slice(0, BLOCK_AHEAD);
  const waiting = others.flatMap(exponentials);
  const share = Math.ceil(waiting.length / ahead.length);
  return [
    ...first.flatMap(exponentials),
    ...first.map(exchangeWeights),
    ...ahead.flatMap((c, i) => [
      loadValues(kernel, row, c),
      ...first.map((b) => multiplyOutput(b, c)),
      ...waiting.slice(i * share, (i + 1) * share),
    ]),
    ...others.map(exchangeWeights),
    ...depth.slice(ahead.length).flatMap((c) => [
      loadValues(kernel, row, c),
      ...blockNumbers.map((b) => multiplyOutput(b, c)),
    ]),
    ...ahead.flatMap((c) => others.map((b) => multiplyOutput(b, c))),
  ];
}

/** Scores `s<b>` of all blocks. */
function multiplyScores(kernel: ForwardKernel, row: string): string[] {
  const { blockNumbers, depth } = kernel;
  const multiply = (c: number) =>
    flatWgsl`
    { let k = ${loadStaged(kernel, { stage: "keyStage", order: "col_major", row, c })};
      ${blockNumbers.toReversed().map((b) => multiplyAdd(`s${b}`, `q${b}_${c}`, "k"))}
    }
  `;
  return [...blockNumbers.map((b) => `var s${b} = ${RESULT}();`), ...depth.map(multiply)];
}

/** The 8 weights of a lane from its scores `x<b>a` and `x<b>b`, in place. */
function exponentials(b: number): string[] {
  return ["a.x", "a.y", "a.z", "a.w", "b.x", "b.y", "b.z", "b.w"].map((part) =>
    `x${b}${part} = exp2(fma(x${b}${part}, scale, -m${b}));`
  );
}

/** Where the weights of block b lie; they are loaded at once, so two places serve all blocks. */
export function weightsPlace(b: number): string {
  return `scratch0 + ${b % 2 * 16 * WEIGHT_STRIDE}u`;
}

/** The left matrix `w<b>` of the weights of block b. */
function exchangeWeights(b: number): string {
  const place = weightsPlace(b);
  return flatWgsl`
    ${packWeights(`x${b}`)}
    scratch[${place} + weight0] = x${b}w;
    ${loadWeights(`w${b}`, place)}
  `;
}

/** The right matrix `v<c>` of staged values. */
function loadValues(kernel: ForwardKernel, row: string, c: number): string {
  return `let v${c} = ${loadStaged(kernel, { stage: "valueStage", order: "row_major", row, c })};`;
}

function multiplyOutput(b: number, c: number): string {
  return multiplyAdd(`o${b}_${c}`, `w${b}`, `v${c}`);
}

/** Adds a lane's weights to its part of the sum of block b. */
function addWeights(b: number): string {
  return `{ let sum = x${b}a + x${b}b; l${b} += (sum.x + sum.y) + (sum.z + sum.w); }`;
}

/** Loads the c-th right matrix of 16 staged rows. */
function loadStaged(
  { stride }: ForwardKernel,
  { stage, order, row, c }: {
    readonly stage: string;
    readonly order: "row_major" | "col_major";
    readonly row: string;
    readonly c: number;
  },
): string {
  const at = `(${row}) * ${stride}u + ${2 * c}u`;
  return `subgroupMatrixLoad<${RIGHT}, ${order}>(&${stage}, ${at}, ${stride}u)`;
}

/** Masks a lane's scores `<x>a` and `<x>b` of block b against 16 keys, if some come after a row. */
export function maskScores(
  { b, x, firstKey }: { readonly b: number; readonly x: string; readonly firstKey: string },
): string {
  return wgsl`
    if (${firstKey} + 15u > block${b}) {
    ${columnsOfHalves(firstKey)}
      let row = vec4u(block${b} + row16);
      ${x}a = select(vec4f(MASKED), ${x}a, keyA <= row);
      ${x}b = select(vec4f(MASKED), ${x}b, keyB <= row);
    }
  `;
}

/** Masks a lane's scores of block b against 16 keys, if a walk has masked pairs. */
export function maskUnseen(
  { b, x, firstKey, mask }: {
    readonly b: number;
    readonly x: string;
    readonly firstKey: string;
    readonly mask: string;
  },
): string {
  return wgsl`
    if (!walkSeesAll(path, ${mask}, block${b}, 16u, ${firstKey}, 16u)) {
    ${columnsOfHalves(firstKey)}
      let row = vec4u(block${b} + row16);
      ${x}a = select(vec4f(MASKED), ${x}a, walkSees(path, ${mask}, row, keyA));
      ${x}b = select(vec4f(MASKED), ${x}b, walkSees(path, ${mask}, row, keyB));
    }
  `;
}
