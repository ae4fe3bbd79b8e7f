/**
 * NSA as a layer: all heads, one block after another, in either direction.
 *
 * @module
 */
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  readBuffer,
  slice,
  type Tensor,
  type TensorShape,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { fillSeeded } from "../../gpu/random.ts";
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
import { groupedHeadsPerBlock, groupOf } from "../../key_heads.ts";
import { directionParts, requireLayerInputs } from "../../layer_inputs.ts";
import { cutHeads, firstHeads, fittingHeads, headsOf } from "../head_blocks.ts";
import { mostBytes, sum, totalPlan } from "../../layer_plan.ts";
import { runByName } from "../named_stages.ts";
import { apartSources } from "../apart/apart_backward.ts";
import { gradientSources } from "../gathered_queries/gathered_backward.ts";
import { describeTurns } from "../gathered_queries/turns.ts";
import { bindNsaForward, branchPart, writeIdentity } from "./nsa_binding.ts";
import { bindNsaBackward } from "./nsa_gradients.ts";
import { type NsaOptions, type NsaPlan, planNsa } from "./nsa_plan.ts";
import { windowCount } from "./branch_walks.ts";

/** Options of the layer that do not depend on the shape. */
export type LayerOptions = Pick<
  NsaOptions,
  "compression" | "block" | "count" | "initial" | "local" | "window"
>;

/** A layer's plan and those of its blocks of heads. */
interface LayerPlan {
  readonly plan: ImplementationPlan;
  readonly blocks: readonly NsaPlan[];
}

/** Plans all blocks of heads. */
export function planNsaLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { shape, direction }: Problem,
  options: LayerOptions & {
    readonly flopsPerDispatch?: number;
    readonly cuts?: GatheredCuts;
    /** Query heads of each block of the tensors. Default: as many as fit. */
    readonly tensorHeads?: readonly number[];
  },
): LayerPlan {
  const { heads, context: rows, headDim, dtype } = shape;
  const group = groupOf(shape);
  const most = groupedHeadsPerBlock(gpu, [{ heads, rows, dim: headDim, dtype }], shape);
  const { tensorHeads, ...own } = options;
  const { backward } = directionParts(direction);
  const planBlock = (count: number) =>
    planNsa(gpu, { ...own, heads: count, group, rows, headDim, dtype, backward });
  const fitting = (most: number) => fittingHeads(planBlock, { most, group });
  const blockHeads = tensorHeads
    ? tensorHeads.flatMap((own) => cutHeads(own, { most: fitting(own), group }))
    : cutHeads(heads, { most: fitting(most), group });
  const blocks = blockHeads.map(planBlock);
  return { plan: describe(blocks, { shape, direction }, blockHeads[0]), blocks };
}

