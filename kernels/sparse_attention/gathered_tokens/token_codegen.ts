/**
 * WGSL of attention over gathered tokens: each query has a list of tokens, and each workgroup gathers their
 * rows of K and V for the query heads of one key head, or for one key token the rows of the queries that
 * list it.
 *
 * A workgroup has 128 threads. Rows are gathered C at a time; *dots* are computed by LANES threads a pair of
 * a gathered row and an own row, from workgroup memory; *sums* by threads that each own four columns of d
 * and every SLICES-th gathered row, and add up over slices at the end, in their order. Nothing is shared
 * between workgroups.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

/** Threads of a workgroup. */
export const THREADS = 128;

/** Words of a bit row that are expanded at once: 32 queries each. */
export const CHUNK_WORDS = 32;

/** What a kernel is generated for. */
export interface TokenProgram {
  readonly headDim: number;
  readonly dtype: DType;
  /** Query heads of a key head. */
  readonly group: number;
  /** C, rows that are gathered at once. */
  readonly tile: number;
}

/** Sizes derived from a program. */
interface Sizes extends TokenProgram {
  /** Vectors of four numbers of a row. */
  readonly vectors: number;
  /** Vectors from one staged row to the next. */
  readonly stride: number;
  /** Groups of threads that each own all columns. */
  readonly slices: number;
  /** Pairs of a gathered row and an own row. */
  readonly pairs: number;
  /** Threads of a pair. */
  readonly lanes: number;
  /** Pairs of a thread. */
  readonly turns: readonly number[];
}

function sizesOf(program: TokenProgram, own: number): Sizes {
  const vectors = program.headDim / 4;
  const pairs = program.tile * own;
  const lanes = Math.max(1, 2 ** Math.floor(Math.log2(THREADS / pairs)));
  return {
    ...program,
    vectors,
    stride: vectors + 1,
    slices: Math.floor(THREADS / vectors),
    pairs,
    lanes,
    turns: range(Math.ceil(pairs * lanes / THREADS)),
  };
}

/** Bytes of workgroup memory of a pass. */
export function tokenWorkgroupBytes(
  pass: "forward" | "query" | "key-value",
  program: TokenProgram,
): number {
  const { tile, group } = program;
  const { stride, vectors, pairs, lanes } = sizesOf(program, pass === "key-value" ? 1 : group);
  const stages = pass === "forward" ? 1 : 2;
  // The stage also adds up slices.
  const staged = Math.max(stages * tile * stride, THREADS) * 16;
  if (pass === "forward") {
    return staged + group * vectors * 16 + (pairs * lanes + 2 * pairs + tile + group) * 4;
  }
  const own = 2 * (pass === "query" ? group : 1) * vectors * 16;
  const ids = pass === "key-value" ? CHUNK_WORDS * 33 * 4 : 0;
  return staged + own + (2 * pairs * lanes + 2 * pairs + 3 * tile) * 4 + ids;
}

/** Parameters of the passes that follow lists. */
const LIST_PARAMS = wgsl`
  struct Params {
    rows: u32,       // N
    firstRow: u32,   // the first query of this dispatch
    listRow: u32,    // the first query of the lists that are bound
    width: u32,      // k, entries of a list
    blockRows: u32,  // tokens of a block of candidates; 0: there are none
    blockCount: u32, // blocks of a list of candidates
    scale: f32,      // softmax scale times log2(e)
  }

  // Entries of a query's list, without padding.
  fn lengthOf(row: u32) -> u32 {
    if (params.blockRows == 0u) { return min(params.width, row + 1u); }
    let held = min(params.blockCount, row / params.blockRows + 1u);
    return min(params.width, (held - 1u) * params.blockRows + row % params.blockRows + 1u);
  }
`;

/** Reading and writing four elements. */
function access(dtype: DType): string {
  return dtype === "f16"
    ? wgsl`
      alias Four = vec2u;
      fn four(x: Four) -> vec4f { return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }
      ${NEAREST_HALF}
      fn rounded(x: vec4f) -> Four {
        let y = nearestHalf(x);
        return vec2u(pack2x16float(y.xy), pack2x16float(y.zw));
      }
    `
    : wgsl`
      alias Four = vec4f;
      fn four(x: Four) -> vec4f { return x; }
      fn rounded(x: vec4f) -> Four { return x; }
    `;
}

