/**
 * Attention over the tokens that an index selects, as a layer: the index, then gathered attention,
 * forward and backward.
 *
 * The index has inputs of its own beside Q, K and V, which a model derives from its hidden state:
 * index queries `[J, N, c]`, one index key a token `[N, c]`, weights `[J, N]`. Without given ones
 * they are seeded. No gradient flows through the index or the lists.
 *
 * @module
 */
import { denseBackwardBytes } from "../../dense_attention/dense_attention_cost.ts";
import { HEAD_DIMS } from "../../dense_attention/types.ts";
import { bytesPerElement, createTensor, type TensorShape } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { requirePositive } from "../../gpu/require.ts";
import { type Stage, Timer } from "../../gpu/timing.ts";
import {
  DIRECTIONS,
  type Implementation,
  type ImplementationPlan,
  type IndexInputs,
  type LayerInputs,
  type OptionDescriptor,
  type Prepared,
  type Problem,
  type StagePlan,
  type TokenSelector,
} from "../../implementation.ts";
import {
  fewHeads,
  groupedHeadsPerBlock,
  groupOf,
  inputShapes,
  kvHeadsOf,
} from "../../key_heads.ts";
import { directionParts, requireLayerInputs, requireProblem } from "../../layer_inputs.ts";
import { totalPlan } from "../../layer_plan.ts";
import { requireOptions } from "../../options.ts";
import { runByName } from "../named_stages.ts";
import {
  createTokenBackward,
  createTokenForward,
  planTokenAttention,
} from "../gathered_tokens/token_attention.ts";
import { readLists, requireIndex, seededIndex } from "./index_inputs.ts";
import {
  bindTokenIndex,
  compileTokenIndex,
  planTokenIndex,
  type TokenIndex,
} from "./token_index.ts";

/** Options that every index has: J, c and k. */
export const INDEX_OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "indexHeads",
    letter: "J",
    flag: "index-heads",
    least: 1,
    initial: 4,
    help: "heads of the index",
  },
  {
    name: "indexDim",
    letter: "c",
    flag: "index-dim",
    least: 32,
    multipleOf: 32,
    initial: 128,
    help: "elements of an index query and key: 32, 64, 96 or 128",
  },
  {
    name: "topk",
    letter: "t",
    flag: "topk",
    least: 1,
    rule: true,
    initial: 2048,
    help: "tokens that a query selects",
    sweep: "Selected tokens",
  },
];

/** Rows of the problem that stands for a longer one: odd, past every tile size. */
const SHORT_CONTEXT = 193;

