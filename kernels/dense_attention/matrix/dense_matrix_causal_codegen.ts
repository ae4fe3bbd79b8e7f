/**
 * WGSL of the backward pass over keys and values on subgroup matrices, without a walk: dK, dV and
 * dS. See `dense_matrix_backward_codegen.ts`; along walks `dense_matrix_key_value_codegen.ts` takes
 * its place.
 *
 * Scores are Q·Kᵀ here, with a query a row: a lane needs the statistics of one query, not of eight,
 * and the weights of all keys are loaded as transposed left matrices. Blocks of dS are 16 queries ×
 * 16 keys.
 *
 * Registers hold K, V, dK and dV of 16 keys, or of 32 at d = 64: 192 of a lane at most. With 32
 * keys each operand that is read from workgroup memory serves two products, 10 KiB per 16 keys and
 * 16 queries instead of 14; the weights of the first block have their own place, those of the last
 * lie where the scores were.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * blocks * 96) * 16 bytes, 8 bytes per
 * row of a tile for log-sum-exp and delta, and with an f32 dO 12 bytes.
 *
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixBackwardTiling } from "../tilings.ts";
import {
  type BackwardKernel,
  beginSums,
  describeBackward,
  endSums,
  entryPoint,
  isScaled,
  keyRowOf,
  type MatrixBackwardOptions,
  openHead,
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
  loadStaged,
  retryUntilFit,
  type Round,
  WEIGHT_OF,
} from "./dense_matrix_score_gradients_codegen.ts";
import {
  columnsOfHalves,
  interleave,
  LEFT,
  loadWeights,
  multiplyAdd,
  readScores,
  RESULT,
  RIGHT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { SCRATCH, WEIGHT_STRIDE } from "./matrix_layout.ts";
import { withColumns } from "./matrix_columns_codegen.ts";
import { openEdges } from "./matrix_backward_walk_codegen.ts";
import { streamTiles } from "./row_staging_codegen.ts";

/** A backward kernel, and the indices of a subgroup's blocks of 16 keys. */
interface Kernel extends BackwardKernel {
  readonly blockNumbers: readonly number[];
}

/**
 * The whole shader. Bindings are those of `dense_matrix_key_value_codegen.ts`.
 *
 * @throws {RangeError} with a walk, or with 32 keys at d = 128, for which registers do not suffice.
 */
export function generateCausalKeyValue(
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): string {
  if (options.headDim * tiling.blocks > 128 || options.walk) {
    throw new RangeError(
      `generate the pass over keys and values without a walk: ${tiling.blocks} blocks of keys at head ` +
        `dimension ${options.headDim}${
          options.walk ? " have a walk" : " do not fit the registers"
        }`,
    );
  }
  const { blocks } = tiling;
  const kernel: Kernel = {
    ...describeBackward(tiling, options),
    blockNumbers: range(blocks),
  };
  const parts = [
    keyValueDeclarations(kernel, blocks * SCRATCH),
    openMain(kernel),
    attempts(kernel),
    storeSums(kernel),
    "}",
    WEIGHT_OF,
    ...isScaled(kernel) ? [CLASSES, JOIN_HALVES] : [NEAREST_HALF],
  ];
  return withColumns(tiling, parts.join("\n"));
}

/** Names of the sums of a block of keys. */
function sumsOf({ depth }: Kernel, name: "dk" | "dv", block: number): string[] {
  return depth.map((c) => `${name}${block}_${c}`);
}

