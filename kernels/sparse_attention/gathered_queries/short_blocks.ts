/**
 * The forward pass over gathered queries on matrix units, where blocks are so short that all scores
 * of a row fit registers: no first reference, no workgroup that starts over, no second maximum.
 *
 * A workgroup stages the keys and values of one block and takes 64 entries at a time of that
 * block's list, 16 a subgroup, whose queries it fetches itself: through its scratch, half of a row
 * at a time, to left matrices. A lane has 8 scores of a row for each 16 keys, finds the row's
 * maximum with the lane that has the others, and stores weights 2^((x - max)·scale + 15), rounded
 * to f16, for the product with V. A weight that f16 rounds to zero is below 2^-40 of the largest.
 * All products with K, then with V, are in flight at once.
 *
 * An entry leaves sums, which are stored as matrices: of rows of V times weights, of weights, and
 * the natural logarithm r that they refer to, so that the log-sum-exp is r + ln(sum). The merge
 * divides.
 *
 * Bindings and parameters are those of the kernel of dense attention on matrix units
 * (`dense_matrix_codegen.ts`), so that the two are launched alike, but that queries are not those
 * of entries; no workgroup counts as restarted.
 *
 * Workgroup memory: (2 * block * (d/8 + 1) + 4 * 2 * 96) * 16 bytes.
 *
 * @module
 */
import {
  columnsOfHalves,
  LANE_PLACES,
  LEFT,
  loadWeights,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  packWeights,
  readScores,
  RESULT,
  RIGHT,
  storeResult,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride, WEIGHT_STRIDE } from "../../dense_attention/matrix/matrix_layout.ts";
import { splitTiles } from "../../dense_attention/portable/tile_ranges.ts";
import { describeWalk, tileCost, type TileWalk } from "../../dense_attention/tile_walk.ts";
import type { DenseAttentionPlan } from "../../dense_attention/types.ts";
import type { Gpu } from "../../gpu/device.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import {
  SCRATCHES,
  stagedBytes,
  stageRows,
  SUBGROUPS,
  THREADS,
} from "../staged_products_codegen.ts";

/** Keys of the longest block. */
const MOST_KEYS = 64;

/** Entries that a workgroup takes at a time. */
const STEP_ROWS = 16 * SUBGROUPS;

/** Entries of a workgroup, at most. */
const MOST_ROWS = 4 * STEP_ROWS;

/** Power of two of the weight of a row's largest score. */
const LARGEST_WEIGHT = 15;

/**
 * The plan with the kernel of short blocks, or as it is where blocks are longer or the device has
 * not the memory.
 *
 * @param options `tileRows`: lists begin at multiples of it.
 */
export function planShortBlocks(
  { capabilities }: Pick<Gpu, "capabilities">,
  plan: DenseAttentionPlan,
  { block, tileRows, walk }: {
    readonly block: number;
    readonly tileRows: number;
    /** That of the plan, which gathers. */
    readonly walk: TileWalk;
  },
): DenseAttentionPlan {
  const { headDim, heads, rows, flops, flopsPerDispatch } = plan;
  const workgroupBytes = stagedBytes(2 * block, headDim);
  const { maxWorkgroupBytes, maxWorkgroupsPerDimension } = capabilities;
  const fits = block <= MOST_KEYS && block % 16 === 0 && workgroupBytes <= maxWorkgroupBytes;
  if (plan.kernel !== "matrix" || !fits || tileRows % STEP_ROWS !== 0) return plan;
  const ownRows = Math.min(tileRows, MOST_ROWS);
  const tile = { ownRows, columns: block, own: "queries" } as const;
  return {
    ...plan,
    walk,
    tile,
    variant: `matrix units, blocks of ${block} keys at once${describeWalk(walk, rows, tile)}`,
    pipeline: {
      label: `${walk.kind} attention rows of short blocks on matrix units d=${headDim}`,
      code: generateShortBlocks({ headDim, block, ownRows, walk }),
      bindings: [
        "uniform",
        ...Array<"read">(3).fill("read"),
        ...Array<"read-write">(3).fill("read-write"),
        ...walk.bindings,
      ],
    },
    ranges: splitTiles({
      tiles: Math.ceil(rows / ownRows),
      flops,
      limit: flopsPerDispatch,
      most: maxWorkgroupsPerDimension,
      costOf: tileCost(walk, { tile, heads, headDim, products: 2 }),
    }),
    workgroupBytes,
  };
}

