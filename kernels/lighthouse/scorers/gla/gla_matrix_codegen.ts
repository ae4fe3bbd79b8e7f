/**
 * WGSL of gla scores on subgroup matrices: f16 factors, f32 sums. `gla_scores.ts` says what is
 * computed.
 *
 * - states: a workgroup walks along the chunks of one sequence with 64 × 64 elements of its state
 *   of either direction, a subgroup with 64 × 16 of them in registers: S ← exp(a_end)·S + Σ_t
 *   w_t·(exp(a_end - a_t)·v_t)ᵀ. Before each chunk it stores the state, so no pass over
 *   contributions of chunks is needed.
 * - scores: a workgroup computes the 64 outputs of a chunk in both directions, a subgroup 16 of
 *   one: the products exp(a_i - a_j)·(r_i·w_j), then (exp(a_i)·r_i)·S, then the products with v_j
 *   through the scratch, as in attention; then the squares. Each direction reads the rows that the
 *   other's state is made of, so that queries, keys and values are loaded once.
 *
 * **Rounding.** Each factor is rounded to f16 once. The state is stored as f16 times a power of
 * two, one for each 64 × 16 elements, and products of readers and writers times another, one for
 * each 16 rows, so that neither overflows.
 *
 * Workgroup memory: states 64 · 9 · 3 vectors of 16 bytes and the scratches, 39 KiB; scores 2 · 64
 * · (d/8 + 1) vectors, 256 bytes and the scratches, 46.3 KiB for d = 128. Left factors stay in
 * registers; queries and keys, states of both directions and values take turns in the stage.
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
 * The pass over outputs of both directions. Bindings: params, cumulative, q, k, v, states, scales,
 * queryScores, keyScores. Workgroups: chunks × sequences.
 */
export function generateMatrixScores(headDim: number): string {
  const vectors = headDim / 8;
  const stride = stageStride(headDim);
  const stage = MATRIX_CHUNK * stride;
  const depth = range(headDim / 16);
  const parts = range(headDim / 64);
  const mine = shares(vectors);
  const put = (first: number, value: (i: number) => string) =>
    mine.map(({ i, row, column }) =>
      `stage[${first}u + ${row} * ${stride}u + ${column}] = ${value(i)};`
    );
  const rows = (name: string, tensor: string) =>
    mine.map(({ i, row, column }) =>
      `let ${name}${i} = ${vectorOf(tensor, `(row0 + ${row})`, column, vectors)};`
    );
  // Each direction stages its own state, with half of the threads.
  const stateShares = range(MATRIX_CHUNK * vectors / (THREADS / 2)).map((i) => ({
    i,
    unit: `(local % ${THREADS / 2}u + ${i * THREADS / 2}u)`,
  }));
  const state = (h: number) =>
    stateShares.map(({ i, unit }) =>
      `let state${h}_${i} = states[(slot * ${headDim}u + ${64 * h}u) * ${vectors}u + ${unit}];`
    );
  const putState = (h: number) =>
    stateShares.map(({ i, unit }) =>
      `stage[reading + ${unit} / ${vectors}u * ${stride}u + ${unit} % ${vectors}u] = state${h}_${i};`
    );
  const scaleAt = (h: number, c: number) =>
    `scales[(slot * ${parts.length}u + ${h}u) * ${headDim / 16}u + ${c}u]`;
  // Left factors of the subgroup's 16 rows.
  const loadOwn = (name: string) =>
    depth.map((k) =>
      `let ${name}${k} = subgroupMatrixLoad<${LEFT}, row_major>(&stage, reading + own * ${
        16 * stride
      }u + ${2 * k}u, ${stride}u);`
    );
  const readState = (h: number) => [
    "workgroupBarrier();",
    ...putState(h),
    ...h > 0
      ? depth.map((c) => multiply(`o${c}`, `(${scaleAt(h - 1, c)} / ${scaleAt(h, c)})`))
      : [],
    "workgroupBarrier();",
    ...h + 1 < parts.length ? state(h + 1) : rows("value", "v"),
    ...BLOCKS.flatMap((k) =>
      depth.map((c) =>
        multiplyAdd(
          `o${c}`,
          `r${4 * h + k}`,
          `subgroupMatrixLoad<${RIGHT}, row_major>(&stage, reading + ${
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
      if (${b}u <= own) {
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
          `subgroupMatrixLoad<${RIGHT}, col_major>(&stage, writing + ${
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
      "var<storage, read> q: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> k: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> v: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> states: array<vec4u>; // [2, sequences, chunks, d, d] f16, over the scales",
      "var<storage, read> scales: array<f32>; // [2, sequences, chunks, d / 64, d / 16]",
      "var<storage, read_write> queryScores: array<f32>; // [heads, P]",
      "var<storage, read_write> keyScores: array<f32>; // [heads, P]",
    ])
  }

    // Queries and keys, then states of both directions, then values.
    var<workgroup> stage: array<vec4u, ${2 * stage}>;
    var<workgroup> decay: array<f32, ${MATRIX_CHUNK}>; // cumulative log gates
    var<workgroup> scratch: array<vec4u, ${2 * SUBGROUPS * SCRATCH}>;

    ${OPEN_MAIN}
      let row0 = (params.firstChunk + group.x) * ${MATRIX_CHUNK}u;
      let gates = (group.y * params.chunks + group.x) * ${MATRIX_CHUNK}u;
      let reading = direction * ${stage}u;
      let writing = ${stage}u - reading;
      let slot = (direction * groups.y + group.y) * params.chunks + group.x;
      let ownRow = own * 16u + row16;
      ${rows("query", "q")}
      ${rows("key", "k")}
      if (local < ${MATRIX_CHUNK}u) { decay[local] = cumulative[gates + local]; }
      ${mine.map(({ i, row }) => `let kept${i} = exp(cumulative[gates + ${row}]);`)}
      ${put(0, (i) => `query${i}`)}
      ${put(stage, (i) => `key${i}`)}
      workgroupBarrier();
      ${state(0)}
      let ownSum = decay[ownRow];
      ${loadOwn("q")}
      ${BLOCKS.flatMap(products)}
      let most = ${
    BLOCKS.map((b) => `largestOf(x${b}a, x${b}b)`).reduce((all, one) => `max(${all}, ${one})`)
  };
      let exponent = exponentOf(subgroupMax(most), -40);
      let smaller = power(-exponent);
      let unit = power(exponent);
      ${
    BLOCKS.map((b) =>
      flatWgsl`
        x${b}a *= smaller; x${b}b *= smaller;
        ${packWeights(`x${b}`)}
      `
    )
  }
      workgroupBarrier();
      ${put(0, (i) => `scaled(query${i}, kept${i})`)}
      ${put(stage, (i) => `scaled(key${i}, kept${i})`)}
      workgroupBarrier();
      ${loadOwn("r")}
      ${depth.map((c) => `var o${c} = ${RESULT}();`)}
      ${parts.flatMap(readState)}
      ${depth.map((c) => multiply(`o${c}`, `(${scaleAt(parts.length - 1, c)} * smaller)`))}
      workgroupBarrier();
      ${put(0, (i) => `value${i}`)}
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
        let at = (lane / params.dilation) * params.entries + token;
        let score = (total + other) * (1.0 / ${headDim}.0);
        if (direction == 0u) { queryScores[at] = score; } else { keyScores[at] = score; }
      }
    }
    ${POWERS}

  `;
}
