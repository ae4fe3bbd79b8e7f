/**
 * The backward pass of attention over gathered queries, bound. `gathered_plan.ts` explains it; the
 * tiled passes are those of dense attention with a walk.
 *
 * @module
 */
import { deltaSource } from "../../dense_attention/delta_pass.ts";
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned, type Owned } from "../../gpu/owned.ts";
import {
  type ApartSources,
  apartSources,
  bindApartBackward,
  createApartPasses,
} from "../apart/apart_backward.ts";
import { bindDeltaRows } from "./delta_rows.ts";
import {
  type BoundGathered,
  type GatheredBuffers,
  type GatheredMemory,
  headRanges,
} from "./gathered_forward.ts";
import { apartShape, type GatheredPlan } from "./gathered_plan.ts";
import { gatheredWalk } from "./gathered_walk.ts";
import { bindEntries, bindMergeGradients, type HeadRange } from "./packing.ts";
import { bindTurnSums, listsOfTurn, numbersOfTurn, rowsOfTurn, turnsOf } from "./turns.ts";

/** The shaders of the two tiled passes. */
export function gradientSources(plan: GatheredPlan): ApartSources {
  const { gradients, sizes, headDim, dtype } = plan;
  if (!gradients) throw new TypeError("plan gradients of gathered queries: not asked for");
  const walk = gatheredWalk(sizes, { heads: 1 });
  return apartSources(gradients, { walk, headDim, dtype, keyResultType: plan.keyResultType });
}

/** Buffers of one block of heads. */
interface BackwardBuffers {
  readonly memory: GatheredMemory;
  /** Absent if the forward pass has left the gathered queries in the scratch: `keepsQueries`. */
  readonly q?: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  readonly output: BufferSlice;
  readonly lse: BufferSlice;
  readonly outputGradient: BufferSlice;
  /** `[heads, N]` f32, scratch. */
  readonly delta: BufferSlice;
  readonly queryGradient: BufferSlice;
  readonly keyGradient: BufferSlice;
  readonly valueGradient: BufferSlice;
}

/** Binds the backward pass of a block of heads, after its forward pass. */
export async function bindGatheredBackward(
  gpu: Gpu,
  plan: GatheredPlan,
  b: BackwardBuffers,
): Promise<BoundGathered> {
  const { sizes, headDim, dtype, gradients } = plan;
  const { lists, scratch } = b.memory;
  const { own, destroy } = collectOwned();
  const shaders = gradientSources(plan);
  const dispatches: Dispatch[] = [];
  try {
    const delta = own(
      await bindDeltaRows(gpu, {
        source: deltaSource({ heads: 1, rows: 1, headDim, dtype, gradientType: dtype }),
        rows: plan.heads * sizes.group * sizes.rows,
        headDim,
        dtype,
        slices: [b.output, b.outputGradient, b.delta],
      }),
    );
    dispatches.push(...delta.dispatches);
    const pipelines = await createApartPasses(gpu, shaders);
    const stored = [b.keyGradient, b.valueGradient] as const;
    const sums = plan.rounds ? [scratch.keySums, scratch.valueSums] as const : stored;
    const results = plan.rounds ? stored : undefined;
    for (const turn of turnsOf(plan)) {
      const { tables, places } = listsOfTurn(plan, turn, lists);
      const walk = gatheredWalk(sizes, { heads: 1, tables, turn });
      const walkBuffers = own(await walk.create(gpu, gradients!.tiles.query));
      for (const range of headRanges(plan)) {
        const merge = own(
          await bindMergeGradients(gpu, {
            sizes,
            headDim,
            dtype,
            range,
            turn,
            places,
            entryGradients: scratch.results,
            queryGradient: rowsOfTurn(plan, turn)(b.queryGradient),
          }),
        );
        const tiled = await bindTurnGradients(gpu, plan, {
          turn,
          range,
          buffers: b,
          lists,
          scratch,
          sums,
          results,
          pipelines,
          walk: walkBuffers.slices(range.firstHead),
          own,
        });
        dispatches.push(...tiled, ...merge.dispatches);
      }
    }
  } catch (error) {
    destroy();
    throw error;
  }
  return { dispatches, destroy };
}

/**
 * Binds what gathered queries of some heads in a turn leave: gradients of the entries in
 * `scratch.results`, and sums of dK and dV.
 */
export async function bindTurnGradients(
  gpu: Gpu,
  plan: GatheredPlan,
  { turn, range, buffers: b, lists, scratch, sums, results, pipelines, walk, own }: {
    readonly turn: number;
    readonly range: HeadRange;
    /** Of all queries of the block of heads. */
    readonly buffers: Pick<BackwardBuffers, "q" | "k" | "v" | "outputGradient" | "lse" | "delta">;
    readonly lists: GatheredBuffers;
    readonly scratch: GatheredBuffers;
    readonly sums: readonly [keys: BufferSlice, values: BufferSlice];
    readonly results?: readonly [keys: BufferSlice, values: BufferSlice];
    readonly pipelines: Awaited<ReturnType<typeof createApartPasses>>;
    readonly walk: readonly BufferSlice[];
    readonly own: Owned["own"];
  },
): Promise<readonly Dispatch[]> {
  const { sizes, headDim, dtype } = plan;
  const [rows, numbers] = [rowsOfTurn(plan, turn), numbersOfTurn(plan, turn)];
  const entries = own(
    await bindEntries(gpu, {
      sizes,
      headDim,
      dtype,
      range,
      sources: listsOfTurn(plan, turn, lists).sources,
      q: b.q && rows(b.q),
      outputGradient: rows(b.outputGradient),
      lse: numbers(b.lse),
      delta: numbers(b.delta),
      scratch,
    }),
  );
  const summed = own(await bindTurnSums(gpu, plan, { turn, range, sums, results, scratch }));
  const tiled = bindApartBackward(gpu, plan.gradients!, {
    shape: apartShape(plan, range.heads),
    pipelines,
    buffers: {
      q: scratch.queries,
      k: b.k,
      v: b.v,
      outputGradient: scratch.outputGradients,
      lse: scratch.entryLse,
      delta: scratch.entryDelta,
      queryGradient: scratch.results,
      keyGradient: summed.part[0],
      valueGradient: summed.part[1],
      scratch,
    },
    walk,
    own,
  });
  return [...entries.dispatches, ...summed.clear, ...tiled, ...summed.add];
}
