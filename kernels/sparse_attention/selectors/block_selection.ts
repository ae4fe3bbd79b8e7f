/**
 * The blocks that queries select by the means of the blocks' keys: for query t of block o the own
 * block and the `count - 1` earlier blocks c with the largest q_t·k̄_c, f32. Equal scores: the
 * smaller block; NaN ranks last.
 *
 * Shapes: queries `[heads, N, d]`, keys `[key heads, N, d]`, means f32 `[key heads, M, d]`, scores
 * f32 `[heads, M, strip]` of some queries at a time, lists u32 `[heads, N, count]`, ascending, ~0
 * past the end.
 *
 * Numerics: sums, means and scores are f32. Rows on a grid, such as multiples of 1/2, give exact
 * scores where a block's length is a power of two.
 *
 * @module
 */
import meansCode from "./block_means.wgsl" with { type: "text" };
import scoresCode from "./block_scores.wgsl" with { type: "text" };
import ownCode from "./own_blocks.wgsl" with { type: "text" };
import topCode from "./top_blocks.wgsl" with { type: "text" };
import { generateConstants } from "../../dense_attention/portable/tile_codegen.ts";
import { generateFirstProduct } from "../../dense_attention/portable/first_product_codegen.ts";
import { layOut, type TileProgram } from "../../dense_attention/portable/tile_layout.ts";
import type { Tiling } from "../../dense_attention/tilings.ts";
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type Pipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams, type UniformValues } from "../../gpu/uniform.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import { type Bound, foldGroups } from "../gathered_queries/packing.ts";

/** Blocks that a query may select: a thread keeps them in workgroup memory. */
export const MOST_SELECTED = 32;

/** Bytes of scores that are kept at a time. */
const MOST_SCORE_BYTES = 2 ** 28;

/** Queries of a strip are a multiple of this. */
const STRIP_UNIT = 128;

const MEANS_PARAMS = { rows: "u32", block: "u32", blocks: "u32", gridWidth: "u32" } as const;
const SCORES_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  strip: "u32",
  block: "u32",
  blocks: "u32",
  group: "u32",
} as const;
const TOP_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  strip: "u32",
  block: "u32",
  blocks: "u32",
  firstHead: "u32",
} as const;
const OWN_PARAMS = { rows: "u32", block: "u32", gridWidth: "u32" } as const;

/** What is selected from. */
export interface SelectionShape {
  /** Query heads of a block. */
  readonly heads: number;
  /** Query heads to a key head. */
  readonly group: number;
  /** N. */
  readonly rows: number;
  /** d. */
  readonly headDim: number;
  readonly dtype: DType;
  /** Keys of a block. */
  readonly block: number;
  /** Blocks that a query selects, its own included; at most M. */
  readonly count: number;
}

/** Sizes of the passes. */
export interface SelectionPlan extends SelectionShape {
  /** M. */
  readonly blocks: number;
  /** Queries whose scores are kept at a time. */
  readonly strip: number;
  /** FLOP: 2·d for each score. */
  readonly flops: number;
  readonly bytes: {
    readonly means: number;
    readonly scores: number;
    readonly lists: number;
  };
}

/** Plans the selection of a block of heads. */
export function planSelection(
  { maxBindingBytes, maxBufferBytes }: Gpu["capabilities"],
  shape: SelectionShape,
): SelectionPlan {
  const { heads, group, rows, headDim, block, count } = shape;
  const blocks = Math.ceil(rows / block);
  const most = Math.min(MOST_SCORE_BYTES, maxBindingBytes, maxBufferBytes);
  const fitting = Math.floor(most / (4 * heads * blocks) / STRIP_UNIT);
  const all = Math.ceil(rows / STRIP_UNIT);
  const strip = Math.max(1, Math.min(fitting, all)) * STRIP_UNIT;
  const scores = count === 1 ? 0 : heads * blocks * strip * 4;
  let earlier = 0; // blocks before the own one, of all queries
  for (let b = 1; b < blocks; b++) earlier += b * Math.min(block, rows - b * block);
  return {
    ...shape,
    blocks,
    strip,
    flops: count === 1 ? 0 : 2 * headDim * heads * earlier,
    bytes: {
      means: count === 1 ? 0 : heads / group * blocks * headDim * 4,
      scores,
      lists: heads * rows * count * 4,
    },
  };
}

/** The shader of means. */
export function meansSource(headDim: number, dtype: DType): PipelineSource {
  const four = dtype === "f16"
    ? "alias FourElements = vec2u;\n" +
      "fn fourOf(x: vec2u) -> vec4f { return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }"
    : "alias FourElements = vec4f;\nfn fourOf(x: vec4f) -> vec4f { return x; }";
  return {
    label: `means of blocks d=${headDim} ${dtype}`,
    code: `${meansCode}\nconst COLUMNS = ${headDim / 4}u;\n${four}\n`,
    bindings: ["read", "read-write", "uniform"],
  };
}

/**
 * A tiling that fits a device: a GPU needs registers full of products, a software driver little
 * code.
 *
 * @param threadsX threads of a row of a tile, four columns each. Default: as many as there may be.
 */
export function scoreTiling(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  headDim: number,
  threadsX: 8 | 16 = headDim % 64 === 0 ? 16 : 8,
): Tiling {
  const wide = { tileRows: 128, tileColumns: 4 * threadsX, threadsX, threadsY: 16, chunk: 16 };
  const { maxWorkgroupBytes, maxInvocations } = gpu.capabilities;
  const fits = !gpu.adapter.software && layOut(wide, headDim).workgroupBytes <= maxWorkgroupBytes &&
    wide.threadsX * wide.threadsY <= maxInvocations;
  return fits ? wide : { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 };
}

