/**
 * WGSL of the backward passes of dense causal attention on subgroup matrices, generated whole, as
 * `dense_matrix_codegen.ts` generates the forward one.
 *
 * With P_ij = exp(scale·q_i·k_j - lse_i) and dS_ij = P_ij·(dO_i·v_j - delta_i), both are computed once,
 * in a rectangle of queries and keys at a time (`dense_matrix_backward.ts` says which):
 *
 * - keys and values: a subgroup owns 16 key rows and walks the queries of the rectangle;
 *   dV_j = Σ_i P_ij·dO_i, dK_j = scale · Σ_i dS_ij·q_i. It leaves dS in a buffer.
 * - queries: a subgroup owns 16 or 32 query rows and walks the keys of the rectangle;
 *   dQ_i = scale · Σ_j dS_ij·k_j.
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
 * smaller factor, which it tells the queries' pass. Both exponentials are those of weights of at most 1,
 * whatever the rounded log-sum-exp says.
 *
 * **dO of f32** comes as f16 times a power of two of its own for each 16 queries
 * (`dense_matrix_gradient_scales.wgsl`), and dS is over that power too: so neither overflows or vanishes
 * beside rows of another size. Sums of dK and dV are kept over the power of the latest 16 queries and
 * change with it, exactly; dQ is multiplied by that of its own. Results are then f32 too.
 *
 * Queries after a workgroup's last key need no mask: they have a loop of their own, without branches.
 * Queries past the end get a log-sum-exp without bound: their weights are zero.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes and 8 bytes a row of a
 * tile for log-sum-exp and delta, and 4 for each 16 rows of an f32 dO; of the queries' pass, (tileColumns * (d/8 + 1) + subgroups * 96) * 16.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import {
  columnsOfHalves,
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  packWeights,
  type PassingRows,
  passTiles,
  readResults,
  readScores,
  RESULT,
  RIGHT,
  ROUNDED_RESULTS,
} from "./matrix_text.ts";
import {
  matrixTileRows,
  SCORE_STRIDE,
  SCRATCH,
  stageStride,
  WEIGHT_STRIDE,
} from "./matrix_layout.ts";
import { range } from "../../gpu/wgsl.ts";
import type { MatrixBackwardTiling } from "../tilings.ts";

/** Both kernels' parameters: the rectangle, and what of it a dispatch computes. */
const PARAMS = `struct Params {
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
}`;

const CONSTANTS = `const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const WEIGHT_EXPONENT = 14.0;
const GRADIENT_EXPONENT = 8.0; // unless that overflows
const PAST_END = 1.0e30; // a log-sum-exp that leaves no weight`;

/** A weight, times 2^14, from its exponent; NaN stays NaN. */
const WEIGHT_OF = `
fn weightOf(exponent: vec4f) -> vec4f {
  let most = vec4f(WEIGHT_EXPONENT);
  return exp2(select(exponent, most, exponent > most));
}`;

/** Both kernels' entry point, as far as they share it. */
const entryPoint = (threads: number) =>
  `@compute @workgroup_size(${threads})
fn main(
  @builtin(local_invocation_index) local: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
${LANE_PLACES}`;

type Emit = (...lines: string[]) => void;

/** Bindings of group 0, in order. */
function declareBindings(bindings: readonly string[]): string {
  return bindings.map((line, i) => `@group(0) @binding(${i}) ${line}`).join("\n");
}

/**
 * Sums of `names`, one matrix a piece, as they begin: at zero, or where earlier rectangles left them.
 * Expects the variables `earlier` and `later`: whether other rectangles add to the same sums.
 */
function emitBegin(
  emit: Emit,
  options: {
    readonly names: readonly string[];
    /** WGSL of where they lie in `partials`. */
    readonly at: string;
    readonly headDim: number;
    readonly factor: string;
  },
): void {
  const { names, at, headDim, factor } = options;
  for (const name of names) emit(`${name} = ${RESULT}();`);
  emit("if (earlier) {");
  for (const [c, name] of names.entries()) {
    emit(
      `${name} = subgroupMatrixLoad<${RESULT}, row_major>(&partials, ${at} + ${
        16 * c
      }u, ${headDim}u);`,
      `${name} = subgroupMatrixScalarMultiply(${name}, ${factor});`,
    );
  }
  emit("}");
}