function describe(
  blocks: readonly NsaPlan[],
  { shape, direction }: Problem,
  headBlock: number,
): ImplementationPlan {
  const { heads, context: rows, headDim, dtype } = shape;
  const parts = directionParts(direction);
  const [{ group, compression, count, ranking, compressed, gathered, sliding }] = blocks;
  const keyHeads = heads / group;
  const windows = windowCount(rows, compression);
  const element = bytesPerElement(dtype);
  const queries = heads * rows * headDim * element;
  const keys = keyHeads * rows * headDim * element;
  const pairs = sum(blocks.flatMap((block) => block.pairs));
  // Least bytes: Q, K, V and O once, compressed keys and values written and read, lists, gates.
  const once = 2 * queries + 2 * keys + 4 * keyHeads * windows * headDim * element +
    2 * 4 * keyHeads * rows * count + 3 * 4 * heads * rows + 3 * 4 * heads * rows;
  const stages: StagePlan[] = [];
  const variant = [compressed.forward[0], gathered.forward, sliding.forward[0]].map((forward) =>
    forward.variant.split(",")[0]
  );
  if (parts.forward) {
    const lists = 4 * keyHeads * rows * count;
    const kernel = ranking === "matrix" ? "matrix units" : "portable";
    stages.push({
      name: "select",
      // Scores are counted once, in the compressed branch.
      flops: 0,
      bytes: lists,
      variant: `${kernel}, the best ${count} of ${gathered.sizes.blocks} blocks`,
    }, {
      name: "attention",
      flops: 4 * headDim * pairs,
      bytes: once - lists,
      variant: variant.join("; ") + describeTurns(gathered.sizes),
    });
  }
  const names = ["q", "output"];
  const keyNames = ["k", "v"];
  if (parts.backward) {
    stages.push({
      name: "attention-backward",
      flops: 10 * headDim * pairs,
      bytes: 4 * queries + 4 * keys,
      variant: [
        compressed.gradients![0],
        gathered.gradients!,
        sliding.gradients![0],
      ].map(({ variant }) => variant).join("; ") + describeTurns(gathered.sizes),
    });
    names.push("output gradient", "q gradient");
    keyNames.push("k gradient", "v gradient");
  }
  const buffers = [
    ...names.map((name) => ({ name, bytes: queries })),
    ...keyNames.map((name) => ({ name, bytes: keys })),
    { name: "gates", bytes: 3 * 4 * heads * rows },
    { name: "branches", bytes: sum(blocks.flatMap(({ bytes }) => Object.values(bytes))) },
    {
      name: "lists of queries",
      bytes: sum(blocks.flatMap(({ gathered }) => Object.values(gathered.listBytes))),
    },
    {
      name: `gathered queries${describeTurns(gathered.sizes)}`,
      bytes: sum(Object.values(mostBytes(blocks.map(({ scratchBytes }) => scratchBytes)))),
    },
  ];
  return totalPlan({ stages, buffers, headsPerBlock: headBlock });
}

/** Compiles the kernels of attention ahead. */
export function compileNsaLayer(
  gpu: Gpu,
  problem: Problem,
  options: LayerOptions,
): Promise<unknown> {
  const [block] = planNsaLayer(gpu, problem, options).blocks;
  const { compressed, gathered, sliding, headDim, dtype } = block;
  const sources = [compressed, sliding].flatMap(({ forward, gradients, walkOf }) => [
    ...forward.map(({ pipeline }) => pipeline),
    ...(gradients ?? []).flatMap((plan, sweep) =>
      Object.values(
        apartSources(plan, { walk: walkOf(1, sweep), headDim, dtype, keyResultType: "f32" }),
      )
    ),
  ]);
  const selected = [
    gathered.forward.pipeline,
    ...gathered.gradients ? Object.values(gradientSources(gathered)) : [],
  ];
  return Promise.all([...sources, ...selected].map((source) => createPipeline(gpu, source)));
}

