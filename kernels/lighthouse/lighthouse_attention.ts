/**
 * The Lighthouse layer in either direction, composed of its passes.
 *
 * Q, K, V `[H, N, d]` → score-and-pool (pyramid and norm scores, one pass over each tensor; other
 * scorers run first as a separate stage: score, pool) → select (the pyramid entries, in causal
 * order) → gather (`[H, S, d]`; where tiles and heads are few, with select in one stage
 * select-and-gather) → attention (the dense kernel over S rows) → scatter → output `[H, N, d]`.
 * Backward: `lighthouse_backward.ts`.
 *
 * Shapes: letters as in `implementation.ts`. `planGeometry` checks N, L, p and k; d is a power of
 * two that the dense kernel also supports.
 *
 * Numerics: storage f16 or f32; pooled rows, attended rows, the output and gradients are each
 * rounded to it once, everything between is f32. Selection is integer arithmetic on the scores'
 * bits. Two runs give the same bits.
 *
 * @module
 */
import { bindDenseTensors } from "../dense_attention/dense_attention.ts";
import { compileDense } from "../dense_attention/dense_layer.ts";
import {
  type BufferSlice,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  readBuffer,
  slice,
  type Tensor,
  type TensorShape,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { requirePositive, requireWhole } from "../gpu/require.ts";
import { type Stage, Timer } from "../gpu/timing.ts";
import {
  DIRECTIONS,
  type Implementation,
  type LayerInputs,
  type Prepared,
  type Problem,
} from "../implementation.ts";
import { directionParts, requireLayerInputs } from "../layer_inputs.ts";
import { bindLighthouseBackward, type ForwardState } from "./lighthouse_backward.ts";
import { type LighthousePlan, planLighthouse } from "./lighthouse_plan.ts";
import { dilatedScorer } from "./scorers/dilated/dilated_scorer.ts";
import { glaScorer } from "./scorers/gla/gla_scorer.ts";
import { createTensorPasses } from "./passes/tensor_passes.ts";
import { createScatter, planScatter } from "./passes/scatter.ts";
import { normScorer } from "./scorers/norm/norm_scorer.ts";
import type { Scorer } from "./scorers/scorer.ts";
import { SCORERS } from "./scorers/scorers.ts";
import { layerOptions, smallestProblem } from "./lighthouse_options.ts";
import type { LighthouseTuning } from "./lighthouse_tuning.ts";
import { createSelection, planSelection } from "./passes/select.ts";

export type { LighthouseTuning };

/** Options of {@linkcode lighthouseImplementation}. */
export interface LighthouseImplementationOptions {
  /** The scorer that ranks the entries of the pyramid. Default: {@linkcode normScorer}. */
  readonly scorer?: Scorer;
  /** The name in results. Default: `lighthouse-` and the scorer's name. */
  readonly name?: string;
  /** Readable title: one short phrase. Default: a phrase with the scorer's name. */
  readonly title?: string;
  /** Default: that of each pass. */
  readonly tuning?: LighthouseTuning;
}

/** Makes an implementation from a scorer. */
export function lighthouseImplementation(options: LighthouseImplementationOptions): Implementation {
  const { scorer = normScorer, tuning = {} } = options;
  const name = options.name ?? `lighthouse-${scorer.name}`;
  return {
    name,
    title: options.title ?? `Lighthouse attention, ${scorer.name} scorer`,
    family: "lighthouse",
    scorer,
    options: layerOptions(scorer),
    directions: DIRECTIONS,
    style: scorer.style,
    role: scorer.role,
    smallest: smallestProblem,
    plan: (gpu, problem) => planLighthouse(gpu, problem, { scorer, tuning }).plan,
    compile: (gpu, problem) => {
      const { plan, geometry, options: layer } = planLighthouse(gpu, problem, { scorer, tuning });
      const { shape, direction } = problem;
      const { headDim, dtype } = shape;
      const heads = plan.headsPerBlock;
      return Promise.all([
        compileDense(
          gpu,
          { heads, rows: geometry.gathered, headDim, dtype, gradientType: "f32" },
          direction,
        ),
        scorer.pass?.compile?.(gpu, { shape, options: layer, geometry, headsPerBlock: heads }),
      ]);
    },
    prepare: (gpu, problem, given) =>
      prepareLayer(gpu, problem, { ...given, name, scorer, tuning }),
  };
}

/**
 * Lighthouse with the norm scorer.
 *
 * @example
 * ```ts
 * import { planGeometry } from "./lighthouse_geometry.ts";
 * import { lighthouseNorm } from "./lighthouse_attention.ts";
 * import assert from "node:assert/strict";
 * assert.equal(lighthouseNorm.name, "lighthouse-norm");
 * assert.equal(planGeometry(8192, { levels: 3, pooling: 4, k: 128 }).gathered, 1536);
 * ```
 */
export const lighthouseNorm: Implementation = lighthouseImplementation({ scorer: normScorer });

/** Lighthouse with the dilated scorer; δ defaults to 4. */
export const lighthouseDilated: Implementation = lighthouseImplementation({
  scorer: dilatedScorer,
});

/** Lighthouse with the gla scorer and seeded gates; δ defaults to 4. */
export const lighthouseGla: Implementation = lighthouseImplementation({ scorer: glaScorer() });

/** The layers of all scorers. */
export const LIGHTHOUSE: readonly Implementation[] = SCORERS.map((scorer) =>
  lighthouseImplementation({ scorer })
);

interface LayerOptions {
  readonly name: string;
  readonly inputs: LayerInputs;
  readonly flopsPerDispatch?: number;
  readonly scorer: Scorer;
  readonly tuning: LighthouseTuning;
}

/** The inputs of an allocation: the layer's plan, and the list that owned objects are added to. */
interface Allocation extends LayerOptions {
  readonly planned: LighthousePlan;
  readonly own: <T extends { destroy: () => void }>(thing: T) => T;
  readonly tensor: (label: string, shape: Partial<TensorShape>) => Promise<Tensor>;
}

async function prepareLayer(gpu: Gpu, problem: Problem, options: LayerOptions): Promise<Prepared> {
  const { inputs, flopsPerDispatch, name } = options;
  const action = `prepare ${name}`;
  requireLayerInputs(gpu, action, { problem, inputs });
  requirePositive(action, "flopsPerDispatch", flopsPerDispatch);
  const planned = planLighthouse(gpu, problem, options);
  const { plan, geometry } = planned;
  const parts = directionParts(problem.direction);
  const { own, destroy } = collectOwned();
  const { heads, headDim: dim, dtype } = problem.shape;
  const headBlock = inputs.q.blocks[0].heads;
  const tensor = async (label: string, shape: Partial<TensorShape>) =>
    own(
      await createTensor(gpu, { heads, rows: geometry.context, dim, dtype, ...shape }, {
        label,
        headsPerBlock: headBlock,
      }),
    );
  const allocation = { ...options, planned, own, tensor };
  try {
    const forward = await bindForward(gpu, problem, allocation);
    const timer = own(new Timer(gpu));
    const stages: Stage[] = parts.forward ? [...forward.stages] : [];
    let gradients: Prepared["outputs"]["gradients"];
    if (parts.backward) {
      const backward = await bindBackward(gpu, forward, allocation);
      stages.push(...backward.stages);
      gradients = backward.gradients;
    }
    if (!parts.forward) {
      // Submissions are split as finely as dispatches, because the device's speed is not known
      // here.
      await timer.run(forward.stages, {
        flopsPerSecond: flopsPerDispatch,
        maxSubmissionSeconds: 1,
      });
    }
    const readSelection = async () => {
      const { gathered } = geometry;
      const all = new Int32Array(heads * gathered);
      for (const [b, { firstHead, heads }] of inputs.q.blocks.entries()) {
        const size = heads * gathered * 4;
        const bytes = await readBuffer(gpu, { ...forward.selections[b].indices, size });
        all.set(new Int32Array(bytes.buffer), firstHead * gathered);
      }
      return all;
    };
    const readScores = async (head: number) => {
      requireWhole("read scores", "head", head, { least: 0, most: heads - 1 });
      const b = inputs.q.blocks.findIndex((block) => head < block.firstHead + block.heads);
      const first = head - inputs.q.blocks[b].firstHead;
      const size = geometry.context * 4;
      const read = async ({ buffer, offset }: BufferSlice) => {
        const at = offset + first * geometry.entries * 4;
        return new Float32Array((await readBuffer(gpu, { buffer, offset: at, size })).buffer);
      };
      const { query, key } = forward.scores[b];
      return { query: await read(query), key: await read(key) };
    };
    return {
      plan,
      stages: stages.map(({ name }) => name),
      execute: (run) => timer.run(stages, run),
      readRestarts: parts.forward ? forward.readRestarts : undefined,
      outputs: {
        output: forward.output,
        lse: forward.lse,
        readSelection,
        readScores,
        gathered: forward.attended,
        gradients,
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Results of the forward pass, and its stages. */
interface Forward extends ForwardState {
  readonly stages: readonly Stage[];
  readonly readRestarts?: () => Promise<number>;
  readonly output: Tensor;
  /** f32 `[heads, P]` of each block. */
  readonly scores: readonly { readonly query: BufferSlice; readonly key: BufferSlice }[];
  /** `[heads, P - N, d]` each, unused from the gather on. */
  readonly pooled: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
}

/** Allocates every buffer, compiles every pass and binds them, one block of heads after another. */
async function bindForward(gpu: Gpu, problem: Problem, options: Allocation): Promise<Forward> {
  const { inputs, tuning, scorer, planned, own, tensor, flopsPerDispatch } = options;
  const { geometry, options: layer, pooledRows, selection: selecting } = planned;
  const { headDim, dtype } = problem.shape;
  const { blocks } = inputs.q;
  const rows = geometry.gathered;
  const output = await tensor("output", {});
  const lse = await tensor("log-sum-exp", { rows, dim: 1, dtype: "f32" });
  const attended = await tensor("gathered output", { rows });
  const pooled = {
    q: await tensor("pooled q", { rows: pooledRows }),
    k: await tensor("pooled k", { rows: pooledRows }),
    v: await tensor("pooled v", { rows: pooledRows }),
  };
  const gathered = {
    q: await tensor("gathered q", { rows }),
    k: await tensor("gathered k", { rows }),
    v: await tensor("gathered v", { rows }),
  };
  const scoring = {
    shape: problem.shape,
    options: layer,
    geometry,
    headsPerBlock: blocks[0].heads,
  };
  const compile = async (heads: number) => {
    const size = { heads, headDim, dtype };
    const scored = !scorer.pass;
    return {
      tensors: await createTensorPasses(gpu, { geometry, ...size, scored, tuning, own }),
      scorer: scorer.pass &&
        own(await scorer.pass.create(gpu, scoring, { heads, flopsPerDispatch })),
      selection: own(await createSelection(gpu, planSelection(geometry, heads, selecting))),
      scatter: own(await createScatter(gpu, planScatter(geometry, { ...size, ...tuning.scatter }))),
    };
  };
  const kernels = new Map<number, Awaited<ReturnType<typeof compile>>>();
  const score: Dispatch[] = [];
  const pool: Dispatch[] = [];
  const select: Dispatch[] = [];
  const gather: Dispatch[] = [];
  const scatter: Dispatch[] = [];
  const selections: { indices: BufferSlice; slots: BufferSlice }[] = [];
  const scores: { query: BufferSlice; key: BufferSlice }[] = [];
  for (const [b, { firstHead, heads }] of blocks.entries()) {
    let passes = kernels.get(heads);
    if (!passes) kernels.set(heads, passes = await compile(heads));
    const buffer = async (label: string, count: number) =>
      slice(own(await createStorageBuffer(gpu, heads * count * 4, { label })));
    const queryScores = await buffer("query scores", geometry.entries);
    const keyScores = await buffer("key scores", geometry.entries);
    const slots = await buffer("slots", geometry.entries);
    const indices = await buffer("indices", geometry.gathered);
    selections.push({ indices, slots });
    scores.push({ query: queryScores, key: keyScores });
    const at = (tensor: Tensor) => tensor.blocks[b].data;
    const slices = ({ q, k, v }: Readonly<Record<"q" | "k" | "v", Tensor>>) => ({
      q: at(q),
      k: at(k),
      v: at(v),
    });
    const rows = slices(inputs);
    if (passes.scorer) {
      score.push(...passes.scorer.bind({ firstHead, ...rows, queryScores, keyScores }));
    }
    const to = { pooled: slices(pooled), queryScores, keyScores };
    pool.push(...passes.tensors.pool(rows, to));
    const selected = { pooled: to.pooled, indices, gathered: slices(gathered) };
    const { pooled: p, gathered: g } = selected;
    select.push(...passes.selection.bind({
      ...{ queryScores, keyScores, indices, slots },
      ...rows,
      ...{ pooledQ: p.q, pooledK: p.k, pooledV: p.v },
      ...{ gatheredQ: g.q, gatheredK: g.k, gatheredV: g.v },
    }));
    if (!passes.selection.gathers) gather.push(...passes.tensors.gather(rows, selected));
    scatter.push(...passes.scatter.bind({ gathered: at(attended), slots, output: at(output) }));
  }
  const dense = own(
    await bindDenseTensors(gpu, { ...gathered, o: attended, lse }, { flopsPerDispatch }),
  );
  const stages: Stage[] = [
    ...(scorer.pass
      ? [{ name: "score", dispatches: score }, { name: "pool", dispatches: pool }]
      : [{ name: "score-and-pool", dispatches: pool }]),
    ...selecting.gathers
      ? [{ name: "select-and-gather", dispatches: select }]
      : [{ name: "select", dispatches: select }, { name: "gather", dispatches: gather }],
    { name: "attention", dispatches: dense.dispatches },
    { name: "scatter", dispatches: scatter },
  ];
  const { readRestarts } = dense;
  return { stages, readRestarts, output, lse, attended, pooled, gathered, selections, scores };
}

/** A tensor's buffers viewed as rows of f32; the tensor still owns them. */
function asFloats(tensor: Tensor, rows: number): Tensor {
  return { ...tensor, rows, dtype: "f32", destroy: () => {} };
}

/** Allocates and binds the additional parts of the backward pass. */
async function bindBackward(gpu: Gpu, forward: Forward, options: Allocation) {
  const { inputs, planned, own, tensor, flopsPerDispatch, tuning } = options;
  const { geometry } = planned;
  const rows = geometry.gathered;
  const gradients = {
    q: await tensor("q gradient", {}),
    k: await tensor("k gradient", {}),
    v: await tensor("v gradient", {}),
  };
  // Each forward pass rewrites its pooled rows before it reads them.
  const gatheredGradients = {
    q: asFloats(forward.pooled.q, rows),
    k: asFloats(forward.pooled.k, rows),
    v: asFloats(forward.pooled.v, rows),
  };
  const backward = own(
    await bindLighthouseBackward(gpu, {
      forward,
      outputGradient: inputs.outputGradient!,
      gatheredOutputGradient: planned.backwardKernel === "matrix"
        ? gatheredGradients.q
        : await tensor("gathered output gradient", { rows, dtype: "f32" }),
      gatheredGradients,
      delta: await tensor("delta", { rows, dim: 1, dtype: "f32" }),
      gradients,
    }, { geometry, flopsPerDispatch, tuning }),
  );
  return { stages: backward.stages, gradients };
}
