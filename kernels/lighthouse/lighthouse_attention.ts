/**
 * The Lighthouse layer, forward, joined from its passes.
 *
 * Q, K, V `[H, N, d]` → score-and-pool (pyramid and norm scores, one pass over each tensor) → select
 * (which pyramid entries, in causal order) → gather (`[H, S, d]`) → attention (the dense kernel over
 * S rows) → scatter → output `[H, N, d]`.
 *
 * Shapes: shape letters as in `implementation.ts`. N, L, p and k as `planGeometry` allows; d a power
 * of two that the dense kernel supports too.
 *
 * Numerics: storage f16 or f32; pooled rows, attended rows and the output are each rounded to it
 * once, everything between is f32. Selection is integer arithmetic on the scores' bits. Two runs give
 * the same bits.
 *
 * @module
 */
import { bindDenseTensors, planDenseAttention } from "../dense_attention/dense_attention.ts";
import {
  createStorageBuffer,
  createTensor,
  headsPerBlock,
  readBuffer,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Stage, Timer } from "../gpu/timing.ts";
import type {
  Implementation,
  ImplementationPlan,
  LayerInputs,
  Prepared,
  Problem,
} from "../implementation.ts";
import { createGather, planGather } from "./gather.ts";
import { lighthouseForwardCost, STAGES } from "./lighthouse_cost.ts";
import { type LighthouseGeometry, planGeometry, requireLayerShape } from "./lighthouse_geometry.ts";
import { createPyramid, planPyramid } from "./pyramid.ts";
import { createScatter, planScatter } from "./scatter.ts";
import { createSelection, planSelection } from "./select.ts";

/** How the memory-bound passes are cut into threads. Results are the same for all. */
export interface LighthouseTuning {
  readonly pyramid?: { readonly rowsInFlight?: number; readonly threads?: number };
  readonly gather?: { readonly rowsPerThread?: number; readonly threads?: number };
  readonly scatter?: { readonly rowsPerThread?: number; readonly threads?: number };
}

/** Options of {@linkcode lighthouseImplementation}. */
export interface LighthouseImplementationOptions {
  readonly name: string;
  readonly title: string;
  /** Default: each pass's own. */
  readonly tuning?: LighthouseTuning;
}

/** Makes a norm-scorer implementation. */
export function lighthouseImplementation(options: LighthouseImplementationOptions): Implementation {
  return {
    name: options.name,
    title: options.title,
    plan: (gpu, problem) => planLayer(gpu, problem).plan,
    prepare: (gpu, problem, { inputs, flopsPerDispatch }) =>
      prepareLayer(gpu, problem, { inputs, flopsPerDispatch, tuning: options.tuning ?? {} }),
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
export const lighthouseNorm: Implementation = lighthouseImplementation({
  name: "lighthouse-norm",
  title: "Lighthouse attention, norm scorer",
});

function planLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  problem: Problem,
): { plan: ImplementationPlan; geometry: LighthouseGeometry } {
  const { shape, lighthouse } = problem;
  if (!lighthouse) throw new RangeError("plan lighthouse: levels, pooling and k are missing");
  if (lighthouse.scorer !== "norm") {
    throw new RangeError(
      `plan lighthouse: scorer ${lighthouse.scorer} is not norm, the one this layer has`,
    );
  }
  requireLayerShape(shape);
  const geometry = planGeometry(shape.context, lighthouse);
  const { heads, headDim: dim, dtype } = shape;
  const { context, entries, pooledEntries, gathered } = geometry;
  const perBlock = headsPerBlock(gpu, [
    { heads, rows: context, dim, dtype },
    { heads, rows: gathered, dim, dtype },
    { heads, rows: entries, dim: 1, dtype: "f32" },
  ]);
  // Refuses what the dense kernel cannot run.
  planDenseAttention(gpu, { heads: perBlock, rows: gathered, headDim: dim, dtype });
  const stages = lighthouseForwardCost(shape, geometry);
  const row = heads * dim * (dtype === "f16" ? 2 : 4);
  const buffers = [
    ...["q", "k", "v", "output"].map((name) => ({ name, bytes: context * row })),
    ...["q", "k", "v"].map((name) => ({ name: `pooled ${name}`, bytes: pooledEntries * row })),
    ...["q", "k", "v", "output"].map((name) => ({
      name: `gathered ${name}`,
      bytes: gathered * row,
    })),
    ...["query scores", "key scores", "slots"].map((name) => ({
      name,
      bytes: heads * entries * 4,
    })),
    ...["indices", "log-sum-exp"].map((name) => ({ name, bytes: heads * gathered * 4 })),
  ];
  const total = (records: readonly { bytes: number }[]) =>
    records.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    geometry,
    plan: {
      stages,
      flops: stages.reduce((sum, { flops }) => sum + flops, 0),
      bytes: total(stages),
      buffers,
      peakBytes: total(buffers),
      headsPerBlock: perBlock,
      gathered,
    },
  };
}