/** The same sums at the end of a rectangle: left for later ones, or rounded and stored. */
function emitEnd(
  emit: Emit,
  options: Parameters<typeof emitBegin>[1] & {
    readonly live: string;
    readonly row: string;
    readonly scale: string;
    readonly tensor: string;
    readonly gradientType: DType;
  },
): void {
  const { names, at, headDim, factor, live, row, scale, tensor, gradientType } = options;
  const vectors = headDim / 8;
  const store = (c: number) => {
    const place = `(headRow + ${row}) * ${vectors}u + ${2 * c}u + side`;
    return gradientType === "f16"
      ? [ROUNDED_RESULTS, `if (${live}) { ${tensor}[${place}] = rounded; }`]
      : [`if (${live}) { let to = 2u * (${place}); ${tensor}[to] = a; ${tensor}[to + 1u] = z; }`];
  };
  emit("if (later) {");
  for (const [c, name] of names.entries()) {
    emit(
      `${name} = subgroupMatrixScalarMultiply(${name}, ${factor});`,
      `subgroupMatrixStore<row_major>(&partials, ${at} + ${16 * c}u, ${name}, ${headDim}u);`,
    );
  }
  emit("} else {");
  for (const [c, name] of names.entries()) {
    emit(
      `subgroupMatrixStore<row_major>(&scratch, scratch0, ${name}, ${SCORE_STRIDE}u);`,
      "{",
      ...readResults("scratch0", `(${factor} * ${scale})`),
      ...store(c),
      "}",
    );
  }
  emit("}");
}

const SCALES_BINDING =
  "var<storage, read> gradientScales: array<f32>; // [heads, N / 16], of outputGradients";

/** A binding that results are written to, by their type. */
function resultBinding(name: string, gradientType: DType, comment: string): string {
  const element = gradientType === "f16" ? "vec4u" : "vec4f";
  return `var<storage, read_write> ${name}: array<${element}>; // ${comment}`;
}

/**
 * The pass over keys and values. Bindings: queries, keys, values, outputGradients, logSumExp, deltas,
 * with results of f32 gradientScales, keyGradients, valueGradients, scoreGradients, exponents, partials,
 * params.
 *
 * @param options `gradientType`: of the results; f32 with scaled dO.
 */