function bindings(lines: readonly string[]): string[] {
  return lines.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** Calls `body` for a thread's share of `count` units, as the variable `u`. */
function share(count: number, body: readonly string[]): string[] {
  return range(Math.ceil(count / THREADS)).flatMap((n) => {
    const unit = `let u = local + ${n * THREADS}u;`;
    return (n + 1) * THREADS > count
      ? [`{ ${unit} if (u < ${count}u) {`, ...body, "} }"]
      : [`{ ${unit}`, ...body, "}"];
  });
}

/** WGSL of a staged vector, from that of its index. */
type Stage = (at: string) => string;

/** The first stage, of a pass with one or two. */
const FIRST: Stage = (at) => `stage[${at}]`;

/** The second, behind it. */
function secondStage({ tile, stride }: Sizes): Stage {
  return (at) => `stage[${tile * stride}u + ${at}]`;
}

/** The dot products of own rows and staged rows, as one partial sum a lane in `into`. */
function dots(
  { pairs, lanes, turns, vectors, stride, tile }: Sizes,
  options: { readonly own: string; readonly stage: Stage; readonly into: string },
): string[] {
  const { own, stage, into } = options;
  return turns.flatMap((n) => {
    const place = `local + ${n * THREADS}u`;
    const guard = (n + 1) * THREADS > pairs * lanes ? `if (${place} < ${pairs * lanes}u) ` : "";
    return [
      `${guard}{`,
      `  let pair = (${place}) / ${lanes}u;`,
      `  let lane = (${place}) % ${lanes}u;`,
      // Pairs of the same own row are side by side.
      `  let a = pair / ${tile}u * ${vectors}u;`,
      `  let b = pair % ${tile}u * ${stride}u;`,
      "  var total = vec4f();",
      `  for (var c = lane; c < ${vectors}u; c += ${lanes}u) {`,
      `    total = fma(${own}[a + c], ${stage("b + c")}, total);`,
      "  }",
      `  ${into}[${place}] = (total.x + total.y) + (total.z + total.w);`,
      "}",
    ];
  });
}

/** The sum of a pair's partial sums. */
function partialSum({ lanes }: Sizes, from: string, pair: string): string {
  return range(lanes).map((l) => `${from}[${pair} * ${lanes}u + ${l}u]`).join(" + ");
}

/** A statement for each pair of a thread, as the variable `pair`, and its turn. */
function eachPair({ pairs }: Sizes, body: (turn: number) => readonly string[]): string[] {
  return range(Math.ceil(pairs / THREADS)).flatMap((n) => {
    const pair = `let pair = local + ${n * THREADS}u;`;
    return (n + 1) * THREADS > pairs
      ? [`{ ${pair} if (pair < ${pairs}u) {`, ...body(n), "} }"]
      : [`{ ${pair}`, ...body(n), "}"];
  });
}

/** Sums over slices of a register, four columns a thread; `store` gets the total as `total`. */
function addSlices(
  { slices, vectors }: Sizes,
  register: string,
  store: readonly string[],
): string[] {
  return [
    "workgroupBarrier();",
    `if (slice < ${slices}u) { stage[slice * ${vectors}u + column] = ${register}; }`,
    "workgroupBarrier();",
    "if (slice == 0u) {",
    "  var total = stage[column];",
    ...range(slices).slice(1).map((s) => `  total += stage[${s * vectors}u + column];`),
    ...store,
    "}",
  ];
}

/** A thread's columns and slice. */
function columns({ vectors }: Sizes): string[] {
  return [`let column = local % ${vectors}u;`, `let slice = local / ${vectors}u;`];
}

/** Gathers rows of sources into stages; `row` is WGSL of the row that the staged row `i` comes from. */
function gather(
  { tile, vectors, stride }: Sizes,
  sources: readonly (readonly [source: string, stage: Stage])[],
  row: string,
): string[] {
  return share(tile * vectors, [
    `let i = u / ${vectors}u;`,
    `let c = u % ${vectors}u;`,
    `let at = ${row} * ${vectors}u + c;`,
    ...sources.map(([source, stage]) => `${stage(`i * ${stride}u + c`)} = four(${source}[at]);`),
  ]);
}

const MAIN = (params: string) =>
  wgsl`
  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    ${params}
`;

/** The row of keys and values of the staged row i. */
const TOKEN_ROW = "(keyHead * params.rows + token[i])";

/** Opens a pass that follows the list of one query, for one key head. */
const LIST_START = `let row = params.firstRow + group.x;
let keyHead = group.y;
let list = (row - params.listRow) * params.width;
let count = lengthOf(row);`;

/** The tokens of a tile; those past the end repeat the first. */
function readTokens({ tile }: Sizes): string[] {
  return [
    `if (local < ${tile}u) {`,
    "  token[local] = u32(lists[list + select(0u, e0 + local, e0 + local < count)]);",
    "}",
    "workgroupBarrier();",
  ];
}

/**
 * The forward pass. Bindings: params, queries, keys, values, lists, output, logSumExp. One workgroup: a query
 * and a key head.
 */
export function generateTokenForward(program: TokenProgram): string {
  const size = sizesOf(program, program.group);
  const { group, tile, vectors, stride, slices, pairs, lanes } = size;
  const heads = range(group);
  const turns = range(Math.ceil(pairs / THREADS));
  const parts = lanes > 1
    ? [
      ...eachPair(size, () => [`scores[pair] = ${partialSum(size, "part", "pair")};`]),
      "workgroupBarrier();",
    ]
    : [];
  const score = (pair: string) => `${lanes > 1 ? "scores" : "part"}[${pair}]`;
  const weigh = (n: number) => [
    `let first = pair / ${tile}u * ${tile}u;`,
    "var most = MASKED;",
    `for (var i = 0u; i < min(${tile}u, count - e0); i++) { most = max(most, ${
      score("first + i")
    }); }`,
    `let peak = max(m${n}, most * params.scale);`,
    `let shrink = exp2(m${n} - peak);`,
    `m${n} = peak;`,
    `let seen = e0 + pair % ${tile}u < count;`,
    `let weight = select(0.0, exp2(fma(${score("pair")}, params.scale, -peak)), seen);`,
    "weights[pair] = weight;",
    `l${n} = fma(l${n}, shrink, weight);`,
    `if (pair == first) { shrinks[pair / ${tile}u] = shrink; }`,
  ];
  const accumulate = [
    ...heads.map((g) => `o${g} *= shrinks[${g}u];`),
    `for (var i = slice; i < min(${tile}u, count - e0); i += ${slices}u) {`,
    `  let v = four(values[(keyHead * params.rows + token[i]) * ${vectors}u + column]);`,
    ...heads.map((g) => `  o${g} = fma(vec4f(weights[${g * tile}u + i]), v, o${g});`),
    "}",
  ];
  const store = (g: number) =>
    addSlices(size, `o${g}`, [
      "  var sum = 0.0;",
      `  for (var i = 0u; i < ${tile}u; i++) { sum += weights[${g * tile}u + i]; }`,
      `  output[(head0 + ${g}u * params.rows) * ${vectors}u + column] = rounded(total / sum);`,
      `  if (column == 0u) { logSumExp[head0 + ${g}u * params.rows] = (peaks[${g}u] + log2(sum)) * LN2; }`,
    ]);
  return wgsl`
    ${LIST_PARAMS}
    ${access(program.dtype)}
    ${
    bindings([
      "var<uniform> params: Params;",
      "var<storage, read> queries: array<Four>; // [kvHeads, G, N, d]",
      "var<storage, read> keys: array<Four>;    // [kvHeads, N, d]",
      "var<storage, read> values: array<Four>;  // [kvHeads, N, d]",
      "var<storage, read> lists: array<i32>;    // [queries, width]",
      "var<storage, read_write> output: array<Four>;   // [kvHeads, G, N, d]",
      "var<storage, read_write> logSumExp: array<f32>; // [kvHeads, G, N], natural logarithm",
    ])
  }

    var<workgroup> own: array<vec4f, ${group * vectors}>;
    var<workgroup> stage: array<vec4f, ${Math.max(tile * stride, THREADS)}>;
    var<workgroup> part: array<f32, ${pairs * lanes}>;
    ${lanes > 1 ? [`var<workgroup> scores: array<f32, ${pairs}>;`] : []}
    var<workgroup> weights: array<f32, ${pairs}>;
    var<workgroup> shrinks: array<f32, ${group}>;
    var<workgroup> peaks: array<f32, ${group}>;
    var<workgroup> token: array<u32, ${tile}>;

    const MASKED = -3.0e38;
    const LN2 = 0.6931471805599453;

    ${MAIN(LIST_START)}
      let head0 = keyHead * ${group}u * params.rows + row;
      ${columns(size)}
      ${
    share(group * vectors, [
      `own[u] = four(queries[(head0 + u / ${vectors}u * params.rows) * ${vectors}u + u % ${vectors}u]);`,
    ])
  }
      ${heads.map((g) => `var o${g} = vec4f();`)}
      ${turns.flatMap((n) => [`var m${n} = MASKED;`, `var l${n} = 0.0;`])}
      for (var e0 = 0u; e0 < count; e0 += ${tile}u) {
        ${readTokens(size)}
        ${gather(size, [["keys", FIRST]], TOKEN_ROW)}
        workgroupBarrier();
        ${dots(size, { own: "own", stage: FIRST, into: "part" })}
        workgroupBarrier();
        ${parts}
        ${eachPair(size, weigh)}
        workgroupBarrier();
        if (slice < ${slices}u) {
          ${accumulate}
        }
        workgroupBarrier();
      }
      // Sums and maxima of all heads.
      ${
    eachPair(size, (n) => [
      `weights[pair] = l${n};`,
      `if (pair % ${tile}u == 0u) { peaks[pair / ${tile}u] = m${n}; }`,
    ])
  }
      ${heads.flatMap(store)}
    }
  `;
}

/** A weight from its exponent in base 2: no weight is above 1. NaN stays NaN. */
const WEIGHT_OF = "fn weightOf(x: f32) -> f32 { return exp2(select(x, 0.0, x > 0.0)); }";

/**
 * dQ. Bindings: params, queries, keys, values, outputGradients, logSumExp, delta, lists, queryGradients. One
 * workgroup: a query and a key head.
 */
export function generateTokenQuery(program: TokenProgram): string {
  const size = sizesOf(program, program.group);
  const { group, tile, vectors, stride, slices, pairs, lanes } = size;
  const heads = range(group);
  const second = secondStage(size);
  const gradient = () => [
    `let g = pair / ${tile}u;`,
    "let at = head0 + g * params.rows;",
    `let score = ${partialSum(size, "part", "pair")};`,
    `let product = ${partialSum(size, "products", "pair")};`,
    "let weight = weightOf(fma(score, params.scale, -logSumExp[at] * LOG2E));",
    `let seen = e0 + pair % ${tile}u < count;`,
    "weights[pair] = select(0.0, weight * (product - delta[at]), seen);",
  ];
  return wgsl`
    ${LIST_PARAMS}
    ${access(program.dtype)}
    ${WEIGHT_OF}
    ${
    bindings([
      "var<uniform> params: Params;",
      "var<storage, read> queries: array<Four>; // [kvHeads, G, N, d]",
      "var<storage, read> keys: array<Four>;    // [kvHeads, N, d]",
      "var<storage, read> values: array<Four>;  // [kvHeads, N, d]",
      "var<storage, read> outputGradients: array<Four>; // [kvHeads, G, N, d]",
      "var<storage, read> logSumExp: array<f32>; // [kvHeads, G, N], natural logarithm",
      "var<storage, read> delta: array<f32>;     // [kvHeads, G, N]",
      "var<storage, read> lists: array<i32>;     // [queries, width]",
      "var<storage, read_write> queryGradients: array<Four>; // [kvHeads, G, N, d]",
    ])
  }

    var<workgroup> own: array<vec4f, ${group * vectors}>;
    var<workgroup> ownGradient: array<vec4f, ${group * vectors}>;
    var<workgroup> stage: array<vec4f, ${Math.max(2 * tile * stride, THREADS)}>;
    var<workgroup> part: array<f32, ${pairs * lanes}>;
    var<workgroup> products: array<f32, ${pairs * lanes}>;
    var<workgroup> weights: array<f32, ${pairs}>;
    var<workgroup> token: array<u32, ${tile}>;

    const LOG2E = 1.4426950408889634;

    ${MAIN(LIST_START)}
      let head0 = keyHead * ${group}u * params.rows + row;
      ${columns(size)}
      ${
    share(group * vectors, [
      `let at = (head0 + u / ${vectors}u * params.rows) * ${vectors}u + u % ${vectors}u;`,
      "own[u] = four(queries[at]);",
      "ownGradient[u] = four(outputGradients[at]);",
    ])
  }
      ${heads.map((g) => `var o${g} = vec4f();`)}
      for (var e0 = 0u; e0 < count; e0 += ${tile}u) {
        ${readTokens(size)}
        ${gather(size, [["keys", FIRST], ["values", second]], TOKEN_ROW)}
        workgroupBarrier();
        ${dots(size, { own: "own", stage: FIRST, into: "part" })}
        ${dots(size, { own: "ownGradient", stage: second, into: "products" })}
        workgroupBarrier();
        ${eachPair(size, gradient)}
        workgroupBarrier();
        if (slice < ${slices}u) {
          for (var i = slice; i < min(${tile}u, count - e0); i += ${slices}u) {
            let k = stage[i * ${stride}u + column];
            ${heads.map((g) => `o${g} = fma(vec4f(weights[${g * tile}u + i]), k, o${g});`)}
          }
        }
        workgroupBarrier();
      }
      ${
    heads.flatMap((g) =>
      addSlices(size, `o${g}`, [
        `  let at = (head0 + ${g}u * params.rows) * ${vectors}u + column;`,
        "  queryGradients[at] = rounded(total * (params.scale / LOG2E));",
      ])
    )
  }
    }
  `;
}

/**
 * dK and dV of a strip of key tokens. Bindings: params, queries, keys, values, outputGradients, logSumExp,
 * delta, bits, keyGradients, valueGradients. One workgroup: a key token and a key head. The queries that
 * list the token are the bits of its row, ascending.
 */
export function generateTokenKeyValue(program: TokenProgram): string {
  const size = sizesOf(program, 1);
  const { group, tile, vectors, stride, slices, pairs, lanes } = size;
  const second = secondStage(size);
  const weigh = () => [
    "let live = e0 + pair < entries;",
    `let score = ${partialSum(size, "part", "pair")};`,
    `let product = ${partialSum(size, "products", "pair")};`,
    "let at = rowOf[pair];",
    "let weight = select(0.0, weightOf(fma(score, params.scale, -logSumExp[at] * LOG2E)), live);",
    "weights[pair] = vec2f(weight, weight * (product - delta[at]));",
  ];
  return wgsl`
    struct Params {
      rows: u32,     // N
      firstKey: u32, // the first key of this dispatch
      stripKey: u32, // the first key of the strip
      words: u32,    // words of a bit row: N / 32, rounded up
      scale: f32,    // softmax scale times log2(e)
    }
    ${access(program.dtype)}
    ${WEIGHT_OF}
    ${
    bindings([
      "var<uniform> params: Params;",
      "var<storage, read> queries: array<Four>; // [kvHeads, G, N, d]",
      "var<storage, read> keys: array<Four>;    // [kvHeads, N, d]",
      "var<storage, read> values: array<Four>;  // [kvHeads, N, d]",
      "var<storage, read> outputGradients: array<Four>; // [kvHeads, G, N, d]",
      "var<storage, read> logSumExp: array<f32>; // [kvHeads, G, N], natural logarithm",
      "var<storage, read> delta: array<f32>;     // [kvHeads, G, N]",
      "var<storage, read> bits: array<u32>;      // [strip, words], a bit a query",
      "var<storage, read_write> keyGradients: array<Four>;   // [kvHeads, N, d]",
      "var<storage, read_write> valueGradients: array<Four>; // [kvHeads, N, d]",
    ])
  }

    var<workgroup> own: array<vec4f, ${vectors}>;
    var<workgroup> ownValue: array<vec4f, ${vectors}>;
    var<workgroup> stage: array<vec4f, ${Math.max(2 * tile * stride, THREADS)}>;
    var<workgroup> part: array<f32, ${pairs * lanes}>;
    var<workgroup> products: array<f32, ${pairs * lanes}>;
    var<workgroup> weights: array<vec2f, ${pairs}>;
    var<workgroup> rowOf: array<u32, ${tile}>;
    var<workgroup> ids: array<u32, ${32 * CHUNK_WORDS}>; // queries of a chunk
    var<workgroup> counts: array<u32, ${CHUNK_WORDS}>;
    var<workgroup> hitCount: u32;

    const LOG2E = 1.4426950408889634;

    ${MAIN("let key = params.firstKey + group.x;\nlet keyHead = group.y;")}
      let keyRow = keyHead * params.rows + key;
      ${columns(size)}
      if (local < ${vectors}u) {
        own[local] = four(keys[keyRow * ${vectors}u + local]);
        ownValue[local] = four(values[keyRow * ${vectors}u + local]);
      }
      var dk = vec4f();
      var dv = vec4f();
      let first = key / 32u / ${CHUNK_WORDS}u * ${CHUNK_WORDS}u;
      for (var word0 = first; word0 < params.words; word0 += ${CHUNK_WORDS}u) {
        // The queries of a chunk: counts of words, then sums of those before.
        var word = 0u;
        if (local < ${CHUNK_WORDS}u && word0 + local < params.words) {
          word = bits[(key - params.stripKey) * params.words + word0 + local];
        }
        if (local < ${CHUNK_WORDS}u) { counts[local] = countOneBits(word); }
        workgroupBarrier();
        var to = 0u;
        var hits = 0u;
        for (var i = 0u; i < ${CHUNK_WORDS}u; i++) {
          if (i < local) { to += counts[i]; }
          hits += counts[i];
        }
        while (word != 0u) {
          ids[to] = (word0 + local) * 32u + firstTrailingBit(word);
          to++;
          word &= word - 1u;
        }
        if (local == 0u) { hitCount = hits; }
        let entries = workgroupUniformLoad(&hitCount) * ${group}u;
        for (var e0 = 0u; e0 < entries; e0 += ${tile}u) {
          if (local < ${tile}u) {
            let e = min(e0 + local, entries - 1u);
            rowOf[local] = (keyHead * ${group}u + e % ${group}u) * params.rows + ids[e / ${group}u];
          }
          workgroupBarrier();
          ${gather(size, [["queries", FIRST], ["outputGradients", second]], "rowOf[i]")}
          workgroupBarrier();
          ${dots(size, { own: "own", stage: FIRST, into: "part" })}
          ${dots(size, { own: "ownValue", stage: second, into: "products" })}
          workgroupBarrier();
          ${eachPair(size, weigh)}
          workgroupBarrier();
          if (slice < ${slices}u) {
            for (var i = slice; i < ${tile}u; i += ${slices}u) {
              dv = fma(vec4f(weights[i].x), ${second(`i * ${stride}u + column`)}, dv);
              dk = fma(vec4f(weights[i].y), stage[i * ${stride}u + column], dk);
            }
          }
          workgroupBarrier();
        }
        workgroupBarrier();
      }
      ${
    addSlices(size, "dk", [
      `  keyGradients[keyRow * ${vectors}u + column] = rounded(total * (params.scale / LOG2E));`,
    ])
  }
      ${
    addSlices(size, "dv", [
      `  valueGradients[keyRow * ${vectors}u + column] = rounded(total);`,
    ])
  }
    }
  `;
}
