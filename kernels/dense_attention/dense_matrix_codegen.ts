/**
 * WGSL of dense causal attention on subgroup matrices (tensor cores on NVIDIA), generated whole:
 * matrix values cannot be passed to functions, so the unrolled text is one function.
 *
 * One workgroup computes `subgroups * 16 * blocks` query rows of one head. A subgroup owns `blocks`
 * blocks of 16 rows and keeps their queries (left matrices) and outputs (f32 result matrices) in
 * registers. Keys and values pass through workgroup memory in tiles of `tileColumns` rows.
 *
 * Per 16 keys a subgroup multiplies Q·Kᵀ, stores the scores to a scratch of its own, lets each lane
 * take 8 of them through the exponential, writes the weights back as f16 and loads them as left
 * matrices for P·V. A matrix has no element access, so the scratch is the only way.
 *
 * **Optimistic reference.** Softmax needs any reference m, not the running maximum: weights are
 * 2^(x - m), rounded to f16. m is the row's maximum over the first 16 keys and the 16 keys of its own
 * block, plus log2(keys / 2^13) where the row sees more than 2^13 keys; the loop has no maximum, vote
 * or rescaling. Then the sum of a row's weights tells whether m was good:
 *
 * - at 60,000 or more a weight may have overflowed;
 * - below (keys)·2^-14 the weights that f16 rounds away, each at most 2^-25, could together exceed
 *   2^-11 of the sum, half a unit in the last place of the output.
 *
 * Outside of that window m moves by log2(sum) - 10 and the workgroup starts over; restarts are
 * counted. Then the sum is about 2^10, well inside it for up to 2^23 keys.
 *
 * **Within a subgroup** the scratch is exchanged without a barrier. WGSL does not promise that
 * order; on devices whose subgroups run in lockstep it holds, and the checks of every run would
 * catch it where it does not.
 *
 * Workgroup memory: (2 * stages * tileColumns * (d/8 + 1) + subgroups * 80) * 16 bytes. Rows are padded by 16
 * bytes: unpadded, loads of matrices meet in the same banks.
 *
 * @module
 */

import { NEAREST_HALF } from "../gpu/half.ts";
import type { DenseResult } from "./dense_attention_codegen.ts";
import { range } from "./tile_codegen.ts";

/** How the kernel is tiled; every choice computes the same function. */
export interface MatrixTiling {
  /** Subgroups of 32 threads in a workgroup. */
  readonly subgroups: number;
  /** Blocks of 16 query rows that a subgroup owns. */
  readonly blocks: number;
  /** Keys of one tile; a multiple of 16. */
  readonly tileColumns: number;
  /**
   * Tiles of keys and values in workgroup memory: one, with two barriers a tile, or two, with one
   * barrier, so that a tile is fetched while the other is in use.
   */
  readonly stages: 1 | 2;
}

/** Query rows of one workgroup. */
export function matrixTileRows({ subgroups, blocks }: MatrixTiling): number {
  return subgroups * blocks * 16;
}

/** Bytes of workgroup memory. */
export function matrixWorkgroupBytes(tiling: MatrixTiling, headDim: number): number {
  const staged = 2 * tiling.stages * tiling.tileColumns * (headDim / 8 + 1);
  return (staged + tiling.subgroups * 80) * 16 + 4;
}

/** What every shader on subgroup matrices begins with. */
export const MATRIX_DIRECTIVES = `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Branches depend on the subgroup, never on the lane.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
`;

/** The matrices that are multiplied, and their products. */
export const LEFT = "subgroup_matrix_left<f16, 16, 16>";
export const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
export const RESULT = "subgroup_matrix_result<f32, 16, 16>";

/** Least sum of weights for each key that a row sees. */
const LEAST_SUM = "0.00006103515625"; // 2^-14

/**
 * The whole shader. Bindings: params, queries, keys, values, then output and logSumExp or
 * squaredNorms, then restarts. Parameters are those of `dense_attention.wgsl`.
 */
