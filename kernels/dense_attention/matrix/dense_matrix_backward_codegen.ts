/**
 * WGSL that the backward passes of dense causal attention on subgroup matrices share. Each is generated
 * whole, as `dense_matrix_codegen.ts` generates the forward one.
 *
 * With P_ij = exp(scale·q_i·k_j - lse_i) and dS_ij = P_ij·(dO_i·v_j - delta_i), both are computed once,
 * in a rectangle of queries and keys at a time (`dense_matrix_backward.ts` says which):
 *
 * - keys and values (`dense_matrix_key_value_codegen.ts`): a subgroup owns 16 key rows and walks the
 *   queries of the rectangle; dV_j = Σ_i P_ij·dO_i, dK_j = scale · Σ_i dS_ij·q_i. It leaves dS in a
 *   buffer.
 * - queries (`dense_matrix_query_codegen.ts`): a subgroup owns 16 or 32 query rows and walks the keys of
 *   the rectangle; dQ_i = scale · Σ_j dS_ij·k_j.
 *
 * That is five products, as many as the convention counts. Sums go on from rectangle to rectangle in
 * f32, in a fixed order: no atomics, the same bits every time.
 *
 * **dS in its buffer** lies in blocks of 16 keys × 16 queries, f16, 512 bytes each: one for each pair
 * of 16 keys and 16 queries of the rectangle, those of one block of keys next to each other. Blocks
 * begin at multiples of 16 rows; rows that do not exist hold zeros.
 *
 * **Rounding.** P and dS become f16 for their second product. At long contexts P is about 1/N, far
 * below the normal numbers of f16, so P is kept times 2^14, which cannot overflow, and dS times 2^8,
 * which can: the largest is watched, and a workgroup that saw one beyond 60,000 starts over with a
 * smaller factor, which it passes on to the queries' pass. Exponents are clamped so that no weight
 * exceeds 1, however the log-sum-exp was rounded.
 *
 * **dO of f32** is stored as f16 times a power of two, one for each 16 queries
 * (`dense_matrix_gradient_scales.wgsl`), and dS is divided by that power too: so neither overflows or
 * vanishes beside rows of another size. Sums of dK and dV are kept in units of the latest power and
 * rescaled, exactly, when it changes; dQ is multiplied by the power of its own rows. Results are then f32
 * too.
 *
 * Queries after a workgroup's last key need no mask: they have a loop of their own, without branches.
 * Queries past the end get an unbounded log-sum-exp: their weights are zero.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes, 8 bytes a row of a tile
 * for log-sum-exp and delta, and 4 bytes for each 16 rows of an f32 dO; of the queries' pass,
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

/** A tiling, what it is applied to, and what follows from both. */
export interface BackwardKernel extends MatrixBackwardTiling {
  readonly headDim: number;
  /** 16-byte vectors of a row. */
  readonly vectors: number;
  /** 16-byte vectors from one staged row to the next. */
  readonly stride: number;
  readonly threads: number;
  /** Rows that a workgroup owns. */
  readonly ownRows: number;
  /** Numbers of the matrices that 16 rows consist of. */
  readonly depth: readonly number[];
  /** Storage of dO and the results; f32 with scaled dO. */
  readonly gradientType: DType;
  /** WGSL of a walk over tiles; empty where all keys up to the diagonal are seen. */
  readonly walk: string;
}

/** What a backward pass is generated for. */
export interface MatrixBackwardOptions {
  readonly headDim: number;
  /** Storage of dO and the results; f32 with scaled dO. */
  readonly gradientType: DType;
  /** WGSL of a walk over tiles (`tile_walk.ts`). Default: all keys up to the diagonal. */
  readonly walk?: string;
}

/** What follows from a tiling and what it is applied to. */
export function describeBackward(
  tiling: MatrixBackwardTiling,
  { headDim, gradientType, walk = "" }: MatrixBackwardOptions,
): BackwardKernel {
  return {
    ...tiling,
    headDim,
    gradientType,
    walk,
    vectors: headDim / 8,
    stride: stageStride(headDim),
    threads: 32 * tiling.subgroups,
    ownRows: matrixTileRows(tiling),
    depth: range(headDim / 16),
  };
}

/** Both kernels' parameters: the rectangle, and what of it a dispatch computes. */
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
 * The same with a walk. A list of queries that is as long as the context is cut into ranges, each with
 * partial sums of its own.
 */
export const WALKED_PARAMS = BACKWARD_PARAMS.replace(
  "\n}",
  "\n  parts: u32,       // ranges of queries, each with its own workgroups of keys" +
    "\n  partQueries: u32, // queries of a range\n}",
);

