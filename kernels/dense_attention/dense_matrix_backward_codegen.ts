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
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 160) * 16 bytes, and 8 bytes a row of
 * the tile for log-sum-exp and delta.
 *
 * @module
 */
import { NEAREST_HALF } from "../gpu/half.ts";
import { LEFT, MATRIX_DIRECTIVES, RESULT, RIGHT } from "./dense_matrix_codegen.ts";
import { range } from "./tile_codegen.ts";

/** How a pass is tiled; every choice computes the same function. */
export interface MatrixBackwardTiling {
  /** Subgroups of 32 threads in a workgroup; each owns 16 rows. */
  readonly subgroups: number;
  /** Rows of one staged tile, a multiple of 16. */
  readonly tileColumns: number;
}

/** Rows that a workgroup owns. */
export function matrixBackwardRows({ subgroups }: MatrixBackwardTiling): number {
  return 16 * subgroups;
}

/** Bytes of workgroup memory. */
export function matrixBackwardBytes(tiling: MatrixBackwardTiling, headDim: number): number {
  const { subgroups, tileColumns } = tiling;
  return (2 * tileColumns * (headDim / 8 + 1) + subgroups * 160) * 16 + 8 * tileColumns + 4;
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
  const { subgroups, tileColumns } = tiling;
  const vectors = headDim / 8;
  const stride = vectors + 1;
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

var<workgroup> passingStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> partnerStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> statistics: array<vec2f, ${tileColumns}>; // log-sum-exp in base 2, delta
var<workgroup> scratch: array<vec4u, ${subgroups * 160}>; // twice 16 rows of 80 bytes a subgroup
var<workgroup> startOver: u32;

const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const WEIGHT_EXPONENT = 14.0;

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
  let subgroup = local >> 5u;
  let row16 = local & 15u;       // the lane's row of a matrix
  let side = (local >> 4u) & 1u; // and which 8 of its 16 columns
  let headRow = group.x * params.rows;
  // The heaviest tiles go first: the last queries, the first keys.
  let tile = params.firstTile + ${byKeys ? "group.y" : "params.tileCount - 1u - group.y"};
  let own0 = tile * ${ownRows}u;
  let own = own0 + subgroup * 16u;
  // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
  let block = min(own, params.rows - 16u);
  let row = block + row16;
  let scale = params.scale;
  let mineA = subgroup * 160u;
  let mineB = mineA + 80u;
  let atA = mineA + row16 * 5u;
  let atB = mineB + row16 * 5u;`,
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
    "  let factor = exp2(exponent - WEIGHT_EXPONENT);",
    "  var peak = vec4f();",
    byKeys
      ? `  for (var t0 = own0 / ${tileColumns}u * ${tileColumns}u; t0 < params.rows; t0 += ${tileColumns}u) {`
      : `  let end = min(own0 + ${ownRows}u, params.rows);
  for (var t0 = 0u; t0 < end; t0 += ${tileColumns}u) {`,
    "    workgroupBarrier();",
  );
  const units = tileColumns * vectors;
  const steps = range(Math.ceil(units / threads));
  const unit = (i: number) => `(local + ${i * threads}u)`;
  const guarded = (i: number, text: string) =>
    (i + 1) * threads > units ? `if (${unit(i)} < ${units}u) { ${text} }` : text;
  emit("    {");
  for (const [name, from] of [["passing", passing], ["partner", partner]]) {
    for (const i of steps) {
      // Rows past the end are masked: any row will do in their place.
      emit(
        `    let ${name}${i} = ${from}[(headRow + min(t0 + ${unit(i)} / ${vectors}u, ` +
          `params.rows - 1u)) * ${vectors}u + ${unit(i)} % ${vectors}u];`,
      );
    }
  }
  for (const name of ["passing", "partner"]) {
    for (const i of steps) {
      const at = `${unit(i)} / ${vectors}u * ${stride}u + ${unit(i)} % ${vectors}u`;
      emit(`    ${guarded(i, `${name}Stage[${at}] = ${name}${i};`)}`);
    }
  }
  if (byKeys) {
    emit(
      `    if (local < ${tileColumns}u) {`,
      "      let query = headRow + min(t0 + local, params.rows - 1u);",
      "      statistics[local] = vec2f(logSumExp[query] * LOG2E, deltas[query]);",
      "    }",
    );
  }
  emit(
    "    }",
    "    workgroupBarrier();",
    `    for (var c0 = 0u; c0 < ${tileColumns}u; c0 += 16u) {`,
    `    let base = c0 * ${stride}u;`,
    `    var s = ${RESULT}();`,
    `    var d = ${RESULT}();`,
  );
  const right = (order: string, stage: string, c: number) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&${stage}, base + ${2 * c}u, ${stride}u)`;
  for (const c of depth) {
    emit(
      `    s = subgroupMatrixMultiplyAccumulate(a${c}, ${
        right("col_major", "passingStage", c)
      }, s);`,
      `    d = subgroupMatrixMultiplyAccumulate(b${c}, ${
        right("col_major", "partnerStage", c)
      }, d);`,
    );
  }
  emit(
    "    subgroupMatrixStore<row_major>(&scratch, mineA, s, 5u);",
    "    subgroupMatrixStore<row_major>(&scratch, mineB, d, 5u);",
  );
  for (const [i, h] of ["x", "y"].entries()) {
    emit(
      `    let s${h} = bitcast<vec4f>(scratch[atA + side * 2u + ${i}u]);`,
      `    let d${h} = bitcast<vec4f>(scratch[atB + side * 2u + ${i}u]);`,
    );
    if (byKeys) {
      const at = (j: number) => `statistics[c0 + side * 8u + ${4 * i + j}u]`;
      emit(`    let t${h}0 = ${at(0)}; let t${h}1 = ${at(1)};`);
      emit(`    let t${h}2 = ${at(2)}; let t${h}3 = ${at(3)};`);
    }
    const lse = byKeys ? `vec4f(t${h}0.x, t${h}1.x, t${h}2.x, t${h}3.x)` : "vec4f(lse)";
    const delta = byKeys ? `vec4f(t${h}0.y, t${h}1.y, t${h}2.y, t${h}3.y)` : "vec4f(delta)";
    emit(
      `    var p${h} = exp2(fma(s${h}, vec4f(scale), vec4f(WEIGHT_EXPONENT) - ${lse}));`,
      `    let e${h} = (d${h} - ${delta}) * factor;`,
    );
  }
  emit(
    byKeys
      ? "    if (t0 + c0 < block + 16u || t0 + c0 + 16u > params.rows) {"
      : "    if (t0 + c0 + 15u > block) {",
    "      let other = vec4u(t0 + c0 + side * 8u) + vec4u(0u, 1u, 2u, 3u);",
  );
  for (const [i, h] of ["x", "y"].entries()) {
    const other = i === 0 ? "other" : "(other + vec4u(4u))";
    const live = byKeys
      ? `(${other} >= vec4u(row)) & (${other} < vec4u(params.rows))`
      : `${other} <= vec4u(row)`;
    emit(`      p${h} = select(vec4f(), p${h}, ${live});`);
  }
  emit("    }");
  const packed = (h: string) =>
    [`${h}x.xy`, `${h}x.zw`, `${h}y.xy`, `${h}y.zw`]
      .map((pair) => `pack2x16float(${pair})`).join(", ");
  emit(
    "    let zx = px * ex; let zy = py * ey;",
    "    peak = max(peak, max(abs(zx), abs(zy)));",
    `    scratch[atB + side] = vec4u(${packed("z")});`,
  );
  if (byKeys) emit(`    scratch[atA + side] = vec4u(${packed("p")});`);
  emit(`    let ds = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, mineB, 5u);`);
  if (byKeys) emit(`    let w = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, mineA, 5u);`);
  for (const c of depth) {
    emit(
      `    g0_${c} = subgroupMatrixMultiplyAccumulate(ds, ${
        right("row_major", "passingStage", c)
      }, g0_${c});`,
    );
    if (byKeys) {
      emit(
        `    g1_${c} = subgroupMatrixMultiplyAccumulate(w, ${
          right("row_major", "partnerStage", c)
        }, g1_${c});`,
      );
    }
  }
  emit(
    "    }",
    "  }",
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
        "  workgroupBarrier();",
        `  subgroupMatrixStore<row_major>(&scratch, mineA, g${g}_${c}, 5u);`,
        "  workgroupBarrier();",
        "  if (live) {",
        `    let x = nearestHalf(bitcast<vec4f>(scratch[atA + side * 2u]) * scale${g});`,
        `    let y = nearestHalf(bitcast<vec4f>(scratch[atA + side * 2u + 1u]) * scale${g});`,
        `    ${name}[(headRow + row) * ${vectors}u + ${2 * c}u + side] = vec4u(`,
        "      pack2x16float(x.xy), pack2x16float(x.zw), pack2x16float(y.xy), pack2x16float(y.zw));",
        "  }",
      );
    }
  }
  emit("}", NEAREST_HALF);
  return out.join("\n");
}