export function generateDenseMatrix(
  tiling: MatrixTiling,
  options: {
    readonly headDim: number;
    /** δ: each residue class of rows is a sequence of its own. Default 1. */
    readonly rowStride?: number;
    /** Default `rows`. */
    readonly result?: DenseResult;
  },
): string {
  const { headDim, rowStride = 1, result = "rows" } = options;
  const { subgroups, blocks: blockCount, tileColumns, stages } = tiling;
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = vectors + 1;
  const threads = 32 * subgroups;
  const tileRows = matrixTileRows(tiling);
  const rowsPerSubgroup = 16 * blockCount;
  const blocks = range(blockCount);
  const depth = range(headDim / 16);
  const out: string[] = [];
  const emit = (...lines: string[]) => out.push(...lines);
  const results = result === "rows"
    ? [
      "var<storage, read_write> output: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read_write> logSumExp: array<f32>; // [heads, N], natural logarithm",
    ]
    : ["var<storage, read_write> squaredNorms: array<f32>; // [heads, resultRows]"];
  const bindings = [
    ...results,
    "var<storage, read_write> restarts: atomic<u32>; // workgroups that started over",
  ].map((line, i) => `@group(0) @binding(${4 + i}) ${line}`).join("\n");

  emit(`${MATRIX_DIRECTIVES}
struct Params {
  rows: u32,       // N
  tileCount: u32,  // query tiles in this dispatch
  firstTile: u32,  // index of the first of them
  scale: f32,      // softmax scale times log2(e): scores live in base 2
  sequences: u32,  // heads * ROW_STRIDE
  gridWidth: u32,  // sequences in one layer of the grid
  resultRows: u32, // rows of one head in the result
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [heads, N * ROW_STRIDE, d] f16
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // the same
@group(0) @binding(3) var<storage, read> values: array<vec4u>;  // the same
${bindings}

var<workgroup> keyStage: array<vec4u, ${stages * tileColumns * stride}>;
var<workgroup> valueStage: array<vec4u, ${stages * tileColumns * stride}>;
var<workgroup> scratch: array<vec4u, ${subgroups * 80}>; // 16 rows of 80 bytes a subgroup
var<workgroup> startOver: u32;

const ROW_STRIDE = ${rowStride}u;
const MASKED = -1.0e30;
const LN2 = 0.6931471805599453;

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
  let subgroup = local >> 5u;
  let row16 = local & 15u;        // the lane's row of a block
  let side = (local >> 4u) & 1u;  // and which 8 of its 16 columns
  let sequence = group.z * params.gridWidth + group.x;
  if (sequence >= params.sequences) { return; }
  let head = sequence / ROW_STRIDE;
  let residue = sequence % ROW_STRIDE;
  let headRow = head * params.rows * ROW_STRIDE + residue; // first row of this sequence
  let result0 = head * params.resultRows + residue;        // where the result of that row goes
  // The heaviest tiles go first: they attend to the most keys.
  let tile = params.firstTile + params.tileCount - 1u - group.y;
  let q0 = tile * ${tileRows}u;
  let first = q0 + subgroup * ${rowsPerSubgroup}u;
  let scale = params.scale;
  let mine = subgroup * 80u;
  let at = mine + row16 * 5u;`);
  // The last rows may be fewer than a block: then it begins earlier and stores only its own rows.
  for (const b of blocks) {
    emit(
      `  let own${b} = first + ${16 * b}u;`,
      `  let block${b} = min(own${b}, params.rows - 16u);`,
    );
  }
  const matrixAt = (row: string, c: number) =>
    `(headRow + ${row} * ROW_STRIDE) * ${vectors}u + ${2 * c}u, ${vectors}u * ROW_STRIDE`;
  for (const b of blocks) {
    for (const c of depth) {
      emit(
        `  let q${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&queries, ${
          matrixAt(`block${b}`, c)
        });`,
      );
    }
  }
  for (const b of blocks) {
    for (const c of depth) emit(`  var o${b}_${c} = ${RESULT}();`);
    emit(`  var m${b}: f32; // reference, base 2`, `  var l${b} = vec4f(); // sums of weights`);
  }

  // A tile into a stage: all loads first, so that they are under way together.
  const stage = (indent: string, row0: string, to: string) => {
    const units = tileColumns * vectors;
    const steps = range(Math.ceil(units / threads));
    const guard = (i: number) => (i + 1) * threads > units;
    const at = (i: number) => `(local + ${i * threads}u)`;
    const loaded = [["key", "keys"], ["value", "values"]].flatMap(([name, from]) =>
      steps.map((i) => {
        // Rows past the end are masked: any row will do in their place.
        const row = `min(${row0} + ${at(i)} / ${vectors}u, params.rows - 1u)`;
        return `${indent}let ${name}${i} = ${from}[(headRow + ${row} * ROW_STRIDE) * ${vectors}u + ${
          at(i)
        } % ${vectors}u];`;
      })
    );
    const stored = [["key", "keyStage"], ["value", "valueStage"]].flatMap(([name, target]) =>
      steps.map((i) => {
        const store = `${target}[${to}${at(i)} / ${vectors}u * ${stride}u + ${
          at(i)
        } % ${vectors}u] = ${name}${i};`;
        return indent + (guard(i) ? `if (${at(i)} < ${units}u) { ${store} }` : store);
      })
    );
    emit(`${indent}{`, ...loaded, ...stored, `${indent}}`);
  };
  // Scores of a block into x<b>a, x<b>b: 8 of a row for each lane, masked above the diagonal.
  const takeScores = (b: number, scores: string, firstKey: string) =>
    emit(
      `    subgroupMatrixStore<row_major>(&scratch, mine, ${scores}, 5u);`,
      `    var x${b}a = bitcast<vec4f>(scratch[at + side * 2u]);`,
      `    var x${b}b = bitcast<vec4f>(scratch[at + side * 2u + 1u]);`,
      `    if (${firstKey} + 15u > block${b}) {`,
      `      let key = vec4u(${firstKey} + side * 8u) + vec4u(0u, 1u, 2u, 3u);`,
      `      let row = vec4u(block${b} + row16);`,
      `      x${b}a = select(vec4f(MASKED), x${b}a, key <= row);`,
      `      x${b}b = select(vec4f(MASKED), x${b}b, key + vec4u(4u) <= row);`,
      "    }",
    );

  emit("", "  // References: the first keys and those of a block's own rows stand for all.");
  for (const b of blocks) {
    emit("  {", "    var t = MASKED;");
    for (const firstKey of ["0u", `block${b}`]) {
      emit("    {", `    var s = ${RESULT}();`);
      for (const c of depth) {
        emit(
          `    s = subgroupMatrixMultiplyAccumulate(q${b}_${c}, ` +
            `subgroupMatrixLoad<${RIGHT}, col_major>(&keys, ${matrixAt(firstKey, c)}), s);`,
        );
      }
      takeScores(b, "s", firstKey);
      emit(
        `    let y = max(x${b}a, x${b}b);`,
        "    t = max(t, max(max(y.x, y.y), max(y.z, y.w)));",
        "    }",
      );
    }
    emit(
      "    t = max(t, subgroupShuffleXor(t, 16u)) * scale;",
      `    m${b} = t + max(log2(f32(block${b} + row16 + 1u)) - 13.0, 0.0);`,
      "  }",
    );
  }
  emit(
    "",
    `  let end = min(q0 + ${tileRows}u, params.rows);`,
    "  for (var attempt = 0u; attempt < 8u; attempt++) {",
  );
  for (const b of blocks) {
    for (const c of depth) emit(`  o${b}_${c} = ${RESULT}();`);
    emit(`  l${b} = vec4f();`);
  }
  if (stages === 2) {
    emit("  workgroupBarrier();");
    stage("  ", "0u", "");
  }
  emit(`  for (var k0 = 0u; k0 < end; k0 += ${tileColumns}u) {`, "    workgroupBarrier();");
  if (stages === 1) {
    stage("    ", "k0", "");
    emit("    workgroupBarrier();", "    let staged = 0u;");
  } else {
    const size = tileColumns * stride;
    emit(
      `    let staged = ((k0 / ${tileColumns}u) & 1u) * ${size}u;`,
      `    if (k0 + ${tileColumns}u < end) {`,
      `    let other = ${size}u - staged;`,
    );
    stage("    ", `k0 + ${tileColumns}u`, "other + ");
    emit("    }");
  }
  emit(
    `    for (var c0 = 0u; c0 < ${tileColumns}u; c0 += 16u) {`,
    `    let key0 = k0 + c0; let base = staged + c0 * ${stride}u;`,
  );
  for (const b of blocks) emit(`    var s${b} = ${RESULT}();`);
  for (const c of depth) {
    emit(
      `    { let k = subgroupMatrixLoad<${RIGHT}, col_major>(&keyStage, base + ${
        2 * c
      }u, ${stride}u);`,
    );
    for (const b of blocks) {
      emit(`    s${b} = subgroupMatrixMultiplyAccumulate(q${b}_${c}, k, s${b});`);
    }
    emit("    }");
  }
  for (const b of blocks) {
    takeScores(b, `s${b}`, "key0");
    emit(
      `    let p${b}a = exp2(fma(x${b}a, vec4f(scale), vec4f(-m${b})));`,
      `    let p${b}b = exp2(fma(x${b}b, vec4f(scale), vec4f(-m${b})));`,
      `    l${b} += p${b}a + p${b}b;`,
      `    scratch[at + side] = vec4u(pack2x16float(p${b}a.xy), pack2x16float(p${b}a.zw), ` +
        `pack2x16float(p${b}b.xy), pack2x16float(p${b}b.zw));`,
      `    let w${b} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, mine, 5u);`,
    );
  }
  for (const c of depth) {
    emit(
      `    { let v = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, base + ${
        2 * c
      }u, ${stride}u);`,
    );
    for (const b of blocks) {
      emit(`    o${b}_${c} = subgroupMatrixMultiplyAccumulate(w${b}, v, o${b}_${c});`);
    }
    emit("    }");
  }
  emit("    }", "  }");
  emit(
    "  if (local == 0u) { startOver = 0u; }",
    "  workgroupBarrier();",
  );
  const total = (b: number) =>
    `var l = (l${b}.x + l${b}.y) + (l${b}.z + l${b}.w); l += subgroupShuffleXor(l, 16u);`;
  for (const b of blocks) {
    emit(
      `  { ${total(b)}`,
      `    let least = f32(block${b} + row16 + 1u) * ${LEAST_SUM};`,
      "    if (!(l < 60000.0) || l < least) {",
      `      startOver = 1u; m${b} += clamp(log2(l), -100.0, 100.0) - 10.0;`,
      "    } }",
    );
  }
  emit(
    "  if (workgroupUniformLoad(&startOver) == 0u) { break; }",
    "  if (local == 0u) { atomicAdd(&restarts, 1u); }",
    "  }",
  );
  for (const b of blocks) {
    emit(
      `  { ${total(b)}`,
      `    let inverse = 1.0 / l; let row = block${b} + row16;`,
      `    let live = row >= own${b} && row < params.rows;`,
    );
    if (result === "rows") {
      emit(
        `    if (live && side == 0u) { logSumExp[result0 + row] = (m${b} + log2(l)) * LN2; }`,
      );
    } else emit("    var norm = 0.0;");
    for (const c of depth) {
      emit(
        "    workgroupBarrier();",
        `    subgroupMatrixStore<row_major>(&scratch, mine, o${b}_${c}, 5u);`,
        "    workgroupBarrier();",
        "    {",
        "      let a = bitcast<vec4f>(scratch[at + side * 2u]) * inverse;",
        "      let z = bitcast<vec4f>(scratch[at + side * 2u + 1u]) * inverse;",
      );
      if (result === "rows") {
        emit(
          "      let x = nearestHalf(a); let y = nearestHalf(z);",
          "      if (live) {",
          `        output[(result0 + row) * ${vectors}u + ${
            2 * c
          }u + side] = vec4u(pack2x16float(x.xy),`,
          "          pack2x16float(x.zw), pack2x16float(y.xy), pack2x16float(y.zw));",
          "      }",
        );
      } else emit("      norm += dot(a, a) + dot(z, z);");
      emit("    }");
    }
    if (result === "squared-norms") {
      emit(
        "    norm += subgroupShuffleXor(norm, 16u);",
        "    if (live && side == 0u) { squaredNorms[result0 + row * ROW_STRIDE] = norm; }",
      );
    }
    emit("  }");
  }
  emit("}", result === "rows" ? NEAREST_HALF : "");
  return out.join("\n");
}