function allSums(kernel: Kernel): string[] {
  return kernel.blockNumbers.flatMap((
    b,
  ) => [...sumsOf(kernel, "dk", b), ...sumsOf(kernel, "dv", b)]);
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

/** Positions of the workgroup, subgroup and lane; keys, values and sums of both blocks. */
function openMain(kernel: Kernel): string {
  const { headDim, vectors, depth, ownRows, blocks, blockNumbers } = kernel;
  const load = (name: string, tensor: string) =>
    kernel.blockNumbers.flatMap((b) =>
      depth.map((c) => {
        const at = `(${keyRowOf(kernel)} + block${b}) * ${vectors}u + ${2 * c}u, ${vectors}u`;
        return `let ${name}${b}_${c} = subgroupMatrixLoad<${RIGHT}, col_major>(&${tensor}, ${at});`;
      })
    );
  return wgsl`
    ${entryPoint(kernel)}
      ${openHead(kernel)}
      ${openEdges(kernel)}
      // The heaviest go first: the first keys, which most queries see.
      let own0 = params.firstKey + group.y * ${ownRows}u;
      let first = own0 + subgroup * ${16 * blocks}u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      ${blockNumbers.map((b) => `let block${b} = min(first + ${16 * b}u, params.rows - 16u);`)}
      let partial = (group.x * params.partialRows + first - params.firstKey) * ${headDim}u;
      let valuePartial = partial + groups.x * params.partialRows * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${blocks * SCRATCH}u;
      ${load("a", "keys")}
      ${load("b", "values")}
      ${allSums(kernel).map((name) => `var ${name} = ${RESULT}();`)}
      var exponent = GRADIENT_EXPONENT;
      ${isScaled(kernel) ? ["var gradientScale = 1.0; // of the sums"] : []}
  `;
}

function attempts(kernel: Kernel): string {
  const { tileColumns, vectors, threads, ownRows } = kernel;
  const rows = {
    counter: "t0",
    tileColumns,
    tensors: [["queries", "queryStage"], ["outputGradients", "gradientStage"]],
    vectors,
    threads,
    row: (row: string) => `headRow + min(${row}, params.rows - 1u)`,
  } as const;
  const loop = (condition: string, masked: boolean, round: Round = "first") =>
    streamTiles({
      ...rows,
      prepare: stageStatistics(kernel, round),
      open: round === "later" ? skipTile(kernel) : [],
      enter: enterTile(kernel, allSums(kernel), round),
      condition,
      step: ({ row, firstRow }) =>
        scheduleStep(kernel, { row, firstRow, masked, round }).join("\n"),
    });
  const begin = kernel.blockNumbers.flatMap((b) => [
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
function weightsAt({ blocks }: Kernel, b: number, which: "p" | "ds"): string {
  const first = (blocks - 1 - b) * SCRATCH + (which === "p" ? 0 : 16 * WEIGHT_STRIDE);
  return `scratch0 + ${first}u`;
}

/** What a step is generated for. */
interface Step {
  /** WGSL of the first of its queries in the stages and in the sequence. */
  readonly row: string;
  readonly firstRow: string;
  /** Whether some of its queries come before keys. */
  readonly masked: boolean;
  readonly round: Round;
}

/** The work on 16 staged queries. Scores are `x`, then P; gradients of weights are `y`, then dS. */
function scheduleStep(kernel: Kernel, step: Step): string[] {
  return [
    ...kernel.blocks === 1 ? scheduleOneBlock(kernel, step) : scheduleTwoBlocks(kernel, step),
    ...kernel.blockNumbers.flatMap((b) => [
      loadWeights(`p${b}`, weightsAt(kernel, b, "p"), "col_major"),
      loadWeights(`ds${b}`, weightsAt(kernel, b, "ds"), "col_major"),
    ]),
    ...kernel.depth.map((c) => multiplyGradients(kernel, step.row, c)),
  ];
}

/** Both products at a time: this order was the fastest with products of 8 columns (`TUNING.md`). */
function scheduleOneBlock(kernel: Kernel, step: Step): string[] {
  const { row } = step;
  const gradients = multiplyGradientsOfWeights(kernel, row);
  return [
    ...declareResults(kernel, "s"),
    ...declareResults(kernel, "d"),
    ...multiplyScores(kernel, row).flatMap((scores, c) => [scores, gradients[c]]),
    `let ofQuery = statistics[${row} + row16];`,
    ...exchange("s", "x", 0),
    ...exchange("d", "y", 0),
    ...HALVES.flatMap((half) => [weigh(half, 0), center(half, 0)]),
    ...maskKeys(step, 0),
    leave(kernel, step, 0),
  ];
}

/** The exponentials of both blocks overlap the products for the gradients of weights. */
function scheduleTwoBlocks(kernel: Kernel, step: Step): string[] {
  const { row } = step;
  const { blockNumbers } = kernel;
  return [
    ...declareResults(kernel, "s"),
    ...multiplyScores(kernel, row),
    `let ofQuery = statistics[${row} + row16];`,
    ...blockNumbers.flatMap((b) => exchange("s", "x", b)),
    ...declareResults(kernel, "d"),
    ...interleave(
      multiplyGradientsOfWeights(kernel, row),
      blockNumbers.flatMap((b) => [...HALVES.map((half) => weigh(half, b)), ...maskKeys(step, b)]),
    ),
    ...blockNumbers.flatMap((b) => [
      ...exchange("d", "y", b),
      ...HALVES.map((half) => center(half, b)),
      leave(kernel, step, b),
    ]),
  ];
}

const HALVES = ["a", "b"] as const;

function declareResults({ blockNumbers }: Kernel, name: "s" | "d"): string[] {
  return blockNumbers.map((b) => `var ${name}${b} = ${RESULT}();`);
}

/** Adds to the results `s<b>` = Q·Kᵀ. */
function multiplyScores(kernel: Kernel, row: string): string[] {
  return multiply(kernel, { stage: "queryStage", left: "query", row, result: "s", own: "a" });
}

/** Adds to the results `d<b>` = dO·Vᵀ. */
function multiplyGradientsOfWeights(kernel: Kernel, row: string): string[] {
  return multiply(kernel, { stage: "gradientStage", left: "gradient", row, result: "d", own: "b" });
}

function multiply(
  { stride, depth, blockNumbers }: Kernel,
  { stage, left, row, result, own }: {
    readonly stage: string;
    readonly left: string;
    readonly row: string;
    readonly result: string;
    readonly own: string;
  },
): string[] {
  return depth.map((c) => {
    const at = `${row} * ${stride}u + ${2 * c}u, ${stride}u`;
    return flatWgsl`
      let ${left}${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${stage}, ${at});
      ${blockNumbers.map((b) => multiplyAdd(`${result}${b}`, `${left}${c}`, `${own}${b}_${c}`))}
    `;
  });
}

/** A lane's part of the results of a block. */
function exchange(result: "s" | "d", name: "x" | "y", b: number): string[] {
  return [storeResult("scratch0", `${result}${b}`), readScores("scratch0", `${name}${b}`)];
}

/** One half of a lane's P. */
function weigh(half: string, b: number): string {
  const x = `x${b}${half}`;
  return `${x} = weightOf(fma(${x}, vec4f(scale), vec4f(WEIGHT_EXPONENT - ofQuery.x)));`;
}

/** One half of its gradient, less delta, times the factor. */
function center(half: string, b: number): string {
  return `y${b}${half} = (y${b}${half} - vec4f(ofQuery.y)) * factor;`;
}

/**
 * Masks keys after a lane's query, and those of another block, with which the last one begins: only
 * this loop has queries of its rows.
 */
function maskKeys({ firstRow, masked }: Step, b: number): string[] {
  if (!masked) return [];
  return [flatWgsl`
    if (${firstRow} < first + ${16 * b + 16}u) {
      ${columnsOfHalves(`block${b}`)}
      let query = vec4u(${firstRow} + row16);
      let own = vec4u(first + ${16 * b}u);
      x${b}a = select(vec4f(), x${b}a, (keyA <= query) & (keyA >= own));
      x${b}b = select(vec4f(), x${b}b, (keyB <= query) & (keyB >= own));
    }
  `];
}

/** P and dS of a block of keys: to the scratch, and dS to its buffer. */
function leave(kernel: Kernel, { firstRow, round }: Step, b: number): string {
  return flatWgsl`
    {
      let own = first + ${16 * b}u;
      let scoreBlock = (group.x * params.keyBlocks + (own - params.firstKey) / 16u) * params.queryBlocks;
      ${HALVES.flatMap((half) => [`let x${half} = x${b}${half};`, `var y${half} = y${b}${half};`])}
      ${differentiateWeights()}
      scratch[${weightsAt(kernel, b, "p")} + weight0] = xw;
      scratch[${weightsAt(kernel, b, "ds")} + weight0] = yw;
      let place = (scoreBlock + (${firstRow} - params.firstQuery) / 16u) * 32u + row16 * 2u + side;
      scoreGradients[place] = ${round === "later" ? "joinHalves(yw, scoreGradients[place])" : "yw"};
    }
  `;
}

/** Adds to the c-th matrices of dK and dV of all blocks. */
function multiplyGradients(kernel: Kernel, row: string, c: number): string {
  const load = (stage: string) => loadStaged(kernel, { stage, order: "row_major", row, c });
  return flatWgsl`
    { let right = ${load("queryStage")};
      ${kernel.blockNumbers.map((b) => multiplyAdd(`dk${b}_${c}`, `ds${b}`, "right"))}
    }
    { let right = ${load("gradientStage")};
      ${kernel.blockNumbers.map((b) => multiplyAdd(`dv${b}_${c}`, `p${b}`, "right"))}
    }
  `;
}

function storeSums(kernel: Kernel): string {
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
    ${kernel.blockNumbers.map(store)}
  `;
}
