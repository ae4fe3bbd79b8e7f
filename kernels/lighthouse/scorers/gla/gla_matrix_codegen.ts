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
 * · 2 vectors, 256 bytes and the scratches, 40 KiB for d = 128.
 *
 * @module
 */
import {
  LANE_PLACES,
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
import {
  SCORE_STRIDE,
  SCRATCH,
  stageStride,
} from "../../../dense_attention/matrix/matrix_layout.ts";
import { flatWgsl, range, wgsl } from "../../../gpu/wgsl.ts";

/** Rows of a chunk. */
export const MATRIX_CHUNK = 64;
/** Subgroups of a workgroup. */
const SUBGROUPS = 4;
/** Threads of a workgroup. */
const THREADS = 32 * SUBGROUPS;
/** Blocks of 16 rows in a chunk, and in the part of the state that a workgroup holds. */
const BLOCKS = range(4);

const PARAMS = wgsl`
  struct Params {
    rows: u32,        // N / dilation, rows of one sequence
    dilation: u32,
    context: u32,     // N
    entries: u32,     // P
    firstLane: u32,   // sequence of the dispatch's first; sequence = head * dilation + residue
    firstChunk: u32,  // chunk of the dispatch's first
    chunks: u32,      // chunks of each sequence in this dispatch
  }
`;

/** Powers of two that bring a largest magnitude below 2^15. */
const POWERS = wgsl`
  fn exponentOf(largest: f32, least: i32) -> i32 {
    let bits = bitcast<u32>(largest) & 0x7fffffffu;
    if (bits == 0u || bits >= 0x7f800000u) { return 0; }
    return clamp(i32(bits >> 23u) - 141, least, 60);
  }
  fn power(exponent: i32) -> f32 { return bitcast<f32>(u32(exponent + 127) << 23u); }
  fn largestOf(a: vec4f, z: vec4f) -> f32 {
    let most = max(abs(a), abs(z));
    return max(max(most.x, most.y), max(most.z, most.w));
  }
  fn packed(a: vec4f, z: vec4f) -> vec4u {
    return vec4u(
      pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(z.xy), pack2x16float(z.zw),
    );
  }
  fn scaled(word: vec4u, factor: f32) -> vec4u {
    return packed(
      vec4f(unpack2x16float(word.x), unpack2x16float(word.y)) * factor,
      vec4f(unpack2x16float(word.z), unpack2x16float(word.w)) * factor,
    );
  }

`;

function declare(bindings: readonly string[]): string[] {
  return bindings.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** The sequence of a workgroup, and where its rows lie. */
const OPEN_LANE = wgsl`
  let lane = params.firstLane + group.y;
  let firstToken = (lane / params.dilation) * params.context + lane % params.dilation;
`;

const OPEN_MAIN = wgsl`
  @compute @workgroup_size(${THREADS})
  fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3u,
  ) {
    ${LANE_PLACES}
    ${OPEN_LANE}
    let scratch0 = subgroup * ${SCRATCH}u;
`;

/** A thread's share of 64 rows of `vectors` 16-byte vectors. */
function shares(vectors: number): { i: number; row: string; column: string }[] {
  return range(MATRIX_CHUNK * vectors / THREADS).map((i) => {
    const unit = `(local + ${i * THREADS}u)`;
    return { i, row: `(${unit} / ${vectors}u)`, column: `(${unit} % ${vectors}u)` };
  });
}

/** WGSL of a vector of a row of the sequence; zero past its end. */
function vectorOf(tensor: string, row: string, column: string, vectors: number): string {
  const token = `(firstToken + min(${row}, params.rows - 1u) * params.dilation)`;
  return `select(vec4u(), ${tensor}[${token} * ${vectors}u + ${column}], ${row} < params.rows)`;
}

/** 8 elements of a result of a lane, as `a<name>` and `z<name>`. */
function readLane(name: string): string {
  return flatWgsl`
    let at${name} = scratch0 + row16 * ${SCORE_STRIDE}u + side * 2u;
    let a${name} = bitcast<vec4f>(scratch[at${name}]);
    let z${name} = bitcast<vec4f>(scratch[at${name} + 1u]);
  `;
}

/** Multiplies a result matrix by a number. */
function multiply(name: string, factor: string): string {
  return `${name} = subgroupMatrixScalarMultiply(${name}, ${factor});`;
}

// ---- States ----

/**
 * The pass over states. Bindings: params, cumulative, writers, values, states, scales, partials (the
 * state between dispatches). Workgroups: (d/64)² × sequences.
 */
export function generateMatrixStates(headDim: number): string {
  const vectors = headDim / 8;
  const slices = headDim / 64;
  const stride = stageStride(64);
  const mine = shares(8);
  const fetch = (declare: string, chunk: string) =>
    flatWgsl`
      ${
      mine.flatMap(({ i, row, column }) => {
        const at = `((params.firstChunk + ${chunk}) * ${MATRIX_CHUNK}u + ${row})`;
        return [
          `${declare}writer${i} = ${vectorOf("writers", at, `half * 8u + ${column}`, vectors)};`,
          `${declare}value${i} = ${vectorOf("values", at, `columns * 8u + ${column}`, vectors)};`,
          `${declare}sum${i} = cumulative[(group.y * params.chunks + ${chunk}) * ${MATRIX_CHUNK}u + ${row}];`,
        ];
      })
    }
      ${declare}end = cumulative[(group.y * params.chunks + ${chunk}) * ${MATRIX_CHUNK}u + ${
      MATRIX_CHUNK - 1
    }u];
    `;
  const carried = (m: number) => `carry + ${m * 16 * headDim}u`;
  const storeState = (m: number) =>
    `states[(slot * ${headDim}u + half * 64u + ${16 * m}u + row16) * ${vectors}u + ` +
    `columns * 8u + subgroup * 2u + side] = packed(a${m} * smaller, z${m} * smaller);`;
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${PARAMS}
    ${
    declare([
      "var<uniform> params: Params;",
      `var<storage, read> cumulative: array<f32>; // [sequences, chunks, ${MATRIX_CHUNK}]`,
      "var<storage, read> writers: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read> values: array<vec4u>; // [heads, N, d] f16",
      "var<storage, read_write> states: array<vec4u>; // [sequences, chunks, d, d] f16, over the scales",
      "var<storage, read_write> scales: array<f32>; // [sequences, chunks, d / 64, d / 16]",
      "var<storage, read_write> partials: array<f32>; // [sequences, d, d]",
    ])
  }

    var<workgroup> writerStage: array<vec4u, ${MATRIX_CHUNK * stride}>;
    var<workgroup> valueStage: array<vec4u, ${MATRIX_CHUNK * stride}>;
    var<workgroup> scratch: array<vec4u, ${SUBGROUPS * SCRATCH}>;

    ${OPEN_MAIN}
      let half = group.x / ${slices}u;    // 64 rows of the state: elements of writers
      let columns = group.x % ${slices}u; // 64 columns: elements of values
      let carry = (group.y * ${headDim}u + half * 64u) * ${headDim}u + columns * 64u + subgroup * 16u;
      ${BLOCKS.map((m) => `var s${m} = ${RESULT}();`)}
      if (params.firstChunk > 0u) {
        ${
    BLOCKS.map((m) =>
      `s${m} = subgroupMatrixLoad<${RESULT}, row_major>(&partials, ${carried(m)}, ${headDim}u);`
    )
  }
      }
      ${fetch("var ", "0u")}
      for (var c = 0u; c < params.chunks; c++) {
        let slot = group.y * params.chunks + c;
        workgroupBarrier();
        {
          ${BLOCKS.flatMap((m) => [storeResult("scratch0", `s${m}`), readLane(`${m}`)])}
          let most = ${
    BLOCKS.map((m) => `largestOf(a${m}, z${m})`).reduce((all, one) => `max(${all}, ${one})`)
  };
          let exponent = exponentOf(subgroupMax(most), -60);
          let smaller = power(-exponent);
          ${BLOCKS.map(storeState)}
          if ((local & 31u) == 0u) {
            scales[(slot * ${slices}u + half) * ${
    headDim / 16
  }u + columns * 4u + subgroup] = power(exponent);
          }
        }
        ${
    mine.flatMap(({ i, row, column }) => [
      `writerStage[${row} * ${stride}u + ${column}] = writer${i};`,
      `valueStage[${row} * ${stride}u + ${column}] = scaled(value${i}, exp(min(end - sum${i}, 0.0)));`,
    ])
  }
        let kept = exp(end);
        workgroupBarrier();
        {
          let next = min(c + 1u, params.chunks - 1u);
          ${fetch("", "next")}
        }
        ${BLOCKS.map((m) => multiply(`s${m}`, "kept"))}
        ${
    BLOCKS.map((k) =>
      flatWgsl`
          { let v${k} = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, ${
        16 * k * stride
      }u + subgroup * 2u, ${stride}u);
            ${
        BLOCKS.flatMap((m) => [
          `let w${k}_${m} = subgroupMatrixLoad<${LEFT}, col_major>(&writerStage, ${
            16 * k * stride + 2 * m
          }u, ${stride}u);`,
          multiplyAdd(`s${m}`, `w${k}_${m}`, `v${k}`),
        ])
      }
          }`
    )
  }
      }
      ${
    BLOCKS.map((m) =>
      `subgroupMatrixStore<row_major>(&partials, ${carried(m)}, s${m}, ${headDim}u);`
    )
  }
    }
    ${POWERS}

  `;
}

// ---- Scores ----

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
  const put = (stage: string, value: (i: number) => string) =>
    mine.map(({ i, row, column }) => `${stage}[${row} * ${stride}u + ${column}] = ${value(i)};`);
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
  const readState = (h: number) => [
    ...h > 0
      ? [
        "workgroupBarrier();",
        ...put("rightStage", (i) => `state${h}_${i}`),
        ...depth.map((c) => multiply(`o${c}`, `(${scaleAt(h - 1, c)} / ${scaleAt(h, c)})`)),
        "workgroupBarrier();",
      ]
      : [],
    ...h + 1 < parts.length ? state(h + 1) : rows("writer", "writers"),
    ...BLOCKS.flatMap((k) => [
      `let r${h}_${k} = subgroupMatrixLoad<${LEFT}, row_major>(&leftStage, ${own} + ${
        2 * (4 * h + k)
      }u, ${stride}u);`,
      ...depth.map((c) =>
        multiplyAdd(
          `o${c}`,
          `r${h}_${k}`,
          `subgroupMatrixLoad<${RIGHT}, row_major>(&rightStage, ${
            16 * k * stride + 2 * c
          }u, ${stride}u)`,
        )
      ),
    ]),
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
          `subgroupMatrixLoad<${RIGHT}, col_major>(&rightStage, ${
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
          `subgroupMatrixLoad<${RIGHT}, row_major>(&rightStage, ${
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

    var<workgroup> leftStage: array<vec4u, ${MATRIX_CHUNK * stride}>;
    var<workgroup> rightStage: array<vec4u, ${MATRIX_CHUNK * stride}>;
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
      ${put("leftStage", (i) => `scaled(reader${i}, kept${i})`)}
      ${put("rightStage", (i) => `state0_${i}`)}
      workgroupBarrier();
      let ownSum = decay[ownRow];
      ${parts.flatMap(readState)}
      workgroupBarrier();
      ${put("leftStage", (i) => `reader${i}`)}
      ${put("rightStage", (i) => `writer${i}`)}
      workgroupBarrier();
      ${rows("value", "values")}
      ${
    depth.map((k) =>
      `let q${k} = subgroupMatrixLoad<${LEFT}, row_major>(&leftStage, ${own} + ${
        2 * k
      }u, ${stride}u);`
    )
  }
      ${BLOCKS.flatMap(products)}
      let most = ${
    BLOCKS.map((b) => `largestOf(x${b}a, x${b}b)`).reduce((all, one) => `max(${all}, ${one})`)
  };
      let exponent = exponentOf(subgroupMax(most), -40);
      let smaller = power(-exponent);
      let unit = power(exponent);
      ${depth.map((c) => multiply(`o${c}`, `(${scaleAt(parts.length - 1, c)} * smaller)`))}
      workgroupBarrier();
      ${put("rightStage", (i) => `value${i}`)}
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
