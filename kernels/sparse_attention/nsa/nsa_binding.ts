/**
 * NSA for one block of heads, bound to buffers: `nsa_plan.ts` explains it.
 *
 * @module
 */
import { createLaunch } from "../../dense_attention/dense_launch.ts";
import { type BufferSlice, bytesPerElement, writeBuffer } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import type { Stage } from "../../gpu/timing.ts";
import { bindEntryQueries, createForward, headRanges } from "../gathered_queries/gathered_forward.ts";
import { bindGather, bindLists } from "../gathered_queries/packing.ts";
import {
  advance,
  listsOfTurn,
  numbersOfTurn,
  rowsOfTurn,
  turnsOf,
} from "../gathered_queries/turns.ts";
import { bindCompress, bindMergeBranches } from "./nsa_passes.ts";
import { bindRanking } from "./nsa_ranking.ts";
import { branchesOfTurn, type BranchPlan, type NsaPlan } from "./nsa_plan.ts";

type Buffers = Readonly<Record<string, BufferSlice>>;

/** Buffers of one block of heads. */
export interface NsaBuffers {
  /** By the names of a plan's `bytes`. */
  readonly own: Buffers;
  /** By the names of a plan's `gathered.listBytes`. */
  readonly lists: Buffers;
  /** By the names of a plan's `scratchBytes`. */
  readonly scratch: Buffers;
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  /** f32 `[heads, N, 3]`. */
  readonly gates: BufferSlice;
  readonly output: BufferSlice;
}

/** The forward pass. */
export interface BoundNsa {
  /** `select` between two of `attention`, for each range of key heads. */
  readonly stages: readonly Stage[];
  readonly readRestarts?: () => Promise<number>;
  readonly destroy: () => void;
}

/** One branch's part of a buffer that holds all three. */
export function branchPart(
  { buffer, offset }: BufferSlice,
  { branch, stride, size }: {
    readonly branch: number;
    /** Bytes from one branch to the next. */
    readonly stride: number;
    readonly size: number;
  },
): BufferSlice {
  return { buffer, offset: offset + branch * stride, size: Math.ceil(size / 4) * 4 };
}

/** Writes the packed order of queries, the same for each key head. */
export function writeIdentity(
  gpu: Gpu,
  { heads, group, rows }: NsaPlan,
  target: BufferSlice,
): void {
  const queries = rows * group;
  writeBuffer(
    gpu,
    target,
    Uint32Array.from({ length: heads / group * queries }, (_, i) => i % queries),
  );
}

/** The statistics of the compressed branch, or of the window, of the heads of a dispatch. */
function statisticsOf({ strides }: NsaPlan, scratch: Buffers, branch: number): BufferSlice {
  const stride = 4 * strides.statistics;
  return branchPart(scratch.statistics, { branch, stride, size: stride });
}

type Launch = Awaited<ReturnType<typeof createLaunch>>;

/** The forward kernels of the branches for some key heads in a turn. */
interface Launches {
  readonly compress: Launch;
  readonly gather: Launch;
  readonly slide: Launch;
}

/** Compiles a branch's forward kernel for some key heads in a turn. */
async function createBranch(
  gpu: Gpu,
  branch: BranchPlan,
  { heads, turn }: { readonly heads: number; readonly turn: number },
): Promise<Launch> {
  const forward = branch.forward[turn];
  const share = heads / forward.heads;
  const ranges = forward.ranges.map((range) => ({ ...range, flops: range.flops * share }));
  return await createLaunch(gpu, { ...forward, heads, walk: branch.walkOf(heads, turn), ranges }, {
    resultRows: forward.rows,
    rowStride: 1,
    results: ["o", "log-sum-exp"],
  });
}

