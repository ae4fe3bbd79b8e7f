/**
 * A layer that attends to blocks of keys that each query selects, all heads: selection, attention
 * over gathered queries, and its gradients, one block of heads after another.
 *
 * @module
 */
import {
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  headsPerBlock,
  readBuffer,
  slice,
  type Tensor,
  type TensorShape,
} from "../../gpu/buffers.ts";
import {
  denseBackwardBytes,
  denseForwardBytes,
} from "../../dense_attention/dense_attention_cost.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { requirePositive } from "../../gpu/require.ts";
import { type Stage, Timer } from "../../gpu/timing.ts";
import type {
  GatheredCuts,
  ImplementationPlan,
  LayerInputs,
  Prepared,
  Problem,
  StagePlan,
} from "../../implementation.ts";
import { directionParts, requireLayerInputs } from "../../layer_inputs.ts";
import { cutHeads, firstHeads, fittingHeads, headsOf } from "../head_blocks.ts";
import { mostBytes, sum, totalPlan } from "../../layer_plan.ts";
import { bindGatheredBackward, gradientSources } from "../gathered_queries/gathered_backward.ts";
import {
  bindGatheredForward,
  createGatheredMemory,
  type GatheredMemory,
  keepsQueries,
} from "../gathered_queries/gathered_forward.ts";
import { BLOCK_UNIT, type GatheredPlan, planGathered } from "../gathered_queries/gathered_plan.ts";
import { describeTurns } from "../gathered_queries/turns.ts";
import { bindSelection, planSelection, type SelectionPlan } from "../selectors/block_selection.ts";

/** Blocks of the layer: those that a query selects, its own included. */
export interface BlockOptions {
  /** Keys of a block. */
  readonly block: number;
  /** Blocks that a query selects. */
  readonly count: number;
}

/** Plans of one block of heads. */
interface BlockPlan {
  readonly heads: number;
  readonly selection: SelectionPlan;
  readonly gathered: GatheredPlan;
}

/** A layer's plan and those of its blocks of heads. */
interface LayerPlan {
  readonly plan: ImplementationPlan;
  readonly blocks: readonly BlockPlan[];
}

/**
 * The options as the kernels use them: no block longer than the context, no more blocks than there
 * are.
 */
function effective({ block, count }: BlockOptions, rows: number): BlockOptions {
  const own = Math.min(block, Math.ceil(rows / (2 * BLOCK_UNIT)) * 2 * BLOCK_UNIT);
  return { block: own, count: Math.min(count, Math.ceil(rows / own)) };
}

/** Plans all blocks of heads. */
export function planBlockLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { shape, direction }: Problem,
  options: BlockOptions & {
    readonly flopsPerDispatch?: number;
    readonly cuts?: GatheredCuts;
    /** Heads of each block of the tensors. Default: as many as fit. */
    readonly tensorHeads?: readonly number[];
  },
): LayerPlan {
  const { heads, context: rows, headDim, dtype } = shape;
  const parts = directionParts(direction);
  const { block, count } = effective(options, rows);
  const planBlock = (own: number): BlockPlan => ({
    heads: own,
    selection: planSelection(gpu.capabilities, {
      heads: own,
      group: 1,
      rows,
      headDim,
      dtype,
      block,
      count,
    }),
    gathered: planGathered(gpu, {
      heads: own,
      rows,
      headDim,
      dtype,
      block,
      count,
      backward: parts.backward,
      flopsPerDispatch: options.flopsPerDispatch,
      cuts: options.cuts,
    }),
  });
  const most = headsPerBlock(gpu, [{ heads, rows, dim: headDim, dtype }]);
  const fitting = (most: number) => fittingHeads(planBlock, { most, group: 1 });
  const blockHeads = options.tensorHeads
    ? options.tensorHeads.flatMap((own) => cutHeads(own, { most: fitting(own) }))
    : cutHeads(heads, { most: fitting(most) });
  const blocks = blockHeads.map(planBlock);
  return { plan: describe(blocks, { shape, direction }, blockHeads[0]), blocks };
}

