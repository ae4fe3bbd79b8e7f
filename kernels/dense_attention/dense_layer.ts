/**
 * Dense causal attention as a layer: all heads, one block after another, in either direction.
 *
 * @module
 */
import {
  bytesPerElement,
  createTensor,
  type Dispatch,
  type Tensor,
  type TensorShape,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { requirePositive } from "../gpu/require.ts";
import { type Stage, Timer } from "../gpu/timing.ts";
import {
  type AttentionShape,
  type Direction,
  DIRECTIONS,
  type Implementation,
  type ImplementationPlan,
  type ImplementationStyle,
  type LayerInputs,
  type OptionDescriptor,
  type Prepared,
  type Problem,
  type StagePlan,
} from "../implementation.ts";
import { groupedHeadsPerBlock, groupOf, kvHeadsOf } from "../key_heads.ts";
import { directionParts, requireLayerInputs, requireProblem } from "../layer_inputs.ts";
import { totalPlan } from "../layer_plan.ts";
import { requireOptions } from "../options.ts";
import {
  bindDenseTensors,
  createDenseAttention,
  type DenseAttention,
  planDenseAttention,
} from "./dense_attention.ts";
import type { DenseAttentionOptions, DenseBackwardOptions } from "./types.ts";
import {
  createDenseBackward,
  type DenseBackward,
  planDenseBackward,
} from "./dense_attention_backward.ts";
import type { DenseBackwardPlan } from "./backward_plan.ts";
import { denseBackwardBytes, denseForwardBytes } from "./dense_attention_cost.ts";
import { pairFlops, type TileWalk } from "./tile_walk.ts";
import { listBuffers, requireLists, tilesOf } from "./walk_lists.ts";

/** Tensors of a backward pass over blocks of heads, in addition to those of the forward pass. */
export interface DenseBackwardTensors {
  /**
   * dO in the gradient type. If the kernel allows it, may be `gradients.q`, which then overwrites
   * it.
   */
  readonly outputGradient: Tensor;
  /** f32 `[heads, N, 1]`, scratch. */
  readonly delta: Tensor;
  /** `[heads, N, d]` each, written. */
  readonly gradients: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
}

/** Compiles backward kernels for every block size and binds them, one block after another. */
export async function bindDenseBackwardTensors(
  gpu: Gpu,
  tensors: { q: Tensor; k: Tensor; v: Tensor; o: Tensor; lse: Tensor } & DenseBackwardTensors,
  options: { flopsPerDispatch?: number; walk?: TileWalk } = {},
): Promise<{ dispatches: Dispatch[]; destroy: () => void }> {
  const { q, gradients } = tensors;
  const kernels = new Map<number, DenseBackward>();
  const dispatches: Dispatch[] = [];
  for (const [i, block] of q.blocks.entries()) {
    let kernel = kernels.get(block.heads);
    if (!kernel) {
      kernel = await createDenseBackward(
        gpu,
        planDenseBackward(gpu, {
          heads: block.heads,
          kvHeads: tensors.k.blocks[i].heads,
          rows: q.rows,
          headDim: q.dim,
          dtype: q.dtype,
          gradientType: gradients.q.dtype,
          ...options,
        }),
      );
      kernels.set(block.heads, kernel);
    }
    const at = (tensor: Tensor) => tensor.blocks[i].data;
    dispatches.push(...kernel.bind({
      q: at(q),
      k: at(tensors.k),
      v: at(tensors.v),
      o: at(tensors.o),
      lse: at(tensors.lse),
      outputGradient: at(tensors.outputGradient),
      delta: at(tensors.delta),
      queryGradient: at(gradients.q),
      keyGradient: at(gradients.k),
      valueGradient: at(gradients.v),
      firstHead: block.firstHead,
    }));
  }
  return { dispatches, destroy: () => kernels.forEach((kernel) => kernel.destroy()) };
}

/** The plan of a whole layer: all heads, inputs and outputs included; with a walk, of its pairs. */
export function planDenseLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  shape: AttentionShape,
  direction: Direction = "forward",
  walk?: TileWalk,
): ImplementationPlan {
  requireProblem("plan dense attention", { shape, direction }, { sharedKeys: true });
  const { heads, kvHeads, context: rows, headDim, dtype } = shape;
  const headBlock = groupedHeadsPerBlock(gpu, [{ heads, rows, dim: headDim, dtype }], shape);
  const block = {
    heads: headBlock,
    kvHeads: headBlock / groupOf(shape),
    rows,
    headDim,
    dtype,
    walk,
  };
  const forward = planDenseAttention(gpu, block);
  requireLists(gpu.capabilities, walk, forward.tile);
  const size = { heads, kvHeads, rows, headDim, dtype };
  const product = pairFlops(walk, size);
  const parts = directionParts(direction);
  const headBytes = rows * headDim * bytesPerElement(dtype);
  const tensorBytes = (name: string) =>
    (/^[kv]\b/.test(name) ? kvHeadsOf(shape) : heads) * headBytes;
  const stages: StagePlan[] = [];
  const names = ["q", "k", "v", "output"];
  const statistics = ["log-sum-exp"];
  if (parts.forward) {
    stages.push({
      name: "attention",
      flops: 2 * product,
      bytes: denseForwardBytes(size) +
        (walk ? 4 * heads * rows + 2 * walk.listBytes(forward.tile) : 0),
      variant: forward.variant,
    });
  }
  const backward = parts.backward ? planDenseBackward(gpu, block) : undefined;
  for (const tile of tilesOf(backward)) requireLists(gpu.capabilities, walk, tile);
  if (backward) {
    stages.push({
      name: "attention-backward",
      flops: 5 * product,
      bytes: denseBackwardBytes(size),
      variant: backward.variant,
    });
    names.push("output gradient", "q gradient", "k gradient", "v gradient");
    statistics.push("delta");
  }
  const buffers = [
    ...names.map((name) => ({ name, bytes: tensorBytes(name) })),
    ...statistics.map((name) => ({ name, bytes: heads * rows * 4 })),
    ...(backward ? backwardScratch(gpu, backward, heads) : []),
    ...listBuffers(walk, { heads, headBlock, tiles: [forward.tile, ...tilesOf(backward)] }),
  ];
  return totalPlan({ stages, buffers, headsPerBlock: headBlock });
}

