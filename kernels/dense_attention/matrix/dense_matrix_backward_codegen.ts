/**
 * WGSL that the backward passes of dense causal attention on subgroup matrices share. Like the
 * forward kernel (`dense_matrix_codegen.ts`), each pass is generated as one function.
 *
 * With P_ij = exp(scale·q_i·k_j - lse_i) and dS_ij = P_ij·(dO_i·v_j - delta_i), both are computed
 * once, one rectangle of queries and keys at a time (see `dense_matrix_backward.ts`):
 *
 * - keys and values (`dense_matrix_causal_codegen.ts`, along walks
 *   `dense_matrix_key_value_codegen.ts`): a subgroup owns 16 or 32 key rows and iterates over the
 *   queries of the rectangle; dV_j = Σ_i P_ij·dO_i, dK_j = scale · Σ_i dS_ij·q_i. It writes dS to a
 *   buffer.
 * - queries (`dense_matrix_query_codegen.ts`): a subgroup owns 16 or 32 query rows and iterates
 *   over the keys of the rectangle; dQ_i = scale · Σ_j dS_ij·k_j.
 *
 * These are five products, as many as the convention counts. Sums continue from rectangle to
 * rectangle in f32, in a fixed order: no atomics, the same bits every time.
 *
 * **dS in its buffer** is stored in blocks of 16 keys × 16 queries, f16, 512 bytes each: one block
 * for each pair of 16 keys and 16 queries of the rectangle, the blocks of the same keys next to
 * each other. Blocks begin at multiples of 16 rows; rows past the end hold zeros. With 32 keys a
 * subgroup (`dense_matrix_causal_codegen.ts`) the rows of a block are queries, and its last columns
 * the last keys.
 *
 * **Rounding.** P and dS are rounded to f16 for their second product. At long contexts P is about
 * 1/N, far below the normal numbers of f16, so P is scaled by 2^14, which cannot overflow, and dS
 * by 2^8, which can: the kernel tracks the largest dS, and a workgroup that finds one beyond 60,000
 * restarts with a smaller factor, which it passes to the query pass. Exponents are clamped so that
 * no weight exceeds 1, however the log-sum-exp was rounded.
 *
 * **An f32 dO** is stored as f16 times a power of two, one for each 64 queries, that of the head
 * where it fits, and a smaller one for rows that would keep few bits with it
 * (`dense_matrix_gradient_scales.wgsl`). dS is divided by the same power, so neither overflows or
 * underflows beside rows of another magnitude. The pass over keys and values takes one power of
 * each tile at a time: a round with the largest, in which the others have no weight, and further
 * rounds where a tile has such rows. Sums of dK and dV are kept in units of the latest power and
 * rescaled, exactly, when it changes, between tiles: the steps of a tile know of no powers. Where
 * all queries of a workgroup share one, tiles know of none either. dQ is multiplied by the powers
 * of its own rows when it is complete. Results are then f32 too.
 *
 * **Shared keys.** Where query heads share a head of keys and values, the pass over keys and values
 * still computes each query head apart and leaves f32 sums; after the last queries of some keys a
 * pass of its own adds the heads of a group, in their order (`matrix_sum_parts.ts`).
 *
 * Queries after a workgroup's last key need no mask: a separate loop without branches handles them.
 * Queries past the end get an unbounded log-sum-exp, so their weights are zero.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes, 8 bytes per row of a
 * tile for log-sum-exp and delta, and with an f32 dO 12 bytes; for the query pass,
 * (tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixBackwardTiling } from "../tilings.ts";
import {
  LANE_PLACES,
  readResults,
  RESULT,
  ROUNDED_RESULTS,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { matrixTileRows, stageStride } from "./matrix_layout.ts";

/** A tiling, the problem it is applied to, and the sizes derived from both. */
export interface BackwardKernel extends MatrixBackwardTiling {
  readonly headDim: number;
  /** 16-byte vectors of a row. */
  readonly vectors: number;
  /** 16-byte vectors from one staged row to the next. */
  readonly stride: number;
  readonly threads: number;
  /** Rows that a workgroup owns. */
  readonly ownRows: number;
  /** Indices of the matrices that make up 16 rows. */
  readonly depth: readonly number[];
  /** Storage of dO; f32 with scaled dO. */
  readonly gradientType: DType;
  /** Storage of the results. */
  readonly resultType: DType;
  /** WGSL of a walk over tiles; empty if all keys up to the diagonal are visible. */
  readonly walk: string;
  /** Own rows and columns are rows of different tensors ({@linkcode TileWalk.apart}). */
  readonly apart: boolean;
  /** Lists of queries are packed one after another ({@linkcode TileWalk.packed}). */
  readonly packed: boolean;
  /** Query heads that share a head of keys and values. */
  readonly group: number;
}

