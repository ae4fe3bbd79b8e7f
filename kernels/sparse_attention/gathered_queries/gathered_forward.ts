/**
 * The forward pass of attention over gathered queries, bound: lists, then for some heads at a time
 * the queries of all entries, attention, and the merge. `gathered_plan.ts` explains it.
 *
 * @module
 */
import { createLaunch } from "../../dense_attention/dense_launch.ts";
import { type BufferSlice, createStorageBuffer, type Dispatch, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import type { GatheredPlan } from "./gathered_plan.ts";
import { gatheredWalk } from "./gathered_walk.ts";
import { bindGather, bindMergeOutputs, type Bound, type HeadRange } from "./packing.ts";
import { bindLists } from "./query_lists.ts";
import { listsOfTurn, numbersOfTurn, rowsOfTurn, turnsOf } from "./turns.ts";

/** Buffers by the names of a plan's `listBytes` or `scratchBytes`. */
export type GatheredBuffers = Readonly<Record<string, BufferSlice>>;

/** Buffers of a plan, which its passes share. */
export interface GatheredMemory {
  readonly lists: GatheredBuffers;
  /** Other blocks of heads may use them at another time. */
  readonly scratch: GatheredBuffers;
  readonly destroy: () => void;
}

/**
 * Allocates the buffers of a plan.
 *
 * @param options `scratch`: buffers of another block's memory that are large enough.
 * @throws {MemoryError} when the device has no room; nothing stays allocated then.
 */
export async function createGatheredMemory(
  gpu: Gpu,
  plan: GatheredPlan,
  { scratch }: { readonly scratch?: GatheredBuffers } = {},
): Promise<GatheredMemory> {
  const { own, destroy } = collectOwned();
  const allocate = async (bytes: Readonly<Record<string, number>>) => {
    const made: Record<string, BufferSlice> = {};
    for (const [name, size] of Object.entries(bytes)) {
      const label = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      made[name] = slice(own(await createStorageBuffer(gpu, size, { label: `gathered ${label}` })));
    }
    return made;
  };
  try {
    const lists = await allocate(plan.listBytes);
    return { lists, scratch: scratch ?? await allocate(plan.scratchBytes), destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Key heads of each dispatch of a block. */
export function headRanges({ heads, groupHeads }: GatheredPlan): HeadRange[] {
  const ranges: HeadRange[] = [];
  for (let firstHead = 0; firstHead < heads; firstHead += groupHeads) {
    ranges.push({ firstHead, heads: Math.min(groupHeads, heads - firstHead) });
  }
  return ranges;
}

/** Whether an entry leaves sums of rows and of weights, not a normalised row: short blocks. */
export function leavesSums({ forward }: Pick<GatheredPlan, "forward">): boolean {
  return forward.walk?.gathers ?? false;
}

/**
 * Whether the gathered queries of the forward pass are all in memory for the backward pass, if no
 * other block of heads uses the scratch.
 */
export function keepsQueries(plan: GatheredPlan): boolean {
  const { forward, sizes } = plan;
  return !forward.walk?.gathers && sizes.turns.length === 1 && headRanges(plan).length === 1;
}

/** Passes of one block of heads, and what they own. */
export interface BoundGathered {
  readonly dispatches: readonly Dispatch[];
  /** On matrix units: workgroups that restarted since the kernels were created. */
  readonly readRestarts?: () => Promise<number>;
  readonly destroy: () => void;
}

/** Binds the forward pass of a block of heads; `memory.lists.lists` holds the selected blocks. */
export async function bindGatheredForward(
  gpu: Gpu,
  plan: GatheredPlan,
  options: {
    readonly memory: GatheredMemory;
    readonly q: BufferSlice;
    readonly k: BufferSlice;
    readonly v: BufferSlice;
    readonly output: BufferSlice;
    readonly lse: BufferSlice;
  },
): Promise<BoundGathered> {
  const { sizes, headDim, dtype } = plan;
  const { memory: { lists, scratch }, q, k, v, output, lse } = options;
  const { own, destroy } = collectOwned();
  const dispatches: Dispatch[] = [];
  const counters: (() => Promise<number>)[] = [];
  const ranges = headRanges(plan);
  try {
    const { bits, before, queries, results, entryStatistics } = scratch;
    for (const turn of turnsOf(plan)) {
      const mine = listsOfTurn(plan, turn, lists);
      const [rows, numbers] = [rowsOfTurn(plan, turn), numbersOfTurn(plan, turn)];
      const buffers = { ...mine, bits, before };
      dispatches.push(...own(await bindLists(gpu, { sizes, buffers, ranges, turn })).dispatches);
      const { tables, sources, places } = mine;
      const kernels = new Map<number, Awaited<ReturnType<typeof createLaunch>>>();
      for (const range of ranges) {
        const shared = { sizes, headDim, dtype, range };
        let kernel = kernels.get(range.heads);
        if (!kernel) {
          const { heads } = range;
          kernel = own(await createForward(gpu, plan, { heads, tables, sources, turn }));
          kernels.set(range.heads, kernel);
          if (kernel.readRestarts) counters.push(kernel.readRestarts);
        }
        const entries = own(
          await bindEntryQueries(gpu, plan, { range, sources, q: rows(q), queries }),
        );
        const merge = own(
          await bindMergeOutputs(gpu, {
            ...shared,
            turn,
            places,
            entryOutputs: results,
            entryStatistics,
            sums: leavesSums(plan),
            output: rows(output),
            lse: numbers(lse),
          }),
        );
        dispatches.push(
          ...entries.dispatches,
          ...kernel.bind([entries.queries, k, v, results, entryStatistics], range.firstHead),
          ...merge.dispatches,
        );
      }
    }
  } catch (error) {
    destroy();
    throw error;
  }
  return {
    dispatches,
    readRestarts: counters.length === 0
      ? undefined
      : async () => (await Promise.all(counters.map((read) => read()))).reduce((a, b) => a + b),
    destroy,
  };
}

/**
 * Binds the copies of queries to their entries, and says which rows the kernel binds; it may need
 * no copies.
 */
export async function bindEntryQueries(
  gpu: Gpu,
  { forward, sizes, headDim, dtype }: GatheredPlan,
  { range, sources, q, queries }: {
    readonly range: HeadRange;
    readonly sources: BufferSlice;
    /** `[heads, N, d]`. */
    readonly q: BufferSlice;
    /** `[key heads of a dispatch, packed, d]`. */
    readonly queries: BufferSlice;
  },
): Promise<Bound & { readonly queries: BufferSlice }> {
  if (forward.walk?.gathers) return { dispatches: [], queries: q, destroy: () => {} };
  const bound = await bindGather(gpu, {
    sizes,
    headDim,
    dtype,
    range,
    sources,
    tensors: [[q, queries]],
  });
  return { ...bound, queries };
}

/** Compiles attention over the entries of some heads in a turn. */
export function createForward(
  gpu: Gpu,
  { forward, sizes }: GatheredPlan,
  { heads, tables, sources, turn }: {
    readonly heads: number;
    readonly tables: BufferSlice;
    readonly sources: BufferSlice;
    readonly turn: number;
  },
) {
  const { gathers } = forward.walk!;
  const walk = gatheredWalk(sizes, { heads, tables, turn, gathers, sources });
  const share = heads / forward.heads;
  const ranges = forward.ranges.map((range) => ({ ...range, flops: range.flops * share }));
  return createLaunch(gpu, { ...forward, heads, walk, ranges }, {
    resultRows: forward.rows,
    rowStride: 1,
    results: ["o", "log-sum-exp"],
  });
}