export function generateMatrixKeyValue(
  tiling: MatrixBackwardTiling,
  options: { readonly headDim: number; readonly gradientType: DType },
): string {
  const { headDim, gradientType } = options;
  const scaled = gradientType === "f32";
  const { subgroups, tileColumns, blocks } = tiling;
  if (blocks !== 1) throw new RangeError("generate the pass over keys and values: blocks is not 1");
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = stageStride(headDim);
  const threads = 32 * subgroups;
  const ownRows = matrixTileRows(tiling);
  const depth = range(headDim / 16);
  const out: string[] = [];
  const emit: Emit = (...lines) => out.push(...lines);
  const bindings = [
    ...["queries", "keys", "values", "outputGradients"].map((name) =>
      `var<storage, read> ${name}: array<vec4u>; // [heads, N, d] f16`
    ),
    "var<storage, read> logSumExp: array<f32>; // [heads, N], natural logarithm",
    "var<storage, read> deltas: array<f32>; // [heads, N]",
    ...scaled ? [SCALES_BINDING] : [],
    resultBinding("keyGradients", gradientType, `[heads, N, d] ${gradientType}`),
    resultBinding("valueGradients", gradientType, "the same"),
    "var<storage, read_write> scoreGradients: array<vec4u>; // [heads, keyBlocks, queryBlocks, 16, 16] f16",
    "var<storage, read_write> exponents: array<f32>; // [heads, workgroups of keys], of what multiplies dS",
    "var<storage, read_write> partials: array<f32>; // [keys and values, heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  emit(
    `${MATRIX_DIRECTIVES}
${PARAMS}
${declareBindings(bindings)}

var<workgroup> queryStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> gradientStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> statistics: array<vec2f, ${tileColumns}>; // log-sum-exp in base 2, delta
${
      scaled
        ? `var<workgroup> stageScales: array<f32, ${tileColumns / 16}>; // of dO, by 16 rows\n`
        : ""
    }var<workgroup> scratch: array<vec4u, ${subgroups * SCRATCH}>;
var<workgroup> largest: atomic<u32>; // of |dS| times its factor, as bits
var<workgroup> overflow: f32; // the same, if it was too large

${CONSTANTS}

${entryPoint(threads)}
  let headRow = (params.firstHead + group.x) * params.rows;
  let earlier = params.firstQuery > params.firstKey;
  let later = params.endQuery < params.rows;
  // The heaviest go first: the first keys, which most queries see.
  let own0 = params.firstKey + group.y * ${ownRows}u;
  let own = own0 + subgroup * 16u;
  // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
  let block = min(own, params.rows - 16u);
  let row = block + row16;
  let live = row >= own;
  // Where the row lies in its own block of dS. Rows that are not its own make room for those past the end.
  let scoreRow = ((row16 - (own - block)) & 15u) * 2u + side;
  let scoreBlock = (group.x * params.keyBlocks + (own - params.firstKey) / 16u) * params.queryBlocks;
  let partial = (group.x * params.partialRows + own - params.firstKey) * ${headDim}u;
  let valuePartial = partial + groups.x * params.partialRows * ${headDim}u;
  let scale = params.scale;
  let scratch0 = subgroup * ${SCRATCH}u;
  let scratch1 = scratch0 + ${16 * WEIGHT_STRIDE}u;`,
  );
  for (const [name, from] of [["a", "keys"], ["b", "values"]]) {
    for (const c of depth) {
      emit(
        `  let ${name}${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${from}, ` +
          `(headRow + block) * ${vectors}u + ${2 * c}u, ${vectors}u);`,
      );
    }
  }
  const sums = (name: string) => depth.map((c) => `${name}${c}`);
  const [keySums, valueSums] = [sums("dk"), sums("dv")];
  for (const name of [...keySums, ...valueSums]) emit(`  var ${name} = ${RESULT}();`);
  emit(
    "  var exponent = GRADIENT_EXPONENT;",
    ...scaled ? ["  var gradientScale = 1.0; // of the sums"] : [],
    // A number of attempts that no compiler can know, and so unroll.
    "  for (var attempt = 0u; attempt < min(8u, params.rows); attempt++) {",
  );
  const keyParts = { names: keySums, at: "partial", headDim };
  const valueParts = { names: valueSums, at: "valuePartial", headDim };
  if (scaled) emit("gradientScale = 1.0;");
  emitBegin(emit, { ...keyParts, factor: "exp2(exponent)" });
  emitBegin(emit, { ...valueParts, factor: "exp2(WEIGHT_EXPONENT)" });
  emit(
    "let factor = exp2(exponent - WEIGHT_EXPONENT);",
    "var peak = 0.0;",
    "if (local == 0u) { atomicStore(&largest, 0u); overflow = 0.0; }",
  );
  const right = (order: string, stage: string, row: string, c: number) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&${stage}, ${row} * ${stride}u + ${
      2 * c
    }u, ${stride}u)`;
  const step = ({ row, firstRow }: PassingRows, masked: boolean) => {
    if (scaled) {
      emit(
        `let known = stageScales[(${row}) / 16u];`,
        "if (known != gradientScale) {",
        "let change = gradientScale / known;",
        "gradientScale = known;",
        ...[...keySums, ...valueSums].map((name) =>
          `${name} = subgroupMatrixScalarMultiply(${name}, change);`
        ),
        "}",
      );
    }
    emit(`var s = ${RESULT}();`, `var d = ${RESULT}();`);
    for (const c of depth) {
      emit(
        `s = subgroupMatrixMultiplyAccumulate(a${c}, ${
          right("col_major", "queryStage", row, c)
        }, s);`,
        `d = subgroupMatrixMultiplyAccumulate(b${c}, ${
          right("col_major", "gradientStage", row, c)
        }, d);`,
      );
    }
    for (const [sum, x] of [["s", "x"], ["d", "y"]]) {
      emit(
        `subgroupMatrixStore<row_major>(&scratch, scratch0, ${sum}, ${SCORE_STRIDE}u);`,
        ...readScores("scratch0", x),
      );
    }
    for (const [half, column] of [["a", "column0"], ["b", "(column0 ^ 4u)"]]) {
      const t = `t${half}`;
      const at = (j: number) => `let ${t}${j} = statistics[${row} + ${column} + ${j}u];`;
      const field = (name: string) =>
        `vec4f(${range(4).map((j) => `${t}${j}.${name}`).join(", ")})`;
      emit(
        ...range(4).map(at),
        `x${half} = weightOf(fma(x${half}, vec4f(scale), vec4f(WEIGHT_EXPONENT) - ${field("x")}));`,
        `y${half} = (y${half} - ${field("y")}) * factor;`,
      );
    }
    if (masked) {
      emit(
        `if (${firstRow} < block + 16u) {`,
        ...columnsOfHalves(firstRow),
        "  xa = select(vec4f(), xa, keyA >= vec4u(row));",
        "  xb = select(vec4f(), xb, keyB >= vec4u(row));",
        "}",
      );
    }
    const left = (name: string, scratch: string) =>
      `let ${name} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, ${scratch}, ${WEIGHT_STRIDE}u);`;
    emit(
      "ya *= xa; yb *= xb;",
      "let most = max(abs(ya), abs(yb));",
      "peak = max(peak, max(max(most.x, most.y), max(most.z, most.w)));",
      ...packWeights("x"),
      ...packWeights("y"),
      "scratch[scratch0 + weight0] = xw;",
      "scratch[scratch1 + weight0] = yw;",
      left("p", "scratch0"),
      left("ds", "scratch1"),
      `scoreGradients[(scoreBlock + (${firstRow} - params.firstQuery) / 16u) * 32u + scoreRow] = ` +
        "select(vec4u(), yw, live);",
    );
    for (const c of depth) {
      emit(
        `dk${c} = subgroupMatrixMultiplyAccumulate(ds, ${
          right("row_major", "queryStage", row, c)
        }, dk${c});`,
        `dv${c} = subgroupMatrixMultiplyAccumulate(p, ${
          right("row_major", "gradientStage", row, c)
        }, dv${c});`,
      );
    }
  };
  const queries = {
    counter: "t0",
    tileColumns,
    tensors: [["queries", "queryStage"], ["outputGradients", "gradientStage"]],
    vectors,
    threads,
    row: (row: string) => `headRow + min(${row}, params.rows - 1u)`,
    prepare: [
      `if (local < ${tileColumns}u) {`,
      "let query = t0 + local;",
      "let at = headRow + min(query, params.rows - 1u);",
      "let known = vec2f(logSumExp[at] * LOG2E, deltas[at]);",
      "statistics[local] = select(vec2f(PAST_END, 0.0), known, query < params.rows);",
      "}",
      ...scaled
        ? [
          `if (local < ${tileColumns / 16}u) {`,
          "let blocks = (params.rows + 15u) / 16u;",
          "let block = min(t0 / 16u + local, blocks - 1u);",
          "stageScales[local] = gradientScales[(params.firstHead + group.x) * blocks + block];",
          "}",
        ]
        : [],
    ],
  } as const;
  emit(
    `var t0 = max(params.firstQuery, own0 / ${tileColumns}u * ${tileColumns}u);`,
    `let ownEnd = min(own0 + ${ownRows}u, params.endQuery);`,
  );
  passTiles(emit, { ...queries, condition: "t0 < ownEnd", step: (rows) => step(rows, true) });
  passTiles(emit, {
    ...queries,
    condition: "t0 < params.endQuery",
    step: (rows) => step(rows, false),
  });
  emit(
    "workgroupBarrier();",
    "atomicMax(&largest, bitcast<u32>(peak));",
    "workgroupBarrier();",
    "let worst = bitcast<f32>(atomicLoad(&largest));",
    "if (local == 0u && !(worst < 60000.0)) { overflow = worst; }",
    "let excess = workgroupUniformLoad(&overflow);",
    "if (excess == 0.0) { break; }",
    "exponent -= clamp(log2(excess) - 14.0, 1.0, 60.0);",
    "}",
    "if (local == 0u) { exponents[group.x * groups.y + group.y] = exponent; }",
    "let mine = live && row < params.rows;",
  );
  const end = { live: "mine", row: "row", gradientType };
  emitEnd(emit, {
    ...keyParts,
    ...end,
    factor: scaled ? "(exp2(-exponent) * gradientScale)" : "exp2(-exponent)",
    scale: "(scale * LN2)",
    tensor: "keyGradients",
  });
  emitEnd(emit, {
    ...valueParts,
    ...end,
    factor: scaled ? "(exp2(-WEIGHT_EXPONENT) * gradientScale)" : "exp2(-WEIGHT_EXPONENT)",
    scale: "1.0",
    tensor: "valueGradients",
  });
  emit("}", WEIGHT_OF, scaled ? "" : NEAREST_HALF);
  return out.join("\n");
}