/** What a backward pass is generated for. */
export interface MatrixBackwardOptions {
  readonly headDim: number;
  /** Storage of dO; f32 with scaled dO. */
  readonly gradientType: DType;
  /** Storage of the results. Default: that of dO. */
  readonly resultType?: DType;
  /** WGSL of a walk over tiles (`tile_walk.ts`). Default: all keys up to the diagonal. */
  readonly walk?: string;
  /**
   * Own rows and columns are rows of different tensors ({@linkcode TileWalk.apart}). Default false.
   */
  readonly apart?: boolean;
  /** Lists of queries are packed one after another ({@linkcode TileWalk.packed}). Default false. */
  readonly packed?: boolean;
  /** Query heads that share a head of keys and values. Default 1. */
  readonly group?: number;
}

/** Derives the sizes from a tiling and the problem. */
export function describeBackward(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): BackwardKernel {
  const { headDim, gradientType, resultType = gradientType, walk = "", apart = false, group = 1 } =
    options;
  const { packed = false } = options;
  return {
    ...tiling,
    headDim,
    gradientType,
    resultType,
    walk,
    apart,
    packed,
    group,
    vectors: headDim / 8,
    stride: stageStride(headDim),
    threads: 32 * tiling.subgroups,
    ownRows: matrixTileRows(tiling),
    depth: range(headDim / 16),
  };
}

/** The variable of the first row of the head in keys and values. */
export function keyRowOf({ group }: BackwardKernel): "headRow" | "keyRow" {
  return group > 1 ? "keyRow" : "headRow";
}

/** Parameters of both kernels: the rectangle, and the part of it that a dispatch computes. */
export const BACKWARD_PARAMS = wgsl`
  struct Params {
    rows: u32,        // N
    scale: f32,       // softmax scale times log2(e)
    firstKey: u32,    // of the rectangle
    endKey: u32,      // past its last key
    firstQuery: u32,  // of the rectangle
    endQuery: u32,    // past its last query
    keyBlocks: u32,   // blocks of 16 keys of one head in dS
    queryBlocks: u32, // blocks of 16 queries of a block of keys in dS
    partialRows: u32, // rows of one head in partial sums
    firstHead: u32,   // of this dispatch
  }
`;

/**
 * The same with a walk. A list of queries that is as long as the context is split into ranges, each
 * with its own partial sums.
 */
export const WALKED_PARAMS = BACKWARD_PARAMS.replace(
  "\n}",
  "\n  parts: u32,       // ranges of queries, each with its own workgroups of keys" +
    "\n  partQueries: u32, // queries of a range" +
    "\n  carried: u32,     // queries before it have sums of earlier rectangles" +
    "\n  complete: u32,    // 1: no later rectangle has these keys\n}",
);

/** Constants of both kernels. */
export const BACKWARD_CONSTANTS = wgsl`
  const LOG2E = 1.4426950408889634;
  const LN2 = 0.6931471805599453;
  const WEIGHT_EXPONENT = 14.0;
  const GRADIENT_EXPONENT = 8.0; // unless that overflows
  const PAST_END = 1.0e30; // a log-sum-exp that leaves no weight
`;

/** The part of the entry point that both kernels share. */
export function entryPoint(
  { threads }: Pick<BackwardKernel, "threads">,
  places = LANE_PLACES,
): string {
  return wgsl`
    @compute @workgroup_size(${threads})
    fn main(
      @builtin(local_invocation_index) local: u32,
      @builtin(workgroup_id) group: vec3u,
      @builtin(num_workgroups) groups: vec3u,
    ) {
      ${places}
  `;
}

/**
 * WGSL of the first rows of a head: of own rows as `headRow` and of columns as `column0Row` where
 * these are rows of different tensors, else `headRow`, and `keyRow` of {@linkcode keyRowOf}.
 */
export function openHead({ apart, group }: BackwardKernel): string[] {
  const head = "params.firstHead + group.x";
  if (apart) return [`let headRow = ownHead(${head});`, `let column0Row = columnHead(${head});`];
  return [
    `let headRow = (${head}) * params.rows;`,
    ...group > 1 ? [`let keyRow = (${head}) / ${group}u * params.rows;`] : [],
  ];
}

/**
 * WGSL of a column's row in the tensors.
 *
 * @param headRow variable of the first row of the head, unless columns have their own.
 */
export function columnInTensor(
  { apart }: BackwardKernel,
  column: string,
  headRow = "headRow",
): string {
  const first = apart ? "column0Row" : headRow;
  return `${first} + min(${column}, ${columnRows({ apart })} - 1u)`;
}

