/**
 * WGSL of one step of the forward kernel on subgroup matrices, the work on 16 or 32 staged keys:
 * first the schedule, then the statements. See `dense_matrix_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { flatWgsl, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixTiling } from "../tilings.ts";
import type { DenseResult } from "../types.ts";
import {
  columnsOfHalves,
  interleave,
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
  /**
   * Keys and values are rows of other tensors than queries ({@linkcode TileWalk.apart}). Default
   * false.
   */
  readonly apart?: boolean;
  /** The walk declares `nearKey` ({@linkcode TileWalk.near}). Default: with `apart`. */
  readonly near?: boolean;
  /**
   * Most queries see the first keys of their walk ({@linkcode TileWalk.seesFirst}). Default false.
   */
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

/** A block of rows and 16 keys. */
interface Part {
  readonly b: number;
  /** Suffix of its variables. */
  readonly id: string;
  /** WGSL of the first of its keys in the stages and in the sequence. */
  readonly row: string;
  readonly firstKey: string;
}

/** The work on the staged keys of a step, in the order that was fastest: `TUNING.md`. */
export function scheduleStep(kernel: ForwardKernel, rows: StagedRows): string[] {
  return kernel.step === 32 ? scheduleHalves(kernel, rows) : scheduleKeys(kernel, rows);
}

/** All blocks, and 16 keys. */
function partsOf({ blockNumbers }: ForwardKernel, keys: Omit<Part, "b" | "id">, suffix = "") {
  return blockNumbers.map((b): Part => ({ ...keys, b, id: `${b}${suffix}` }));
}

function exchangeScores({ id }: Part): string[] {
  return [storeResult("scratch0", `s${id}`), readScores("scratch0", `x${id}`)];
}

function scheduleKeys(kernel: ForwardKernel, { row, firstRow, prefetch }: StagedRows): string[] {
  const { blocks } = kernel;
  const parts = partsOf(kernel, { row, firstKey: firstRow });
  const mask = ({ b, id, firstKey }: Part) =>
    kernel.walk
      ? maskUnseen({ b, x: `x${id}`, firstKey: "key0", mask: "seen" })
      : maskScores({ b, x: `x${id}`, firstKey });
  return [
    ...kernel.walk
      ? [
        `let key0 = walkedRow(path, ${firstRow});`,
        `let seen = walkedMask(path, ${firstRow});`,
      ]
      : [],
    ...parts.map(beginScores),
    ...multiplyScores(kernel, parts),
    ...parts.flatMap(exchangeScores),
    // After the first mask the products are done and their registers are free.
    mask(parts[0]),
    ...prefetch(blocks === 1 ? "x0a.x" : undefined),
    ...parts.slice(1).map(mask),
    ...blocks === 1 ? scheduleOneBlock(kernel, parts) : scheduleBlocks(kernel, parts),
    ...parts.map(addWeights),
  ];
}

/**
 * Two times 16 keys: the first half's exponentials overlap the second half's products Q·K, and the
 * second half's exponentials the first half's products P·V.
 */
function scheduleHalves(kernel: ForwardKernel, { row, firstRow, prefetch }: StagedRows): string[] {
  if (kernel.walk) throw new RangeError("generate dense attention: steps of 32 keys have no walk");
  const first = partsOf(kernel, { row, firstKey: firstRow });
  const second = partsOf(
    kernel,
    { row: `(${row} + 16u)`, firstKey: `(${firstRow} + 16u)` },
    "n",
  );
  const mask = ({ b, id, firstKey }: Part) => maskScores({ b, x: `x${id}`, firstKey });
  const outputs = (parts: readonly Part[]) =>
    kernel.depth.map((c) =>
      flatWgsl`
    { ${loadValues(kernel, parts[0].row, c)}
      ${parts.map((part) => multiplyOutput(part, c))}
    }
  `
    );
  return [
    ...first.map(beginScores),
    ...multiplyScores(kernel, first),
    ...first.flatMap(exchangeScores),
    ...first.map(mask),
    ...prefetch(kernel.blocks === 1 ? "x0a.x" : undefined),
    ...second.map(beginScores),
    ...interleave(multiplyScores(kernel, second), first.flatMap(exponentials)),
    ...first.map(exchangeWeights),
    ...second.flatMap(exchangeScores),
    ...second.map(mask),
    ...interleave(outputs(first), second.flatMap(exponentials)),
    ...second.map(exchangeWeights),
    ...outputs(second),
    ...[...first, ...second].map(addWeights),
  ];
}