/**
 * The pass over queries: dS·K. Bindings: keys, scoreGradients, exponents, with results of f32
 * gradientScales, queryGradients, partials, params.
 *
 * @param keyRows rows that a workgroup of the pass over keys and values owns: so many keys share a
 * factor of dS.
 */
export function generateMatrixQuery(
  tiling: MatrixBackwardTiling,
  options: {
    readonly headDim: number;
    readonly keyRows: number;
    readonly gradientType: DType;
  },
): string {
  const { headDim, keyRows, gradientType } = options;
  const scaled = gradientType === "f32";
  const { subgroups, tileColumns, blocks: blockCount } = tiling;
  if (keyRows % tileColumns !== 0) {
    throw new RangeError(
      `generate the pass over queries: tiles of ${tileColumns} keys do not divide ${keyRows}`,
    );
  }
  const vectors = headDim / 8;
  const stride = stageStride(headDim);
  const threads = 32 * subgroups;
  const ownRows = matrixTileRows(tiling);
  const depth = range(headDim / 16);
  const blocks = range(blockCount);
  const steps = range(tileColumns / 16);
  const out: string[] = [];
  const emit: Emit = (...lines) => out.push(...lines);
  const bindings = [
    "var<storage, read> keys: array<vec4u>; // [heads, N, d] f16",
    "var<storage, read> scoreGradients: array<vec4u>; // [heads, keyBlocks, queryBlocks, 16, 16] f16",
    "var<storage, read> exponents: array<f32>; // [heads, workgroups of keys]",
    ...scaled ? [SCALES_BINDING] : [],
    resultBinding("queryGradients", gradientType, `[heads, N, d] ${gradientType}`),
    "var<storage, read_write> partials: array<f32>; // [heads, partialRows, d]",
    "var<uniform> params: Params;",
  ];
  emit(
    `${MATRIX_DIRECTIVES}
${PARAMS}
${declareBindings(bindings)}

var<workgroup> keyStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> scratch: array<vec4u, ${subgroups * SCRATCH}>;

${CONSTANTS}

${entryPoint(threads)}
  let lane = local & 31u;
  let headRow = (params.firstHead + group.x) * params.rows;
  // The heaviest go first: the last queries, which see most keys.
  let q0 = params.firstQuery + (groups.y - 1u - group.y) * ${ownRows}u;
  let earlier = params.firstKey > 0u;
  let later = q0 >= params.endKey;
  let first = q0 + subgroup * ${16 * blockCount}u;
  let partial = (group.x * params.partialRows + first) * ${headDim}u;
  let scale = params.scale;
  let scratch0 = subgroup * ${SCRATCH}u;
  let scoreBlock = group.x * params.keyBlocks * params.queryBlocks + (first - params.firstQuery) / 16u;
  let factors = group.x * ((params.endKey - params.firstKey + ${keyRows - 1}u) / ${keyRows}u);
  var exponent = GRADIENT_EXPONENT;`,
  );
  if (scaled) {
    emit(
      "let scaleBlocks = (params.rows + 15u) / 16u;",
      "let scale0 = (params.firstHead + group.x) * scaleBlocks;",
      ...blocks.map((b) =>
        `let gradientScale${b} = ` +
        `gradientScales[scale0 + min(first / 16u + ${b}u, scaleBlocks - 1u)];`
      ),
    );
  }
  const sums = (b: number) => depth.map((c) => `dq${b}_${c}`);
  for (const b of blocks) {
    for (const name of sums(b)) emit(`var ${name} = ${RESULT}();`);
  }
  const parts = (b: number) => ({
    names: sums(b),
    at: `partial + ${b * 16 * headDim}u`,
    headDim,
  });
  for (const b of blocks) {
    const factor = scaled ? `(exp2(exponent) / gradientScale${b})` : "exp2(exponent)";
    emitBegin(emit, { ...parts(b), factor });
  }
  // Each lane's part of the gradients of scores is under way for a whole tile before it is used. So
  // nothing may depend on it until then: no branch around the load, no choice after it.
  for (const s of steps) {
    for (const b of blocks) emit(`var e${s}_${b}: vec4u;`);
  }
  const fetch = (s: number, key: string) => {
    emit(
      "{",
      `let block = min((${key} - params.firstKey) / 16u, params.keyBlocks - 1u);`,
      "let at = (scoreBlock + block * params.queryBlocks) * 32u + lane;",
    );
    for (const b of blocks) emit(`e${s}_${b} = scoreGradients[at + ${32 * b}u];`);
    emit("}");
  };
  for (const s of steps) fetch(s, `params.firstKey + ${16 * s}u`);
  emit(
    `let end = min(q0 + ${ownRows}u, params.endKey);`,
    "var k0 = params.firstKey;",
  );
  passTiles(emit, {
    counter: "k0",
    tileColumns,
    tensors: [["keys", "keyStage"]],
    vectors,
    threads,
    row: (row) => `headRow + min(${row}, params.rows - 1u)`,
    open: [
      `let known = exponents[factors + (k0 - params.firstKey) / ${keyRows}u];`,
      "if (known != exponent) {",
      "let change = exp2(known - exponent);",
      "exponent = known;",
      ...blocks.flatMap(sums).map((name) =>
        `${name} = subgroupMatrixScalarMultiply(${name}, change);`
      ),
      "}",
    ],
    unrolled: true,
    condition: "k0 < end",
    step: ({ row, at }) => {
      for (const b of blocks) {
        // 16 keys × 16 queries, two lanes to a key. What the queries do not see, the other pass may not
        // have written.
        const seen = `k0 + ${16 * at}u <= first + ${16 * b + 15}u`;
        emit(
          `scratch[scratch0 + ${b * 16 * WEIGHT_STRIDE}u + (lane >> 1u) * ${WEIGHT_STRIDE}u + ` +
            `(lane & 1u)] = select(vec4u(), e${at}_${b}, ${seen});`,
        );
      }
      fetch(at, `k0 + ${tileColumns + 16 * at}u`);
      for (const b of blocks) {
        emit(
          `let ds${at}_${b} = subgroupMatrixLoad<${LEFT}, col_major>(&scratch, scratch0 + ${
            b * 16 * WEIGHT_STRIDE
          }u, ${WEIGHT_STRIDE}u);`,
        );
      }
      for (const c of depth) {
        emit(
          `{ let k = subgroupMatrixLoad<${RIGHT}, row_major>(&keyStage, ${row} * ${stride}u + ${
            2 * c
          }u, ${stride}u);`,
        );
        for (const b of blocks) {
          emit(
            `dq${b}_${c} = subgroupMatrixMultiplyAccumulate(ds${at}_${b}, k, dq${b}_${c});`,
          );
        }
        emit("}");
      }
    },
  });
  for (const b of blocks) {
    emit("{", `let row = first + ${16 * b}u + row16;`);
    emitEnd(emit, {
      ...parts(b),
      live: "row < params.rows",
      row: "row",
      factor: scaled ? `(exp2(-exponent) * gradientScale${b})` : "exp2(-exponent)",
      scale: "(scale * LN2)",
      tensor: "queryGradients",
      gradientType,
    });
    emit("}");
  }
  emit("}", gradientType === "f16" ? NEAREST_HALF : "");
  return out.join("\n");
}
