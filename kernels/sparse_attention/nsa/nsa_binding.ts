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
import {
  bindEntryQueries,
  createForward,
  headRanges,
  leavesSums,
} from "../gathered_queries/gathered_forward.ts";
import { bindGather } from "../gathered_queries/packing.ts";
import { bindLists } from "../gathered_queries/query_lists.ts";
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

/** The forward kernels of the branches for some key heads. */
interface Launches {
  /** Of each sweep. */
  readonly compress: readonly Launch[];
  /** Of each turn. */
  readonly gather: readonly Launch[];
  /** Of each sweep. */
  readonly slide: readonly Launch[];
}

/** Compiles a branch's forward kernel for some key heads in a sweep. */
async function createBranch(
  gpu: Gpu,
  branch: BranchPlan,
  { heads, sweep }: { readonly heads: number; readonly sweep: number },
): Promise<Launch> {
  const forward = branch.forward[sweep];
  const share = heads / forward.heads;
  const ranges = forward.ranges.map((range) => ({ ...range, flops: range.flops * share }));
  return await createLaunch(gpu, { ...forward, heads, walk: branch.walkOf(heads, sweep), ranges }, {
    resultRows: forward.rows,
    rowStride: 1,
    results: ["o", "log-sum-exp"],
  });
}

/** Binds the forward pass. */
export async function bindNsaForward(gpu: Gpu, plan: NsaPlan, b: NsaBuffers): Promise<BoundNsa> {
  const { gathered, compressed, sliding, sweeps, tokens, strides, backward } = plan;
  const { ranking: kernel } = plan;
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
    const kernels = new Map<number, Launches>();
    const kernelsOf = async (heads: number): Promise<Launches> => {
      const found = kernels.get(heads);
      if (found) return found;
      const made = { compress: [] as Launch[], gather: [] as Launch[], slide: [] as Launch[] };
      for (let sweep = 0; sweep < sweeps.length; sweep++) {
        made.compress.push(own(await createBranch(gpu, compressed, { heads, sweep })));
        made.slide.push(own(await createBranch(gpu, sliding, { heads, sweep })));
      }
      for (const turn of turnsOf(gathered)) {
        const { tables, sources } = listsOfTurn(gathered, turn, lists);
        made.gather.push(
          own(await createForward(gpu, gathered, { heads, tables, sources, turn })),
        );
      }
      kernels.set(heads, made);
      const launches = Object.values(made).flat();
      counters.push(...launches.flatMap(({ readRestarts }) => readRestarts ?? []));
      return made;
    };
    for (const range of headRanges(gathered)) {
      const { compress, gather, slide } = await kernelsOf(range.heads);
      const shared = { headDim, dtype, range };
      const pack = own(
        await bindGather(gpu, {
          ...shared,
          sizes: packedSizes(plan),
          sources: b.own.identity,
          tensors: [[b.q, scratch.packedQueries]],
        }),
      );
      for (const [i, sweep] of sweeps.entries()) {
        const statistics = [0, 1].map((branch) => statisticsOf(plan, scratch, branch));
        const ofSweep = packedFrom(plan, sweep.first);
        const packed = ofSweep.rows(scratch.packedQueries);
        const ranking = await bindRanking(gpu, plan, {
          kernel,
          range,
          queriesOf: sweep,
          tokens,
          queries: scratch.packedQueries,
          compressedKeys: b.own.compressedKeys,
          lse: statistics[0],
          weights: scratch.weights,
          importances: scratch.importances,
          lists: lists.lists,
          own,
        });
        const branches = [
          ...i === 0 ? pack.dispatches : [],
          ...compress[i].bind([
            packed,
            b.own.compressedKeys,
            b.own.compressedValues,
            scratch.compressedResults,
            ofSweep.numbers(statistics[0]),
          ], range.firstHead),
          ...slide[i].bind(
            [packed, b.k, b.v, scratch.slidingResults, ofSweep.numbers(statistics[1])],
            range.firstHead,
          ),
        ];
        stages.push(
          { name: "attention", dispatches: branches },
          { name: "select", dispatches: ranking },
        );
        for (const turn of sweep.turns) {
          const ofTurn = listsOfTurn(gathered, turn, lists);
          const { sources, places } = ofTurn;
          const { bits, before } = scratch;
          const { first } = sizes.turns[turn];
          const [ofRows, numbers] = [rowsOfTurn(gathered, turn), numbersOfTurn(gathered, turn)];
          const inSweep = packedFrom(plan, first - sweep.first);
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
            sums: leavesSums(gathered),
            strides,
            reads: [
              places,
              scratch.results,
              scratch.entryStatistics,
              inSweep.results(scratch.compressedResults),
              inSweep.results(scratch.slidingResults),
              packedFrom(plan, first).numbers(scratch.statistics),
              advance(b.gates, 3 * 4 * first),
            ],
            writes: [ofRows(b.output), b.own[branchesOfTurn(turn)], numbers(b.own.lse)],
            own,
          });
          stages.push({
            name: "attention",
            dispatches: [
              ...inverted.dispatches,
              ...entries.dispatches,
              ...gather[turn].bind(
                [entries.queries, b.k, b.v, scratch.results, scratch.entryStatistics],
                range.firstHead,
              ),
              merge,
            ],
          });
        }
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

/** Buffers of packed queries from a query on; of one key head unless that is the first query. */
export function packedFrom({ gathered }: NsaPlan, query: number) {
  const { sizes: { group }, headDim, dtype } = gathered;
  const first = query * group;
  return {
    /** Rows `[N · G, d]`. */
    rows: (given: BufferSlice) => advance(given, first * headDim * bytesPerElement(dtype)),
    /** Rows `[N · G, d]` f32. */
    results: (given: BufferSlice) => advance(given, first * headDim * 4),
    /** Numbers `[N · G]` of 4 bytes. */
    numbers: (given: BufferSlice) => advance(given, 4 * first),
  };
}

/** Sizes of queries in the packed order. */
export function packedSizes({ rows, group }: NsaPlan) {
  return { rows, group, packed: rows * group };
}