/**
 * The buffers that backward kernels over blocks of heads allocate for themselves, for a plan.
 *
 * @param plan plan of a whole block; the last block may have fewer heads, and its own kernels.
 */
export function backwardScratch(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  plan: DenseBackwardPlan,
  heads: number,
): readonly { readonly name: string; readonly bytes: number }[] {
  const { scratchBytes, heads: headBlock, rows, headDim, dtype, gradientType, walk } = plan;
  if (scratchBytes === 0) return [];
  const rest = heads % headBlock;
  const kvHeads = rest / groupOf(plan);
  const last = rest > 0
    ? planDenseBackward(gpu, { heads: rest, kvHeads, rows, headDim, dtype, gradientType, walk })
      .scratchBytes
    : 0;
  const name = gradientType === dtype
    ? "gradients of scores, partial sums"
    : "gradients of scores, partial sums, scaled output gradient";
  return [{ name, bytes: scratchBytes + last }];
}

/**
 * Compiles ahead the attention kernels for blocks of heads; `rows` is the number of attended rows,
 * and `gradientType` stores dO and the gradients (default: `dtype`).
 */
export function compileDense(
  gpu: Gpu,
  size: DenseAttentionOptions & Pick<DenseBackwardOptions, "gradientType">,
  direction: Direction = "forward",
): Promise<unknown> {
  const { backward } = directionParts(direction);
  return Promise.all([
    createPipeline(gpu, planDenseAttention(gpu, size).pipeline),
    ...(backward
      ? Object.values(planDenseBackward(gpu, size).pipelines).map((source) =>
        createPipeline(gpu, source)
      )
      : []),
  ]);
}

/** Makes a dense implementation from a forward kernel, or a sparse one from a walk over tiles. */
export function denseImplementation(
  options: {
    name: string;
    title: string;
    /** Default: `dense`. */
    family?: string;
    /** Default: none. */
    descriptors?: readonly OptionDescriptor[];
    presets?: Implementation["presets"];
    visible?: Implementation["visible"];
    smallest?: Implementation["smallest"];
    shortOptions?: Implementation["shortOptions"];
    /**
     * The walk of a problem with checked options; undefined if a query attends to all keys up to
     * its own.
     *
     * @throws {RangeError} when the options do not fit the shape.
     */
    walk?: (problem: Problem) => TileWalk | undefined;
    /** Default: all. */
    directions?: readonly Direction[];
    style?: ImplementationStyle;
    role?: Implementation["role"];
    /** Name of the forward kernel, if it is not the device's default. */
    variant?: string;
    create: (gpu: Gpu, size: DenseAttentionOptions) => Promise<DenseAttention>;
    /** Compiles the forward kernel ahead. Default: the device's default kernel. */
    compile?: (gpu: Gpu, size: DenseAttentionOptions) => Promise<unknown>;
  },
): Implementation {
  const { descriptors = [] } = options;
  const walkOf = (action: string, problem: Problem) => {
    requireProblem(action, problem, { sharedKeys: true });
    requireOptions(descriptors, problem.options ?? {}, action);
    return options.walk?.(problem);
  };
  return {
    name: options.name,
    title: options.title,
    family: options.family ?? "dense",
    directions: options.directions ?? DIRECTIONS,
    options: descriptors,
    presets: options.presets,
    style: options.style,
    role: options.role,
    sharedKeys: true,
    visible: options.visible,
    smallest: options.smallest,
    shortOptions: options.shortOptions,
    plan: (gpu, problem) => {
      const walk = walkOf(`plan ${options.name}`, problem);
      const plan = planDenseLayer(gpu, problem.shape, problem.direction, walk);
      return options.variant ? withVariant(plan, options.variant) : plan;
    },
    compile: (gpu, problem) => {
      const { shape, direction } = problem;
      const { context: rows, headDim, dtype } = shape;
      const walk = walkOf(`compile ${options.name}`, problem);
      const { headsPerBlock: heads } = planDenseLayer(gpu, shape, direction, walk);
      const kvHeads = heads / groupOf(shape);
      const size = { heads, kvHeads, rows, headDim, dtype, walk };
      return options.compile ? options.compile(gpu, size) : compileDense(gpu, size, direction);
    },
    prepare: async (gpu, problem, given) => {
      const walk = walkOf(`prepare ${options.name}`, problem);
      return await prepareDense(gpu, problem, {
        ...given,
        name: options.name,
        walk,
        create: (heads) => {
          const { context: rows, headDim, dtype } = problem.shape;
          const { flopsPerDispatch } = given;
          const kvHeads = heads / groupOf(problem.shape);
          const size = { heads, kvHeads, rows, headDim, dtype, flopsPerDispatch, walk };
          return options.create(gpu, size);
        },
      });
    },
  };
}