async function prepareLayer(
  gpu: Gpu,
  problem: Problem,
  options: { inputs: LayerInputs; flopsPerDispatch?: number; tuning: LighthouseTuning },
): Promise<Prepared> {
  const { plan, geometry } = planLayer(gpu, problem);
  const owned: { destroy: () => void }[] = [];
  const own = <T extends { destroy: () => void }>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const destroy = () => owned.splice(0).reverse().forEach((thing) => thing.destroy());
  try {
    const layer = await allocate(gpu, problem, { ...options, geometry, own });
    const timer = own(new Timer(gpu));
    const { gathered } = geometry;
    const readSelection = async () => {
      const all = new Int32Array(problem.shape.heads * gathered);
      for (const { firstHead, heads, indices } of layer.selections) {
        const bytes = await readBuffer(gpu, { ...slice(indices), size: heads * gathered * 4 });
        all.set(new Int32Array(bytes.buffer), firstHead * gathered);
      }
      return all;
    };
    return {
      plan,
      stages: [...STAGES],
      execute: (run) => timer.run(layer.stages, run),
      outputs: { output: layer.output, lse: layer.lse, readSelection },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Allocates every buffer, compiles every pass and binds them, block of heads after block. */
async function allocate(
  gpu: Gpu,
  problem: Problem,
  options: {
    inputs: LayerInputs;
    flopsPerDispatch?: number;
    tuning: LighthouseTuning;
    geometry: LighthouseGeometry;
    own: <T extends { destroy: () => void }>(thing: T) => T;
  },
) {
  const { inputs, tuning, geometry, own } = options;
  const { heads: allHeads, headDim, dtype } = problem.shape;
  requireInputs(problem, inputs);
  const blocks = inputs.q.blocks;
  const each = blocks[0].heads;
  const tensor = async (label: string, rows: number): Promise<Tensor> =>
    own(
      await createTensor(gpu, { heads: allHeads, rows, dim: headDim, dtype }, {
        label,
        headsPerBlock: each,
      }),
    );
  const output = await tensor("output", geometry.context);
  const lse = own(
    await createTensor(gpu, { heads: allHeads, rows: geometry.gathered, dim: 1, dtype: "f32" }, {
      label: "log-sum-exp",
      headsPerBlock: each,
    }),
  );
  const attended = await tensor("gathered output", geometry.gathered);
  const sources = {
    q: { rows: inputs.q, pooled: await tensor("pooled q", geometry.pooledEntries) },
    k: { rows: inputs.k, pooled: await tensor("pooled k", geometry.pooledEntries) },
    v: { rows: inputs.v, pooled: await tensor("pooled v", geometry.pooledEntries) },
  };
  const gathered = {
    q: await tensor("gathered q", geometry.gathered),
    k: await tensor("gathered k", geometry.gathered),
    v: await tensor("gathered v", geometry.gathered),
  };

  const compile = async (heads: number) => {
    const size = { heads, headDim, dtype };
    return {
      scored: own(
        await createPyramid(
          gpu,
          planPyramid(geometry, { ...size, ...tuning.pyramid, scored: true }),
        ),
      ),
      plain: own(
        await createPyramid(
          gpu,
          planPyramid(geometry, { ...size, ...tuning.pyramid, scored: false }),
        ),
      ),
      selection: own(await createSelection(gpu, planSelection(geometry, heads))),
      gather: own(await createGather(gpu, planGather(geometry, { ...size, ...tuning.gather }))),
      scatter: own(await createScatter(gpu, planScatter(geometry, { ...size, ...tuning.scatter }))),
    };
  };
  const kernels = new Map<number, Awaited<ReturnType<typeof compile>>>();
  const stage = (
    name: (typeof STAGES)[number],
  ): Stage & { dispatches: Stage["dispatches"][0][] } => ({
    name,
    dispatches: [],
  });
  const [pool, select, gather, attention, scatter] = STAGES.map(stage);
  const selections: { firstHead: number; heads: number; indices: GPUBuffer }[] = [];
  for (const [b, { firstHead, heads }] of blocks.entries()) {
    let passes = kernels.get(heads);
    if (!passes) kernels.set(heads, passes = await compile(heads));
    const buffer = async (label: string, count: number) =>
      own(await createStorageBuffer(gpu, heads * count * 4, { label }));
    const scores = {
      q: slice(await buffer("query scores", geometry.entries)),
      k: slice(await buffer("key scores", geometry.entries)),
      v: undefined,
    };
    const slots = slice(await buffer("slots", geometry.entries));
    const indices = slice(await buffer("indices", geometry.gathered));
    selections.push({ firstHead, heads, indices: indices.buffer });
    for (const name of ["q", "k", "v"] as const) {
      const rows = sources[name].rows.blocks[b].data;
      const pooled = sources[name].pooled.blocks[b].data;
      const pyramid = scores[name] ? passes.scored : passes.plain;
      pool.dispatches.push(...pyramid.bind({ rows, pooled, scores: scores[name] }));
      const target = gathered[name].blocks[b].data;
      gather.dispatches.push(...passes.gather.bind({ rows, pooled, indices, gathered: target }));
    }
    select.dispatches.push(
      ...passes.selection.bind({ queryScores: scores.q, keyScores: scores.k, indices, slots }),
    );
    scatter.dispatches.push(
      ...passes.scatter.bind({
        gathered: attended.blocks[b].data,
        slots,
        output: output.blocks[b].data,
      }),
    );
  }
  const dense = own(
    await bindDenseTensors(gpu, { ...gathered, o: attended, lse }, {
      flopsPerDispatch: options.flopsPerDispatch,
    }),
  );
  attention.dispatches.push(...dense.dispatches);
  return { stages: [pool, select, gather, attention, scatter], output, lse, selections };
}

function requireInputs(problem: Problem, inputs: LayerInputs): void {
  const { heads, context, headDim, dtype } = problem.shape;
  for (const tensor of [inputs.q, inputs.k, inputs.v]) {
    const fits = tensor.heads === heads && tensor.rows === context && tensor.dim === headDim &&
      tensor.dtype === dtype && tensor.blocks.length === inputs.q.blocks.length &&
      tensor.blocks.every((block, b) => block.heads === inputs.q.blocks[b].heads);
    if (!fits) {
      throw new RangeError(
        `prepare lighthouse: ${tensor.label} is ${tensor.dtype} [${tensor.heads}, ${tensor.rows}, ` +
          `${tensor.dim}] in ${tensor.blocks.length} blocks, the layer needs ${dtype} ` +
          `[${heads}, ${context}, ${headDim}] in ${inputs.q.blocks.length}`,
      );
    }
  }
}
