/**
 * WGSL of gla scores on subgroup matrices: f16 factors, f32 sums. `gla_scores.ts` says what is computed.
 *
 * - states: a workgroup walks along the chunks of one sequence with 64 × 64 elements of its state, a
 *   subgroup with 64 × 16 of them in registers: S ← exp(a_end)·S + Σ_t w_t·(exp(a_end - a_t)·v_t)ᵀ. Before
 *   each chunk it stores the state, so no pass over contributions of chunks is needed.
 * - scores: a workgroup computes the 64 outputs of a chunk, a subgroup 16 of them: (exp(a_i)·r_i)·S, then
 *   Σ_j exp(a_i - a_j)·(r_i·w_j)·v_j through the scratch, as in attention; then the squares.
 *
 * **Rounding.** Each factor is rounded to f16 once. The state is stored as f16 times a power of two, one
 * for each 64 × 16 elements, and products of readers and writers times another, one for each 16 rows, so
 * that neither overflows.
 *
 * Workgroup memory: states 64 · 9 · 2 vectors of 16 bytes and the scratches, 24 KiB; scores 64 · (d/8 + 1)
 * vectors, 256 bytes and the scratches, 23 KiB for d = 128, so that a multiprocessor holds two workgroups.
 * Left factors stay in registers; states, writers and values take turns in the stage.
 *
 * @module
 */
import {
  LEFT,
  loadWeights,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  packWeights,
  readResults,
  readScores,
  RESULT,
  RIGHT,
  storeResult,
} from "../../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride } from "../../../dense_attention/matrix/matrix_layout.ts";
import { flatWgsl, range, wgsl } from "../../../gpu/wgsl.ts";
import {
  BLOCKS,
  declare,
  MATRIX_CHUNK,
  multiply,
  OPEN_MAIN,
  PARAMS,
  POWERS,
  shares,
  SUBGROUPS,
  THREADS,
  vectorOf,
} from "./gla_matrix_shared_codegen.ts";

/**
 * The pass over outputs. Bindings: params, cumulative, readers, writers, values, states, scales, scores.
 * Workgroups: chunks × sequences.
 */