/** Makes a layer from the options that its index has. */
export function indexedImplementation(
  options:
    & Pick<Implementation, "name" | "title" | "presets" | "style">
    & {
      readonly descriptors: readonly OptionDescriptor[];
      /**
       * Blocks that are ranked first, of checked options.
       *
       * @throws {RangeError} when the options do not fit each other.
       */
      readonly candidates?: (
        options: Readonly<Record<string, number>>,
      ) => TokenIndex["candidates"];
      /** Values with which a short context runs the same code. */
      readonly short: (context: number) => Readonly<Record<string, number>>;
    },
): Implementation {
  const { name, descriptors, short } = options;
  const indexOf = (action: string, problem: Problem): TokenIndex => {
    requireProblem(action, problem, { sharedKeys: true });
    requireOptions(descriptors, problem.options ?? {}, action);
    const values = problem.options as Record<string, number>;
    const { context: rows, dtype, headDim } = problem.shape;
    const { indexHeads: heads, indexDim: dim, topk: width } = values;
    for (const [what, value] of [["head dimension", headDim], ["indexDim", dim]] as const) {
      if (HEAD_DIMS.includes(value)) continue;
      throw new RangeError(`${action}: ${what} ${value} is not one of ${HEAD_DIMS.join(", ")}`);
    }
    return { rows, heads, dim, dtype, width, candidates: options.candidates?.(values) };
  };
  const tokens: TokenSelector = {
    width: (problem) => indexOf(`check ${name}`, problem).width,
    blocks: (problem) => indexOf(`check ${name}`, problem).candidates,
  };
  const plan: Implementation["plan"] = (gpu, problem) =>
    planLayer(gpu, problem, indexOf(`plan ${name}`, problem));
  return {
    name,
    title: options.title,
    family: "sparse",
    directions: DIRECTIONS,
    options: descriptors,
    presets: options.presets,
    style: options.style,
    sharedKeys: true,
    tokens,
    shortOptions: short,
    smallest: (problem) => {
      const given = problem.options ?? {};
      const values = short(SHORT_CONTEXT);
      return {
        ...problem,
        shape: { ...problem.shape, ...fewHeads(problem.shape), context: SHORT_CONTEXT },
        options: {
          ...values,
          // The index runs the same code: its heads and dimension are constants of the kernels.
          indexHeads: given.indexHeads ?? values.indexHeads,
          indexDim: given.indexDim ?? values.indexDim,
        },
      };
    },
    plan,
    compile: async (gpu, problem) => {
      const index = indexOf(`compile ${name}`, problem);
      const kernels = planTokenAttention(gpu, { ...attentionOf(gpu, problem, index), pairs: 1 });
      const { forward, query, keyValue } = kernels.pipelines;
      const { backward } = directionParts(problem.direction);
      await Promise.all([
        compileTokenIndex(gpu, index),
        ...[forward, ...backward ? [query, keyValue] : []].map((one) => createPipeline(gpu, one)),
      ]);
    },
    prepare: (gpu, problem, given) =>
      prepareLayer(gpu, problem, {
        ...given,
        name,
        sizes: indexOf(`prepare ${name}`, problem),
        plan: plan(gpu, problem),
      }),
  };
}

/** What to plan attention for: one block of heads. */
function attentionOf(
  gpu: Pick<Gpu, "capabilities">,
  { shape }: Problem,
  { width, candidates }: TokenIndex,
) {
  const { headDim, context: rows, dtype } = shape;
  const heads = groupedHeadsPerBlock(gpu, [inputShapes(shape).q], shape);
  return { heads, kvHeads: heads / groupOf(shape), rows, headDim, dtype, width, candidates };
}

/** The plan of a layer. */
function planLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  problem: Problem,
  index: TokenIndex,
): ImplementationPlan {
  const { shape } = problem;
  const { heads, headDim, context: rows, dtype } = shape;
  const parts = directionParts(problem.direction);
  const found = planTokenIndex(gpu, index);
  const { pairs } = found;
  const block = attentionOf(gpu, problem, index);
  const kernels = planTokenAttention(gpu, { ...block, pairs });
  const row = headDim * bytesPerElement(dtype);
  const kvHeads = kvHeadsOf(shape);
  const tensor = heads * rows * row;
  const keys = kvHeads * rows * row;
  const stages: StagePlan[] = [];
  if (parts.forward) {
    stages.push(...found.stages, {
      name: "attention",
      flops: 4 * headDim * pairs * heads,
      // What no kernel saves that gathers the rows of each query: K and V of every pair.
      bytes: 2 * tensor + 4 * heads * rows + 4 * rows * index.width + 2 * kvHeads * pairs * row,
      variant: kernels.variant,
    });
  }
  if (parts.backward) {
    stages.push({
      name: "attention-backward",
      flops: 10 * headDim * pairs * heads,
      bytes: denseBackwardBytes({ heads, kvHeads, rows, headDim, dtype }),
      variant: kernels.backwardVariant,
    });
  }
  const buffers = [
    ...["q", "output"].map((name) => ({ name, bytes: tensor })),
    ...["k", "v"].map((name) => ({ name, bytes: keys })),
    { name: "log-sum-exp", bytes: heads * rows * 4 },
    ...found.buffers,
    ...parts.backward
      ? [
        ...["output gradient", "q gradient"].map((name) => ({ name, bytes: tensor })),
        ...["k gradient", "v gradient"].map((name) => ({ name, bytes: keys })),
        { name: "delta", bytes: heads * rows * 4 },
        { name: "queries of tokens", bytes: kernels.bitBytes },
      ]
      : [],
  ];
  return totalPlan({ stages, buffers, headsPerBlock: block.heads });
}

