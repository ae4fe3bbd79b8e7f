/**
 * WGSL of the backward pass over keys and values on subgroup matrices, as two passes: dV and the
 * weights P, then dK and dS. See `dense_matrix_backward_codegen.ts`.
 *
 * Each pass does two products like the forward pass, and like it owns 32 rows a subgroup at d = 128:
 *
 * - values: P = exp(K·Qᵀ - lse), dV += P·dO. It owns rows of K and writes P, f16, to a buffer.
 * - keys: dS = P ∘ (V·dOᵀ - delta), dK += dS·Q. It owns rows of V, reads P, and writes dS.
 *
 * The undivided pass has registers for 16 keys only. Here each operand read from workgroup memory
 * serves two products: 14 KiB per 16 keys and 16 queries in both passes together, not 22. P takes 4
 * bytes per score through device memory. It is laid out as dS is: a lane writes and reads 16 bytes.
 *
 * P is rounded to f16 before dS is made of it, which adds half a unit in the last place to dS.
 *
 * Workgroup memory: (4 * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes, and 8 bytes per row of
 * a tile for its statistic.
 *
 * Long because it holds variants of the second pass until a measurement says which of them stays.
 *
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { flatWgsl, wgsl } from "../../gpu/wgsl.ts";
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
import { adoptScale, loadStaged, retryUntilFit } from "./dense_matrix_score_gradients_codegen.ts";
import {
  columnsOfHalves,
  LEFT,
  loadWeights,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  packWeights,
  readScores,
  RESULT,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { SCRATCH, WEIGHT_STRIDE } from "./matrix_layout.ts";
import { type StagedRows, streamRing, streamTiles } from "./row_staging_codegen.ts";

/** One of the two passes. */
export type SplitPass = "values" | "keys";

const BLOCKS = [0, 1] as const;

/** Second products by which the first block is ahead of the second, as in the forward kernel. */
const AHEAD = 3;

interface Kernel extends BackwardKernel {
  readonly pass: SplitPass;
}

const WEIGHT_OF = `
fn weightOf(exponent: f32) -> f32 {
  return exp2(select(exponent, WEIGHT_EXPONENT, exponent > WEIGHT_EXPONENT));
}`;

/**
 * The whole shader of one pass, without a walk. Bindings, all read-write; with results of f32
 * gradientScales comes after the first four. Values: queries, keys, outputGradients, logSumExp,
 * valueGradients, weights, partials, params. Keys: queries, values, outputGradients, deltas,
 * keyGradients, weights, scoreGradients, exponents, partials, params.
 */
export function generateSplitKeyValue(
  pass: SplitPass,
  tiling: MatrixBackwardTiling,
  options: MatrixBackwardOptions,
): string {
  if (options.walk || tiling.blocks !== 2) {
    throw new RangeError("generate the split pass over keys and values: not two blocks, or a walk");
  }
  const kernel: Kernel = { ...describeBackward(tiling, options), pass };
  return [
    declarations(kernel),
    openMain(kernel),
    loops(kernel),
    storeSums(kernel),
    "}",
    pass === "values" ? WEIGHT_OF : "",
    isScaled(kernel) ? "" : NEAREST_HALF,
  ].join("\n");
}

function partialSums({ headDim, depth }: Kernel, block: number): PartialSums {
  return {
    names: depth.map((c) => `o${block}_${c}`),
    at: `partial + ${block * 16 * headDim}u`,
    headDim,
  };
}

