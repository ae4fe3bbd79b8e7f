/**
 * The gradients of NSA for one block of heads, bound to buffers. Gates are folded into the
 * log-sum-exp of each branch (`gate_statistics.wgsl`), so all branches read dO itself, and delta is
 * the gradient of the gate.
 *
 * @module
 */
import { deltaSource } from "../../dense_attention/delta_pass.ts";
import type { TileWalk } from "../../dense_attention/tile_walk.ts";
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned, type Owned } from "../../gpu/owned.ts";
import { apartSources, bindApartBackward, createApartPasses } from "../apart/apart_backward.ts";
import { bindDeltaRows } from "../gathered_queries/delta_rows.ts";
import { bindTurnGradients, gradientSources } from "../gathered_queries/gathered_backward.ts";
import { headRanges } from "../gathered_queries/gathered_forward.ts";
import { gatheredWalk } from "../gathered_queries/gathered_walk.ts";
import { bindGather, bindStatistics } from "../gathered_queries/packing.ts";
import {
  bindTurnSums,
  listsOfTurn,
  numbersOfTurn,
  rowsOfTurn,
  turnsOf,
} from "../gathered_queries/turns.ts";
import {
  bindBranchDelta,
  bindGateStatistics,
  bindMergeKeyGradients,
  bindMergeQueryGradients,
} from "./nsa_passes.ts";
import { branchesOfTurn, type BranchPlan, type NsaPlan } from "./nsa_plan.ts";

import { branchPart, type NsaBuffers, packedFrom, packedSizes } from "./nsa_binding.ts";

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
  const { gathered, compressed, sliding, sweeps, strides } = plan;
  const { sizes, headDim, dtype } = gathered;
  const { lists, scratch } = b;
  const { own, destroy } = collectOwned();
  const dispatches: Dispatch[] = [];
  try {
    const part = (buffer: BufferSlice, branch: number) =>
      branchPart(buffer, { branch, stride: 4 * strides.rows, size: 4 * strides.rows });
    for (let branch = 0; branch < 3; branch++) {
      dispatches.push(...await bindDeltas(gpu, plan, { b, branch, own }));
    }
    dispatches.push(
      await bindGateStatistics(gpu, plan, {
        slices: [b.gates, b.own.lse, b.own.gatedLse],
        strides,
        own,
      }),
    );
    const walks: WalkBuffers[][] = [];
    for (let sweep = 0; sweep < sweeps.length; sweep++) {
      const made: WalkBuffers[] = [];
      for (const { walkOf, gradients } of [compressed, sliding]) {
        made.push(own(await walkOf(1, sweep).create(gpu, gradients![sweep].tiles.query)));
      }
      walks.push(made);
    }
    const pipelines = await createApartPasses(gpu, gradientSources(gathered));
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
      for (const [sweep, { first, turns }] of sweeps.entries()) {
        const ofSweep = packedFrom(plan, first);
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
          const summed = own(
            await bindTurnSums(gpu, { ...gathered, sizes: { ...sizes, turns: sweeps } }, {
              turn: sweep,
              range,
              sums: i === 0
                ? [b.own.compressedKeyGradients, b.own.compressedValueGradients]
                : [b.own.slidingKeyGradients, b.own.slidingValueGradients],
              scratch,
              keys: branch.shapeOf(1, sweep).keys,
            }),
          );
          const tiled = bindApartBackward(gpu, branch.gradients![sweep], {
            shape: branch.shapeOf(range.heads, sweep),
            pipelines: await createBranchPasses(gpu, plan, { branch, sweep }),
            buffers: {
              q: ofSweep.rows(scratch.packedQueries),
              k: i === 0 ? b.own.compressedKeys : b.k,
              v: i === 0 ? b.own.compressedValues : b.v,
              outputGradient: ofSweep.rows(scratch.packedGradients),
              lse: ofSweep.numbers(scratch.branchLse),
              delta: ofSweep.numbers(scratch.branchDelta),
              queryGradient: i === 0 ? scratch.compressedResults : scratch.slidingResults,
              keyGradient: summed.part[0],
              valueGradient: summed.part[1],
              scratch,
            },
            walk: walks[sweep][i].slices(range.firstHead),
            own,
          });
          dispatches.push(...statistics.dispatches, ...summed.clear, ...tiled, ...summed.add);
        }
        for (const turn of turns) {
          const { results } = packedFrom(plan, sizes.turns[turn].first - first);
          dispatches.push(
            ...await bindTurnGradients(gpu, gathered, {
              turn,
              range,
              buffers: { ...b, lse: part(b.own.gatedLse, 1), delta: part(b.own.gateGradients, 1) },
              lists,
              scratch,
              sums: [b.own.selectedKeyGradients, b.own.selectedValueGradients],
              pipelines,
              walk: selectedWalks[turn].slices(range.firstHead),
              own,
            }),
            await bindMergeQueryGradients(gpu, plan, {
              range,
              lists: sizes,
              turn,
              reads: [
                listsOfTurn(gathered, turn, lists).places,
                scratch.results,
                results(scratch.compressedResults),
                results(scratch.slidingResults),
              ],
              writes: [rowsOfTurn(gathered, turn)(b.queryGradient)],
              own,
            }),
          );
        }
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

/** Walks of the compressed branch and of the window. */
type WalkBuffers = Awaited<ReturnType<TileWalk["create"]>>;

/** Binds the deltas of a branch: the gradient of its gate. */
async function bindDeltas(
  gpu: Gpu,
  plan: NsaPlan,
  { b, branch, own }: {
    readonly b: NsaBuffers & NsaGradientBuffers;
    readonly branch: number;
    readonly own: Owned["own"];
  },
): Promise<readonly Dispatch[]> {
  const { gathered, heads, rows, headDim, dtype, strides } = plan;
  const stride = 16 * strides.tensor;
  const numbers = { branch, stride: 4 * strides.rows, size: 4 * strides.rows };
  const gradients = branchPart(b.own.gateGradients, numbers);
  const outputsOf = (turn: number) =>
    branchPart(b.own[branchesOfTurn(turn)], { branch, stride, size: stride });
  const { turns } = gathered.sizes;
  if (turns.length === 1) {
    const delta = await bindDeltaRows(gpu, {
      source: deltaSource({ heads: 1, rows: 1, headDim, dtype, gradientType: dtype }),
      rows: heads * rows,
      headDim,
      dtype,
      slices: [outputsOf(0), b.outputGradient, gradients],
    });
    return own(delta).dispatches;
  }
  const dispatches: Dispatch[] = [];
  for (const [turn, { first, end }] of turns.entries()) {
    const slices = [
      outputsOf(turn),
      rowsOfTurn(gathered, turn)(b.outputGradient),
      numbersOfTurn(gathered, turn)(gradients),
    ];
    dispatches.push(await bindBranchDelta(gpu, plan, { queries: end - first, slices, own }));
  }
  return dispatches;
}

/** Compiles the backward passes of a branch in a sweep. */
async function createBranchPasses(
  gpu: Gpu,
  plan: NsaPlan,
  { branch, sweep }: { readonly branch: BranchPlan; readonly sweep: number },
) {
  const { headDim, dtype } = plan;
  const sources = apartSources(branch.gradients![sweep], {
    walk: branch.walkOf(1, sweep),
    headDim,
    dtype,
    keyResultType: "f32",
  });
  return await createApartPasses(gpu, sources);
}