/** Binds the forward pass. */
export async function bindNsaForward(gpu: Gpu, plan: NsaPlan, b: NsaBuffers): Promise<BoundNsa> {
  const { gathered, compressed, sliding, ranking: kernel, tokens, strides, backward } = plan;
  const { sizes, headDim, dtype } = gathered;
  const { lists, scratch } = b;
  const { own, destroy } = collectOwned();
  const stages: Stage[] = [];
  const counters: (() => Promise<number>)[] = [];
  try {
    stages.push({
      name: "attention",
      dispatches: await bindCompress(gpu, plan, {
        tensors: [[b.k, b.own.compressedKeys], [b.v, b.own.compressedValues]],
        own,
      }),
    });
    const kernels = new Map<number, readonly Launches[]>();
    const kernelsOf = async (heads: number) => {
      let found = kernels.get(heads);
      if (found) return found;
      const made: Launches[] = [];
      for (const turn of turnsOf(gathered)) {
        const { tables, sources } = listsOfTurn(gathered, turn, lists);
        made.push({
          compress: own(await createBranch(gpu, compressed, { heads, turn })),
          gather: own(await createForward(gpu, gathered, { heads, tables, sources, turn })),
          slide: own(await createBranch(gpu, sliding, { heads, turn })),
        });
      }
      found = made;
      kernels.set(heads, found);
      const launches = found.flatMap(({ compress, gather, slide }) => [compress, gather, slide]);
      counters.push(...launches.flatMap(({ readRestarts }) => readRestarts ?? []));
      return found;
    };
    for (const range of headRanges(gathered)) {
      const launches = await kernelsOf(range.heads);
      const shared = { headDim, dtype, range };
      const pack = own(
        await bindGather(gpu, {
          ...shared,
          sizes: packedSizes(plan),
          sources: b.own.identity,
          tensors: [[b.q, scratch.packedQueries]],
        }),
      );
      for (const turn of turnsOf(gathered)) {
        const { compress, gather, slide } = launches[turn];
        const ofTurn = listsOfTurn(gathered, turn, lists);
        const { sources, places } = ofTurn;
        const { bits, before } = scratch;
        const [ofRows, numbers] = [rowsOfTurn(gathered, turn), numbersOfTurn(gathered, turn)];
        const ofPacked = packedOfTurn(plan, turn);
        const statistics = [0, 1].map((branch) => statisticsOf(plan, scratch, branch));
        const ranking = await bindRanking(gpu, plan, {
          kernel,
          range,
          turn: sizes.turns[turn],
          tokens,
          queries: scratch.packedQueries,
          compressedKeys: b.own.compressedKeys,
          lse: statistics[0],
          weights: scratch.weights,
          importances: scratch.importances,
          lists: lists.lists,
          own,
        });
        const inverted = own(
          await bindLists(gpu, {
            sizes,
            buffers: { ...ofTurn, bits, before },
            ranges: [range],
            turn,
          }),
        );
        const entries = own(
          await bindEntryQueries(gpu, gathered, {
            range,
            sources,
            q: ofRows(b.q),
            queries: scratch.queries,
          }),
        );
        const merge = await bindMergeBranches(gpu, plan, {
          range,
          lists: sizes,
          turn,
          keeps: backward,
          strides,
          reads: [
            places,
            scratch.results,
            scratch.entryLse,
            scratch.compressedResults,
            scratch.slidingResults,
            ofPacked.numbers(scratch.statistics),
            advance(b.gates, 3 * 4 * sizes.turns[turn].first),
          ],
          writes: [ofRows(b.output), b.own[branchesOfTurn(turn)], numbers(b.own.lse)],
          own,
        });
        const packed = ofPacked.rows(scratch.packedQueries);
        const first = [
          ...turn === 0 ? pack.dispatches : [],
          ...compress.bind([
            packed,
            b.own.compressedKeys,
            b.own.compressedValues,
            scratch.compressedResults,
            ofPacked.numbers(statistics[0]),
          ], range.firstHead),
        ];
        const rest = [
          ...inverted.dispatches,
          ...entries.dispatches,
          ...gather.bind(
            [entries.queries, b.k, b.v, scratch.results, scratch.entryLse],
            range.firstHead,
          ),
          ...slide.bind(
            [packed, b.k, b.v, scratch.slidingResults, ofPacked.numbers(statistics[1])],
            range.firstHead,
          ),
          merge,
        ];
        stages.push(
          { name: "attention", dispatches: first },
          { name: "select", dispatches: ranking },
          { name: "attention", dispatches: rest },
        );
      }
    }
  } catch (error) {
    destroy();
    throw error;
  }
  return {
    stages,
    readRestarts: counters.length === 0
      ? undefined
      : async () => (await Promise.all(counters.map((read) => read()))).reduce((a, b) => a + b),
    destroy,
  };
}

/** Buffers of packed queries from the first one of a turn on, of one key head if there are several turns. */
export function packedOfTurn({ gathered }: NsaPlan, turn: number) {
  const { sizes: { turns, group }, headDim, dtype } = gathered;
  const first = turns[turn].first * group;
  return {
    /** Rows `[N · G, d]`. */
    rows: (given: BufferSlice) => advance(given, first * headDim * bytesPerElement(dtype)),
    /** Numbers `[N · G]` of 4 bytes. */
    numbers: (given: BufferSlice) => advance(given, 4 * first),
  };
}

/** Sizes of queries in the packed order. */
export function packedSizes({ rows, group }: NsaPlan) {
  return { rows, group, packed: rows * group };
}
