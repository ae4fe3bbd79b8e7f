/**
 * The lists of queries by block: to each block of keys the ascending queries that selected it,
 * packed one list after another (`query_lists.wgsl`).
 *
 * Shapes: selected blocks u32 `[key heads, N, count]`, ascending, ~0 past the end, each with the
 * query's own block; entries `[key heads, packed, …]` (`list_sizes.ts`).
 *
 * @module
 */
import listsCode from "./query_lists.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { ListSizes } from "./list_sizes.ts";
import { type Bound, foldGroups, type HeadRange } from "./packing.ts";

const LIST_PARAMS = {
  rows: "u32",
  count: "u32",
  blocks: "u32",
  words: "u32",
  group: "u32",
  packed: "u32",
  tileRows: "u32",
  firstHead: "u32",
  turnRows: "u32",
  gridWidth: "u32",
} as const;

/** Lists of all key heads of a block, and memory to make them. */
export interface ListBuffers {
  /** `[key heads, N, count]`, read. */
  readonly lists: BufferSlice;
  /** `[key heads of a dispatch, M, N / 32]`, scratch. */
  readonly bits: BufferSlice;
  /** The same. */
  readonly before: BufferSlice;
  /** `[key heads, packed / tileRows + 2 M]`, written. */
  readonly tables: BufferSlice;
  /** `[key heads, packed]`, written. */
  readonly sources: BufferSlice;
  /** `[key heads, N, count]`, written. */
  readonly places: BufferSlice;
}

/**
 * Bytes of one key head of each of {@linkcode ListBuffers}; of one turn, but for lists and places.
 */
export function listBytes(sizes: ListSizes): Record<keyof ListBuffers, number> {
  const { rows, count, blocks, packed, tileRows, turns } = sizes;
  const words = 4 * blocks * Math.ceil(turns[0].end / 32);
  const lists = 4 * rows * count;
  return {
    lists,
    bits: words,
    before: words,
    tables: 4 * (packed / tileRows + 2 * blocks),
    sources: 4 * packed,
    places: lists,
  };
}

const LIST_PASSES = ["clear", "mark", "count", "start", "fill", "place"] as const;

/** Workgroups of the pass `fill` past the last list. */
const TAIL_GROUPS = 64;

/** The shader of a pass of the lists. */
function listSource(entryPoint: typeof LIST_PASSES[number]): PipelineSource {
  return {
    label: `lists of queries: ${entryPoint}`,
    code: listsCode,
    entryPoint,
    bindings: ["read", ...Array<"read-write">(5).fill("read-write"), "uniform"],
  };
}

/** Binds the passes that make the lists of some key heads. */
export async function bindLists(
  gpu: Gpu,
  options: {
    readonly sizes: ListSizes;
    readonly buffers: ListBuffers;
    readonly ranges: readonly HeadRange[];
    /** Whose lists: the buffers are those of the turn. Default the first. */
    readonly turn?: number;
  },
): Promise<Bound> {
  const { sizes, buffers, ranges, turn = 0 } = options;
  const { rows, count, blocks, group, packed, tileRows, turns } = sizes;
  const queries = turns[turn].end - turns[turn].first;
  const words = Math.ceil(queries / 32);
  const pipelines = await Promise.all(
    LIST_PASSES.map((pass) => createPipeline(gpu, listSource(pass))),
  );
  const uniforms: GPUBuffer[] = [];
  const groupsOf = {
    clear: blocks * words / 256,
    mark: queries / 256,
    count: blocks,
    fill: blocks + TAIL_GROUPS,
    place: queries / 256,
  };
  const { lists, bits, before, tables, sources, places } = buffers;
  const dispatches = ranges.flatMap(({ firstHead, heads }) =>
    LIST_PASSES.map((pass, i) => {
      const [x, y] = pass === "start" ? [heads, 1] : foldGroups(Math.ceil(groupsOf[pass]));
      const values = { rows, count, blocks, words, group, packed, tileRows, firstHead };
      const uniform = createParams(gpu, LIST_PARAMS, {
        ...values,
        turnRows: queries,
        gridWidth: x,
      });
      uniforms.push(uniform);
      return bindDispatch(gpu, pipelines[i], {
        slices: [lists, bits, before, tables, sources, places, slice(uniform)],
        workgroups: [x, y, pass === "start" ? 1 : heads],
      });
    })
  );
  return { dispatches, destroy: () => uniforms.forEach((uniform) => uniform.destroy()) };
}
