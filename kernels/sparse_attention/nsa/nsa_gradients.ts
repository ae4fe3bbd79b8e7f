/**
 * The gradients of NSA for one block of heads, bound to buffers. Gates are folded into the log-sum-exp of
 * each branch (`gate_statistics.wgsl`), so all branches read dO itself, and delta is the gradient of the
 * gate.
 *
 * @module
 */
import { deltaSource } from "../../dense_attention/delta_pass.ts";
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned, type Owned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { apartSources, bindApartBackward } from "../apart/apart_backward.ts";
import { bindDeltaRows } from "../gathered_queries/delta_rows.ts";
import { gradientSources } from "../gathered_queries/gathered_backward.ts";
import { headRanges } from "../gathered_queries/gathered_forward.ts";
import { apartShape } from "../gathered_queries/gathered_plan.ts";
import { gatheredWalk } from "../gathered_queries/gathered_walk.ts";
import { bindGather, bindStatistics, type HeadRange } from "../gathered_queries/packing.ts";
import {
  advance,
  bindTurnSums,
  listsOfTurn,
  numbersOfTurn,
  rowsOfTurn,
  turnsOf,
} from "../gathered_queries/turns.ts";
import {
  bindGateStatistics,
  bindMergeKeyGradients,
  bindMergeQueryGradients,
} from "./nsa_passes.ts";
import type { BranchPlan, NsaPlan } from "./nsa_plan.ts";

import { branchPart, type NsaBuffers, packedSizes } from "./nsa_binding.ts";

/** Buffers of the gradients. */
export interface NsaGradientBuffers {
  readonly outputGradient: BufferSlice;
  readonly queryGradient: BufferSlice;
  readonly keyGradient: BufferSlice;
  readonly valueGradient: BufferSlice;
}

/** Binds the backward pass, after the forward pass. */
export async function bindNsaBackward(
  gpu: Gpu,
  plan: NsaPlan,
  b: NsaBuffers & NsaGradientBuffers,
): Promise<{ readonly dispatches: readonly Dispatch[]; readonly destroy: () => void }> {
  const { gathered, compressed, sliding, heads, rows, strides } = plan;
  const { sizes, headDim, dtype } = gathered;
  const { lists, scratch } = b;
  const { own, destroy } = collectOwned();
  const dispatches: Dispatch[] = [];
  try {
    const part = (buffer: BufferSlice, branch: number) =>
      branchPart(buffer, { branch, stride: 4 * strides.rows, size: 4 * strides.rows });
    for (let branch = 0; branch < 3; branch++) {
      const stride = 16 * strides.tensor;
      const delta = own(
        await bindDeltaRows(gpu, {
          source: deltaSource({ heads: 1, rows: 1, headDim, dtype, gradientType: dtype }),
          rows: heads * rows,
          headDim,
          dtype,
          slices: [
            branchPart(b.own.branches, { branch, stride, size: stride }),
            b.outputGradient,
            part(b.own.gateGradients, branch),
          ],
        }),
      );
      dispatches.push(...delta.dispatches);
    }
    dispatches.push(
      await bindGateStatistics(gpu, plan, {
        slices: [b.gates, b.own.lse, b.own.gatedLse],
        strides,
        own,
      }),
    );
    const passes = await Promise.all(
      [compressed, sliding].map((branch) => createBranchPasses(gpu, plan, branch)),
    );
    const walks = await Promise.all(
      [compressed, sliding].map(async ({ walkOf, gradients }) =>
        own(await walkOf(1).create(gpu, gradients!.tiles.query))
      ),
    );
    const selectedSources = gradientSources(gathered);
    const [query, keyValue] = await Promise.all(
      [selectedSources.query, selectedSources.keyValue].map((one) => createPipeline(gpu, one)),
    );
    const selectedWalks = await Promise.all(
      turnsOf(gathered).map(async (turn) => {
        const { tables } = listsOfTurn(gathered, turn, lists);
        const walk = gatheredWalk(sizes, { heads: 1, tables, turn });
        return own(await walk.create(gpu, gathered.gradients!.tiles.query));
      }),
    );
    for (const range of headRanges(gathered)) {
      const shared = { headDim, dtype, range };
      const pack = own(
        await bindGather(gpu, {
          ...shared,
          sizes: packedSizes(plan),
          sources: b.own.identity,
          tensors: [[b.q, scratch.packedQueries], [b.outputGradient, scratch.packedGradients]],
        }),
      );
      dispatches.push(...pack.dispatches);
      for (const [i, branch] of [compressed, sliding].entries()) {
        const statistics = own(
          await bindStatistics(gpu, {
            sizes: packedSizes(plan),
            range,
            sources: b.own.identity,
            lse: part(b.own.gatedLse, 2 * i),
            delta: part(b.own.gateGradients, 2 * i),
            entryLse: scratch.branchLse,
            entryDelta: scratch.branchDelta,
          }),
        );
        const tiled = bindApartBackward(gpu, branch.gradients!, {
          shape: branch.shapeOf(range.heads),
          pipelines: passes[i],
          buffers: {
            q: scratch.packedQueries,
            k: i === 0 ? b.own.compressedKeys : b.k,
            v: i === 0 ? b.own.compressedValues : b.v,
            outputGradient: scratch.packedGradients,
            lse: scratch.branchLse,
            delta: scratch.branchDelta,
            queryGradient: i === 0 ? scratch.compressedResults : scratch.slidingResults,
            keyGradient: i === 0 ? b.own.compressedKeyGradients : b.own.slidingKeyGradients,
            valueGradient: i === 0 ? b.own.compressedValueGradients : b.own.slidingValueGradients,
            scratch,
          },
          walk: walks[i].slices(range.firstHead),
          own,
        });
        dispatches.push(...statistics.dispatches, ...tiled);
      }
      for (const turn of turnsOf(gathered)) {
        const packed = (given: BufferSlice) =>
          advance(given, 4 * sizes.turns[turn].first * sizes.group * headDim);
        dispatches.push(
          ...await bindSelected(gpu, plan, {
            b,
            range,
            turn,
            pipelines: { query, keyValue },
            walk: selectedWalks[turn].slices(range.firstHead),
            statistics: { lse: part(b.own.gatedLse, 1), delta: part(b.own.gateGradients, 1) },
            own,
          }),
          await bindMergeQueryGradients(gpu, plan, {
            range,
            lists: sizes,
            turn,
            reads: [
              listsOfTurn(gathered, turn, lists).places,
              scratch.results,
              packed(scratch.compressedResults),
              packed(scratch.slidingResults),
            ],
            writes: [rowsOfTurn(gathered, turn)(b.queryGradient)],
            own,
          }),
        );
      }
    }
    dispatches.push(
      ...await bindMergeKeyGradients(gpu, plan, {
        tensors: [
          [
            b.own.selectedKeyGradients,
            b.own.slidingKeyGradients,
            b.own.compressedKeyGradients,
            b.keyGradient,
          ],
          [
            b.own.selectedValueGradients,
            b.own.slidingValueGradients,
            b.own.compressedValueGradients,
            b.valueGradient,
          ],
        ],
        own,
      }),
    );
  } catch (error) {
    destroy();
    throw error;
  }
  return { dispatches, destroy };
}