/** WGSL of the number of columns of a head. */
export function columnRows({ apart }: Pick<BackwardKernel, "apart">): string {
  return apart ? "columnCount()" : "params.rows";
}

/** WGSL of the key at which the gradients of scores of a tile begin. */
export function scoreOrigin({ apart }: BackwardKernel): string {
  return apart ? "path.origin" : "params.firstKey";
}

/** WGSL of the row at a position of a walk; without a walk the position is the row. */
export function walkedRow({ walk }: BackwardKernel, at: string): string {
  return walk ? `walkedRow(path, ${at})` : at;
}

/** Bindings of group 0, in order. */
export function declareBindings(bindings: readonly string[]): string[] {
  return bindings.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** Whether dO is f32 and is read as f16 with scales. */
export function isScaled({ gradientType }: BackwardKernel): boolean {
  return gradientType === "f32";
}

/** The declaration of the classes of dO, if dO is scaled. */
export function declareClasses(kernel: BackwardKernel): string[] {
  return isScaled(kernel)
    ? ["var<storage, read> classMasks: array<u32>; // [heads, N / 16], of outputGradients"]
    : [];
}

/** The declaration of a result buffer, by element type. */
export function declareResult(name: string, gradientType: DType, comment: string): string {
  const element = gradientType === "f16" ? "vec4u" : "vec4f";
  return `var<storage, read_write> ${name}: array<${element}>; // ${comment}`;
}

/** Sums that continue from rectangle to rectangle, in one matrix per piece. */
export interface PartialSums {
  /** Variables of the matrices. */
  readonly names: readonly string[];
  /** WGSL of their offset in `partials`. */
  readonly at: string;
  readonly headDim: number;
}

/** WGSL of the offset of the c-th matrix of sums. */
function partialAt({ at }: PartialSums, c: number): string {
  return `${at} + ${16 * c}u`;
}

/**
 * Initialises the sums: to zero, or to what earlier rectangles stored. Expects the variables
 * `earlier` and `later`: whether other rectangles add to the same sums.
 *
 * @param factor WGSL that partial sums are multiplied by.
 */
export function beginSums(sums: PartialSums, factor: string): string {
  const load = (name: string, c: number) => {
    const place = `${partialAt(sums, c)}, ${sums.headDim}u`;
    return flatWgsl`
      ${name} = subgroupMatrixLoad<${RESULT}, row_major>(&partials, ${place});
      ${scaleResult(name, factor)}
    `;
  };
  return flatWgsl`
    ${sums.names.map((name) => `${name} = ${RESULT}();`)}
    if (earlier) {
      ${sums.names.map(load)}
    }
  `;
}

/** Multiplies a result matrix by a number. */
export function scaleResult(name: string, factor: string): string {
  return `${name} = subgroupMatrixScalarMultiply(${name}, ${factor});`;
}

/**
 * Ends the sums of a rectangle: stores them for later rectangles, or rounds and stores the result.
 *
 * @param options WGSL: `factor` undoes the factor of the sums, `scale` also multiplies the result,
 * `live` is true where the lane's `row` is stored to `tensor`.
 */
export function endSums(
  sums: PartialSums,
  options: {
    readonly factor: string;
    readonly scale: string;
    readonly live: string;
    readonly row: string;
    readonly tensor: string;
    readonly gradientType: DType;
    /** WGSL of the 16-byte vectors of a row of `tensor` before these sums. Default: none. */
    readonly before?: string;
  },
): string {
  const { factor, scale, live, row, tensor, gradientType, before } = options;
  const { names, headDim } = sums;
  const leave = (name: string, c: number) => {
    const place = partialAt(sums, c);
    return flatWgsl`
      ${scaleResult(name, factor)}
      subgroupMatrixStore<row_major>(&partials, ${place}, ${name}, ${headDim}u);
    `;
  };
  const store = (name: string, c: number) => {
    const at = `(headRow + ${row}) * ${headDim / 8}u + ${before ? `${before} + ` : ""}${
      2 * c
    }u + side`;
    const put = gradientType === "f16"
      ? [ROUNDED_RESULTS, `if (${live}) { ${tensor}[${at}] = rounded; }`]
      : [`if (${live}) { let to = 2u * (${at}); ${tensor}[to] = a; ${tensor}[to + 1u] = z; }`];
    return flatWgsl`
      ${storeResult("scratch0", name)}
      {
        ${readResults("scratch0", `(${factor} * ${scale})`)}
        ${put}
      }
    `;
  };
  return flatWgsl`
    if (later) {
      ${names.map(leave)}
    } else {
      ${names.map(store)}
    }
  `;
}
