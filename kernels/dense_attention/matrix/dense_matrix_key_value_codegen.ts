/**
 * WGSL of dK, dV and dS on subgroup matrices along walks: see `dense_matrix_backward_codegen.ts`.
 * Without a walk `dense_matrix_causal_codegen.ts` is faster.
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
  columnRows,
  declareBindings,
  declareClasses,
  declareResult,
  describeBackward,
  endSums,
  entryPoint,
  isScaled,
  keyRowOf,
  type MatrixBackwardOptions,
  openHead,
  type PartialSums,
  WALKED_PARAMS,
  walkedRow,
} from "./dense_matrix_backward_codegen.ts";
import { leaveApartGradients, openEdges, openTile } from "./matrix_backward_walk_codegen.ts";
import {
  adoptScale,
  CLASSES,
  differentiateWeights,
  JOIN_HALVES,
  leaveScoreGradients,
  loadStaged,
  maskUnseen,
  retryUntilFit,
  type Round,
  WEIGHT_OF,
  weights,
} from "./dense_matrix_score_gradients_codegen.ts";
import {
  LEFT,
  loadWeights,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  readScores,
  RESULT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { SCRATCH, WEIGHT_STRIDE } from "./matrix_layout.ts";
import { type StagedRows, streamTiles } from "./row_staging_codegen.ts";

/** Names of the sums of dK or dV, one per matrix. */
function sumsOf({ depth }: BackwardKernel, name: "dk" | "dv"): string[] {
  return depth.map((c) => `${name}${c}`);
}

/**
 * The whole shader. Bindings: queries, keys, values, outputGradients, logSumExp, deltas, with
 * results of f32 classMasks, keyGradients, valueGradients, scoreGradients, exponents, partials,
 * params, then the walk's.
 */
export function generateMatrixKeyValue(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): string {
  if (tiling.blocks !== 1) {
    throw new RangeError("generate the pass over keys and values: blocks is not 1");
  }
  if (!options.walk) {
    throw new RangeError("generate the pass over keys and values: there is no walk");
  }
  const kernel = describeBackward(tiling, options);
  const { headDim } = options;
  const keySums = { names: sumsOf(kernel, "dk"), at: "partial", headDim };
  const valueSums = { names: sumsOf(kernel, "dv"), at: "valuePartial", headDim };
  return [
    keyValueDeclarations(kernel, SCRATCH),
    openMain(kernel),
    attempts(kernel, { keySums, valueSums }),
    storeSums(kernel, { keySums, valueSums }),
    "}",
    WEIGHT_OF,
    kernel.resultType === "f32" ? "" : NEAREST_HALF,
    ...isScaled(kernel) ? [CLASSES, JOIN_HALVES] : [],
    ...kernel.walk ? [kernel.walk] : [],
  ].join("\n");
}

// ---- Declarations and registers of a subgroup ----