/** Compiles the backward passes of a branch. */
async function createBranchPasses(gpu: Gpu, plan: NsaPlan, branch: BranchPlan) {
  const { headDim, dtype } = plan;
  const sources = apartSources(branch.gradients!, {
    walk: branch.walkOf(1),
    headDim,
    dtype,
    keyResultType: "f32",
  });
  const [query, keyValue] = await Promise.all(
    [sources.query, sources.keyValue].map((one) => createPipeline(gpu, one)),
  );
  return { query, keyValue };
}

/** The selected branch of some key heads in a turn. */
async function bindSelected(
  gpu: Gpu,
  { gathered }: NsaPlan,
  { b, range, turn, pipelines, walk, statistics, own }: {
    readonly b: NsaBuffers & NsaGradientBuffers;
    readonly range: HeadRange;
    readonly turn: number;
    readonly pipelines: Parameters<typeof bindApartBackward>[2]["pipelines"];
    readonly walk: readonly BufferSlice[];
    readonly statistics: { readonly lse: BufferSlice; readonly delta: BufferSlice };
    readonly own: Owned["own"];
  },
): Promise<Dispatch[]> {
  const { sizes, headDim, dtype } = gathered;
  const { lists, scratch } = b;
  const { sources } = listsOfTurn(gathered, turn, lists);
  const [rows, numbers] = [rowsOfTurn(gathered, turn), numbersOfTurn(gathered, turn)];
  const sums = [b.own.selectedKeyGradients, b.own.selectedValueGradients] as const;
  const { entryLse, entryDelta } = scratch;
  const gather = own(
    await bindGather(gpu, {
      sizes,
      headDim,
      dtype,
      range,
      sources,
      tensors: [
        [rows(b.q), scratch.queries],
        [rows(b.outputGradient), scratch.outputGradients],
      ],
    }),
  );
  const entries = own(
    await bindStatistics(gpu, {
      sizes,
      range,
      sources,
      lse: numbers(statistics.lse),
      delta: numbers(statistics.delta),
      entryLse,
      entryDelta,
    }),
  );
  const summed = own(await bindTurnSums(gpu, gathered, { turn, range, sums, scratch }));
  const tiled = bindApartBackward(gpu, gathered.gradients!, {
    shape: apartShape(gathered, range.heads),
    pipelines,
    buffers: {
      q: scratch.queries,
      k: b.k,
      v: b.v,
      outputGradient: scratch.outputGradients,
      lse: entryLse,
      delta: entryDelta,
      queryGradient: scratch.results,
      keyGradient: summed.part[0],
      valueGradient: summed.part[1],
      scratch,
    },
    walk,
    own,
  });
  return [
    ...gather.dispatches,
    ...entries.dispatches,
    ...summed.clear,
    ...tiled,
    ...summed.add,
  ];
}