function generateShortBlocks(
  { headDim, block, ownRows, walk }: {
    readonly headDim: number;
    readonly block: number;
    readonly ownRows: number;
    readonly walk: TileWalk;
  },
): string {
  const vectors = headDim / 8;
  const stride = stageStride(headDim);
  const depth = range(headDim / 16);
  const pieces = range(block / 16);
  const stage = (tensor: string, to: string) =>
    stageRows({
      stage: to,
      staged: block,
      dim: headDim,
      source: (row, vector) =>
        `${tensor}[(column0Row + min(path.origin + ${row}, columnRows - 1u)) * ${vectors}u + ${vector}]`,
    });
  const right = (
    tensor: string,
    order: string,
    { j, c }: { readonly j: number; readonly c: number },
  ) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&${tensor}, ${16 * j * stride + 2 * c}u, ${stride}u)`;
  // Each subgroup fetches its 16 rows, half of each at a time; a row of scratch is padded as staged
  // rows are.
  const half = vectors / 2;
  const fetch = (h: number, i: number) => {
    const vector = `(lane + ${32 * i}u) % ${half}u + ${h * half}u`;
    const source = `queries[from${i} * ${vectors}u + ${vector}]`;
    return `let f${h}_${i} = select(vec4u(), ${source}, live${i});`;
  };
  const fetched = range(vectors / 4);
  const sourceAt = (own: string, i: number) =>
    `sourceOf(head, ${own} + (lane + ${32 * i}u) / ${half}u)`;
  // Of the next rows too, past the last ones any: without, each step would wait for memory twice.
  const fetchRows = flatWgsl`
    ${
    fetched.map((i) =>
      flatWgsl`
      let source${i} = ahead${i};
      ahead${i} = ${sourceAt(`own + ${STEP_ROWS}u`, i)};
      let live${i} = source${i} != 0xffffffffu;
      let from${i} = select(0u, queryRowOf(head, source${i}), live${i});
    `
    )
  }
    ${[0, 1].flatMap((h) => fetched.map((i) => fetch(h, i)))}
  `;
  const loadHalf = (h: number) =>
    flatWgsl`
    ${
      fetched.map((i) => {
        const unit = `(lane + ${32 * i}u)`;
        return `scratch[scratch0 + ${unit} / ${half}u * ${
          half + 1
        }u + ${unit} % ${half}u] = f${h}_${i};`;
      })
    }
    ${
      range(half / 2).map((c) =>
        `let q${h * half / 2 + c} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, ` +
        `scratch0 + ${2 * c}u, ${half + 1}u);`
      )
    }
  `;
  const scratch = (i: number) => `scratch0 + ${i % 2 * SCRATCH}u`;
  const scores = (j: number) =>
    flatWgsl`
    ${readScores(scratch(j), `x${j}`)}
    if (!walkSeesAll(path, 0u, own, 16u, path.origin + ${16 * j}u, 16u)) {
      ${columnsOfHalves(`path.origin + ${16 * j}u`)}
      x${j}a = select(vec4f(MASKED), x${j}a, walkSees(path, 0u, vec4u(row), keyA));
      x${j}b = select(vec4f(MASKED), x${j}b, walkSees(path, 0u, vec4u(row), keyB));
    }
    most = max(most, max(x${j}a, x${j}b));
  `;
  const weigh = (j: number) =>
    flatWgsl`
    x${j}a = exp2(fma(x${j}a - vec4f(t), vec4f(params.scale), vec4f(${LARGEST_WEIGHT}.0)));
    x${j}b = exp2(fma(x${j}b - vec4f(t), vec4f(params.scale), vec4f(${LARGEST_WEIGHT}.0)));
    sums += x${j}a + x${j}b;
    ${packWeights(`x${j}`)}
    scratch[scratch0 + ${16 * WEIGHT_STRIDE * j}u + weight0] = x${j}w;
  `;
  const pairs = range(Math.ceil(pieces.length / 2)).map((i) => pieces.slice(2 * i, 2 * i + 2));
  return wgsl`
    ${MATRIX_DIRECTIVES}
    struct Params {
      rows: u32,       // entries of a head
      tileCount: u32,  // tiles of entries in this dispatch
      firstTile: u32,  // index of the first of them
      scale: f32,      // softmax scale times log2(e): scores live in base 2
      sequences: u32,  // heads
      gridWidth: u32,  // heads in one layer of the grid
      resultRows: u32, // rows of one head in the result
    }

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [heads, N, d] f16
    @group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [key heads, N, d] f16
    @group(0) @binding(3) var<storage, read> values: array<vec4u>;  // the same
    @group(0) @binding(4) var<storage, read_write> partials: array<f32>;   // [heads, entries, d], sums of rows of V
    @group(0) @binding(5) var<storage, read_write> statistics: array<f32>; // [heads, entries, 2]: reference, sum of weights
    @group(0) @binding(6) var<storage, read_write> restarts: atomic<u32>; // none

    var<workgroup> keyStage: array<vec4u, ${block * stride}>;
    var<workgroup> valueStage: array<vec4u, ${block * stride}>;
    var<workgroup> scratch: array<vec4u, ${SCRATCHES}>;

    const MASKED = -1.0e30;
    const LN2 = 0.6931471805599453;

    @compute @workgroup_size(${THREADS})
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let head = group.z * params.gridWidth + group.x;
      if (head >= params.sequences) { return; }
      let first = (params.firstTile + group.y) * ${ownRows}u;
      let path = openWalk(head, first, 0u, params.rows);
      if (path.rows == 0u) { return; }
      let lane = local & 31u;
      let result0 = head * params.resultRows;
      let column0Row = columnHead(head);
      let columnRows = columnCount();
      let scratch0 = subgroup * ${2 * SCRATCH}u;
      ${stage("keys", "keyStage")}
      ${stage("values", "valueStage")}
      workgroupBarrier();
      ${fetched.map((i) => `var ahead${i} = ${sourceAt("first + subgroup * 16u", i)};`)}
      // Not unrolled: the sums of one step are enough registers.
      for (var step = 0u; step < min(${ownRows}u, params.rows); step += ${STEP_ROWS}u) {
        let own = first + step + subgroup * 16u;
        let row = own + row16;
        ${fetchRows}
        ${[0, 1].map(loadHalf)}
        var most = vec4f(MASKED);
        ${pieces.map((j) => `var s${j} = ${RESULT}();`)}
        ${
    depth.flatMap((c) =>
      pieces.map((j) => multiplyAdd(`s${j}`, `q${c}`, right("keyStage", "col_major", { j, c })))
    )
  }
        ${
    pairs.flatMap((pair) => [
      ...pair.map((j) => storeResult(scratch(j), `s${j}`)),
      ...pair.map(scores),
    ])
  }
        var t = max(max(most.x, most.y), max(most.z, most.w));
        t = max(t, subgroupShuffleXor(t, 16u));
        var sums = vec4f();
        ${pieces.map(weigh)}
        ${pieces.map((j) => loadWeights(`w${j}`, `scratch0 + ${16 * WEIGHT_STRIDE * j}u`))}
        var l = (sums.x + sums.y) + (sums.z + sums.w);
        l += subgroupShuffleXor(l, 16u);
        if (side == 0u) {
          statistics[2u * (result0 + row)] = (t * params.scale - ${LARGEST_WEIGHT}.0) * LN2;
          statistics[2u * (result0 + row) + 1u] = l;
        }
        ${depth.map((c) => `var o${c} = ${RESULT}();`)}
        ${
    pieces.flatMap((j) =>
      depth.map((c) => multiplyAdd(`o${c}`, `w${j}`, right("valueStage", "row_major", { j, c })))
    )
  }
        ${
    depth.map((c) =>
      `subgroupMatrixStore<row_major>(&partials, (result0 + own) * ${headDim}u + ${16 * c}u, ` +
      `o${c}, ${headDim}u);`
    )
  }
      }
    }
    ${walk.code({ ownRows, columns: block, own: "queries" }, 7)}
  `;
}
