/**
 * WGSL of the forward pass of attention over gathered tokens on subgroup matrices, generated as one
 * function.
 *
 * A workgroup is one subgroup: a query, and the query heads of one key head, which are the rows of
 * its left matrices, up to 16. K and V of 16 listed tokens at a time are gathered into workgroup
 * memory; many workgroups a processor keep many rows in flight. Scores and weights are exchanged
 * through the scratch as in dense attention.
 *
 * **Reference.** Weights are 2^(x - m), rounded to f16; m is a row's maximum over the first 16
 * tokens. If a sum of weights then is 60,000 or more, a weight may have overflowed; below
 * (tokens)·2^-14 the weights that f16 rounds to zero may matter. The workgroup then finds the exact
 * maximum in a pass over K alone, and starts over with weights up to 2^15.
 *
 * Workgroup memory: (2 * 16 * (d/8 + 1) + 96) * 16 bytes and a word.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
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
  ROUNDED_RESULTS,
  storeResult,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride, whyFewRows } from "../../dense_attention/matrix/matrix_layout.ts";
import { LIST_PARAMS } from "./token_codegen.ts";

/** Query heads of a key head that fill enough of a matrix, and those that fit it. */
const HEADS = { least: 4, most: 16 } as const;

/** Why matrix units do not compute the pass; undefined where they do. */
export function whyNoTokenMatrix(
  { group, headDim, dtype, rows }: {
    readonly group: number;
    readonly headDim: number;
    readonly dtype: string;
    readonly rows: number;
  },
): string | undefined {
  if (dtype !== "f16") return `storage ${dtype} is not f16`;
  if (headDim !== 64 && headDim !== 128) return `head dimension ${headDim} is not 64 or 128`;
  const few = whyFewRows(rows);
  if (few) return few;
  return group >= HEADS.least && group <= HEADS.most
    ? undefined
    : `${showCount(group, "head")} of a key head: not ${HEADS.least} to ${HEADS.most}`;
}

