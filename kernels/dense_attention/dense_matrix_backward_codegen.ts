/**
 * WGSL of the backward passes of dense causal attention on subgroup matrices, generated whole, as
 * `dense_matrix_codegen.ts` generates the forward one.
 *
 * Two deterministic passes, no atomics, both after the delta pass (delta_i = Σ_c dO_ic·O_ic):
 *
 * - queries: a subgroup owns 16 query rows and walks the keys up to its diagonal;
 *   dQ_i = scale · Σ_j dS_ij·k_j.
 * - keys and values: a subgroup owns 16 key rows and walks the queries from its diagonal on;
 *   dK_j = scale · Σ_i dS_ij·q_i, dV_j = Σ_i P_ij·dO_i.
 *
 * with P_ij = exp(scale·q_i·k_j - lse_i) and dS_ij = P_ij·(dO_i·v_j - delta_i). What a subgroup owns
 * (Q and dO, or K and V) stays in registers as left matrices, its gradients as f32 result matrices;
 * the other two tensors pass through workgroup memory in tiles.
 *
 * **Rounding.** P and dS become f16 for their second product. At long contexts P is about 1/N, far
 * below the normal numbers of f16, so P is kept times 2^14, which cannot overflow, and dS times 2^8,
 * which can: the largest is watched, and a workgroup that saw one beyond 60,000 starts over with a
 * smaller factor.
 *
 * Rows that need no mask (keys before the workgroup's first query, queries after its last key) have
 * a loop of their own, without branches. Queries past the end get a log-sum-exp without bound: their
 * weights are zero.
 *
 * Workgroup memory: (2 * stages * tileColumns * (d/8 + 1) + subgroups * 192) * 16 bytes, and 8 bytes a
 * staged row for log-sum-exp and delta.
 *
 * @module
 */
import { NEAREST_HALF } from "../gpu/half.ts";
import {
  columnsOfHalves,
  emitTile,
  generatePassage,
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  type PassingTiling,
  readResults,
  readScores,
  RESULT,
  RIGHT,
  ROUNDED_RESULTS,
  SCORE_STRIDE,
  SCRATCH,
  stageStride,
  WEIGHT_STRIDE,
  writeWeights,
} from "./matrix_text.ts";
import { range } from "./tile_codegen.ts";

/** How a pass is tiled; every choice computes the same function. */
export interface MatrixBackwardTiling extends PassingTiling {
  /** Subgroups of 32 threads in a workgroup; each owns 16 rows. */
  readonly subgroups: number;
}

/** Rows that a workgroup owns. */
export function matrixBackwardRows({ subgroups }: MatrixBackwardTiling): number {
  return 16 * subgroups;
}

/** Bytes of workgroup memory. */
export function matrixBackwardBytes(tiling: MatrixBackwardTiling, headDim: number): number {
  const { subgroups, tileColumns, stages } = tiling;
  const staged = 2 * stages * tileColumns * stageStride(headDim);
  return (staged + subgroups * 2 * SCRATCH) * 16 + 8 * stages * tileColumns + 4;
}

/**
 * One pass. Bindings: queries, keys, values, outputGradients, logSumExp, deltas, then
 * queryGradients, or keyGradients and valueGradients, then params.
 */