/** The shader of scores. */
export function scoresSource(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { headDim, dtype }: Pick<SelectionShape, "headDim" | "dtype">,
): { readonly source: PipelineSource; readonly tiling: Tiling } {
  // Tiles past a query's own block are left out: narrow ones leave out more.
  const tiling = scoreTiling(gpu, headDim, 8);
  const program: TileProgram = { tiling, headDim, dtype, apart: true };
  const { rowsPerThread, columnsPerThread } = layOut(tiling, headDim);
  const product = generateFirstProduct(program, {
    name: "Scores",
    rows: "queries",
    columns: "means",
    columnsType: "f32",
    into: "s",
  });
  const store = range(columnsPerThread).map((e) =>
    wgsl`
    { let block = c0 + tx + ${e * tiling.threadsX}u;
      if (block < params.blocks) {
        let at = score0 + block * params.strip + row;
        ${
      range(rowsPerThread).map((r) =>
        `if (row + ${r}u < left) { scores[at + ${r}u] = s${r}_${e >> 2}.${"xyzw"[e & 3]}; }`
      )
    }
      } }
  `
  );
  return {
    tiling,
    source: {
      label: `scores of blocks d=${headDim} ${dtype}`,
      code: wgsl`
        ${scoresCode}
        ${generateConstants(program)}
        ${product}
        fn keepScores(c0: u32, score0: u32) {
          let row = ty * ${rowsPerThread}u;
          let left = params.strip - (row0 - params.firstRow);
          ${store}
        }

      `,
      bindings: ["read", "read", "read-write", "uniform"],
    },
  };
}

/** Blocks that a query selects. */
export interface SelectedBlocks {
  /** The first blocks, whatever their scores. */
  readonly initial: number;
  /** The best of those between. */
  readonly free: number;
  /** The last blocks up to the query's own, whatever their scores. */
  readonly local: number;
}

/** The shader that keeps the best blocks. */
export function topSource({ initial, free, local }: SelectedBlocks): PipelineSource {
  return {
    label: `best ${free} blocks`,
    code: wgsl`
      ${topCode}
      const INITIAL = ${initial}u;
      const FREE = ${free}u;
      const LOCAL = ${local}u;

    `,
    bindings: ["read", "read-write", "uniform"],
  };
}

/** Binds the pass that keeps the best blocks of some queries of some heads. */
export function bindTop(
  gpu: Gpu,
  pipeline: Pipeline,
  { sizes, heads, scores, lists, keep }: {
    readonly sizes: UniformValues<typeof TOP_PARAMS>;
    readonly heads: number;
    readonly scores: BufferSlice;
    readonly lists: BufferSlice;
    readonly keep: (uniform: GPUBuffer) => BufferSlice;
  },
): Dispatch {
  const { strip, rows, firstRow } = sizes;
  return bindDispatch(gpu, pipeline, {
    slices: [scores, lists, keep(createParams(gpu, TOP_PARAMS, sizes))],
    workgroups: [Math.ceil(Math.min(strip, rows - firstRow) / 64), 1, heads],
  });
}

/** The shader of lists that hold the own block only. */
export const OWN_SOURCE: PipelineSource = {
  label: "own blocks",
  code: ownCode,
  bindings: ["read-write", "uniform"],
};

/** Binds the passes for a block of heads. */
export async function bindSelection(
  gpu: Gpu,
  plan: SelectionPlan,
  buffers: {
    readonly q: BufferSlice;
    readonly k: BufferSlice;
    readonly means?: BufferSlice;
    readonly scores?: BufferSlice;
    readonly lists: BufferSlice;
  },
): Promise<Bound> {
  const { heads, group, rows, headDim, dtype, block, blocks, count, strip } = plan;
  const uniforms: GPUBuffer[] = [];
  const keep = (uniform: GPUBuffer) => {
    uniforms.push(uniform);
    return slice(uniform);
  };
  const destroy = () => uniforms.forEach((uniform) => uniform.destroy());
  const { q, k, means, scores, lists } = buffers;
  if (count === 1) {
    const pipeline = await createPipeline(gpu, OWN_SOURCE);
    const [x, y] = foldGroups(Math.ceil(rows / 256));
    const params = keep(createParams(gpu, OWN_PARAMS, { rows, block, gridWidth: x }));
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [lists, params],
      workgroups: [x, y, heads],
    });
    return { dispatches: [dispatch], destroy };
  }
  const { source, tiling } = scoresSource(gpu, plan);
  const [meansPipeline, scoresPipeline, topPipeline] = await Promise.all(
    [meansSource(headDim, dtype), source, topSource({ initial: 0, free: count - 1, local: 1 })].map(
      (one) => createPipeline(gpu, one),
    ),
  );
  const [x, y] = foldGroups(blocks);
  const dispatches: Dispatch[] = [
    bindDispatch(gpu, meansPipeline, {
      slices: [
        k,
        means!,
        keep(createParams(gpu, MEANS_PARAMS, { rows, block, blocks, gridWidth: x })),
      ],
      workgroups: [x, y, heads / group],
    }),
  ];
  for (let firstRow = 0; firstRow < rows; firstRow += strip) {
    const queries = Math.min(strip, rows - firstRow);
    const sizes = { rows, firstRow, strip, block, blocks };
    dispatches.push(
      bindDispatch(gpu, scoresPipeline, {
        slices: [q, means!, scores!, keep(createParams(gpu, SCORES_PARAMS, { ...sizes, group }))],
        workgroups: [Math.ceil(queries / tiling.tileRows), 1, heads],
        flops: plan.flops * queries / rows,
      }),
      bindTop(gpu, topPipeline, {
        sizes: { ...sizes, firstHead: 0 },
        heads,
        scores: scores!,
        lists,
        keep,
      }),
    );
  }
  return { dispatches, destroy };
}