function withVariant(plan: ImplementationPlan, variant: string): ImplementationPlan {
  const stages = plan.stages.map((stage) =>
    stage.name === "attention" ? { ...stage, variant } : stage
  );
  return { ...plan, stages };
}

async function prepareDense(
  gpu: Gpu,
  problem: Problem,
  options: {
    name: string;
    inputs: LayerInputs;
    flopsPerDispatch?: number;
    walk?: TileWalk;
    create: (heads: number) => Promise<DenseAttention>;
  },
): Promise<Prepared> {
  const { inputs, flopsPerDispatch, walk } = options;
  const action = `prepare ${options.name}`;
  requireLayerInputs(gpu, action, { problem, inputs, sharedKeys: true });
  requirePositive(action, "flopsPerDispatch", flopsPerDispatch);
  const { heads, context: rows, headDim: dim, dtype } = problem.shape;
  const plan = planDenseLayer(gpu, problem.shape, problem.direction, walk);
  const parts = directionParts(problem.direction);
  const { own, destroy } = collectOwned();
  const headBlock = inputs.q.blocks[0].heads;
  const allocate = async (label: string, shape: Partial<TensorShape> = {}) =>
    own(
      await createTensor(gpu, { heads, rows, dim, dtype, ...shape }, {
        label,
        headsPerBlock: shape.heads === undefined ? headBlock : inputs.k.blocks[0].heads,
      }),
    );
  const statistic = { dim: 1, dtype: "f32" } as const;
  try {
    const output = await allocate("output");
    const lse = await allocate("log-sum-exp", statistic);
    const forward = own(
      await bindDenseTensors(gpu, { ...inputs, o: output, lse }, { create: options.create }),
    );
    const timer = own(new Timer(gpu));
    const forwardStage: Stage = { name: "attention", dispatches: forward.dispatches };
    const stages: Stage[] = parts.forward ? [forwardStage] : [];
    if (!parts.backward) {
      return {
        plan,
        stages: ["attention"],
        execute: (run) => timer.run(stages, run),
        readRestarts: forward.readRestarts,
        outputs: { output, lse },
        destroy,
      };
    }
    const outputGradient = inputs.outputGradient!;
    const gradients = {
      q: await allocate("q gradient"),
      k: await allocate("k gradient", { heads: inputs.k.heads }),
      v: await allocate("v gradient", { heads: inputs.k.heads }),
    };
    const delta = await allocate("delta", statistic);
    const backward = own(
      await bindDenseBackwardTensors(gpu, {
        ...inputs,
        o: output,
        lse,
        outputGradient,
        delta,
        gradients,
      }, { flopsPerDispatch, walk }),
    );
    stages.push({ name: "attention-backward", dispatches: backward.dispatches });
    if (!parts.forward) await timer.run([forwardStage]);
    return {
      plan,
      stages: stages.map(({ name }) => name),
      execute: (run) => timer.run(stages, run),
      readRestarts: parts.forward ? forward.readRestarts : undefined,
      outputs: { output, lse, gradients },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** The tiled portable kernels. */
export const dense: Implementation = denseImplementation({
  name: "dense",
  title: "dense causal attention",
  style: { color: { light: "#d55e00", dark: "#f28b3c" }, mark: "circle" },
  create: (gpu, size) => createDenseAttention(gpu, planDenseAttention(gpu, size)),
});
