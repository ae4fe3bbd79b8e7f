/**
 * WGSL of the backward pass over key tokens: dK and dV of attention over gathered tokens. See
 * `token_codegen.ts`.
 *
 * @module
 */
import { wgsl } from "../../gpu/wgsl.ts";
import {
  access,
  addSlices,
  bindings,
  CHUNK_WORDS,
  columns,
  dots,
  eachPair,
  FIRST,
  gather,
  MAIN,
  partialSum,
  secondStage,
  sizesOf,
  THREADS,
  type TokenProgram,
  WEIGHT_OF,
} from "./token_parts_codegen.ts";

/**
 * dK and dV of a strip of key tokens. Bindings: params, queries, keys, values, outputGradients,
 * logSumExp, delta, bits, keyGradients, valueGradients. One workgroup: a key token and a key head.
 * The queries that list the token are the bits of its row, ascending.
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
