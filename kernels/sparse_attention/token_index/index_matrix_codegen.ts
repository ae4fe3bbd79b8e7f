/**
 * WGSL of the scores of an index on subgroup matrices, generated as one function.
 *
 * A subgroup owns 16 queries and keeps the left matrices of all index heads in registers, where
 * they fit; a workgroup's subgroups share keys, which are staged 32 at a time. For each 16 keys and
 * index head a subgroup multiplies Q·Kᵀ, exchanges the result through its scratch, and each lane
 * adds 8 weighted scores to its registers. A workgroup covers 64 queries × 1,024 keys.
 *
 * Workgroup memory: (32 * (c/8 + 1) + 4 * 2 * 96) * 16 bytes.
 *
 * @module
 */
import type { Capabilities } from "../../gpu/device.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import {
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  readScores,
  RESULT,
  storeResult,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride, whyFewRows } from "../../dense_attention/matrix/matrix_layout.ts";
import {
  rightMatrices,
  SCRATCHES,
  stagedBytes,
  stageRows,
  SUBGROUPS,
  THREADS,
} from "../staged_products_codegen.ts";

/** Keys that are staged at once. */
const STAGED = 32;
/** Left matrices that stay in registers: 128 of a lane's. */
const MOST_MATRICES = 32;

/** Queries and keys of a workgroup. */
export const MATRIX_SCORE_TILE = { rows: 16 * SUBGROUPS, columns: 1024 } as const;

/** Why matrix units cannot compute the scores of an index; undefined when they can. */
export function whyNoMatrixScores(
  { maxWorkgroupBytes }: Pick<Capabilities, "maxWorkgroupBytes">,
  { rows, keyRows, dim, dtype }: {
    readonly rows: number;
    readonly keyRows: number;
    readonly dim: number;
    readonly dtype: string;
  },
): string | undefined {
  if (dtype !== "f16") return `storage ${dtype} is not f16`;
  if (keyRows !== 1) return "means of keys are f32";
  if (dim % 32 !== 0) return `index dimension ${dim} is not a multiple of 32`;
  const few = whyFewRows(rows);
  if (few) return few;
  return stagedBytes(STAGED, dim) <= maxWorkgroupBytes
    ? undefined
    : "workgroup memory does not suffice";
}

/** Whether the left matrices of all index heads stay in registers. */
export function residentMatrices({ heads, dim }: IndexSize): boolean {
  return heads * dim / 16 <= MOST_MATRICES;
}

/** Sizes of an index that its shaders hold as constants. */
export interface IndexSize {
  /** J. */
  readonly heads: number;
  /** c. */
  readonly dim: number;
}

/** Parts of a shader that multiplies queries of a subgroup and 16 staged keys from `c0` on. */
export function scoreParts(
  { heads, dim }: IndexSize,
  { leftOf, keyStage }: {
    /** WGSL that loads a left matrix: of an index head, and of 16 elements of a row. */
    readonly leftOf: (head: number, piece: number) => string;
    /** The buffer of staged keys. */
    readonly keyStage: string;
  },
) {
  const depth = range(dim / 16);
  const resident = residentMatrices({ heads, dim });
  const numbers = range(heads);
  const loadsOf = (j: number) => depth.map((c) => `let q${j}_${c} = ${leftOf(j, c)};`);
  const scoreHead = (j: number) => {
    // Heads take turns with two scratches, so that one's products overlap the other's exchange.
    const scratch = `scratch0 + ${j % 2 * SCRATCH}u`;
    return flatWgsl`
      {
        ${resident ? [] : loadsOf(j)}
        var s = ${RESULT}();
        ${depth.map((c) => multiplyAdd("s", `q${j}_${c}`, `right${c}`))}
        ${storeResult(scratch, "s")}
        ${readScores(scratch, "x")}
        ta = fma(vec4f(w${j}), max(xa, vec4f()), ta);
        tb = fma(vec4f(w${j}), max(xb, vec4f()), tb);
      }
    `;
  };
  return {
    /** Before keys are multiplied, where the matrices of all heads stay. */
    loadsOf,
    weights: numbers.map((j) => `let w${j} = weights[${j}u * params.rows + row];`),
    /** Adds the weighted scores of all heads to `ta` and `tb`. */
    scores: [...rightMatrices(keyStage, dim), ...numbers.map(scoreHead)],
  };
}

/** The whole shader; bindings and parameters are those of `index_scores.wgsl`. */
export function generateMatrixScores({ heads, dim }: IndexSize): string {
  const vectors = dim / 8;
  const parts = scoreParts({ heads, dim }, {
    keyStage: "keyStage",
    leftOf: (j, c) => {
      const at = `(${j}u * params.rows + block) * ${vectors}u + ${2 * c}u, ${vectors}u`;
      return `subgroupMatrixLoad<${LEFT}, row_major>(&queries, ${at})`;
    },
  });
  const loads = residentMatrices({ heads, dim }) ? range(heads).flatMap(parts.loadsOf) : [];
  const stage = stageRows({
    stage: "keyStage",
    staged: STAGED,
    dim,
    source: (row, vector) => `keys[min(k0 + ${row}, params.keys - 1u) * ${vectors}u + ${vector}]`,
  });
  return wgsl`
    ${MATRIX_DIRECTIVES}
    struct Params {
      rows: u32,      // N, queries
      firstRow: u32,  // the first query of the strip
      endRow: u32,    // past the last
      keys: u32,      // keys
      keyRows: u32,   // 1
      stride: u32,    // scores of a query
      heads: u32,     // J
    }

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [J, N, c] f16
    @group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [keys, c] f16
    @group(0) @binding(3) var<storage, read> weights: array<f32>;   // [J, N]
    @group(0) @binding(4) var<storage, read_write> scores: array<vec4f>; // [strip, stride]

    var<workgroup> keyStage: array<vec4u, ${STAGED * stageStride(dim)}>;
    var<workgroup> scratch: array<vec4u, ${SCRATCHES}>;

    @compute @workgroup_size(${THREADS})
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let firstRow = params.firstRow + group.y * ${MATRIX_SCORE_TILE.rows}u;
      let endRow = min(firstRow + ${MATRIX_SCORE_TILE.rows}u, params.endRow);
      let firstKey = group.x * ${MATRIX_SCORE_TILE.columns}u;
      // No query of the workgroup sees a key after its last.
      let endKey = min(firstKey + ${MATRIX_SCORE_TILE.columns}u, min(endRow, params.keys));
      let own = firstRow + subgroup * 16u;
      // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
      let block = min(own, params.rows - 16u);
      let row = block + row16;
      let live = row >= own && row < endRow;
      let to = (row - params.firstRow) * params.stride;
      let scratch0 = subgroup * ${2 * SCRATCH}u;
      ${loads}
      ${parts.weights}
      for (var k0 = firstKey; k0 < endKey; k0 += ${STAGED}u) {
        workgroupBarrier();
        ${stage}
        workgroupBarrier();
        for (var c0 = 0u; c0 < min(${STAGED}u, params.rows); c0 += 16u) {
          var ta = vec4f();
          var tb = vec4f();
          ${parts.scores}
          if (live) {
            // Rows of scores are whole vectors; those past the last key are nobody's.
            let keyA = k0 + c0 + column0;
            let keyB = k0 + c0 + (column0 ^ 4u);
            if (keyA < params.stride) { scores[(to + keyA) / 4u] = ta; }
            if (keyB < params.stride) { scores[(to + keyB) / 4u] = tb; }
          }
        }
      }
    }
  `;
}