function describe(
  blocks: readonly BlockPlan[],
  { shape, direction }: Problem,
  headBlock: number,
): ImplementationPlan {
  const { heads, context: rows, headDim, dtype } = shape;
  const parts = directionParts(direction);
  const size = { heads, rows, headDim, dtype };
  const tensor = heads * rows * headDim * bytesPerElement(dtype);
  const [{ gathered }] = blocks;
  const product = 2 * headDim * sum(blocks.map(({ gathered }) => gathered.heads)) *
    gathered.sizes.pairs;
  const lists = sum(blocks.map(({ selection }) => selection.bytes.lists));
  const { forward, gradients, sizes } = gathered;
  const padding = (sizes.packed / sizes.entries / sizes.group).toFixed(2);
  const stages: StagePlan[] = [];
  if (parts.forward) {
    stages.push({
      name: "select",
      flops: sum(blocks.map(({ selection }) => selection.flops)),
      bytes: 2 * tensor + lists,
      variant: `the best ${sizes.count} of ${sizes.blocks} blocks`,
    }, {
      name: "attention",
      flops: 2 * product,
      bytes: denseForwardBytes(size) + 4 * heads * rows + lists,
      variant: `${forward.variant.split(",")[0]}, lists padded to ${padding} × the entries${
        describeTurns(sizes)
      }`,
    });
  }
  const names = ["q", "k", "v", "output"];
  const statistics = ["log-sum-exp"];
  if (parts.backward) {
    stages.push({
      name: "attention-backward",
      flops: 5 * product,
      bytes: denseBackwardBytes(size),
      variant: gradients!.variant,
    });
    names.push("output gradient", "q gradient", "k gradient", "v gradient");
    statistics.push("delta");
  }
  const scratch = mostBytes(blocks.map(({ gathered }) => gathered.scratchBytes));
  const scores = mostBytes(blocks.map(({ selection: { bytes: { means, scores } } }) => ({
    means,
    scores,
  })));
  const buffers = [
    ...names.map((name) => ({ name, bytes: tensor })),
    ...statistics.map((name) => ({ name, bytes: heads * rows * 4 })),
    { name: "scores of blocks", bytes: sum(Object.values(scores)) },
    {
      name: "lists of queries",
      bytes: sum(blocks.flatMap(({ gathered }) => Object.values(gathered.listBytes))),
    },
    { name: `gathered queries${describeTurns(sizes)}`, bytes: sum(Object.values(scratch)) },
  ];
  return totalPlan({ stages, buffers, headsPerBlock: headBlock });
}

/** Compiles the kernels of attention ahead. */
export function compileBlockLayer(
  gpu: Gpu,
  problem: Problem,
  options: BlockOptions,
): Promise<unknown> {
  const [{ gathered }] = planBlockLayer(gpu, problem, options).blocks;
  const { forward, gradients } = gathered;
  const sources = gradients ? Object.values(gradientSources(gathered)) : [];
  return Promise.all([forward.pipeline, ...sources].map((source) => createPipeline(gpu, source)));
}