/** Constants of both kernels. */
export const BACKWARD_CONSTANTS = wgsl`
  const LOG2E = 1.4426950408889634;
  const LN2 = 0.6931471805599453;
  const WEIGHT_EXPONENT = 14.0;
  const GRADIENT_EXPONENT = 8.0; // unless that overflows
  const PAST_END = 1.0e30; // a log-sum-exp that leaves no weight
`;

/** Both kernels' entry point, as far as they share it. */
export function entryPoint({ threads }: BackwardKernel): string {
  return wgsl`
    @compute @workgroup_size(${threads})
    fn main(
      @builtin(local_invocation_index) local: u32,
      @builtin(workgroup_id) group: vec3u,
      @builtin(num_workgroups) groups: vec3u,
    ) {
      ${LANE_PLACES}
  `;
}

/**
 * Opens the walk of own rows over the columns of a rectangle. Where it is empty, partial sums stay as
 * they are, unless these are their first or their last rectangle.
 */
export function openPath(
  { walk }: BackwardKernel,
  { own, from, end }: { readonly own: string; readonly from: string; readonly end: string },
): string[] {
  if (!walk) return [];
  return [
    `let path = openWalk(params.firstHead + group.x, ${own}, ${from}, ${end});`,
    "if (path.rows == 0u && earlier && later) { return; }",
  ];
}

/** The first key of the workgroup; with a walk also its range of queries, and the walk over it. */
export function openTile(kernel: BackwardKernel): string[] {
  const { ownRows, walk } = kernel;
  if (!walk) return [`let own0 = params.firstKey + group.y * ${ownRows}u;`];
  return [
    "let tiles = groups.y / params.parts;",
    "let part = group.y / tiles;",
    `let own0 = params.firstKey + group.y % tiles * ${ownRows}u;`,
    "let partFirst = params.firstQuery + part * params.partQueries;",
    "let partEnd = min(partFirst + params.partQueries, params.endQuery);",
    ...openPath(kernel, { own: "own0", from: "partFirst", end: "partEnd" }),
  ];
}

/** WGSL of the row at a position of a walk; without a walk the position is the row. */
export function walkedRow({ walk }: BackwardKernel, at: string): string {
  return walk ? `walkedRow(path, ${at})` : at;
}

/** Bindings of group 0, in order. */
export function declareBindings(bindings: readonly string[]): string[] {
  return bindings.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** Whether dO was f32 and comes as f16 with a scale for each 16 rows. */
export function isScaled({ gradientType }: BackwardKernel): boolean {
  return gradientType === "f32";
}

/** The declaration of the scales of dO, where there are any. */
export function declareScales(kernel: BackwardKernel): string[] {
  return isScaled(kernel)
    ? ["var<storage, read> gradientScales: array<f32>; // [heads, N / 16], of outputGradients"]
    : [];
}

/** The declaration of a buffer of results, by their type. */
export function declareResult(name: string, gradientType: DType, comment: string): string {
  const element = gradientType === "f16" ? "vec4u" : "vec4f";
  return `var<storage, read_write> ${name}: array<${element}>; // ${comment}`;
}

/** Sums that go on from rectangle to rectangle, one matrix a piece. */
export interface PartialSums {
  /** Variables of the matrices. */
  readonly names: readonly string[];
  /** WGSL of where they lie in `partials`. */
  readonly at: string;
  readonly headDim: number;
}

/** WGSL of the offset of the c-th matrix of sums. */
function partialAt({ at }: PartialSums, c: number): string {
  return `${at} + ${16 * c}u`;
}

/**
 * Sums as they begin: at zero, or where earlier rectangles left them. Expects the variables `earlier`
 * and `later`: whether other rectangles add to the same sums.
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
 * The same sums at the end of a rectangle: left for later ones, or rounded and stored.
 *
 * @param options WGSL: `factor` undoes that of the sums, `scale` multiplies the result beside it, `live`
 * is true where the lane's `row` is to be stored to `tensor`.
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
  },
): string {
  const { factor, scale, live, row, tensor, gradientType } = options;
  const { names, headDim } = sums;
  const leave = (name: string, c: number) => {
    const place = partialAt(sums, c);
    return flatWgsl`
      ${scaleResult(name, factor)}
      subgroupMatrixStore<row_major>(&partials, ${place}, ${name}, ${headDim}u);
    `;
  };
  const store = (name: string, c: number) => {
    const at = `(headRow + ${row}) * ${headDim / 8}u + ${2 * c}u + side`;
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
