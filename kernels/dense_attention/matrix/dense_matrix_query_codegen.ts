/**
 * WGSL of the backward pass over queries on subgroup matrices: dQ = dS·K. See
 * `dense_matrix_backward_codegen.ts`.
 *
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixBackwardTiling } from "../tilings.ts";
import {
  BACKWARD_CONSTANTS,
  BACKWARD_PARAMS,
  type BackwardKernel,
  beginSums,
  columnInTensor,
  declareBindings,
  declareResult,
  describeBackward,
  endSums,
  entryPoint,
  isScaled,
  keyRowOf,
  type MatrixBackwardOptions,
  openHead,
  type PartialSums,
  scaleResult,
  scoreOrigin,
  WALKED_PARAMS,
  walkedRow,
} from "./dense_matrix_backward_codegen.ts";
import { openPath } from "./matrix_backward_walk_codegen.ts";
import { withColumns } from "./matrix_columns_codegen.ts";
import { CLASSES } from "./dense_matrix_score_gradients_codegen.ts";
import {
  loadWeights,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  RESULT,
  RIGHT,
} from "./matrix_exchange_codegen.ts";
import { queryScratch, WEIGHT_STRIDE } from "./matrix_layout.ts";
import { type StagedRows, streamTiles } from "./row_staging_codegen.ts";

/** A backward kernel, and the sizes that the pass over keys and values sets for it. */
interface Kernel extends BackwardKernel {
  /**
   * Rows that a workgroup of the pass over keys and values owns: their keys share a factor of dS.
   */
  readonly keyRows: number;
  /** Rows of a block of dS are queries, not keys; see {@linkcode generateMatrixQuery}. */
  readonly byQuery: boolean;
  /** Indices of a subgroup's blocks of 16 queries. */
  readonly blockNumbers: readonly number[];
  /** Indices of the steps of a tile, which are unrolled. */
  readonly steps: readonly number[];
}

/**
 * The whole shader. Bindings: keys, scoreGradients, exponents, with results of f32 deltas,
 * queryGradients, partials, params, then the walk's.
 *
 * @param options `keyRows`: rows that a workgroup of the pass over keys and values owns, a multiple
 * of `tileColumns`. `byQuery`: rows of a block of dS are queries, as
 * `dense_matrix_causal_codegen.ts` leaves them, and its last keys are the last 16 of the sequence.
 * Default: rows are keys.
 */
export function generateMatrixQuery(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions & { readonly keyRows: number; readonly byQuery?: boolean },
): string {
  const { keyRows, byQuery = false, gradientType, resultType = gradientType } = options;
  const { tileColumns, blocks } = tiling;
  if (keyRows % tileColumns !== 0) {
    throw new RangeError(
      `generate the pass over queries: tiles of ${tileColumns} keys do not divide ${keyRows}`,
    );
  }
  const kernel: Kernel = {
    ...describeBackward(tiling, options),
    keyRows,
    byQuery,
    blockNumbers: range(blocks),
    steps: range(tileColumns / 16),
  };
  const parts = [
    declarations(kernel),
    openMain(kernel),
    beginBlocks(kernel),
    walkKeys(kernel),
    ...kernel.blockNumbers.map((b) => storeBlock(kernel, b)),
    "}",
    resultType === "f16" ? NEAREST_HALF : "",
    ...isScaled(kernel) ? [CLASSES] : [],
    ...kernel.walk ? [kernel.walk] : [],
  ];
  return withColumns(tiling, parts.join("\n"));
}

// ---- Declarations and registers of a subgroup ----

