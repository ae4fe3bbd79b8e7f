/**
 * WGSL of the backward pass over keys and values on subgroup matrices, with 32 keys a subgroup: dK, dV
 * and dS, for d = 64. See `dense_matrix_backward_codegen.ts`.
 *
 * Registers hold K, V, dK and dV of 32 keys, as many as of 16 keys at d = 128 (192 of a lane). Each
 * operand that is read from workgroup memory serves two products: 10 KiB per 16 keys and 16 queries
 * instead of 14. The weights of the first block have their own place, those of the second lie where
 * the scores were.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 192) * 16 bytes, 8 bytes per row of a
 * tile for log-sum-exp and delta, and with an f32 dO 12 bytes.
 *
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { flatWgsl, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixBackwardTiling } from "../tilings.ts";
import {
  type BackwardKernel,
  beginSums,
  describeBackward,
  endSums,
  entryPoint,
  isScaled,
  type MatrixBackwardOptions,
  type PartialSums,
} from "./dense_matrix_backward_codegen.ts";
import {
  enterTile,
  keyValueDeclarations,
  skipTile,
  stageStatistics,
} from "./dense_matrix_key_value_codegen.ts";
import {
  CLASSES,
  differentiateWeights,
  JOIN_HALVES,
  leaveScoreGradients,
  loadStaged,
  maskWeights,
  retryUntilFit,
  type Round,
  WEIGHT_OF,
  weights,
} from "./dense_matrix_score_gradients_codegen.ts";
import {
  LEFT,
  loadWeights,
  multiplyAdd,
  readScores,
  RESULT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { SCRATCH, WEIGHT_STRIDE } from "./matrix_layout.ts";
import { type StagedRows, streamTiles } from "./row_staging_codegen.ts";

const BLOCKS = [0, 1] as const;

/**
 * The whole shader, without a walk. Bindings are those of `dense_matrix_key_value_codegen.ts`.
 *
 * @throws {RangeError} when the head dimension is more than 64, for which registers do not suffice.
 */
export function generateTwoBlockKeyValue(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): string {
  if (options.headDim > 64 || options.walk) {
    throw new RangeError(
      `generate the pass over 32 keys a subgroup: head dimension ${options.headDim}, ` +
        `${options.walk ? "with" : "without"} a walk, is not at most 64 without one`,
    );
  }
  const kernel = describeBackward(tiling, options);
  return [
    keyValueDeclarations(kernel, 2 * SCRATCH),
    openMain(kernel),
    attempts(kernel),
    storeSums(kernel),
    "}",
    WEIGHT_OF,
    ...isScaled(kernel) ? [CLASSES, JOIN_HALVES] : [NEAREST_HALF],
  ].join("\n");
}

/** Names of the sums of a block of keys. */
function sumsOf({ depth }: BackwardKernel, name: "dk" | "dv", block: number): string[] {
  return depth.map((c) => `${name}${block}_${c}`);
}

function allSums(kernel: BackwardKernel): string[] {
  return BLOCKS.flatMap((b) => [...sumsOf(kernel, "dk", b), ...sumsOf(kernel, "dv", b)]);
}

function partialSums(kernel: BackwardKernel, name: "dk" | "dv", block: number): PartialSums {
  const { headDim } = kernel;
  const first = name === "dk" ? "partial" : "valuePartial";
  return {
    names: sumsOf(kernel, name, block),
    at: `${first} + ${block * 16 * headDim}u`,
    headDim,
  };
}

/** Positions of the workgroup, subgroup and lane; keys, values and sums of both blocks. */
function openMain(kernel: BackwardKernel): string {
  const { headDim, vectors, depth, ownRows } = kernel;
  const load = (name: string, tensor: string) =>
    BLOCKS.flatMap((b) =>
      depth.map((c) => {
        const at = `(headRow + block${b}) * ${vectors}u + ${2 * c}u, ${vectors}u`;
        return `let ${name}${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${tensor}, ${at});`;
      })
    );
  return wgsl`
    ${entryPoint(kernel)}
      let headRow = (params.firstHead + group.x) * params.rows;
      let earlier = params.firstQuery > params.firstKey;
      let later = params.endQuery < params.rows;
      // The heaviest go first: the first keys, which most queries see.
      let own0 = params.firstKey + group.y * ${ownRows}u;
      let first = own0 + subgroup * 32u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      let block0 = min(first, params.rows - 16u);
      let block1 = min(first + 16u, params.rows - 16u);
      let partial = (group.x * params.partialRows + first - params.firstKey) * ${headDim}u;
      let valuePartial = partial + groups.x * params.partialRows * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${2 * SCRATCH}u;
      ${load("a", "keys")}
      ${load("b", "values")}
      ${allSums(kernel).map((name) => `var ${name} = ${RESULT}();`)}
      var exponent = GRADIENT_EXPONENT;
      ${isScaled(kernel) ? ["var gradientScale = 1.0; // of the sums"] : []}
  `;
}