/** The whole shader; bindings and parameters are those of the portable forward pass. */
export function generateTokenMatrix(
  { headDim, group }: { readonly headDim: number; readonly group: number },
): string {
  const vectors = headDim / 8;
  const stride = stageStride(headDim);
  const depth = range(headDim / 16);
  const units = range(16 * vectors / 32);
  const each = (body: (unit: string, i: number) => string) =>
    units.map((i) => body(`(local + ${32 * i}u)`, i));
  const staged = (unit: string) => `${unit} / ${vectors}u * ${stride}u + ${unit} % ${vectors}u`;
  /** Gathers 16 rows: all fetches come before all stores, so that they are in flight together. */
  const gather = (tensors: readonly (readonly [string, string])[]) =>
    flatWgsl`
    workgroupBarrier();
    {
      ${
      each((unit, i) =>
        `let at${i} = (keyHead * params.rows + u32(lists[list + min(e0 + ${unit} / ${vectors}u, ` +
        `count - 1u)])) * ${vectors}u + ${unit} % ${vectors}u;`
      )
    }
      ${tensors.flatMap(([tensor]) => each((_, i) => `let ${tensor}${i} = ${tensor}[at${i}];`))}
      ${
      tensors.flatMap(([tensor, stage]) =>
        each((unit, i) => `${stage}[${staged(unit)}] = ${tensor}${i};`)
      )
    }
    }
    workgroupBarrier();
  `;
  const right = (stage: string, order: string, c: number) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&${stage}, ${2 * c}u, ${stride}u)`;
  const scores = flatWgsl`
    var s = ${RESULT}();
    ${depth.map((c) => multiplyAdd("s", `q${c}`, right("keyStage", "col_major", c)))}
    ${storeResult("0u", "s")}
    ${readScores("0u", "x")}
    let entryA = vec4u(e0 + column0) + vec4u(0u, 1u, 2u, 3u);
    let entryB = vec4u(e0 + (column0 ^ 4u)) + vec4u(0u, 1u, 2u, 3u);
    xa = select(vec4f(MASKED), xa, entryA < vec4u(count));
    xb = select(vec4f(MASKED), xb, entryB < vec4u(count));
  `;
  const raise = "let y = max(xa, xb); t = max(t, max(max(y.x, y.y), max(y.z, y.w)));";
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${LIST_PARAMS}

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [kvHeads, G, N, d] f16
    @group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [kvHeads, N, d] f16
    @group(0) @binding(3) var<storage, read> values: array<vec4u>;  // [kvHeads, N, d] f16
    @group(0) @binding(4) var<storage, read> lists: array<i32>;     // [queries, width]
    @group(0) @binding(5) var<storage, read_write> output: array<vec4u>;   // [kvHeads, G, N, d] f16
    @group(0) @binding(6) var<storage, read_write> logSumExp: array<f32>;  // [kvHeads, G, N], natural

    var<workgroup> keyStage: array<vec4u, ${16 * stride}>;
    var<workgroup> valueStage: array<vec4u, ${16 * stride}>;
    var<workgroup> scratch: array<vec4u, ${SCRATCH}>;
    var<workgroup> astray: u32;

    const MASKED = -1.0e30;
    const LN2 = 0.6931471805599453;

    @compute @workgroup_size(32)
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let query = params.firstRow + group.x;
      let keyHead = group.y;
      let list = (query - params.listRow) * params.width;
      let count = lengthOf(query);
      let head0 = keyHead * ${group}u * params.rows + query;
      let scale = params.scale;
      // The queries of all heads, in rows of the stage; rows without a head are zero.
      ${
    each((unit) =>
      `{ let head = ${unit} / ${vectors}u; var q = vec4u(); if (head < ${group}u) { ` +
      `q = queries[(head0 + head * params.rows) * ${vectors}u + ${unit} % ${vectors}u]; } ` +
      `keyStage[${staged(unit)}] = q; }`
    )
  }
      workgroupBarrier();
      ${
    depth.map((c) =>
      `let q${c} = subgroupMatrixLoad<${LEFT}, row_major>(&keyStage, ${2 * c}u, ${stride}u);`
    )
  }
      ${depth.map((c) => `var o${c} = ${RESULT}();`)}
      var l = 0.0;
      var t = MASKED;
      {
        let e0 = 0u;
        ${gather([["keys", "keyStage"]])}
        ${scores}
        ${raise}
      }
      t = max(t, subgroupShuffleXor(t, 16u));
      var m = t * scale;
      // The number of attempts is unknown at compile time, which prevents unrolling.
      for (var attempt = 0u; attempt < min(2u, params.rows); attempt++) {
        ${depth.map((c) => `o${c} = ${RESULT}();`)}
        l = 0.0;
        for (var e0 = 0u; e0 < count; e0 += 16u) {
          ${gather([["keys", "keyStage"], ["values", "valueStage"]])}
          ${scores}
          xa = exp2(fma(xa, vec4f(scale), vec4f(-m)));
          xb = exp2(fma(xb, vec4f(scale), vec4f(-m)));
          ${packWeights("x")}
          scratch[weight0] = xw;
          ${loadWeights("w", "0u")}
          ${depth.map((c) => multiplyAdd(`o${c}`, "w", right("valueStage", "row_major", c)))}
          let sum = xa + xb;
          l += (sum.x + sum.y) + (sum.z + sum.w);
        }
        if (local == 0u) { astray = 0u; }
        workgroupBarrier();
        let total = l + subgroupShuffleXor(l, 16u);
        let outside = !(total < 60000.0) || total < f32(count) * 0.00006103515625;
        if (attempt == 0u && row16 < ${group}u && outside) { astray = 1u; }
        if (workgroupUniformLoad(&astray) == 0u) { break; }
        t = MASKED;
        for (var e0 = 0u; e0 < count; e0 += 16u) {
          ${gather([["keys", "keyStage"]])}
          ${scores}
          ${raise}
        }
        t = max(t, subgroupShuffleXor(t, 16u));
        m = t * scale - 15.0;
      }
      l += subgroupShuffleXor(l, 16u);
      let inverse = 1.0 / l;
      let live = row16 < ${group}u;
      let row = head0 + row16 * params.rows;
      if (live && side == 0u) { logSumExp[row] = (m + log2(l)) * LN2; }
      ${
    depth.map((c) =>
      flatWgsl`
        workgroupBarrier();
        ${storeResult("0u", `o${c}`)}
        workgroupBarrier();
        {
          ${readResults("0u", "inverse")}
          ${ROUNDED_RESULTS}
          if (live) { output[row * ${vectors}u + ${2 * c}u + side] = rounded; }
        }
      `
    )
  }
    }
    ${NEAREST_HALF}
  `;
}