function declarations(kernel: Kernel): string {
  const { tileColumns, stride, subgroups, resultType } = kernel;
  const bindings = [
    "var<storage, read> keys: array<vec4u>; // [heads, N, d] f16",
    "var<storage, read> scoreGradients: array<vec4u>; // [heads, keyBlocks, queryBlocks, 16, 16] f16",
    "var<storage, read> exponents: array<f32>; // [heads, workgroups of keys]",
    ...isScaled(kernel)
      ? ["var<storage, read> deltas: array<f32>; // [heads, N], with classes"]
      : [],
    declareResult("queryGradients", resultType, `[heads, N, d] ${resultType}`),
    "var<storage, read_write> partials: array<f32>; // [heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${kernel.walk ? WALKED_PARAMS : BACKWARD_PARAMS}
    ${declareBindings(bindings)}

    var<workgroup> keyStage: array<vec4u, ${tileColumns * stride}>;
    var<workgroup> scratch: array<vec4u, ${subgroups * queryScratch(kernel.blocks)}>;

    ${BACKWARD_CONSTANTS}

  `;
}

/** Positions of the workgroup, subgroup and lane. */
function openMain(kernel: Kernel): string {
  const { ownRows, blocks, headDim, keyRows } = kernel;
  const keyGroups = kernel.packed
    ? `params.partialRows / ${keyRows}u`
    : `(params.endKey - params.firstKey + ${keyRows - 1}u) / ${keyRows}u`;
  // Each range of queries has its own workgroups of keys, and each piece of a packed list.
  const slot = "slotAt(path, q0 / params.partQueries)";
  const factors0 = kernel.packed
    ? `(group.x * params.parts + ${slot})`
    : kernel.walk
    ? "(group.x * params.parts + (q0 - params.firstQuery) / params.partQueries)"
    : "group.x";
  const earlier = kernel.apart
    ? "false"
    : kernel.walk
    ? "q0 < params.carried"
    : "params.firstKey > 0u";
  const firstBlocks = "group.x * params.keyBlocks * params.queryBlocks";
  return wgsl`
    ${entryPoint(kernel)}
      let lane = local & 31u;
      ${openHead(kernel)}
      // The heaviest go first: the last queries, which see most keys.
      let q0 = params.firstQuery + (groups.y - 1u - group.y) * ${ownRows}u;
      let earlier = ${earlier};
      let later = ${kernel.apart ? "false" : "q0 >= params.endKey"};
      ${openPath(kernel, { own: "q0", from: "params.firstKey", end: "params.endKey" })}
      let first = q0 + subgroup * ${16 * blocks}u;
      let partial = (group.x * params.partialRows + first) * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${queryScratch(blocks)}u;
      let scoreBlock = ${firstBlocks} + (first - params.firstQuery) / 16u;
      let factors = ${factors0} * (${keyGroups});
      var exponent = GRADIENT_EXPONENT;
  `;
}

/** The sums of a block of queries. */
function sumsOf({ depth, headDim }: Kernel, b: number): PartialSums {
  return {
    names: depth.map((c) => `dq${b}_${c}`),
    at: `partial + ${b * 16 * headDim}u`,
    headDim,
  };
}

/** The position of the weights of block b in the scratch memory. */
function scratchOf(b: number): string {
  return `scratch0 + ${b * 16 * WEIGHT_STRIDE}u`;
}

/** The scale of dO of a lane's own query. */
function readScale(kernel: Kernel): string[] {
  if (!isScaled(kernel)) return [];
  return ["let gradientScale = powerOf(classOf(deltas[headRow + min(row, params.rows - 1u)]));"];
}

/**
 * Initialises the sums of all blocks, and prefetches the first tile's gradients of scores.
 *
 * Each lane's part of the gradients is in flight for a whole tile before it is used. Nothing may
 * depend on it until then: no branch around the load, no `select` after it.
 */
function beginBlocks(kernel: Kernel): string {
  const { blockNumbers, steps } = kernel;
  const sums = blockNumbers.map((b) => sumsOf(kernel, b));
  // With a scaled dO, partial sums are in units of the scale of their row.
  const begin = (block: PartialSums) => beginSums(block, "exp2(exponent)");
  const firstKey = (s: number) =>
    kernel.walk ? walkedRow(kernel, `${16 * s}u`) : `params.firstKey + ${16 * s}u`;
  const registers = steps.flatMap((s) => blockNumbers.map((b) => `var e${s}_${b}: vec4u;`));
  return flatWgsl`
    ${sums.flatMap(({ names }) => names).map((name) => `var ${name} = ${RESULT}();`)}
    ${sums.map(begin)}
    ${registers}
    ${steps.map((s) => fetchScoreGradients(kernel, s, firstKey(s)))}
  `;
}

/**
 * Prefetches a lane's part of the gradients of scores from a given key on, for step s of a tile.
 */
function fetchScoreGradients(kernel: Kernel, s: number, key: string): string {
  const { blockNumbers } = kernel;
  const origin = scoreOrigin(kernel);
  return flatWgsl`
    {
      let block = min((${key} - ${origin}) / 16u, params.keyBlocks - 1u);
      let at = (scoreBlock + block * params.queryBlocks) * 32u + lane;
      ${blockNumbers.map((b) => `e${s}_${b} = scoreGradients[at + ${32 * b}u];`)}
    }
  `;
}

// ---- The loop over keys ----

function walkKeys(kernel: Kernel): string {
  const { ownRows, tileColumns, vectors, threads } = kernel;
  const loop = streamTiles({
    counter: "k0",
    condition: "k0 < end",
    tileColumns,
    tensors: [["keys", "keyStage"]],
    vectors,
    threads,
    row: (row) => columnInTensor(kernel, placeKey(kernel, row), keyRowOf(kernel)),
    place: kernel.walk ? (position) => walkedRow(kernel, position) : undefined,
    open: [adoptExponent(kernel)],
    unrolled: true,
    step: (rows) => scheduleStep(kernel, rows).join("\n"),
  });
  const last = flatWgsl`
    let lastBlock = params.rows / 16u * 16u;
    let lastShift = (16u - params.rows % 16u) % 16u;
  `;
  const end = kernel.walk ? "path.rows" : `min(q0 + ${ownRows}u, params.endKey)`;
  return flatWgsl`
    let end = ${end};
    ${kernel.byQuery ? [last] : []}
    var k0 = ${kernel.walk ? "0u" : "params.firstKey"};
    ${loop}
  `;
}

/**
 * The key whose gradients of scores lie at a row: the last block may begin before its first row.
 */
function placeKey({ byQuery }: Kernel, row: string): string {
  return byQuery ? `${row} - select(0u, lastShift, ${row} >= lastBlock)` : row;
}

/** Adopts the exponent of the factor of a tile's dS, and rescales the sums to it. */
function adoptExponent(kernel: Kernel): string {
  const names = kernel.blockNumbers.flatMap((b) => sumsOf(kernel, b).names);
  return flatWgsl`
    let known = exponents[factors + (${walkedRow(kernel, "k0")} - ${
    kernel.packed ? "path.origin" : "params.firstKey"
  }) / ${kernel.keyRows}u];
    if (known != exponent) {
      let change = exp2(known - exponent);
      exponent = known;
      ${names.map((name) => scaleResult(name, "change"))}
    }
  `;
}

// ---- One step: 16 keys. First the schedule, then the statements. ----

/** The work on 16 staged keys, the `at`-th of a tile. */
function scheduleStep(kernel: Kernel, { row, at }: StagedRows): string[] {
  const { blockNumbers, depth, tileColumns, byQuery } = kernel;
  const order = byQuery ? "row_major" : "col_major";
  return [
    ...blockNumbers.map((b) => putScoreGradients(kernel, at, b)),
    fetchScoreGradients(kernel, at, walkedRow(kernel, `k0 + ${tileColumns + 16 * at}u`)),
    ...blockNumbers.map((b) => loadWeights(`ds${at}_${b}`, scratchOf(b), order)),
    ...depth.map((c) => multiplyGradients(kernel, { row, at, c })),
  ];
}

/**
 * Puts a lane's part of dS into the scratch: 16 × 16, two lanes per row. The other
 * pass may not have written entries outside the causal mask.
 */
function putScoreGradients(kernel: Kernel, at: number, b: number): string {
  const place = `${scratchOf(b)} + (lane >> 1u) * ${WEIGHT_STRIDE}u + (lane & 1u)`;
  const position = `k0 + ${16 * at}u`;
  const seen = kernel.walk
    ? `walkTouches(path, walkedMask(path, ${position}), first + ${16 * b}u, ` +
      `walkedRow(path, ${position}))`
    : `${position} <= first + ${16 * b + 15}u`;
  return `scratch[${place}] = select(vec4u(), e${at}_${b}, ${seen});`;
}

/** Adds to the c-th matrices of dQ of all blocks. */
function multiplyGradients(
  { stride, blockNumbers }: Kernel,
  { row, at, c }: { readonly row: string; readonly at: number; readonly c: number },
): string {
  const place = `${row} * ${stride}u + ${2 * c}u, ${stride}u`;
  return flatWgsl`
    { let k = subgroupMatrixLoad<${RIGHT}, row_major>(&keyStage, ${place});
      ${blockNumbers.map((b) => multiplyAdd(`dq${b}_${c}`, `ds${at}_${b}`, "k"))}
    }
  `;
}

// ---- Results ----

function storeBlock(kernel: Kernel, b: number): string {
  const sums = endSums(sumsOf(kernel, b), {
    live: "row < params.rows",
    row: "row",
    factor: "exp2(-exponent)",
    scale: isScaled(kernel) ? "(scale * LN2 * gradientScale)" : "(scale * LN2)",
    tensor: "queryGradients",
    gradientType: kernel.resultType,
  });
  return flatWgsl`
    {
      let row = first + ${16 * b}u + row16;
      ${readScale(kernel)}
      ${sums}
    }
  `;
}