function attempts(kernel: BackwardKernel): string {
  const { tileColumns, vectors, threads, ownRows } = kernel;
  const loop = (condition: string, masked: boolean, round: Round = "first") =>
    streamTiles({
      counter: "t0",
      tileColumns,
      tensors: [["queries", "queryStage"], ["outputGradients", "gradientStage"]],
      vectors,
      threads,
      row: (row) => `headRow + min(${row}, params.rows - 1u)`,
      prepare: stageStatistics(kernel, round),
      open: round === "later" ? skipTile(kernel) : [],
      enter: enterTile(kernel, allSums(kernel), round),
      condition,
      step: (rows) => scheduleStep(kernel, rows, { masked, round }).join("\n"),
    });
  const begin = BLOCKS.flatMap((b) => [
    beginSums(partialSums(kernel, "dk", b), "exp2(exponent)"),
    beginSums(partialSums(kernel, "dv", b), "exp2(WEIGHT_EXPONENT)"),
  ]);
  const start = `var t0 = max(params.firstQuery, own0 / ${tileColumns}u * ${tileColumns}u);`;
  const whole = (round: Round) => [start, loop("t0 < params.endQuery", true, round)];
  const divided = [
    start,
    `let ownEnd = min(own0 + ${ownRows}u, params.endQuery);`,
    loop("t0 < ownEnd", true, "only"),
    loop("t0 < params.endQuery", false, "only"),
  ];
  return retryUntilFit(kernel, {
    begin,
    loops: isScaled(kernel) ? whole("first") : divided,
    later: isScaled(kernel) ? whole("later") : [],
    alike: isScaled(kernel) ? { loops: divided, sums: allSums(kernel) } : undefined,
  });
}

/** Where the weights of a block lie: P, then dS. */
function weightsAt(b: number, which: "p" | "ds"): string {
  const first = (b === 0 ? SCRATCH : 0) + (which === "p" ? 0 : 16 * WEIGHT_STRIDE);
  return `scratch0 + ${first}u`;
}

/** The work on 16 staged queries. Scores are `x`, then P; gradients of weights are `y`, then dS. */
function scheduleStep(
  kernel: BackwardKernel,
  { row, firstRow }: StagedRows,
  options: { readonly masked: boolean; readonly round: Round },
): string[] {
  return [
    multiplyScores(kernel, row),
    ...BLOCKS.map((b) => exchangeBlock(b, { row, firstRow, ...options })),
    ...BLOCKS.flatMap((b) => [
      loadWeights(`p${b}`, weightsAt(b, "p")),
      loadWeights(`ds${b}`, weightsAt(b, "ds")),
    ]),
    ...kernel.depth.map((c) => multiplyGradients(kernel, row, c)),
  ];
}

/** The results `s<b>` = K·Qᵀ and `d<b>` = V·dOᵀ. */
function multiplyScores(kernel: BackwardKernel, row: string): string {
  const multiply = (c: number) => {
    const load = (stage: string) => loadStaged(kernel, { stage, order: "col_major", row, c });
    return flatWgsl`
      { let query${c} = ${load("queryStage")};
        ${BLOCKS.map((b) => multiplyAdd(`s${b}`, `a${b}_${c}`, `query${c}`))}
      }
      { let gradient${c} = ${load("gradientStage")};
        ${BLOCKS.map((b) => multiplyAdd(`d${b}`, `b${b}_${c}`, `gradient${c}`))}
      }
    `;
  };
  return flatWgsl`
    ${BLOCKS.flatMap((b) => [`var s${b} = ${RESULT}();`, `var d${b} = ${RESULT}();`])}
    ${kernel.depth.map(multiply)}
  `;
}

/** P and dS of a block of keys: to the scratch, and dS to its buffer. */
function exchangeBlock(
  b: number,
  { row, firstRow, masked, round }: {
    row: string;
    firstRow: string;
    masked: boolean;
    round: Round;
  },
): string {
  return flatWgsl`
    {
      let block = block${b};
      let own = first + ${16 * b}u;
      let row = block + row16;
      let live = row >= own;
      // Where the row lies in its own block of dS. Rows that are not its own make room for those past the end.
      let scoreRow = ((row16 - (own - block)) & 15u) * 2u + side;
      let scoreBlock = (group.x * params.keyBlocks + (own - params.firstKey) / 16u) * params.queryBlocks;
      ${storeResult("scratch0", `s${b}`)}
      ${readScores("scratch0", "x")}
      ${storeResult("scratch0", `d${b}`)}
      ${readScores("scratch0", "y")}
      ${weights({ half: "a", column: "column0", row })}
      ${weights({ half: "b", column: "(column0 ^ 4u)", row })}
      ${masked ? [maskWeights(firstRow)] : []}
      ${differentiateWeights()}
      scratch[${weightsAt(b, "p")} + weight0] = xw;
      scratch[${weightsAt(b, "ds")} + weight0] = yw;
      ${leaveScoreGradients(firstRow, round)}
    }
  `;
}

/** Adds to the c-th matrices of dK and dV of both blocks. */
function multiplyGradients(kernel: BackwardKernel, row: string, c: number): string {
  const load = (stage: string) => loadStaged(kernel, { stage, order: "row_major", row, c });
  return flatWgsl`
    { let query${c} = ${load("queryStage")};
      ${BLOCKS.map((b) => multiplyAdd(`dk${b}_${c}`, `ds${b}`, `query${c}`))}
    }
    { let gradient${c} = ${load("gradientStage")};
      ${BLOCKS.map((b) => multiplyAdd(`dv${b}_${c}`, `p${b}`, `gradient${c}`))}
    }
  `;
}

function storeSums(kernel: BackwardKernel): string {
  const { gradientType } = kernel;
  const unscaled = (factor: string) => isScaled(kernel) ? `(${factor} * gradientScale)` : factor;
  const store = (b: number) => {
    const place = { live: "mine", row: "row", gradientType };
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
        let mine = row >= first + ${16 * b}u && row < params.rows;
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