export function generateMatrixScores(headDim: number): string {
  const vectors = headDim / 8;
  const stride = stageStride(headDim);
  const depth = range(headDim / 16);
  const parts = range(headDim / 64);
  const mine = shares(vectors);
  const put = (value: (i: number) => string) =>
    mine.map(({ i, row, column }) => `stage[${row} * ${stride}u + ${column}] = ${value(i)};`);
  const rows = (name: string, tensor: string) =>
    mine.map(({ i, row, column }) =>
      `let ${name}${i} = ${vectorOf(tensor, `(row0 + ${row})`, column, vectors)};`
    );
  const state = (h: number) =>
    mine.map(({ i }) =>
      `let state${h}_${i} = states[(slot * ${headDim}u + ${64 * h}u) * ${vectors}u + local + ${
        i * THREADS
      }u];`
    );
  const scaleAt = (h: number, c: number) =>
    `scales[(slot * ${parts.length}u + ${h}u) * ${headDim / 16}u + ${c}u]`;
  const own = `subgroup * ${16 * stride}u`;
  // Left factors of the subgroup's 16 rows, after which others may be staged.
  const loadOwn = (name: string) => [
    "workgroupBarrier();",
    ...depth.map((k) =>
      `let ${name}${k} = subgroupMatrixLoad<${LEFT}, row_major>(&stage, ${own} + ${
        2 * k
      }u, ${stride}u);`
    ),
    "workgroupBarrier();",
  ];
  const readState = (h: number) => [
    ...h > 0
      ? [
        "workgroupBarrier();",
        ...put((i) => `state${h}_${i}`),
        ...depth.map((c) => multiply(`o${c}`, `(${scaleAt(h - 1, c)} / ${scaleAt(h, c)})`)),
        "workgroupBarrier();",
      ]
      : [],
    ...h + 1 < parts.length ? state(h + 1) : rows("writer", "writers"),
    ...BLOCKS.flatMap((k) =>
      depth.map((c) =>
        multiplyAdd(
          `o${c}`,
          `r${4 * h + k}`,
          `subgroupMatrixLoad<${RIGHT}, row_major>(&stage, ${
            16 * k * stride + 2 * c
          }u, ${stride}u)`,
        )
      )
    ),
  ];
  const sumsOf = (first: string) => `vec4f(${range(4).map((j) => `decay[${first} + ${j}u]`)})`;
  // A subgroup's rows see no later block of 16 columns.
  const seen = (b: number, lines: readonly string[]) =>
    flatWgsl`
      if (${b}u <= subgroup) {
        ${lines}
      }
    `;
  const products = (b: number) => [
    `var x${b}a = vec4f();`,
    `var x${b}b = vec4f();`,
    seen(b, [
      `var s${b} = ${RESULT}();`,
      ...depth.map((k) =>
        multiplyAdd(
          `s${b}`,
          `q${k}`,
          `subgroupMatrixLoad<${RIGHT}, col_major>(&stage, ${
            16 * b * stride + 2 * k
          }u, ${stride}u)`,
        )
      ),
      storeResult("scratch0", `s${b}`),
      readScores("scratch0", "y"),
      ...([["a", "column0"], ["b", "(column0 ^ 4u)"]] as const).flatMap(([half, column]) => {
        const first = `(${16 * b}u + ${column})`;
        const columns = `(vec4u(${first}) + vec4u(0u, 1u, 2u, 3u))`;
        return [
          `y${half} *= exp(min(vec4f(ownSum) - ${sumsOf(first)}, vec4f()));`,
          `x${b}${half} = select(vec4f(), y${half}, ${columns} <= vec4u(ownRow));`,
        ];
      }),
    ]),
  ];
  const secondProducts = (b: number) =>
    seen(b, [
      `x${b}a *= smaller; x${b}b *= smaller;`,
      packWeights(`x${b}`),
      `scratch[scratch0 + weight0] = x${b}w;`,
      loadWeights(`p${b}`, "scratch0"),
      ...depth.map((c) =>
        multiplyAdd(
          `o${c}`,
          `p${b}`,
          `subgroupMatrixLoad<${RIGHT}, row_major>(&stage, ${
            16 * b * stride + 2 * c
          }u, ${stride}u)`,
        )
      ),
    ]);
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${PARAMS}
    ${
    declare([
      "var<uniform> params: Params;",
      `var<storage, read> cumulative: array<f32>; // [sequences, chunks, ${MATRIX_CHUNK}]`,
      "var<storage, read> readers: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> writers: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> values: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> states: array<vec4u>; // [sequences, chunks, d, d] f16, over the scales",
      "var<storage, read> scales: array<f32>; // [sequences, chunks, d / 64, d / 16]",
      "var<storage, read_write> scores: array<f32>; // [heads, P]",
    ])
  }

    var<workgroup> stage: array<vec4u, ${MATRIX_CHUNK * stride}>;
    var<workgroup> decay: array<f32, ${MATRIX_CHUNK}>; // cumulative log gates
    var<workgroup> scratch: array<vec4u, ${SUBGROUPS * SCRATCH}>;

    ${OPEN_MAIN}
      let row0 = (params.firstChunk + group.x) * ${MATRIX_CHUNK}u;
      let slot = group.y * params.chunks + group.x;
      let ownRow = subgroup * 16u + row16;
      ${depth.map((c) => `var o${c} = ${RESULT}();`)}
      ${rows("reader", "readers")}
      ${state(0)}
      if (local < ${MATRIX_CHUNK}u) { decay[local] = cumulative[slot * ${MATRIX_CHUNK}u + local]; }
      ${
    mine.map(({ i, row }) => `let kept${i} = exp(cumulative[slot * ${MATRIX_CHUNK}u + ${row}]);`)
  }
      ${put((i) => `reader${i}`)}
      ${loadOwn("q")}
      ${put((i) => `scaled(reader${i}, kept${i})`)}
      ${loadOwn("r")}
      ${put((i) => `state0_${i}`)}
      workgroupBarrier();
      let ownSum = decay[ownRow];
      ${parts.flatMap(readState)}
      workgroupBarrier();
      ${put((i) => `writer${i}`)}
      workgroupBarrier();
      ${rows("value", "values")}
      ${BLOCKS.flatMap(products)}
      let most = ${
    BLOCKS.map((b) => `largestOf(x${b}a, x${b}b)`).reduce((all, one) => `max(${all}, ${one})`)
  };
      let exponent = exponentOf(subgroupMax(most), -40);
      let smaller = power(-exponent);
      let unit = power(exponent);
      ${depth.map((c) => multiply(`o${c}`, `(${scaleAt(parts.length - 1, c)} * smaller)`))}
      workgroupBarrier();
      ${put((i) => `value${i}`)}
      workgroupBarrier();
      ${BLOCKS.map(secondProducts)}
      var total = 0.0;
      ${
    depth.map((c) =>
      flatWgsl`
        ${storeResult("scratch0", `o${c}`)}
        {
          ${readResults("scratch0", "unit")}
          total += dot(a, a) + dot(z, z);
        }
      `
    )
  }
      let other = subgroupShuffleXor(total, 16u);
      if (side == 0u && row0 + ownRow < params.rows) {
        let token = (row0 + ownRow) * params.dilation + lane % params.dilation;
        scores[(lane / params.dilation) * params.entries + token] = (total + other) * (1.0 / ${headDim}.0);
      }
    }
    ${POWERS}

  `;
}
