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
 * matrices for P·V. A matrix has no element access, so the scratch is the only way. Keys before the
 * workgroup's first row need no mask: they have a loop of their own, without branches, so that the
 * compiler can move products, loads and exponentials past one another.
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
 * Workgroup memory: (2 * stages * tileColumns * (d/8 + 1) + subgroups * scratches * 96) * 16 bytes.
 *
 * @module
 */

import { NEAREST_HALF } from "../gpu/half.ts";
import type { DenseResult } from "./dense_attention_codegen.ts";
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

/** How the kernel is tiled; every choice computes the same function. */
export interface MatrixTiling extends PassingTiling {
  /** Subgroups of 32 threads in a workgroup. */
  readonly subgroups: number;
  /** Blocks of 16 query rows that a subgroup owns. */
  readonly blocks: number;
  /** Scratches of a subgroup: one for all its blocks in turn, or one for each. */
  readonly scratches: 1 | 2;
}

/** Query rows of one workgroup. */
export function matrixTileRows({ subgroups, blocks }: MatrixTiling): number {
  return subgroups * blocks * 16;
}

/** Bytes of workgroup memory. */
export function matrixWorkgroupBytes(tiling: MatrixTiling, headDim: number): number {
  const staged = 2 * tiling.stages * tiling.tileColumns * stageStride(headDim);
  return (staged + tiling.subgroups * tiling.scratches * SCRATCH) * 16 + 4;
}

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
  const { subgroups, blocks: blockCount, tileColumns, stages, scratches } = tiling;
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = stageStride(headDim);
  const stageSize = tileColumns * stride;
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

var<workgroup> keyStage: array<vec4u, ${stages * stageSize}>;
var<workgroup> valueStage: array<vec4u, ${stages * stageSize}>;
var<workgroup> scratch: array<vec4u, ${subgroups * scratches * SCRATCH}>;
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
  let scratch0 = subgroup * ${scratches * SCRATCH}u;`);
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

  // Rows past the end are masked: any row will do in their place.
  const passage = (rowCount: number, row0: string, to: string, mark = "") =>
    generatePassage({
      tensors: [["keys", "keyStage"], ["values", "valueStage"]],
      vectors,
      threads,
      rowCount,
      row: (row) => `headRow + min(${row0} + ${row}, params.rows - 1u) * ROW_STRIDE`,
      to,
      mark,
    });
  const scratchOf = (b: number) => `scratch0 + ${scratches === 1 ? 0 : b * SCRATCH}u`;
  const storeScores = (b: number, scores: string) =>
    emit(`subgroupMatrixStore<row_major>(&scratch, ${scratchOf(b)}, ${scores}, ${SCORE_STRIDE}u);`);
  const takeScores = (b: number, x: string) => emit(...readScores(scratchOf(b), x));
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
      storeScores(b, "s");
      takeScores(b, "x");
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

  // The work on 16 keys, in pieces. Names end in the step's own mark.
  const scores = (step: string, row: string) => {
    for (const b of blocks) emit(`var s${step}_${b} = ${RESULT}();`);
    for (const c of depth) {
      const at = `(${row}) * ${stride}u + ${2 * c}u`;
      emit(`{ let k = subgroupMatrixLoad<${RIGHT}, col_major>(&keyStage, ${at}, ${stride}u);`);
      for (const b of blocks) {
        emit(`s${step}_${b} = subgroupMatrixMultiplyAccumulate(q${b}_${c}, k, s${step}_${b});`);
      }
      emit("}");
    }
  };
  /** Scores become left matrices of weights; `between` is emitted while scores are read. */
  const weights = (
    step: string,
    options: { firstKey: string; masked: boolean; between: () => void },
  ) => {
    const { firstKey, masked, between } = options;
    const x = (b: number) => `x${step}_${b}`;
    const turns = scratches === 1 ? blocks.map((b) => [b]) : [blocks];
    for (const turn of turns) {
      for (const b of turn) storeScores(b, `s${step}_${b}`);
      for (const b of turn) takeScores(b, x(b));
      if (turn === turns.at(-1)) between();
      for (const b of turn) {
        if (masked) maskScores(b, x(b), firstKey);
        emit(
          `${x(b)}a = exp2(fma(${x(b)}a, vec4f(scale), vec4f(-m${b})));`,
          `${x(b)}b = exp2(fma(${x(b)}b, vec4f(scale), vec4f(-m${b})));`,
          `l${b} += ${x(b)}a + ${x(b)}b;`,
        );
      }
      for (const b of turn) emit(...writeWeights(scratchOf(b), x(b)));
      for (const b of turn) {
        emit(
          `let w${step}_${b} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, ${
            scratchOf(b)
          }, ${WEIGHT_STRIDE}u);`,
        );
      }
    }
  };
  const outputs = (step: string, row: string) => {
    for (const c of depth) {
      const at = `(${row}) * ${stride}u + ${2 * c}u`;
      emit(`{ let v = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, ${at}, ${stride}u);`);
      for (const b of blocks) {
        emit(`o${b}_${c} = subgroupMatrixMultiplyAccumulate(w${step}_${b}, v, o${b}_${c});`);
      }
      emit("}");
    }
  };
  const tileOfKeys = (masked: boolean) =>
    emitTile(emit, {
      counter: "k0",
      tiling,
      passage,
      first: scores,
      rest: (mark, { row, firstRow, between }) => {
        weights(mark, { firstKey: firstRow, masked, between });
        outputs(mark, row);
      },
    });

  emit(
    "",
    `let end = min(q0 + ${tileRows}u, params.rows);`,
    "for (var attempt = 0u; attempt < 8u; attempt++) {",
  );
  for (const b of blocks) {
    for (const c of depth) emit(`o${b}_${c} = ${RESULT}();`);
    emit(`l${b} = vec4f();`);
  }
  if (stages === 2) {
    const whole = passage(tileColumns, "0u", "0u");
    emit("{", ...whole.fetch, ...whole.put, "}");
  }
  emit("var k0 = 0u;", `for (; k0 + ${tileColumns}u <= q0; k0 += ${tileColumns}u) {`);
  tileOfKeys(false);
  emit("}", `for (; k0 < end; k0 += ${tileColumns}u) {`);
  tileOfKeys(true);
  emit("}");
  emit("if (local == 0u) { startOver = 0u; }", "workgroupBarrier();");
  const total = (b: number) =>
    `var l = (l${b}.x + l${b}.y) + (l${b}.z + l${b}.w); l += subgroupShuffleXor(l, 16u);`;
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