function declarations(kernel: Kernel): string {
  const { pass, tileColumns, stride, subgroups, gradientType } = kernel;
  const tensor = (name: string) =>
    `var<storage, read_write> ${name}: array<vec4u>; // [heads, N, d] f16`;
  const scores = "[heads, keyBlocks, queryBlocks, 16, 16] f16";
  const values = pass === "values";
  const bindings = [
    tensor("queries"),
    tensor(values ? "keys" : "values"),
    tensor("outputGradients"),
    values
      ? "var<storage, read_write> logSumExp: array<f32>; // [heads, N], natural logarithm"
      : "var<storage, read_write> deltas: array<f32>; // [heads, N]",
    ...declareScales(kernel).map((line) => line.replace("storage, read>", "storage, read_write>")),
    declareResult(
      values ? "valueGradients" : "keyGradients",
      gradientType,
      `[heads, N, d] ${gradientType}`,
    ),
    `var<storage, read_write> weights: array<vec4u>; // ${scores}, times 2^14`,
    ...values ? [] : [
      `var<storage, read_write> scoreGradients: array<vec4u>; // ${scores}`,
      "var<storage, read_write> exponents: array<f32>; // [heads, workgroups of keys], of what multiplies dS",
    ],
    "var<storage, read_write> partials: array<f32>; // [keys and values, heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  const scales = `var<workgroup> stageScales: array<f32, ${tileColumns / 8}>; // of dO, by 16 rows`;
  const found = [
    "var<workgroup> largest: atomic<u32>; // of |dS| times its factor, as bits",
    "var<workgroup> overflow: f32; // the same, if it was too large",
  ];
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${BACKWARD_PARAMS}
    ${declareBindings(bindings)}

    var<workgroup> scoreStage: array<vec4u, ${2 * tileColumns * stride}>;
    var<workgroup> sumStage: array<vec4u, ${2 * tileColumns * stride}>;
    var<workgroup> statistics: array<f32, ${2 * tileColumns}>; // by query
    ${isScaled(kernel) ? [scales] : []}
    var<workgroup> scratch: array<vec4u, ${subgroups * SCRATCH}>;
    ${values ? [] : found}

    ${BACKWARD_CONSTANTS}

  `;
}

function openMain(kernel: Kernel): string {
  const { pass, headDim, vectors, depth, ownRows } = kernel;
  const values = pass === "values";
  const load = (b: number) =>
    depth.map((c) => {
      const at = `(headRow + block${b}) * ${vectors}u + ${2 * c}u, ${vectors}u`;
      const tensor = values ? "keys" : "values";
      return `let a${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${tensor}, ${at});`;
    });
  const place = (b: number) =>
    wgsl`
      let own${b} = first + ${16 * b}u;
      let block${b} = min(own${b}, params.rows - 16u);
      let scoreRow${b} = ((row16 - (own${b} - block${b})) & 15u) * 2u + side;
      let scoreBlock${b} = (group.x * params.keyBlocks + (own${b} - params.firstKey) / 16u) * params.queryBlocks;
    `;
  const before = values ? " + groups.x * params.partialRows" : "";
  return wgsl`
    ${entryPoint(kernel)}
      let headRow = (params.firstHead + group.x) * params.rows;
      let earlier = params.firstQuery > params.firstKey;
      let later = params.endQuery < params.rows;
      // The heaviest go first: the first keys, which most queries see.
      let own0_ = params.firstKey + group.y * ${ownRows}u;
      let first = own0_ + subgroup * 32u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      // Rows that are not its own make room for those past the end in P and dS.
      ${BLOCKS.map(place)}
      let partial = (group.x * params.partialRows + first - params.firstKey${before}) * ${headDim}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${SCRATCH}u;
      ${BLOCKS.flatMap(load)}
      ${
    BLOCKS.flatMap((b) => partialSums(kernel, b).names).map((name) => `var ${name} = ${RESULT}();`)
  }
      ${values ? [] : ["var exponent = GRADIENT_EXPONENT;"]}
      ${isScaled(kernel) ? ["var gradientScale = 1.0; // of the sums"] : []}
  `;
}

// ---- The loop over queries ----

function loops(kernel: Kernel): string {
  const { pass, tileColumns, vectors, threads } = kernel;
  const values = pass === "values";
  const [scored, summed] = values ? ["queries", "outputGradients"] : ["outputGradients", "queries"];
  const stream = {
    counter: "t0",
    condition: "t0 < params.endQuery",
    tensors: [[scored, "scoreStage"], [summed, "sumStage"]],
    vectors,
    threads,
    row: (row: string) => `headRow + min(${row}, params.rows - 1u)`,
    step: (rows: StagedRows) => scheduleStep(kernel, rows).join("\n"),
  } as const;
  const sums = BLOCKS.map((b) => partialSums(kernel, b));
  const begin = sums.map((block) => beginSums(block, "exp2(exponent)"));
  const firstWeights = inSameStep(kernel)
    ? []
    : BLOCKS.map((b) => `var next${b}: vec4u; ${fetchWeights(b, "t0")}`);
  if (inTiles(kernel)) {
    const tile = 2 * tileColumns;
    const loop = streamTiles({ ...stream, tileColumns: tile, prepare: stageTile(kernel) });
    const first = `var t0 = max(params.firstQuery, own0_ / ${tile}u * ${tile}u);`;
    return retryUntilFit(kernel, { begin, loops: [first, ...firstWeights, loop] });
  }
  const loop = streamRing({ ...stream, tileColumns });
  const nextScale = isScaled(kernel) ? ["var fetchedScale = 1.0;"] : [];
  const start = flatWgsl`
    var t0 = max(params.firstQuery, own0_);
    for (var ahead = 0u; ahead < ${tileColumns}u; ahead += 16u) {
      var fetched = 0.0;
      ${nextScale}
      ${fetchStatistic(kernel, "t0 + ahead")}
      ${putStatistic(kernel, "t0 + ahead")}
    }
    var fetched = 0.0;
    ${nextScale}
    ${fetchStatistic(kernel, `t0 + ${tileColumns}u`)}
    ${values ? [] : firstWeights}
  `;
  if (values) {
    return flatWgsl`
      ${sums.map((block) => beginSums(block, "exp2(WEIGHT_EXPONENT)"))}
      ${start}
      ${loop}
      workgroupBarrier();
    `;
  }
  return retryUntilFit(kernel, { begin, loops: [start, loop] });
}

/** Whether the pass loads tiles between two barriers. */
function inTiles({ pass, split }: Kernel): boolean {
  return pass === "keys" && split === 3;
}

/** Whether weights are fetched in the step that needs them. */
function inSameStep({ pass, split }: Kernel): boolean {
  return pass === "keys" && split === 2;
}

/** Stages the statistics of a tile, and the scales of dO. */
function stageTile(kernel: Kernel): string[] {
  const { tileColumns } = kernel;
  const statistics = `if (local < ${2 * tileColumns}u) {
    statistics[local] = deltas[headRow + min(t0 + local, params.rows - 1u)];
  }`;
  const scales = flatWgsl`
    if (local < ${tileColumns / 8}u) {
      let blocks = (params.rows + 15u) / 16u;
      let block = min(t0 / 16u + local, blocks - 1u);
      stageScales[local] = gradientScales[(params.firstHead + group.x) * blocks + block];
    }
  `;
  return [statistics, ...isScaled(kernel) ? [scales] : []];
}

/** Fetches a statistic of 16 queries, and the scale of their dO; nothing depends on it until it is put. */
function fetchStatistic(kernel: Kernel, from: string): string {
  const tensor = kernel.pass === "values" ? "logSumExp" : "deltas";
  const scale = flatWgsl`
    let blocks = (params.rows + 15u) / 16u;
    let scaleAt = (params.firstHead + group.x) * blocks + min((${from}) / 16u, blocks - 1u);
    fetchedScale = gradientScales[scaleAt];
  `;
  return flatWgsl`
    if (local < 16u) {
      fetched = ${tensor}[headRow + min(${from} + local, params.rows - 1u)];
      ${isScaled(kernel) ? [scale] : []}
    }
  `;
}

/** Stages it: what a weight's exponent begins with, or delta. Queries past the end have no weight. */
function putStatistic(kernel: Kernel, from: string): string {
  const { pass, tileColumns } = kernel;
  const staged = pass === "values"
    ? `select(-PAST_END, WEIGHT_EXPONENT - fetched * LOG2E, ${from} + local < params.rows)`
    : "fetched";
  const scale = `stageScales[(${from}) / 16u % ${tileColumns / 8}u] = fetchedScale;`;
  return flatWgsl`
    if (local < 16u) {
      statistics[(${from}) % ${2 * tileColumns}u + local] = ${staged};
      ${isScaled(kernel) ? [scale] : []}
    }
  `;
}

/** Four staged statistics. */
function readStatistics(half: "A" | "B", from: string): string {
  const four = [0, 1, 2, 3].map((j) => `statistics[${from} + ${j}u]`);
  return `let known${half} = vec4f(${four.join(", ")});`;
}

/** Fetches a lane's part of the weights of block b for the queries from `from` on. */
function fetchWeights(b: number, from: string): string {
  const block = `min((${from} - params.firstQuery) / 16u, params.queryBlocks - 1u)`;
  return `next${b} = weights[(scoreBlock${b} + ${block}) * 32u + scoreRow${b}];`;
}

// ---- One step: 16 queries. First the schedule, then the statements. ----

/** The work on 16 staged queries, in the order of the forward kernel's step. */
function scheduleStep(kernel: Kernel, { row, firstRow, prefetch }: StagedRows): string[] {
  const { depth, tileColumns, pass } = kernel;
  const masked = pass === "values";
  const ahead = depth.slice(0, AHEAD);
  const waiting = weightsOf(kernel, 1, firstRow);
  const share = Math.ceil(waiting.length / ahead.length);
  const sums = BLOCKS.flatMap((b) => partialSums(kernel, b).names);
  return [
    ...isScaled(kernel) ? [adoptScale(sums, row)] : [],
    multiplyScores(kernel, row),
    ...inSameStep(kernel)
      ? BLOCKS.map((b) => `var next${b}: vec4u; ${fetchWeights(b, firstRow)}`)
      : [],
    ...BLOCKS.flatMap((b) => [storeResult("scratch0", `s${b}`), readScores("scratch0", `x${b}`)]),
    ...masked ? [maskWeights(0, firstRow)] : [],
    ...prefetch(),
    ...inTiles(kernel) ? [] : [
      putStatistic(kernel, `t0 + ${tileColumns}u`),
      fetchStatistic(kernel, `t0 + ${tileColumns + 16}u`),
    ],
    ...masked ? [maskWeights(1, firstRow)] : [],
    readStatistics("A", `${row} + column0`),
    readStatistics("B", `${row} + (column0 ^ 4u)`),
    ...weightsOf(kernel, 0, firstRow),
    exchange(kernel, 0, firstRow),
    ...ahead.flatMap((c, i) => [
      loadSummed(kernel, row, c),
      addProduct(0, c),
      ...waiting.slice(i * share, (i + 1) * share),
    ]),
    exchange(kernel, 1, firstRow),
    ...depth.slice(ahead.length).flatMap((c) => [
      loadSummed(kernel, row, c),
      addProduct(0, c),
      addProduct(1, c),
    ]),
    ...ahead.map((c) => addProduct(1, c)),
  ];
}

/** The results `s<b>` of both blocks. */
function multiplyScores(kernel: Kernel, row: string): string {
  const multiply = (c: number) => {
    const at = { stage: "scoreStage", order: "col_major", row, c } as const;
    return flatWgsl`
      { let scored = ${loadStaged(kernel, at)};
        ${BLOCKS.toReversed().map((b) => multiplyAdd(`s${b}`, `a${b}_${c}`, "scored"))}
      }
    `;
  };
  return flatWgsl`
    ${BLOCKS.map((b) => `var s${b} = ${RESULT}();`)}
    ${kernel.depth.map(multiply)}
  `;
}

/** Masks queries before a lane's key: their exponents lie below all others. */
function maskWeights(b: number, firstRow: string): string {
  return wgsl`
    if (${firstRow} < block${b} + 16u) {
    ${columnsOfHalves(firstRow)}
      let row = vec4u(block${b} + row16);
      x${b}a = select(vec4f(-PAST_END), x${b}a, keyA >= row);
      x${b}b = select(vec4f(-PAST_END), x${b}b, keyB >= row);
    }
  `;
}

/** P or dS of a lane from its scores \`x<b>\`, in place. */
function weightsOf(kernel: Kernel, b: number, firstRow: string): string[] {
  const { pass } = kernel;
  if (pass === "values") {
    const parts = ["x", "y", "z", "w"] as const;
    const line = (half: "a" | "b", part: string) =>
      `x${b}${half}.${part} = weightOf(fma(x${b}${half}.${part}, scale, known${half.toUpperCase()}.${part}));`;
    return [...parts.map((part) => line("a", part)), ...parts.map((part) => line("b", part))];
  }
  const weight = (one: string, other: string) =>
    `vec4f(unpack2x16float(w${b}_.${one}), unpack2x16float(w${b}_.${other})) * factor`;
  return [
    // A tile may reach past the last query, for which no weights were written.
    ...inTiles(kernel) ? [`if (${firstRow} >= params.rows) { next${b} = vec4u(); }`] : [],
    `let w${b}_ = select(next${b}, next${b}.zwxy, swap == 1u);`,
    `x${b}a = (x${b}a - knownA) * (${weight("x", "y")});`,
    `x${b}b = (x${b}b - knownB) * (${weight("z", "w")});`,
    ...inSameStep(kernel) ? [] : [fetchWeights(b, `${firstRow} + 16u`)],
    `{ let most = max(abs(x${b}a), abs(x${b}b)); peak = max(peak, max(max(most.x, most.y), max(most.z, most.w))); }`,
  ];
}

/** The left matrix \`w<b>\` of P or dS of block b, which also goes to its buffer. */
function exchange({ pass }: Kernel, b: number, firstRow: string): string {
  const place = `scratch0 + ${b * 16 * WEIGHT_STRIDE}u`;
  const buffer = pass === "values" ? "weights" : "scoreGradients";
  const at = `(scoreBlock${b} + (${firstRow} - params.firstQuery) / 16u) * 32u + scoreRow${b}`;
  return flatWgsl`
    ${packWeights(`x${b}`)}
    scratch[${place} + weight0] = x${b}w;
    ${buffer}[${at}] = select(vec4u(), x${b}w, block${b} + row16 >= own${b});
    ${loadWeights(`w${b}`, place)}
  `;
}

/** The right matrix \`v<c>\` of the rows that are summed. */
function loadSummed(kernel: Kernel, row: string, c: number): string {
  return `let v${c} = ${loadStaged(kernel, { stage: "sumStage", order: "row_major", row, c })};`;
}

function addProduct(b: number, c: number): string {
  return multiplyAdd(`o${b}_${c}`, `w${b}`, `v${c}`);
}

// ---- Results ----

function storeSums(kernel: Kernel): string {
  const { gradientType, pass } = kernel;
  const values = pass === "values";
  const factor = values ? "exp2(-WEIGHT_EXPONENT)" : "exp2(-exponent)";
  const store = (b: number) => {
    const sums = endSums(partialSums(kernel, b), {
      live: "mine",
      row: "row",
      gradientType,
      factor: isScaled(kernel) ? `(${factor} * gradientScale)` : factor,
      scale: values ? "1.0" : "(scale * LN2)",
      tensor: values ? "valueGradients" : "keyGradients",
    });
    return flatWgsl`
      {
        let row = block${b} + row16;
        let mine = row >= own${b} && row < params.rows;
        ${sums}
      }
    `;
  };
  const exponent = "if (local == 0u) { exponents[group.x * groups.y + group.y] = exponent; }";
  return flatWgsl`
    ${values ? [] : [exponent]}
    ${BLOCKS.map(store)}
  `;
}