/** Weights and outputs of a single block. */
function scheduleOneBlock(kernel: ForwardKernel, [part]: readonly Part[]): string[] {
  return [
    ...exponentials(part),
    exchangeWeights(part),
    ...kernel.depth.flatMap((c) => [loadValues(kernel, part.row, c), multiplyOutput(part, c)]),
  ];
}

/**
 * Weights and outputs of several blocks: the exponentials of the second half of them overlap the
 * first half's products.
 */
function scheduleBlocks(kernel: ForwardKernel, parts: readonly Part[]): string[] {
  const { depth, blocks } = kernel;
  const { row } = parts[0];
  const first = parts.slice(0, Math.floor(blocks / 2));
  const others = parts.slice(first.length);
  const ahead = depth.slice(0, BLOCK_AHEAD);
  const waiting = others.flatMap(exponentials);
  const share = Math.ceil(waiting.length / ahead.length);
  return [
    ...first.flatMap(exponentials),
    ...first.map(exchangeWeights),
    ...ahead.flatMap((c, i) => [
      loadValues(kernel, row, c),
      ...first.map((part) => multiplyOutput(part, c)),
      ...waiting.slice(i * share, (i + 1) * share),
    ]),
    ...others.map(exchangeWeights),
    ...depth.slice(ahead.length).flatMap((c) => [
      loadValues(kernel, row, c),
      ...parts.map((part) => multiplyOutput(part, c)),
    ]),
    ...ahead.flatMap((c) => others.map((part) => multiplyOutput(part, c))),
  ];
}

function beginScores({ id }: Part): string {
  return `var s${id} = ${RESULT}();`;
}

/** Scores `s<id>` of all blocks against the same keys. */
function multiplyScores(kernel: ForwardKernel, parts: readonly Part[]): string[] {
  const { row } = parts[0];
  const multiply = (c: number) =>
    flatWgsl`
    { let k = ${loadStaged(kernel, { stage: "keyStage", order: "col_major", row, c })};
      ${parts.toReversed().map(({ b, id }) => multiplyAdd(`s${id}`, `q${b}_${c}`, "k"))}
    }
  `;
  return kernel.depth.map(multiply);
}

/** The 8 weights of a lane from its scores `x<id>a` and `x<id>b`, in place. */
function exponentials({ b, id }: Part): string[] {
  return ["a.x", "a.y", "a.z", "a.w", "b.x", "b.y", "b.z", "b.w"].map((part) =>
    `x${id}${part} = exp2(fma(x${id}${part}, scale, -m${b}));`
  );
}

/** Where the weights of block b lie; they are loaded at once, so two places serve all blocks. */
export function weightsPlace(b: number): string {
  return `scratch0 + ${b % 2 * 16 * WEIGHT_STRIDE}u`;
}

/** The left matrix `w<id>` of the weights of a block. */
function exchangeWeights({ b, id }: Part): string {
  const place = weightsPlace(b);
  return flatWgsl`
    ${packWeights(`x${id}`)}
    scratch[${place} + weight0] = x${id}w;
    ${loadWeights(`w${id}`, place)}
  `;
}

/** The right matrix `v<c>` of staged values. */
function loadValues(kernel: ForwardKernel, row: string, c: number): string {
  return `let v${c} = ${loadStaged(kernel, { stage: "valueStage", order: "row_major", row, c })};`;
}

function multiplyOutput({ b, id }: Part, c: number): string {
  return multiplyAdd(`o${b}_${c}`, `w${id}`, `v${c}`);
}

/** Adds a lane's weights to its part of the sum of a block. */
function addWeights({ b, id }: Part): string {
  return `{ let sum = x${id}a + x${id}b; l${b} += (sum.x + sum.y) + (sum.z + sum.w); }`;
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
