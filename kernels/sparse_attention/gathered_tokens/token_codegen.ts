/**
 * WGSL of attention over gathered tokens: each query has a list of tokens, and each workgroup
 * gathers their rows of K and V for the query heads of one key head, or for one key token the rows
 * of the queries that list it.
 *
 * A workgroup has 128 threads. Rows are gathered C at a time; *dots* are computed by LANES threads
 * a pair of a gathered row and an own row, from workgroup memory; *sums* by threads that each own
 * four columns of d and every SLICES-th gathered row, and add up over slices at the end, in their
 * order. Nothing is shared between workgroups.
 *
 * @module
 */
import { range, wgsl } from "../../gpu/wgsl.ts";
import {
  access,
  addSlices,
  bindings,
  columns,
  dots,
  eachPair,
  FIRST,
  gather,
  MAIN,
  partialSum,
  secondStage,
  share,
  type Sizes,
  sizesOf,
  THREADS,
  type TokenProgram,
  WEIGHT_OF,
} from "./token_parts_codegen.ts";

/** Parameters of the passes that follow lists. */
export const LIST_PARAMS = wgsl`
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
 * The forward pass. Bindings: params, queries, keys, values, lists, output, logSumExp. One
 * workgroup: a query and a key head.
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

/**
 * dQ. Bindings: params, queries, keys, values, outputGradients, logSumExp, delta, lists,
 * queryGradients. One workgroup: a query and a key head.
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