export function generateMatrixBackward(
  pass: "query" | "key-value",
  tiling: MatrixBackwardTiling,
  headDim: number,
): string {
  const { subgroups, tileColumns, stages } = tiling;
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = stageStride(headDim);
  const threads = 32 * subgroups;
  const ownRows = matrixBackwardRows(tiling);
  const depth = range(headDim / 16);
  const byKeys = pass === "key-value";
  // Left matrices: what a subgroup owns. Stages: what passes by.
  const [first, second] = byKeys ? ["keys", "values"] : ["queries", "outputGradients"];
  const [passing, partner] = byKeys ? ["queries", "outputGradients"] : ["keys", "values"];
  const gradients = byKeys ? ["keyGradients", "valueGradients"] : ["queryGradients"];
  const out: string[] = [];
  const emit = (...lines: string[]) => out.push(...lines);
  const bindings = [
    ...["queries", "keys", "values", "outputGradients"].map((name) =>
      `var<storage, read> ${name}: array<vec4u>; // [heads, N, d] f16`
    ),
    "var<storage, read> logSumExp: array<f32>; // [heads, N], natural logarithm",
    "var<storage, read> deltas: array<f32>; // [heads, N]",
    ...gradients.map((name) =>
      `var<storage, read_write> ${name}: array<vec4u>; // [heads, N, d] f16`
    ),
    "var<uniform> params: Params;",
  ].map((line, i) => `@group(0) @binding(${i}) ${line}`);

  emit(
    `${MATRIX_DIRECTIVES}
struct Params {
  rows: u32,      // N
  tileCount: u32, // tiles of owned rows in this dispatch
  firstTile: u32, // index of the first of them
  scale: f32,     // softmax scale times log2(e)
}
${bindings.join("\n")}

var<workgroup> ${passing}Stage: array<vec4u, ${stages * tileColumns * stride}>;
var<workgroup> ${partner}Stage: array<vec4u, ${stages * tileColumns * stride}>;
var<workgroup> statistics: array<vec2f, ${stages * tileColumns}>; // log-sum-exp in base 2, delta
var<workgroup> scratch: array<vec4u, ${subgroups * 2 * SCRATCH}>; // two a subgroup
var<workgroup> startOver: u32;

const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const WEIGHT_EXPONENT = 14.0;
const PAST_END = 1.0e30; // a log-sum-exp that leaves no weight

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
${LANE_PLACES}
  let headRow = group.x * params.rows;
  // The heaviest tiles go first: the last queries, the first keys.
  let tile = params.firstTile + ${byKeys ? "group.y" : "params.tileCount - 1u - group.y"};
  let own0 = tile * ${ownRows}u;
  let own = own0 + subgroup * 16u;
  // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
  let block = min(own, params.rows - 16u);
  let row = block + row16;
  let scale = params.scale;
  let scratchA = subgroup * ${2 * SCRATCH}u;
  let scratchB = scratchA + ${SCRATCH}u;`,
  );
  for (const [name, from] of [["a", first], ["b", second]]) {
    for (const c of depth) {
      emit(
        `  let ${name}${c} = subgroupMatrixLoad<${LEFT}, row_major>(&${from}, ` +
          `(headRow + block) * ${vectors}u + ${2 * c}u, ${vectors}u);`,
      );
    }
  }
  for (const g of range(gradients.length)) {
    for (const c of depth) emit(`  var g${g}_${c} = ${RESULT}();`);
  }
  if (!byKeys) {
    emit(
      "  let lse = logSumExp[headRow + row] * LOG2E;",
      "  let delta = deltas[headRow + row];",
    );
  }
  emit(
    "  var exponent = 8.0; // of what multiplies dS",
    "  for (var attempt = 0u; attempt < 8u; attempt++) {",
  );
  for (const g of range(gradients.length)) {
    for (const c of depth) emit(`  g${g}_${c} = ${RESULT}();`);
  }
  emit(
    "let factor = exp2(exponent - WEIGHT_EXPONENT);",
    "var peak = vec4f();",
  );

  // Rows on their way into a stage, with their statistics where those of passing rows are needed.
  const passage = (rowCount: number, row0: string, to: string, mark = "") => {
    const rows = generatePassage({
      tensors: [passing, partner].map((name) => [name, `${name}Stage`]),
      vectors,
      threads,
      rowCount,
      row: (row) => `headRow + min(${row0} + ${row}, params.rows - 1u)`,
      to,
      mark,
    });
    if (!byKeys) return rows;
    const name = `statistic${mark}`;
    return {
      fetch: [
        ...rows.fetch,
        `var ${name} = vec2f(PAST_END, 0.0);`,
        `if (local < ${rowCount}u && ${row0} + local < params.rows) {`,
        `let query = headRow + ${row0} + local;`,
        `${name} = vec2f(logSumExp[query] * LOG2E, deltas[query]);`,
        "}",
      ],
      put: [...rows.put, `if (local < ${rowCount}u) { statistics[${to} + local] = ${name}; }`],
    };
  };
  const right = (order: string, tensor: string, row: string, c: number) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&${tensor}Stage, (${row}) * ${stride}u + ${
      2 * c
    }u, ${stride}u)`;

  // The work on 16 passing rows, in pieces. Names end in the step's own mark.
  const firstProducts = (step: string, row: string) => {
    emit(`var s${step} = ${RESULT}();`, `var d${step} = ${RESULT}();`);
    for (const c of depth) {
      for (const [sum, left, tensor] of [["s", "a", passing], ["d", "b", partner]]) {
        emit(
          `${sum}${step} = subgroupMatrixMultiplyAccumulate(${left}${c}, ` +
            `${right("col_major", tensor, row, c)}, ${sum}${step});`,
        );
      }
    }
  };
  /** Products become left matrices of P and dS; `between` is emitted while products are read. */
  const weights = (
    step: string,
    options: { staged: string; firstRow: string; masked: boolean; between: () => void },
  ) => {
    const { staged, firstRow, masked, between } = options;
    const [x, y] = [`x${step}`, `y${step}`];
    emit(
      `subgroupMatrixStore<row_major>(&scratch, scratchA, s${step}, ${SCORE_STRIDE}u);`,
      `subgroupMatrixStore<row_major>(&scratch, scratchB, d${step}, ${SCORE_STRIDE}u);`,
      ...readScores("scratchA", x),
      ...readScores("scratchB", y),
    );
    between();
    for (const [half, column] of [["a", "column0"], ["b", "(column0 ^ 4u)"]]) {
      let [lse, delta] = ["vec4f(lse)", "delta"];
      if (byKeys) {
        const t = `t${step}${half}`;
        const at = (j: number) => `let ${t}${j} = statistics[${staged} + ${column} + ${j}u];`;
        emit(at(0), at(1), at(2), at(3));
        lse = `vec4f(${t}0.x, ${t}1.x, ${t}2.x, ${t}3.x)`;
        delta = `vec4f(${t}0.y, ${t}1.y, ${t}2.y, ${t}3.y)`;
      }
      emit(
        `${x}${half} = exp2(fma(${x}${half}, vec4f(scale), vec4f(WEIGHT_EXPONENT) - ${lse}));`,
        `${y}${half} = (${y}${half} - ${delta}) * factor;`,
      );
    }
    if (masked) {
      const live = (other: string) => byKeys ? `${other} >= vec4u(row)` : `${other} <= vec4u(row)`;
      emit(
        byKeys ? `if (${firstRow} < block + 16u) {` : `if (${firstRow} + 15u > block) {`,
        ...columnsOfHalves(firstRow),
        `${x}a = select(vec4f(), ${x}a, ${live("keyA")});`,
        `${x}b = select(vec4f(), ${x}b, ${live("keyB")});`,
        "}",
      );
    }
    emit(
      `${y}a *= ${x}a; ${y}b *= ${x}b;`,
      `peak = max(peak, max(abs(${y}a), abs(${y}b)));`,
      ...writeWeights("scratchB", y),
    );
    if (byKeys) emit(...writeWeights("scratchA", x));
    const left = (scratch: string) =>
      `subgroupMatrixLoad<${LEFT}, row_major>(&scratch, ${scratch}, ${WEIGHT_STRIDE}u)`;
    emit(`let ds${step} = ${left("scratchB")};`);
    if (byKeys) emit(`let w${step} = ${left("scratchA")};`);
  };
  const secondProducts = (step: string, row: string) => {
    for (const c of depth) {
      emit(
        `g0_${c} = subgroupMatrixMultiplyAccumulate(ds${step}, ` +
          `${right("row_major", passing, row, c)}, g0_${c});`,
      );
      if (byKeys) {
        emit(
          `g1_${c} = subgroupMatrixMultiplyAccumulate(w${step}, ` +
            `${right("row_major", partner, row, c)}, g1_${c});`,
        );
      }
    }
  };
  const walk = (condition: string, masked: boolean) => {
    emit(`for (; ${condition}; t0 += ${tileColumns}u) {`);
    emitTile(emit, {
      counter: "t0",
      tiling,
      passage,
      first: firstProducts,
      rest: (mark, { row, firstRow, between }) => {
        weights(mark, { staged: row, firstRow, masked, between });
        secondProducts(mark, row);
      },
    });
    emit("}");
  };

  emit(byKeys ? `var t0 = own0 / ${tileColumns}u * ${tileColumns}u;` : "var t0 = 0u;");
  if (stages === 2) {
    // Where the first tile's turn puts it.
    const whole = passage(tileColumns, "t0", `((t0 / ${tileColumns}u) & 1u) * ${tileColumns}u`);
    emit("{", ...whole.fetch, ...whole.put, "}");
  }
  emit(`let ownEnd = min(own0 + ${ownRows}u, params.rows);`);
  if (byKeys) {
    walk("t0 < ownEnd", true);
    walk("t0 < params.rows", false);
  } else {
    walk(`t0 + ${tileColumns}u <= own0`, false);
    walk("t0 < ownEnd", true);
  }
  emit(
    "  if (local == 0u) { startOver = 0u; }",
    "  workgroupBarrier();",
    "  var most = max(max(peak.x, peak.y), max(peak.z, peak.w));",
    "  most = max(most, subgroupShuffleXor(most, 16u));",
    "  if (!(most < 60000.0)) {",
    "    startOver = 1u; exponent -= clamp(log2(most) - 14.0, 1.0, 60.0);",
    "  }",
    "  if (workgroupUniformLoad(&startOver) == 0u) { break; }",
    "  }",
    "  let live = row >= own && row < params.rows;",
  );
  for (const [g, name] of gradients.entries()) {
    emit(
      g === 0
        ? "  let scale0 = scale * LN2 * exp2(-exponent);"
        : "  let scale1 = exp2(-WEIGHT_EXPONENT);",
    );
    for (const c of depth) {
      emit(
        "workgroupBarrier();",
        `subgroupMatrixStore<row_major>(&scratch, scratchA, g${g}_${c}, ${SCORE_STRIDE}u);`,
        "workgroupBarrier();",
        "if (live) {",
        ...readResults("scratchA", `scale${g}`),
        ROUNDED_RESULTS,
        `${name}[(headRow + row) * ${vectors}u + ${2 * c}u + side] = rounded;`,
        "}",
      );
    }
  }
  emit("}", NEAREST_HALF);
  return out.join("\n");
}
