/**
 * WGSL of the backward pass over keys and values on subgroup matrices, with pairs of subgroups: dK,
 * dV and dS. See `dense_matrix_backward_codegen.ts`.
 *
 * A pair owns 32 keys. For each 16 queries
 *
 * 1. the first subgroup multiplies K·Qᵀ and the second V·dOᵀ, for all 32 keys: an operand that is
 *    read from workgroup memory serves two products, and registers hold 32 rows of K or of V;
 * 2. each subgroup turns both results of 16 of the keys into P and dS;
 * 3. each adds to dK and dV of all 32 keys, to half of their columns.
 *
 * Per 16 keys and 16 queries a subgroup thus moves 15 KiB through workgroup memory (4 for the first
 * products, 5 for scores and weights, 6 for the second), not 22, with as many registers. The price
 * is barriers of the whole workgroup: after steps 1 and 2, and after the weights are loaded if they
 * lie where the scores of the next step will be. Rows are staged in a ring of two times 16.
 *
 * Workgroup memory: (64 * (d/8 + 1) + subgroups * 240) * 16 bytes, 160 instead of 240 in place, and
 * 8 bytes per staged row for log-sum-exp and delta.
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
  declareBindings,
  declareResult,
  declareScales,
  describeBackward,
  endSums,
  entryPoint,
  isScaled,
  type MatrixBackwardOptions,
  type PartialSums,
} from "./dense_matrix_backward_codegen.ts";
import {
  adoptScale,
  differentiateWeights,
  leaveScoreGradients,
  loadStaged,
  maskWeights,
  retryUntilFit,
  WEIGHT_OF,
  weights,
} from "./dense_matrix_score_gradients_codegen.ts";
import { withColumns } from "./matrix_columns_codegen.ts";
import {
  lanePlaces,
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  readScores,
  RESULT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import {
  PAIR_SCORE_STRIDE,
  PAIR_SCORES,
  PAIR_WEIGHT_STRIDE,
  PAIR_WEIGHTS,
} from "./matrix_layout.ts";
import { type StagedRows, streamRing } from "./row_staging_codegen.ts";

const BLOCKS = [0, 1] as const;

interface Kernel extends BackwardKernel {
  /** Vectors of a tensor's ring. */
  readonly ring: number;
  /** Indices of the matrices that make up half of a row. */
  readonly half: readonly number[];
  /** Where weights lie: the array, and the vectors of a block in it. */
  readonly weights: { readonly array: string; readonly size: number };
}

/**
 * The whole shader, without a walk. Bindings are those of `dense_matrix_key_value_codegen.ts`, all
 * inputs read-write.
 *
 * @throws {RangeError} unless the tiling has pairs, one block, and two stages of 16 queries.
 */
export function generatePairedKeyValue(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): string {
  const { paired, subgroups, tileColumns, stages, blocks } = tiling;
  if (!paired || blocks !== 1 || stages !== 2 || tileColumns !== 16 || subgroups % 2 !== 0) {
    throw new RangeError(
      "generate the pass over keys and values in pairs: not an even number of subgroups, one " +
        "block, and two stages of 16 queries",
    );
  }
  if (options.walk) {
    throw new RangeError("generate the pass over keys and values in pairs: it has no walks");
  }
  const described = describeBackward(tiling, options);
  const kernel: Kernel = {
    ...described,
    ring: 2 * tileColumns * described.stride,
    half: range(options.headDim / 32),
    weights: paired === "apart"
      ? { array: "weights", size: PAIR_WEIGHTS }
      : { array: "scratch", size: PAIR_SCORES },
  };
  const parts = [
    declarations(kernel),
    openMain(kernel),
    attempts(kernel),
    storeSums(kernel),
    "}",
    WEIGHT_OF,
    isScaled(kernel) ? "" : NEAREST_HALF,
  ];
  return withColumns(tiling, parts.join("\n"));
}

function sumsOf({ half }: Kernel, name: "dk" | "dv", block: number): string[] {
  return half.map((c) => `${name}${block}_${c}`);
}

function allSums(kernel: Kernel): string[] {
  return BLOCKS.flatMap((b) => [...sumsOf(kernel, "dk", b), ...sumsOf(kernel, "dv", b)]);
}

