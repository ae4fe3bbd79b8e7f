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
 * matrices for P·V. A matrix has no element access, so the scratch is the only way. The scores of its
 * blocks take turns there, and their weights lie beside each other. Of two blocks the first is a few
 * products ahead, and the second one's exponentials are computed beside those.
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
 * Workgroup memory: (2 * stages * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes.
 *
 * @module
 */

import { NEAREST_HALF } from "../../gpu/half.ts";
import type { DenseResult } from "../types.ts";
import {
  columnsOfHalves,
  type InputAccess,
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  packWeights,
  type PassingRows,
  passRing,
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
import type { MatrixTiling } from "../tilings.ts";

/** Products P·V by which the first of two blocks is ahead of the second. */
const BLOCK_AHEAD = 3;

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
    /** How queries, keys and values are bound. */
    readonly inputs: InputAccess;
  },
): string {
  const { headDim, rowStride = 1, result = "rows", inputs } = options;
  const input = `var<storage, ${inputs === "read" ? "read" : "read_write"}>`;
  const { subgroups, blocks: blockCount, tileColumns, stages } = tiling;
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = stageStride(headDim);
  const stageSize = stages * tileColumns * stride;
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
@group(0) @binding(1) ${input} queries: array<vec4u>; // [heads, N * ROW_STRIDE, d] f16
@group(0) @binding(2) ${input} keys: array<vec4u>;    // the same
@group(0) @binding(3) ${input} values: array<vec4u>;  // the same
${bindings}

var<workgroup> keyStage: array<vec4u, ${stageSize}>;
var<workgroup> valueStage: array<vec4u, ${stageSize}>;
var<workgroup> scratch: array<vec4u, ${subgroups * SCRATCH}>;
var<workgroup> startOver: u32;

const ROW_STRIDE = ${rowStride}u;
const MASKED = -1.0e30;
const LN2 = 0.6931471805599453;

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
${LANE_PLACES}
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
  let scratch0 = subgroup * ${SCRATCH}u;`);
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
    emit(`  var m${b}: f32; // reference, base 2`, `  var l${b} = 0.0; // sum of weights`);
  }

  const storeScores = (scores: string) =>
    emit(`subgroupMatrixStore<row_major>(&scratch, scratch0, ${scores}, ${SCORE_STRIDE}u);`);
  const maskScores = (b: number, x: string, firstKey: string) =>
    emit(
      `if (${firstKey} + 15u > block${b}) {`,
      ...columnsOfHalves(firstKey),
      `  let row = vec4u(block${b} + row16);`,
      `  ${x}a = select(vec4f(MASKED), ${x}a, keyA <= row);`,
      `  ${x}b = select(vec4f(MASKED), ${x}b, keyB <= row);`,
      "}",
    );

  emit("", "// References: the first keys and those of a block's own rows stand for all.");
  for (const b of blocks) {
    emit("{", "var t = MASKED;");
    for (const firstKey of ["0u", `block${b}`]) {
      emit("{", `var s = ${RESULT}();`);
      for (const c of depth) {
        emit(
          `s = subgroupMatrixMultiplyAccumulate(q${b}_${c}, ` +
            `subgroupMatrixLoad<${RIGHT}, col_major>(&keys, ${matrixAt(firstKey, c)}), s);`,
        );
      }
      storeScores("s");
      emit(...readScores("scratch0", "x"));
      maskScores(b, "x", firstKey);
      emit(
        "let y = max(xa, xb);",
        "t = max(t, max(max(y.x, y.y), max(y.z, y.w)));",
        "}",
      );
    }
    emit(
      "t = max(t, subgroupShuffleXor(t, 16u)) * scale;",
      `m${b} = t + max(log2(f32(block${b} + row16 + 1u)) - 13.0, 0.0);`,
      "}",
    );
  }

  // The work on 16 keys: scores, weights and outputs of all blocks. The order of the text is what
  // was fastest: `TUNING.md`.
  const scores = (row: string) => {
    for (const b of blocks) emit(`var s${b} = ${RESULT}();`);
    for (const c of depth) {
      const at = `(${row}) * ${stride}u + ${2 * c}u`;
      emit(`{ let k = subgroupMatrixLoad<${RIGHT}, col_major>(&keyStage, ${at}, ${stride}u);`);
      for (const b of blocks.toReversed()) {
        emit(`s${b} = subgroupMatrixMultiplyAccumulate(q${b}_${c}, k, s${b});`);
      }
      emit("}");
    }
  };
  const exchangeScores = (firstKey: string, move: PassingRows["move"]) => {
    for (const b of blocks) {
      storeScores(`s${b}`);
      emit(...readScores("scratch0", `x${b}`));
    }
    for (const b of blocks) {
      maskScores(b, `x${b}`, firstKey);
      // The products are over, and their registers free.
      if (b === 0) move(blockCount === 1 ? "x0a.x" : undefined);
    }
  };
  const exponentials = (b: number) =>
    ["a.x", "a.y", "a.z", "a.w", "b.x", "b.y", "b.z", "b.w"].map((part) =>
      `x${b}${part} = exp2(fma(x${b}${part}, scale, -m${b}));`
    );
  const exchangeWeights = (b: number) => {
    const place = `scratch0 + ${b * 16 * WEIGHT_STRIDE}u`;
    emit(
      ...packWeights(`x${b}`),
      `scratch[${place} + weight0] = x${b}w;`,
      `let w${b} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, ${place}, ${WEIGHT_STRIDE}u);`,
    );
  };
  const weightsAndOutputs = (row: string) => {
    const loadValues = (c: number) => {
      const at = `(${row}) * ${stride}u + ${2 * c}u`;
      emit(`let v${c} = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, ${at}, ${stride}u);`);
    };
    const multiply = (b: number, c: number) =>
      emit(`o${b}_${c} = subgroupMatrixMultiplyAccumulate(w${b}, v${c}, o${b}_${c});`);
    emit(...exponentials(0));
    exchangeWeights(0);
    // Among the first block's products stand the second one's exponentials.
    const alone = depth.slice(0, blockCount === 2 ? BLOCK_AHEAD : 0);
    if (blockCount === 2) {
      const waiting = exponentials(1);
      const each = Math.ceil(waiting.length / alone.length);
      for (const c of alone) {
        loadValues(c);
        multiply(0, c);
        emit(...waiting.splice(0, each));
      }
      exchangeWeights(1);
    }
    for (const c of depth.slice(alone.length)) {
      loadValues(c);
      for (const b of blocks) multiply(b, c);
    }
    for (const c of alone) multiply(1, c);
    for (const b of blocks) {
      emit(`{ let sum = x${b}a + x${b}b; l${b} += (sum.x + sum.y) + (sum.z + sum.w); }`);
    }
  };

  emit(
    "",
    `let end = min(q0 + ${tileRows}u, params.rows);`,
    // A number of attempts that no compiler can know, and so unroll.
    "for (var attempt = 0u; attempt < min(8u, params.rows); attempt++) {",
  );
  for (const b of blocks) {
    for (const c of depth) emit(`o${b}_${c} = ${RESULT}();`);
    emit(`l${b} = 0.0;`);
  }
  emit("var k0 = 0u;");
  (stages === 1 ? passTiles : passRing)(emit, {
    counter: "k0",
    tileColumns,
    tensors: [["keys", "keyStage"], ["values", "valueStage"]],
    vectors,
    threads,
    // Rows past the end are masked: any row will do in their place.
    row: (row) => `headRow + min(${row}, params.rows - 1u) * ROW_STRIDE`,
    condition: "k0 < end",
    step: ({ row, firstRow, move }) => {
      scores(row);
      exchangeScores(firstRow, move);
      weightsAndOutputs(row);
    },
  });
  emit("if (local == 0u) { startOver = 0u; }", "workgroupBarrier();");
  const total = (b: number) => `var l = l${b} + subgroupShuffleXor(l${b}, 16u);`;
  for (const b of blocks) {
    emit(
      `{ ${total(b)}`,
      `let least = f32(block${b} + row16 + 1u) * ${LEAST_SUM};`,
      "if (!(l < 60000.0) || l < least) {",
      `startOver = 1u; m${b} += clamp(log2(l), -100.0, 100.0) - 10.0;`,
      "} }",
    );
  }
  emit(
    "if (workgroupUniformLoad(&startOver) == 0u) { break; }",
    "if (local == 0u) { atomicAdd(&restarts, 1u); }",
    "}",
  );
  for (const b of blocks) {
    emit(
      `{ ${total(b)}`,
      `let inverse = 1.0 / l; let row = block${b} + row16;`,
      `let live = row >= own${b} && row < params.rows;`,
    );
    if (result === "rows") {
      emit(
        `if (live && side == 0u) { logSumExp[result0 + row] = (m${b} + log2(l)) * LN2; }`,
      );
    } else emit("var norm = 0.0;");
    for (const c of depth) {
      emit(
        "workgroupBarrier();",
        `subgroupMatrixStore<row_major>(&scratch, scratch0, o${b}_${c}, ${SCORE_STRIDE}u);`,
        "workgroupBarrier();",
        "{",
        ...readResults("scratch0", "inverse"),
      );
      if (result === "rows") {
        emit(
          ROUNDED_RESULTS,
          `if (live) { output[(result0 + row) * ${vectors}u + ${2 * c}u + side] = rounded; }`,
        );
      } else emit("norm += dot(a, a) + dot(z, z);");
      emit("}");
    }
    if (result === "squared-norms") {
      emit(
        "norm += subgroupShuffleXor(norm, 16u);",
        "if (live && side == 0u) { squaredNorms[result0 + row * ROW_STRIDE] = norm; }",
      );
    }
    emit("}");
  }
  emit("}", result === "rows" ? NEAREST_HALF : "");
  return out.join("\n");
}