/** Allocates, compiles and binds the layer. */
export async function prepareNsaLayer(
  gpu: Gpu,
  problem: Problem,
  options: LayerOptions & {
    readonly name: string;
    readonly gateSeed: number;
    readonly inputs: LayerInputs;
    readonly flopsPerDispatch?: number;
    readonly cuts?: GatheredCuts;
  },
): Promise<Prepared> {
  const { inputs, flopsPerDispatch, name, gateSeed, ...layer } = options;
  const action = `prepare ${name}`;
  requireLayerInputs(gpu, action, { problem, inputs, sharedKeys: true });
  requirePositive(action, "flopsPerDispatch", flopsPerDispatch);
  const { heads, context: rows, headDim: dim, dtype } = problem.shape;
  const parts = directionParts(problem.direction);
  const { plan, blocks } = planNsaLayer(gpu, problem, {
    ...layer,
    flopsPerDispatch,
    tensorHeads: inputs.q.blocks.map((block) => block.heads),
  });
  const { own, destroy } = collectOwned();
  const headBlock = inputs.q.blocks[0].heads;
  const keyBlock = inputs.k.blocks[0].heads;
  const allocate = async (label: string, shape: Partial<TensorShape>, each: number) =>
    own(
      await createTensor(gpu, { heads, rows, dim, dtype, ...shape }, {
        label,
        headsPerBlock: each,
      }),
    );
  const allocateAll = async (bytes: Readonly<Record<string, number>>) => {
    const made: Record<string, BufferSlice> = {};
    for (const [key, size] of Object.entries(bytes)) {
      const label = `nsa ${key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`;
      made[key] = slice(own(await createStorageBuffer(gpu, size, { label })));
    }
    return made;
  };
  try {
    const output = await allocate("output", {}, headBlock);
    const gates = await allocate("gates", { dim: 3, dtype: "f32" }, blocks[0].heads);
    await fillSeeded(gpu, gates, gateSeed);
    const keys = { heads: inputs.k.heads };
    const gradients = parts.backward
      ? {
        q: await allocate("q gradient", {}, headBlock),
        k: await allocate("k gradient", keys, keyBlock),
        v: await allocate("v gradient", keys, keyBlock),
      }
      : undefined;
    const scratch = await allocateAll(mostBytes(blocks.map(({ scratchBytes }) => scratchBytes)));
    const forwardStages: Stage[] = [];
    const backward: Dispatch[] = [];
    const counters: (() => Promise<number>)[] = [];
    const made: { own: Record<string, BufferSlice>; lists: Record<string, BufferSlice> }[] = [];
    const firsts = firstHeads(blocks);
    for (const [i, block] of blocks.entries()) {
      const buffers = {
        own: await allocateAll(block.bytes),
        lists: await allocateAll(block.gathered.listBytes),
      };
      made.push(buffers);
      writeIdentity(gpu, block, buffers.own.identity);
      const at = (tensor: Tensor) => {
        const group = heads / tensor.heads;
        const own = { firstHead: firsts[i] / group, heads: block.heads / group };
        return headsOf(action, tensor, own);
      };
      const bound = {
        ...buffers,
        scratch,
        q: at(inputs.q),
        k: at(inputs.k),
        v: at(inputs.v),
        gates: at(gates),
        output: at(output),
      };
      const forward = own(await bindNsaForward(gpu, block, bound));
      forwardStages.push(...forward.stages);
      if (forward.readRestarts) counters.push(forward.readRestarts);
      if (!gradients) continue;
      const passes = own(
        await bindNsaBackward(gpu, block, {
          ...bound,
          outputGradient: at(inputs.outputGradient!),
          queryGradient: at(gradients.q),
          keyGradient: at(gradients.k),
          valueGradient: at(gradients.v),
        }),
      );
      backward.push(...passes.dispatches);
    }
    const timer = own(new Timer(gpu));
    const stages: Stage[] = [
      ...parts.forward ? forwardStages : [],
      ...gradients ? [{ name: "attention-backward", dispatches: backward }] : [],
    ];
    if (!parts.forward) await timer.run(forwardStages);
    const names = plan.stages.map(({ name }) => name);
    const branchRows = (name: "lse" | "gateGradients", label: string) =>
      [0, 1, 2].map((branch): Tensor => ({
        heads,
        rows,
        dim: 1,
        dtype: "f32",
        label: `${label} of branch ${branch}`,
        bytes: 4 * heads * rows,
        destroy: () => {},
        blocks: blocks.map((block, i) => ({
          firstHead: firsts[i],
          heads: block.heads,
          data: branchPart(made[i].own[name], {
            branch,
            stride: 4 * block.strides.rows,
            size: 4 * block.heads * rows,
          }),
        })),
      }));
    const lse = branchRows("lse", "log-sum-exp");
    return {
      plan,
      stages: names,
      execute: (run) => runByName(timer, stages, { names, run }),
      readRestarts: parts.forward && counters.length > 0
        ? async () => sum(await Promise.all(counters.map((read) => read())))
        : undefined,
      outputs: {
        output,
        lse: lse[1],
        gradients,
        branches: {
          gates,
          lse,
          ...gradients && { gateGradients: branchRows("gateGradients", "gradient of the gate") },
        },
        readSelection: async () => {
          const lists = await Promise.all(made.map(async ({ lists }, i) => {
            const { heads, group, count } = blocks[i];
            const size = 4 * heads / group * rows * count;
            return new Int32Array((await readBuffer(gpu, { ...lists.lists, size })).buffer);
          }));
          return Int32Array.from(lists.flatMap((part) => [...part]));
        },
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