/** Allocates, compiles and binds the layer. */
export async function prepareBlockLayer(
  gpu: Gpu,
  problem: Problem,
  options: BlockOptions & {
    readonly name: string;
    readonly inputs: LayerInputs;
    readonly flopsPerDispatch?: number;
    readonly cuts?: GatheredCuts;
  },
): Promise<Prepared> {
  const { inputs, flopsPerDispatch, name } = options;
  const action = `prepare ${name}`;
  requireLayerInputs(gpu, action, { problem, inputs });
  requirePositive(action, "flopsPerDispatch", flopsPerDispatch);
  const { heads, context: rows, headDim: dim, dtype } = problem.shape;
  const parts = directionParts(problem.direction);
  const headBlock = inputs.q.blocks[0].heads;
  // Inputs may come in other blocks of heads than a plan would cut.
  const { plan, blocks } = planBlockLayer(gpu, problem, {
    ...options,
    tensorHeads: inputs.q.blocks.map((block) => block.heads),
  });
  const { own, destroy } = collectOwned();
  const allocate = async (label: string, shape: Partial<TensorShape> = {}, each = headBlock) =>
    own(
      await createTensor(gpu, { heads, rows, dim, dtype, ...shape }, {
        label,
        headsPerBlock: each,
      }),
    );
  const allocateAll = async (bytes: Readonly<Record<string, number>>) => {
    const made: Record<string, ReturnType<typeof slice>> = {};
    for (const [label, size] of Object.entries(bytes)) {
      made[label] = slice(own(await createStorageBuffer(gpu, size, { label })));
    }
    return made;
  };
  const statistic = { dim: 1, dtype: "f32" } as const;
  try {
    const output = await allocate("output");
    const lse = await allocate("log-sum-exp", statistic, blocks[0].heads);
    const gradients = parts.backward
      ? {
        q: await allocate("q gradient"),
        k: await allocate("k gradient"),
        v: await allocate("v gradient"),
      }
      : undefined;
    const delta = parts.backward ? await allocate("delta", statistic, blocks[0].heads) : undefined;
    const scratch = await allocateAll(mostBytes(blocks.map((b) => b.gathered.scratchBytes)));
    const scores = await allocateAll(mostBytes(blocks.map(({ selection: { bytes } }) => ({
      means: bytes.means,
      scores: bytes.scores,
    }))));
    const memories: GatheredMemory[] = [];
    const dispatches: Record<string, Dispatch[]> = { select: [], attention: [], backward: [] };
    const counters: (() => Promise<number>)[] = [];
    const firsts = firstHeads(blocks);
    for (const [i, { selection, gathered }] of blocks.entries()) {
      const at = (tensor: Tensor) =>
        headsOf(action, tensor, { firstHead: firsts[i], heads: blocks[i].heads });
      const memory = own(await createGatheredMemory(gpu, gathered, { scratch }));
      memories.push(memory);
      const [q, k, v, o, sums] = [inputs.q, inputs.k, inputs.v, output, lse].map(at);
      const select = own(
        await bindSelection(gpu, selection, {
          q,
          k,
          means: scores.means,
          scores: scores.scores,
          lists: memory.lists.lists,
        }),
      );
      const forward = own(
        await bindGatheredForward(gpu, gathered, { memory, q, k, v, output: o, lse: sums }),
      );
      if (forward.readRestarts) counters.push(forward.readRestarts);
      dispatches.select.push(...select.dispatches);
      dispatches.attention.push(...forward.dispatches);
      if (!gradients || !delta) continue;
      const backward = own(
        await bindGatheredBackward(gpu, gathered, {
          memory,
          q: blocks.length === 1 && keepsQueries(gathered) ? undefined : q,
          k,
          v,
          output: o,
          lse: sums,
          outputGradient: at(inputs.outputGradient!),
          delta: at(delta),
          queryGradient: at(gradients.q),
          keyGradient: at(gradients.k),
          valueGradient: at(gradients.v),
        }),
      );
      dispatches.backward.push(...backward.dispatches);
    }
    const timer = own(new Timer(gpu));
    const before: Stage[] = [
      { name: "select", dispatches: dispatches.select },
      { name: "attention", dispatches: dispatches.attention },
    ];
    const after: Stage[] = gradients
      ? [{ name: "attention-backward", dispatches: dispatches.backward }]
      : [];
    const stages = [...parts.forward ? before : [], ...after];
    if (!parts.forward) await timer.run(before);
    return {
      plan,
      stages: stages.map(({ name }) => name),
      execute: (run) => timer.run(stages, run),
      readRestarts: parts.forward && counters.length > 0
        ? async () => sum(await Promise.all(counters.map((read) => read())))
        : undefined,
      outputs: {
        output,
        lse,
        gradients,
        readSelection: () => readLists(gpu, { memories, blocks, rows, width: options.count }),
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Selected blocks `[heads, rows, width]`, padded with -1. */
async function readLists(
  gpu: Gpu,
  { memories, blocks, rows, width }: {
    readonly memories: readonly GatheredMemory[];
    readonly blocks: readonly BlockPlan[];
    readonly rows: number;
    readonly width: number;
  },
): Promise<Int32Array> {
  const heads = sum(blocks.map((block) => block.heads));
  const all = new Int32Array(heads * rows * width).fill(-1);
  let list = 0;
  for (const [i, { heads, selection: { count } }] of blocks.entries()) {
    const size = 4 * heads * rows * count;
    const bytes = await readBuffer(gpu, { ...memories[i].lists.lists, size });
    const found = new Int32Array(bytes.buffer);
    for (let row = 0; row < heads * rows; row++, list++) {
      all.set(found.subarray(row * count, (row + 1) * count), list * width);
    }
  }
  return all;
}