function partialSums(kernel: Kernel, name: "dk" | "dv", block: number): PartialSums {
  const { headDim } = kernel;
  const first = name === "dk" ? "partial" : "valuePartial";
  return {
    names: sumsOf(kernel, name, block),
    at: `${first} + ${block * 16 * headDim}u`,
    headDim,
  };
}

// ---- Declarations and registers of a subgroup ----

function declarations(kernel: Kernel): string {
  const { ring, subgroups, gradientType, paired } = kernel;
  const inputs = ["queries", "keys", "values", "outputGradients"];
  const writable = (line: string) => line.replace("storage, read>", "storage, read_write>");
  const bindings = [
    ...inputs.map((name) => `var<storage, read_write> ${name}: array<vec4u>; // [heads, N, d] f16`),
    "var<storage, read_write> logSumExp: array<f32>; // [heads, N], natural logarithm",
    "var<storage, read_write> deltas: array<f32>; // [heads, N]",
    ...declareScales(kernel).map(writable),
    declareResult("keyGradients", gradientType, `[heads, N, d] ${gradientType}`),
    declareResult("valueGradients", gradientType, "the same"),
    "var<storage, read_write> scoreGradients: array<vec4u>; // [heads, keyBlocks, queryBlocks, 16, 16] f16",
    "var<storage, read_write> exponents: array<f32>; // [heads, workgroups of keys], of what multiplies dS",
    "var<storage, read_write> partials: array<f32>; // [keys and values, heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  const apart = `var<workgroup> weights: array<vec4u, ${subgroups * PAIR_WEIGHTS}>; // P and dS`;
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${BACKWARD_PARAMS}
    ${declareBindings(bindings)}

    var<workgroup> stage: array<vec4u, ${2 * ring}>; // of Q, then of dO
    var<workgroup> statistics: array<vec2f, 32>; // log-sum-exp in base 2, delta
    ${isScaled(kernel) ? ["var<workgroup> stageScales: array<f32, 2>; // of dO, by 16 rows"] : []}
    var<workgroup> scratch: array<vec4u, ${subgroups * PAIR_SCORES}>;
    ${paired === "apart" ? [apart] : []}
    var<workgroup> largest: atomic<u32>; // of |dS| times its factor, as bits
    var<workgroup> overflow: f32; // the same, if it was too large

    ${BACKWARD_CONSTANTS}

  `;
}

/** Positions of the workgroup, subgroup and lane; 32 rows of K or V, and the sums. */
function openMain(kernel: Kernel): string {
  const { headDim, vectors, depth, ring, ownRows, weights, half } = kernel;
  const places = lanePlaces({ scores: PAIR_SCORE_STRIDE, weights: PAIR_WEIGHT_STRIDE });
  const own = (b: number, c: number) => {
    const load = (tensor: string) => {
      const at = `(headRow + block${b}) * ${vectors}u + ${2 * c}u, ${vectors}u`;
      return `a${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${tensor}, ${at});`;
    };
    return { keys: load("keys"), values: load("values") };
  };
  const loads = BLOCKS.flatMap((b) => depth.map((c) => own(b, c)));
  return wgsl`
    ${entryPoint(kernel, places)}
      let headRow = (params.firstHead + group.x) * params.rows;
      let earlier = params.firstQuery > params.firstKey;
      let later = params.endQuery < params.rows;
      // The heaviest go first: the first keys, which most queries see.
      let own0 = params.firstKey + group.y * ${ownRows}u;
      let role = subgroup & 1u; // 0 multiplies K·Qᵀ, 1 multiplies V·dOᵀ
      let pair0 = own0 + (subgroup >> 1u) * 32u;
      // The 16 keys of the pair whose weights this subgroup computes.
      let own = own0 + subgroup * 16u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      let block0 = min(pair0, params.rows - 16u);
      let block1 = min(pair0 + 16u, params.rows - 16u);
      let block = select(block0, block1, role == 1u);
      let row = block + row16;
      let live = row >= own;
      // Where the row lies in its own block of dS. Rows that are not its own make room for those past the end.
      let scoreRow = ((row16 - (own - block)) & 15u) * 2u + side;
      let scoreBlock = (group.x * params.keyBlocks + (own - params.firstKey) / 16u) * params.queryBlocks;
      let column = role * ${headDim / 2}u;
      let partial = (group.x * params.partialRows + pair0 - params.firstKey) * ${headDim}u + column;
      let valuePartial = partial + groups.x * params.partialRows * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${PAIR_SCORES}u;
      let pairScratch = (subgroup >> 1u) * ${2 * PAIR_SCORES}u;
      let weights0 = subgroup * ${weights.size}u + weight0;
      let pairWeights = (subgroup >> 1u) * ${2 * weights.size}u;
      let operand = role * ${ring}u; // where its operand is staged
      let stageColumn = role * ${half.length * 2}u;
      ${loads.map(({ keys }) => `var ${keys.split(" = ")[0]}: ${LEFT};`)}
      if (role == 0u) {
        ${loads.map(({ keys }) => keys)}
      } else {
        ${loads.map(({ values }) => values)}
      }
      ${allSums(kernel).map((name) => `var ${name} = ${RESULT}();`)}
      var exponent = GRADIENT_EXPONENT;
      ${isScaled(kernel) ? ["var gradientScale = 1.0; // of the sums"] : []}
  `;
}

// ---- The loop over queries ----

function attempts(kernel: Kernel): string {
  const { tileColumns, vectors, threads, ring } = kernel;
  const loop = streamRing({
    counter: "t0",
    condition: "t0 < params.endQuery",
    tileColumns,
    tensors: [["queries", "stage"], ["outputGradients", "stage", ring]],
    vectors,
    threads,
    row: (row) => `headRow + min(${row}, params.rows - 1u)`,
    synchronised: true,
    direct: kernel.direct,
    step: (rows) => scheduleStep(kernel, rows).join("\n"),
  });
  const begin = BLOCKS.flatMap((b) => [
    beginSums(partialSums(kernel, "dk", b), "exp2(exponent)"),
    beginSums(partialSums(kernel, "dv", b), "exp2(WEIGHT_EXPONENT)"),
  ]);
  const loops = [
    "var t0 = max(params.firstQuery, own0);",
    "var nextStatistics: vec2f;",
    ...isScaled(kernel) ? ["var nextScale: f32;"] : [],
    fetchStatistics(kernel, "t0"),
    putStatistics(kernel, "t0"),
    fetchStatistics(kernel, "t0 + 16u"),
    loop,
  ];
  return retryUntilFit(kernel, { begin, loops });
}

/** Fetches log-sum-exp and delta of 16 queries; nothing depends on them until they are put. */
function fetchStatistics(kernel: Kernel, from: string): string {
  const scale = flatWgsl`
    let blocks = (params.rows + 15u) / 16u;
    let scaleAt = (params.firstHead + group.x) * blocks + min((${from}) / 16u, blocks - 1u);
    nextScale = gradientScales[scaleAt];
  `;
  return flatWgsl`
    if (local < 16u) {
      let at = headRow + min(${from} + local, params.rows - 1u);
      nextStatistics = vec2f(logSumExp[at], deltas[at]);
      ${isScaled(kernel) ? [scale] : []}
    }
  `;
}

/** Stages the statistics of the 16 queries from `from` on. */
function putStatistics(kernel: Kernel, from: string): string {
  return flatWgsl`
    if (local < 16u) {
      let inside = ${from} + local < params.rows;
      statistics[(${from}) % 32u + local] =
        select(vec2f(PAST_END, 0.0), nextStatistics * vec2f(LOG2E, 1.0), inside);
      ${isScaled(kernel) ? [`stageScales[(${from}) / 16u % 2u] = nextScale;`] : []}
    }
  `;
}

// ---- One step: 16 queries. First the schedule, then the statements. ----

/** The work on 16 staged queries. Scores are `x`, then P; gradients of weights are `y`, then dS. */
function scheduleStep(kernel: Kernel, { row, firstRow, ...rows }: StagedRows): string[] {
  const { direct } = kernel;
  const barrier = "workgroupBarrier();";
  return [
    ...isScaled(kernel) ? [adoptScale(allSums(kernel), row)] : [],
    multiplyScores(kernel, row),
    ...BLOCKS.map(storeScores),
    barrier,
    ...direct ? rows.stage() : rows.put(),
    putStatistics(kernel, "t0 + 16u"),
    readScores("scratch0", "x"),
    readScores("(scratch0 + 4u)", "y"),
    weights({ half: "a", column: "column0", row }),
    weights({ half: "b", column: "(column0 ^ 4u)", row }),
    maskWeights(firstRow),
    differentiateWeights(),
    `${kernel.weights.array}[weights0] = xw;`,
    `${kernel.weights.array}[weights0 + 2u] = yw;`,
    leaveScoreGradients(firstRow),
    barrier,
    // One sum after the other: registers hold two weights at a time.
    ...BLOCKS.map((b) => loadBlockWeights(kernel, "ds", b)),
    ...kernel.half.map((c) => multiplyGradients(kernel, "dk", { row, c })),
    ...BLOCKS.map((b) => loadBlockWeights(kernel, "p", b)),
    ...kernel.paired === "in place" ? [barrier] : [],
    ...kernel.half.map((c) => multiplyGradients(kernel, "dv", { row, c })),
    ...direct ? [] : rows.fetch(),
    fetchStatistics(kernel, "t0 + 32u"),
  ];
}

/** Both blocks' `s`: of K·Qᵀ or of V·dOᵀ. */
function multiplyScores(kernel: Kernel, row: string): string {
  const multiply = (c: number) => {
    const at = { stage: "stage", order: "col_major", row, c, before: "operand" } as const;
    return flatWgsl`
      { let operand${c} = ${loadStaged(kernel, at)};
        ${BLOCKS.map((b) => multiplyAdd(`s${b}`, `a${b}_${c}`, `operand${c}`))}
      }
    `;
  };
  return flatWgsl`
    ${BLOCKS.map((b) => `var s${b} = ${RESULT}();`)}
    ${kernel.depth.map(multiply)}
  `;
}

/** Stores `s` of a block of the pair, beside the other role's. */
function storeScores(b: number): string {
  const place = `pairScratch + ${b * PAIR_SCORES}u + role * 4u`;
  return storeResult(place, `s${b}`, PAIR_SCORE_STRIDE);
}

/** The left matrix `p<b>` or `ds<b>`. */
function loadBlockWeights({ weights }: Kernel, name: "p" | "ds", b: number): string {
  const { array, size } = weights;
  const first = b * size + (name === "p" ? 0 : 2);
  return `let ${name}${b} = subgroupMatrixLoad<${LEFT}, row_major>(&${array}, ` +
    `pairWeights + ${first}u, ${PAIR_WEIGHT_STRIDE}u);`;
}

/** Adds to the c-th matrices of dK or dV, of the subgroup's half, of both blocks. */
function multiplyGradients(
  kernel: Kernel,
  sum: "dk" | "dv",
  { row, c }: { readonly row: string; readonly c: number },
): string {
  const before = sum === "dk" ? "stageColumn" : `${kernel.ring}u + stageColumn`;
  const rows = loadStaged(kernel, { stage: "stage", order: "row_major", row, c, before });
  const left = sum === "dk" ? "ds" : "p";
  return flatWgsl`
    { let ${sum}Rows${c} = ${rows};
      ${BLOCKS.map((b) => multiplyAdd(`${sum}${b}_${c}`, `${left}${b}`, `${sum}Rows${c}`))}
    }
  `;
}

function storeSums(kernel: Kernel): string {
  const { gradientType } = kernel;
  const unscaled = (factor: string) => isScaled(kernel) ? `(${factor} * gradientScale)` : factor;
  const store = (b: number) => {
    const place = { live: "mine", row: "row", gradientType, before: "stageColumn" };
    const keys = endSums(partialSums(kernel, "dk", b), {
      ...place,
      factor: unscaled("exp2(-exponent)"),
      scale: "(scale * LN2)",
      tensor: "keyGradients",
    });
    const values = endSums(partialSums(kernel, "dv", b), {
      ...place,
      factor: unscaled("exp2(-WEIGHT_EXPONENT)"),
      scale: "1.0",
      tensor: "valueGradients",
    });
    return flatWgsl`
      {
        let row = block${b} + row16;
        let mine = row >= pair0 + ${16 * b}u && row < params.rows;
        ${keys}
        ${values}
      }
    `;
  };
  return flatWgsl`
    if (local == 0u) { exponents[group.x * groups.y + group.y] = exponent; }
    ${BLOCKS.map(store)}
  `;
}