/** Bindings and workgroup memory; `scratch`: 16-byte vectors of a subgroup. */
export function keyValueDeclarations(kernel: BackwardKernel, scratch: number): string {
  const { tileColumns, stride, subgroups, resultType } = kernel;
  const inputs = ["queries", "keys", "values", "outputGradients"];
  const bindings = [
    ...inputs.map((name) => `var<storage, read> ${name}: array<vec4u>; // [heads, N, d] f16`),
    "var<storage, read> logSumExp: array<f32>; // [heads, N], natural logarithm",
    "var<storage, read> deltas: array<f32>; // [heads, N]",
    ...declareClasses(kernel),
    declareResult("keyGradients", resultType, `[heads, N, d] ${resultType}`),
    declareResult("valueGradients", resultType, "the same"),
    "var<storage, read_write> scoreGradients: array<vec4u>; // [heads, keyBlocks, queryBlocks, 16, 16] f16",
    "var<storage, read_write> exponents: array<f32>; // [heads, workgroups of keys], of what multiplies dS",
    "var<storage, read_write> partials: array<f32>; // [keys and values, heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  const scales = flatWgsl`
    var<workgroup> stageClass: u32; // of the rows of dO that this round takes
    var<workgroup> rounds: u32; // that some tile needs
    ${kernel.walk ? [] : ["var<workgroup> joinedClasses: atomic<u32>; // of all queries"]}
  `;
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${kernel.walk ? WALKED_PARAMS : BACKWARD_PARAMS}
    ${declareBindings(bindings)}

    var<workgroup> queryStage: array<vec4u, ${tileColumns * stride}>;
    var<workgroup> gradientStage: array<vec4u, ${tileColumns * stride}>;
    var<workgroup> statistics: array<vec2f, ${tileColumns}>; // log-sum-exp in base 2, delta
    ${isScaled(kernel) ? [scales] : []}
    var<workgroup> scratch: array<vec4u, ${subgroups * scratch}>;
    var<workgroup> largest: atomic<u32>; // of |dS| times its factor, as bits
    var<workgroup> overflow: f32; // the same, if it was too large

    ${BACKWARD_CONSTANTS}

  `;
}

/** Positions of the workgroup, subgroup and lane; a subgroup's keys and values, and its sums. */
function openMain(kernel: BackwardKernel): string {
  const { headDim, vectors, depth } = kernel;
  const loadOwn = ([name, tensor]: readonly [string, string]) =>
    depth.map((c) => {
      const at = `(${keyRowOf(kernel)} + block) * ${vectors}u + ${2 * c}u, ${vectors}u`;
      return `let ${name}${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${tensor}, ${at});`;
    });
  const sums = [...sumsOf(kernel, "dk"), ...sumsOf(kernel, "dv")];
  const scoreBlock =
    "let scoreBlock = (group.x * params.keyBlocks + (own - params.firstKey) / 16u) * params.queryBlocks;";
  // Heads of partial sums, over all parts, or over all pieces of packed lists.
  const [sums0, sumsCount] = kernel.packed
    ? ["(slot * groups.x + group.x)", "params.parts * groups.x"]
    : kernel.walk
    ? ["(part * groups.x + group.x)", "params.parts * groups.x"]
    : ["group.x", "groups.x"];
  return wgsl`
    ${entryPoint(kernel)}
      ${openHead(kernel)}
      ${openEdges(kernel)}
      // The heaviest go first: the first keys, which most queries see.
      ${openTile(kernel)}
      let own = own0 + subgroup * 16u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      let block = min(own, params.rows - 16u);
      let row = block + row16;
      let live = row >= own;
      // Where the row lies in its own block of dS. Rows that are not its own make room for those past the end.
      let scoreRow = ((row16 - (own - block)) & 15u) * 2u + side;
      ${kernel.apart ? [] : [scoreBlock]}
      let partial = (${sums0} * params.partialRows + own - ${
    kernel.packed ? "slotKey" : "params.firstKey"
  }) * ${headDim}u;
      let valuePartial = partial + ${sumsCount} * params.partialRows * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${SCRATCH}u;
      let scratch1 = scratch0 + ${16 * WEIGHT_STRIDE}u;
      ${([["a", "keys"], ["b", "values"]] as const).flatMap(loadOwn)}
      ${sums.map((name) => `var ${name} = ${RESULT}();`)}
      var exponent = GRADIENT_EXPONENT;
      ${isScaled(kernel) ? ["var gradientScale = 1.0; // of the sums"] : []}
  `;
}

interface Sums {
  readonly keySums: PartialSums;
  readonly valueSums: PartialSums;
}

// ---- The loops over queries, retried with a smaller factor ----

function attempts(kernel: BackwardKernel, { keySums, valueSums }: Sums): string {
  const { tileColumns, vectors, threads } = kernel;
  const queries = {
    counter: "t0",
    tileColumns,
    tensors: [["queries", "queryStage"], ["outputGradients", "gradientStage"]],
    vectors,
    threads,
    row: (row: string) => columnInTensor(kernel, row),
    place: (position: string) => walkedRow(kernel, position),
  } as const;
  const sums = [...sumsOf(kernel, "dk"), ...sumsOf(kernel, "dv")];
  const loop = (round: Round) => [
    "var t0 = 0u;",
    streamTiles({
      ...queries,
      enter: enterTile(kernel, sums, round),
      prepare: stageStatistics(kernel, round),
      open: round === "later" ? skipTile(kernel) : [],
      condition: "t0 < path.rows",
      step: (rows) => scheduleStep(kernel, rows, round).join("\n"),
    }),
  ];
  return retryUntilFit(kernel, {
    begin: [beginSums(keySums, "exp2(exponent)"), beginSums(valueSums, "exp2(WEIGHT_EXPONENT)")],
    loops: loop("first"),
    later: isScaled(kernel) ? loop("later") : [],
  });
}

/** WGSL of the first row of the tile that is staged. */
function tileRowOf({ walk }: BackwardKernel): string {
  return walk ? "tileRow" : "t0";
}

/** Stages log-sum-exp and delta of a tile of queries, and the class of the powers of dO. */
export function stageStatistics(kernel: BackwardKernel, round: Round): string[] {
  const { tileColumns } = kernel;
  const scaled = isScaled(kernel) && round !== "only";
  const classOfRound = round === "first" ? "firstLeadingBit(mask)" : "classOfRound(mask, round)";
  const statistics = flatWgsl`
    if (local < ${tileColumns}u) {
      let query = ${tileRowOf(kernel)} + local;
      let at = ${columnInTensor(kernel, "query")};
      ${scaled ? [`let mask = ${maskOf(kernel, tileRowOf(kernel))};`] : []}
      let known = vec2f(logSumExp[at] * LOG2E, deltas[at]);
      statistics[local] = select(vec2f(PAST_END, 0.0), known, query < ${columnRows(kernel)}${
    scaled ? ` && classOf(known.y) == ${classOfRound}` : ""
  });
    }
  `;
  return [statistics, ...scaled ? [stageTileClass(kernel, classOfRound)] : []];
}

/** WGSL of the classes of the 16 rows of dO that a row belongs to. */
function maskOfRow(row: string): string {
  const blocks = "((params.rows + 15u) / 16u)";
  return `classMasks[(params.firstHead + group.x) * ${blocks} + ` +
    `min((${row}) / 16u, ${blocks} - 1u)]`;
}

/** WGSL of the classes of a tile. */
function maskOf({ tileColumns }: BackwardKernel, first: string): string {
  const masks = range(tileColumns / 16).map((b) => maskOfRow(`${first} + ${16 * b}u`));
  return `(${masks.join(" | ")})`;
}

/** Stages the class of the rows that this round takes, and how many rounds there are. */
function stageTileClass(kernel: BackwardKernel, classOfRound: string): string {
  return flatWgsl`
    if (local == 0u) {
      let mask = ${maskOf(kernel, tileRowOf(kernel))};
      stageClass = ${classOfRound};
      rounds = max(rounds, countOneBits(mask));
    }
  `;
}

/** In later rounds, skips tiles whose rows were all taken. */
export function skipTile(kernel: BackwardKernel): string[] {
  const first = walkedRow(kernel, "t0");
  return [
    `let firstQuery = ${first};`,
    `if (countOneBits(${maskOf(kernel, "firstQuery")}) <= round) { continue; }`,
  ];
}

/** Adopts the scale of a staged tile. */
export function enterTile(
  kernel: BackwardKernel,
  sums: readonly string[],
  round: Round,
): string[] {
  return isScaled(kernel) && round !== "only" ? [adoptScale(sums)] : [];
}

// ---- One step: 16 queries. First the schedule, then the statements. ----

/** The work on 16 staged queries. Scores are `x`, then P; gradients of weights are `y`, then dS. */
function scheduleStep(
  kernel: BackwardKernel,
  { row, firstRow: at }: StagedRows,
  round: Round,
): string[] {
  return [
    `let query0 = ${walkedRow(kernel, at)};`,
    multiplyScores(kernel, row),
    storeResult("scratch0", "s"),
    readScores("scratch0", "x"),
    storeResult("scratch0", "d"),
    readScores("scratch0", "y"),
    weights({ half: "a", column: "column0", row }),
    weights({ half: "b", column: "(column0 ^ 4u)", row }),
    maskUnseen(at),
    exchangeWeights(),
    kernel.apart ? leaveApartGradients() : leaveScoreGradients("query0", round),
    ...kernel.depth.map((c) => multiplyGradients(kernel, row, c)),
  ];
}

/** The results `s` = K·Qᵀ and `d` = V·dOᵀ. */
function multiplyScores(kernel: BackwardKernel, row: string): string {
  const multiply = (c: number) => {
    const load = (stage: string) => loadStaged(kernel, { stage, order: "col_major", row, c });
    return flatWgsl`
      ${multiplyAdd("s", `a${c}`, load("queryStage"))}
      ${multiplyAdd("d", `b${c}`, load("gradientStage"))}
    `;
  };
  return flatWgsl`
    var s = ${RESULT}();
    var d = ${RESULT}();
    ${kernel.depth.map(multiply)}
  `;
}

/** dS from P and its gradient; both become the left matrices `p` and `ds`. */
function exchangeWeights(): string {
  return flatWgsl`
    ${differentiateWeights()}
    scratch[scratch0 + weight0] = xw;
    scratch[scratch1 + weight0] = yw;
    ${loadWeights("p", "scratch0")}
    ${loadWeights("ds", "scratch1")}
  `;
}

/** Adds to the c-th matrices of dK and dV. */
function multiplyGradients(kernel: BackwardKernel, row: string, c: number): string {
  const load = (stage: string) => loadStaged(kernel, { stage, order: "row_major", row, c });
  return flatWgsl`
    ${multiplyAdd(`dk${c}`, "ds", load("queryStage"))}
    ${multiplyAdd(`dv${c}`, "p", load("gradientStage"))}
  `;
}

// ---- Results ----

function storeSums(kernel: BackwardKernel, { keySums, valueSums }: Sums): string {
  const place = { live: "mine", row: "row", gradientType: kernel.resultType };
  const unscaled = (factor: string) => isScaled(kernel) ? `(${factor} * gradientScale)` : factor;
  const keys = endSums(keySums, {
    ...place,
    factor: unscaled("exp2(-exponent)"),
    scale: "(scale * LN2)",
    tensor: "keyGradients",
  });
  const values = endSums(valueSums, {
    ...place,
    factor: unscaled("exp2(-WEIGHT_EXPONENT)"),
    scale: "1.0",
    tensor: "valueGradients",
  });
  const at = kernel.packed
    ? "group.x * params.parts * tiles + slotTile"
    : "group.x * groups.y + group.y";
  return flatWgsl`
    if (local == 0u) { exponents[${at}] = exponent; }
    let mine = live && row < params.rows;
    ${keys}
    ${values}
  `;
}
