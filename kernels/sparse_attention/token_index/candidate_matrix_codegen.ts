/**
 * WGSL of the scores of candidates on subgroup matrices.
 *
 * Queries keep blocks of their own choice, so neighbours share few of them. The kernel therefore
 * goes by blocks: a workgroup takes the keys of one block and those of 2,048 queries that keep it,
 * which it finds as one bit each, and multiplies them in tiles of 64 queries. Queries of a tile are
 * gathered, one index head after another, through the memory that then holds keys; the rest is as
 * in `index_matrix_codegen.ts`, and a score is the same sum in the same order.
 *
 * Workgroup memory: (64 * (c/8 + 1) + 4 * 2 * 96) * 16 + 2,048 * 4 bytes and a few numbers.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import type { Capabilities } from "../../gpu/device.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import {
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride } from "../../dense_attention/matrix/matrix_layout.ts";
import {
  SCRATCHES,
  stagedBytes,
  stageRows,
  SUBGROUPS,
  THREADS,
} from "../staged_products_codegen.ts";
import { type IndexSize, residentMatrices, scoreParts } from "./index_matrix_codegen.ts";

/** Queries of a tile, and keys that are staged at once. */
const TILE = 16 * SUBGROUPS;

/** Queries whose bits a workgroup reads. */
export const CANDIDATE_QUERIES = 2048;

/** Why matrix units cannot compute the scores of candidates; undefined when they can. */
export function whyNoMatrixCandidates(
  { maxWorkgroupBytes, maxWorkgroupsPerDimension }: Pick<
    Capabilities,
    "maxWorkgroupBytes" | "maxWorkgroupsPerDimension"
  >,
  { rows, dim, heads, dtype, blockRows }: IndexSize & {
    readonly rows: number;
    readonly dtype: string;
    readonly blockRows: number;
  },
): string | undefined {
  if (dtype !== "f16") return `storage ${dtype} is not f16`;
  if (dim % 32 !== 0) return `index dimension ${dim} is not a multiple of 32`;
  if (blockRows % 16 !== 0) {
    return `blocks of ${showCount(blockRows, "token")} are no rows of whole matrices`;
  }
  const blocks = Math.ceil(rows / blockRows);
  if (blocks > maxWorkgroupsPerDimension) return `${blocks} blocks are more than a grid is wide`;
  if (!residentMatrices({ heads, dim })) {
    return `queries of ${showCount(heads, "index head")} of ${dim} do not fit registers`;
  }
  const bytes = stagedBytes(TILE, dim) + (CANDIDATE_QUERIES + CANDIDATE_QUERIES / 32 + 1) * 4;
  return bytes <= maxWorkgroupBytes ? undefined : "workgroup memory does not suffice";
}

/** The whole shader. */
export function generateMatrixCandidates({ heads, dim }: IndexSize): string {
  const vectors = dim / 8;
  const stride = stageStride(dim);
  const words = CANDIDATE_QUERIES / 32;
  const parts = scoreParts({ heads, dim }, {
    keyStage: "staged",
    leftOf: (_, c) => {
      const at = `subgroup * ${16 * stride}u + ${2 * c}u, ${stride}u`;
      return `subgroupMatrixLoad<${LEFT}, row_major>(&staged, ${at})`;
    },
  });
  const tile = { stage: "staged", staged: TILE, dim };
  const gather = (j: number) =>
    stageRows({
      ...tile,
      source: (row, vector) => {
        const member = `params.firstRow + members[min(first + ${row}, count - 1u)]`;
        return `queries[(${j}u * params.rows + ${member}) * ${vectors}u + ${vector}]`;
      },
    });
  const stage = stageRows({
    ...tile,
    source: (row, vector) =>
      `keys[min(key0 + k0 + ${row}, params.rows - 1u) * ${vectors}u + ${vector}]`,
  });
  return wgsl`
    ${MATRIX_DIRECTIVES}
    struct Params {
      rows: u32,       // N
      firstRow: u32,   // the first query of the strip
      queries: u32,    // queries of the strip
      blockRows: u32,  // B, tokens of a block
      blockCount: u32, // m, blocks of a list
      stride: u32,     // scores of a query
      words: u32,      // of a block's bits
    }

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [J, N, c] f16
    @group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [N, c] f16
    @group(0) @binding(3) var<storage, read> weights: array<f32>;   // [J, N]
    @group(0) @binding(4) var<storage, read> lists: array<i32>;     // [strip, m], ascending, -1 padded
    @group(0) @binding(5) var<storage, read> bits: array<u32>;      // [blocks, words]: queries of the strip
    @group(0) @binding(6) var<storage, read_write> scores: array<vec4f>; // [strip, stride]

    var<workgroup> staged: array<vec4u, ${TILE * stride}>;
    var<workgroup> scratch: array<vec4u, ${SCRATCHES}>;
    var<workgroup> members: array<u32, ${CANDIDATE_QUERIES}>; // queries that keep the block, ascending
    var<workgroup> counts: array<u32, ${words}>;
    var<workgroup> total: u32;

    @compute @workgroup_size(${THREADS})
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let key0 = group.x * params.blockRows;
      let firstQuery = group.y * ${CANDIDATE_QUERIES}u;
      // No query keeps a block after its own.
      let endRow = params.firstRow + min(firstQuery + ${CANDIDATE_QUERIES}u, params.queries);
      if (key0 >= endRow) { return; }
      let firstWord = firstQuery / 32u;
      var own = 0u;
      if (local < ${words}u && firstWord + local < params.words) {
        own = bits[group.x * params.words + firstWord + local];
      }
      if (local < ${words}u) { counts[local] = countOneBits(own); }
      workgroupBarrier();
      if (local < ${words}u) {
        var at = 0u;
        for (var i = 0u; i < local; i++) { at += counts[i]; }
        if (local == ${words - 1}u) { total = at + counts[local]; }
        for (; own != 0u; own &= own - 1u) {
          members[at] = firstQuery + local * 32u + firstTrailingBit(own);
          at++;
        }
      }
      let count = workgroupUniformLoad(&total);
      let scratch0 = subgroup * ${2 * SCRATCH}u;
      for (var first = 0u; first < count; first += ${TILE}u) {
        let place = first + subgroup * 16u + row16;
        let live = place < count;
        let member = members[min(place, count - 1u)];
        let row = params.firstRow + member;
        // Where the query's list has the block.
        var slot = 0u;
        var after = min(params.blockCount, row / params.blockRows + 1u);
        while (slot < after) {
          let middle = (slot + after) / 2u;
          if (u32(lists[member * params.blockCount + middle]) < group.x) { slot = middle + 1u; } else { after = middle; }
        }
        let to = member * params.stride + slot * params.blockRows;
        ${parts.weights}
        ${
    range(heads).flatMap((j) => [
      "workgroupBarrier();",
      ...gather(j),
      "workgroupBarrier();",
      ...parts.loadsOf(j),
    ])
  }
        for (var k0 = 0u; k0 < params.blockRows; k0 += ${TILE}u) {
          workgroupBarrier();
          ${stage}
          workgroupBarrier();
          for (var c0 = 0u; c0 < min(${TILE}u, params.blockRows - k0); c0 += 16u) {
            var ta = vec4f();
            var tb = vec4f();
            ${parts.scores}
            if (live) {
              let keyA = k0 + c0 + column0;
              let keyB = k0 + c0 + (column0 ^ 4u);
              scores[(to + keyA) / 4u] = ta;
              scores[(to + keyB) / 4u] = tb;
            }
          }
        }
      }
    }
  `;
}