async function prepareLayer(
  gpu: Gpu,
  problem: Problem,
  given: {
    name: string;
    inputs: LayerInputs;
    flopsPerDispatch?: number;
    index?: IndexInputs;
    sizes: TokenIndex;
    plan: ImplementationPlan;
  },
): Promise<Prepared> {
  const { name, inputs, flopsPerDispatch, sizes: index, plan } = given;
  const action = `prepare ${name}`;
  requireLayerInputs(gpu, action, { problem, inputs, sharedKeys: true });
  requirePositive(action, "flopsPerDispatch", flopsPerDispatch);
  const parts = directionParts(problem.direction);
  const shapes = inputShapes(problem.shape);
  const { own, destroy } = collectOwned();
  const headBlock = inputs.q.blocks[0].heads;
  const group = groupOf(problem.shape);
  const allocate = async (label: string, shape: TensorShape) =>
    own(
      await createTensor(gpu, shape, {
        label,
        headsPerBlock: shape.heads === problem.shape.heads ? headBlock : headBlock / group,
      }),
    );
  const statistic = { ...shapes.q, dim: 1, dtype: "f32" } as const;
  try {
    const indexInputs = given.index ?? await seededIndex(gpu, index, own);
    requireIndex(action, index, indexInputs);
    const at = (tensor: IndexInputs["q"]) => tensor.blocks[0].data;
    const found = own(
      await bindTokenIndex(gpu, planTokenIndex(gpu, index), {
        q: at(indexInputs.q),
        k: at(indexInputs.k),
        w: at(indexInputs.w),
      }),
    );
    const { lists, blocks } = found;
    const output = await allocate("output", shapes.q);
    const lse = await allocate("log-sum-exp", statistic);
    const gradients = parts.backward
      ? {
        q: await allocate("q gradient", shapes.q),
        k: await allocate("k gradient", shapes.k),
        v: await allocate("v gradient", shapes.v),
      }
      : undefined;
    const delta = gradients && await allocate("delta", statistic);
    const forward: Stage[] = [...found.stages];
    const backward: Stage[] = [];
    const { pairs } = planTokenIndex(gpu, index);
    for (const [b, { heads }] of inputs.q.blocks.entries()) {
      const kernels = planTokenAttention(gpu, {
        ...attentionOf(gpu, problem, index),
        heads,
        kvHeads: heads / group,
        pairs,
        flopsPerDispatch,
      });
      const block = (tensor: IndexInputs["q"]) => tensor.blocks[b].data;
      const shared = {
        q: block(inputs.q),
        k: block(inputs.k),
        v: block(inputs.v),
        o: block(output),
        lse: block(lse),
      };
      const attention = own(await createTokenForward(gpu, kernels));
      forward.push({ name: "attention", dispatches: attention.bind(shared, lists) });
      if (!gradients) continue;
      const back = own(await createTokenBackward(gpu, kernels));
      backward.push({
        name: "attention-backward",
        dispatches: back.bind({
          ...shared,
          outputGradient: block(inputs.outputGradient!),
          delta: block(delta!),
          queryGradient: block(gradients.q),
          keyGradient: block(gradients.k),
          valueGradient: block(gradients.v),
        }, lists),
      });
    }
    const timer = own(new Timer(gpu));
    if (!parts.forward) await timer.run(forward);
    const stages = [...parts.forward ? forward : [], ...backward];
    const names = plan.stages.map((stage) => stage.name);
    const width = index.width;
    return {
      plan,
      stages: names,
      execute: (run) => runByName(timer, stages, { names, run }),
      outputs: {
        output,
        lse,
        index: indexInputs,
        readSelection: () => readLists(gpu, lists, width),
        ...index.candidates && {
          readBlocks: () => readLists(gpu, blocks, index.candidates!.blockCount),
        },
        ...gradients && { gradients },
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
