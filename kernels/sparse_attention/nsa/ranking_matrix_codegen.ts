/**
 * WGSL of the importance of blocks on subgroup matrices: scores, probabilities and their sums over
 * the windows of a block and the query heads of a group in one pass, so that only importances are
 * stored.
 *
 * A subgroup owns 32 packed queries, whose left matrices stay in registers; a workgroup's subgroups
 * share compressed keys, which are staged 32 at a time and fetched while the 32 before are
 * multiplied. Both products of a subgroup are in flight at once. Of each 16 × 16 scores a lane has
 * 8 windows of one query, which are whole blocks: `l′/s` divides 8. What windows share with the
 * block after goes to the lane that has it, or to the next 16 windows. Lanes of a group's query
 * heads share out the blocks that they add. A workgroup covers 128 queries × 1,024 windows, and
 * computes 16 windows before them for what these share with its first block.
 *
 * Products are f16 with f32 sums, as in the compressed branch, whose log-sum-exp they are held
 * against; all else is f32 in a fixed order: a window's probabilities, blocks by window, heads by
 * pairs.
 *
 * Workgroup memory: (32 * (d/8 + 1) + 4 * 2 * 96) * 16 bytes.
 *
 * @module
 */
import {
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  readScores,
  RESULT,
  storeResult,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { whyNotOnMatrixUnits } from "../../dense_attention/matrix/dense_matrix.ts";
import { SCRATCH, stageStride } from "../../dense_attention/matrix/matrix_layout.ts";
import type { Gpu } from "../../gpu/device.ts";
import { flatWgsl, range, wgsl, XYZW } from "../../gpu/wgsl.ts";
import {
  rightMatrices,
  SCRATCHES,
  stageAhead,
  stagedBytes,
  SUBGROUPS,
  THREADS,
} from "../staged_products_codegen.ts";
import type { NsaSizes } from "./nsa_passes.ts";
import { windowCount } from "./branch_walks.ts";

/** Rows of matrices that a subgroup owns. */
const OWN = 2;
/** Compressed keys that are staged at once. */
const STAGED = 32;
/** Windows of one query that a lane has. */
const EIGHT = 8;

/** Packed queries and windows of a workgroup. */
export const MATRIX_RANKING_TILE = { rows: 16 * OWN * SUBGROUPS, columns: 1024 } as const;

/** Why matrix units cannot rank the blocks; undefined when they can. */
export function whyNoMatrixRanking(
  { capabilities }: Pick<Gpu, "capabilities">,
  sizes: Pick<NsaSizes, "rows" | "headDim" | "dtype" | "group" | "block" | "compression">,
): string | undefined {
  const { rows, headDim, dtype, group, block, compression } = sizes;
  const windows = windowCount(rows, compression);
  const unfit = whyNotOnMatrixUnits(capabilities, { rows: windows, headDim, dtype });
  if (unfit) return unfit;
  if (16 % group !== 0) return `groups of ${group} query heads do not divide the rows of a matrix`;
  const perBlock = block / compression.stride;
  if (EIGHT % perBlock !== 0) return `${perBlock} windows of a block do not divide ${EIGHT}`;
  const fits = stagedBytes(STAGED, headDim) <= capabilities.maxWorkgroupBytes;
  return fits ? undefined : "workgroup memory does not suffice";
}

/**
 * The whole shader; `seenWindows` is WGSL of the function of that name.
 *
 * @param columns windows of a workgroup, a multiple of 16.
 */
export function generateMatrixRanking(
  { headDim, group, block, compression: { window, stride } }: Pick<
    NsaSizes,
    "headDim" | "group" | "block" | "compression"
  >,
  seenWindows: string,
  columns: number = MATRIX_RANKING_TILE.columns,
): string {
  const vectors = headDim / 8;
  const depth = range(headDim / 16);
  const owns = range(OWN);
  const overlaps = window > stride;
  const perBlock = block / stride;
  const ahead = stageAhead({
    stage: "keyStage",
    staged: STAGED,
    dim: headDim,
    source: (row, vector) =>
      `compressed[(keyHead + min(${row}, params.windows - 1u)) * ${vectors}u + ${vector}]`,
  });
  const blocks = range(EIGHT / perBlock);
  const members = range(Math.log2(group)).map((i) => 2 ** i);
  // Lanes of a group first share out the blocks that each has sums of.
  const halvings = Math.min(members.length, Math.log2(blocks.length));
  const left = blocks.length / 2 ** halvings;
  const open = (b: number) =>
    flatWgsl`
    // The last rows may be fewer than a matrix: then it begins earlier and stores only its own rows.
    let own${b} = firstRow + (subgroup * ${OWN}u + ${b}u) * 16u;
    let matrix${b} = min(own${b}, params.rows - 16u);
    let row${b} = matrix${b} + row16;
    let live${b} = row${b} >= own${b} && row${b} < endRow && row16 % ${group}u < ${2 ** halvings}u;
    let seen${b} = seenWindows(row${b} / ${group}u);
    let lse${b} = logSumExp[headRow + row${b}] * LOG2E;
    let to${b} = group.z * params.blocks * params.tokens + row${b} / ${group}u - params.firstToken;
    var carry${b} = 0.0;
    ${
      depth.map((c) =>
        `let q${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&queries, ` +
        `(headRow + matrix${b}) * ${vectors}u + ${2 * c}u, ${vectors}u);`
      )
    }
  `;
  /** How many strides window `e` of a block shares with it; it shares the others with the next. */
  const shared = (e: number) => Math.min(window, block - e * stride) / stride;
  const sumOf = (first: number, weightOf: (e: number) => number) => {
    const terms = range(perBlock).flatMap((e) => {
      const weight = weightOf(e);
      const name = `p${(first + e) >> 2}.${XYZW[(first + e) & 3]}`;
      return weight === 0 ? [] : [weight === 1 ? name : `${weight}.0 * ${name}`];
    });
    return terms.length === 0 ? "0.0" : terms.join(" + ");
  };
  const last = blocks.length - 1;
  const shuffled = (name: string, m: number) => `subgroupShuffleXor(${name}, ${m}u)`;
  const shareOut = members.flatMap((m, level) => {
    const half = blocks.length / 2 ** (level + 1);
    if (half < 1) return [`sum0 += ${shuffled("sum0", m)};`];
    return range(half).flatMap((j) => {
      const [low, high, given] = [`sum${j}`, `sum${j + half}`, `given${level}_${j}`];
      const upper = `(row16 & ${m}u) != 0u`;
      return [
        `let ${given} = select(${high}, ${low}, ${upper});`,
        `${low} = select(${low}, ${high}, ${upper}) + ${shuffled(given, m)};`,
      ];
    });
  });
  const share =
    members.slice(0, halvings).map((m, level) =>
      `select(0u, ${blocks.length / 2 ** (level + 1)}u, (row16 & ${m}u) != 0u)`
    ).join(" + ") || "0u";
  const rank = (b: number) => {
    const scratch = `scratch0 + ${b % 2 * SCRATCH}u`;
    return flatWgsl`
      {
        ${readScores(scratch, "x")}
        let low = select(xa, xb, swap == 1u);
        let high = select(xb, xa, swap == 1u);
        let seen = vec4u(seen${b});
        let p0 = select(vec4f(), exp2(fma(low, vec4f(params.scale), vec4f(-lse${b}))), at0 < seen);
        let p1 = select(vec4f(), exp2(fma(high, vec4f(params.scale), vec4f(-lse${b}))), at1 < seen);
        ${blocks.map((j) => `var sum${j} = ${sumOf(j * perBlock, shared)};`)}
        ${
      overlaps
        ? [
          ...blocks.map((j) =>
            `let next${j} = ${sumOf(j * perBlock, (e) => window / stride - shared(e))};`
          ),
          ...blocks.slice(1).map((j) => `sum${j} += next${j - 1};`),
          `let other = subgroupShuffleXor(next${last}, 16u);`,
          `sum0 += select(carry${b}, other, side == 1u);`,
          `carry${b} = other;`,
        ]
        : []
    }
        ${shareOut}
        if (live${b} && k0 + c0 >= firstWindow) {
          let to = to${b} + (block0 + share0) * params.tokens;
          ${
      range(left).map((j) =>
        `if (block0 + share0 + ${j}u < params.blocks) { importances[to + ${j}u * params.tokens] = sum${j}; }`
      )
    }
        }
      }
    `;
  };
  const step = flatWgsl`
    ${owns.map((b) => `var s${b} = ${RESULT}();`)}
    ${depth.flatMap((c) => owns.map((b) => multiplyAdd(`s${b}`, `q${b}_${c}`, `right${c}`)))}
    ${owns.map((b) => storeResult(`scratch0 + ${b % 2 * SCRATCH}u`, `s${b}`))}
    ${owns.map(rank)}
  `;
  return wgsl`
    ${MATRIX_DIRECTIVES}
    struct Params {
      rows: u32,       // packed queries of a head, N · G
      firstRow: u32,   // of this dispatch
      endRow: u32,     // past the last
      windows: u32,    // C
      firstHead: u32,  // key head that is the dispatch's first
      firstToken: u32, // of this dispatch
      tokens: u32,     // queries that importances have room for
      blocks: u32,     // M
      scale: f32,      // softmax scale times log2(e)
    }

    @group(0) @binding(0) var<storage, read> queries: array<vec4u>;    // [heads of a dispatch, N · G, d] f16
    @group(0) @binding(1) var<storage, read> compressed: array<vec4u>; // [key heads, C, d] f16
    @group(0) @binding(2) var<storage, read> logSumExp: array<f32>;    // [heads of a dispatch, N · G]
    @group(0) @binding(3) var<storage, read_write> importances: array<f32>; // [heads of a dispatch, M, tokens]
    @group(0) @binding(4) var<uniform> params: Params;

    const LOG2E = 1.4426950408889634;
    ${seenWindows}

    var<workgroup> keyStage: array<vec4u, ${STAGED * stageStride(headDim)}>;
    var<workgroup> scratch: array<vec4u, ${SCRATCHES}>;

    @compute @workgroup_size(${THREADS})
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let firstRow = params.firstRow + group.x * ${MATRIX_RANKING_TILE.rows}u;
      let endRow = min(firstRow + ${MATRIX_RANKING_TILE.rows}u, params.endRow);
      let share0 = ${share};
      let firstWindow = group.y * ${columns}u;
      let past = min(firstWindow + ${columns}u, seenWindows((endRow - 1u) / ${group}u));
      if (firstWindow >= past) { return; }
      let begin = ${overlaps ? "max(firstWindow, 16u) - 16u" : "firstWindow"};
      let headRow = group.z * params.rows;
      let keyHead = (params.firstHead + group.z) * params.windows;
      let scratch0 = subgroup * ${2 * SCRATCH}u;
      ${owns.map(open)}
      ${ahead.begin("begin")}
      for (var k0 = begin; k0 < past; k0 += ${STAGED}u) {
        workgroupBarrier();
        ${ahead.put}
        workgroupBarrier();
        ${ahead.fetch(`k0 + ${STAGED}u`)}
        for (var c0 = 0u; c0 < min(${STAGED}u, past - k0); c0 += 16u) {
          let window0 = k0 + c0 + side * ${EIGHT}u;
          let block0 = window0 / ${perBlock}u;
          let at0 = vec4u(window0) + vec4u(0u, 1u, 2u, 3u);
          let at1 = at0 + vec4u(4u);
          ${rightMatrices("keyStage", headDim)}
          ${step}
        }
      }
    }
  `;
}
