/**
 * Dense causal attention, backward: dQ, dK, dV from Q, K, V, O, the log-sum-exp and dO.
 *
 * Shapes: K, V, dK, dV `[kvHeads, N, d]`, all other tensors `[heads, N, d]`; log-sum-exp and delta
 * `[heads, N]` f32. dK and dV add up the query heads that share a key head, in their order.
 *
 * Three passes, each deterministic without atomics: delta = Σ dO ∘ O per row, then dQ by query
 * tile, then dK and dV by key tile. The portable kernels recompute the scores in both of the last
 * two passes, so they do seven products where the convention counts five. On matrix units dK and dV
 * come first and pass the gradients of scores on to dQ: `dense_matrix_backward.ts`.
 *
 * Numerics: as in the forward kernel, every product and sum in f32, one rounding on storing; on
 * matrix units f16 products, see `dense_matrix_backward_codegen.ts`. Weights are recomputed from
 * the log-sum-exp, which is f32: above 2^20 a weight is off by 6 % or more, and from 2^28 on it may
 * be anything from 0 to 1. A weight never exceeds 1.
 *
 * @module
 */
import { bytesPerElement, type Dispatch, requireBytes } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { requireDType } from "../gpu/require.ts";
import type { BackwardPasses, DenseBackwardPlan, TiledPasses } from "./backward_plan.ts";
import { bindDelta, deltaSource, scalesSource } from "./delta_pass.ts";
import { denseBackwardBytes } from "./dense_attention_cost.ts";
import { requireDenseOptions } from "./dense_options.ts";
import { whyNoMatrixBackward } from "./matrix/dense_matrix.ts";
import type { MatrixBackwardScratch } from "./matrix/dense_matrix_backward.ts";
import { bindMatrixPasses, planMatrixPasses } from "./matrix/matrix_backward_plan.ts";
import { bindPortablePasses, planPortablePasses } from "./portable/portable_backward.ts";
import { kvHeadsOf } from "../key_heads.ts";
import { pairFlops, type TileWalk, type WalkBuffers } from "./tile_walk.ts";
import type { DenseBackwardBuffers, DenseBackwardOptions } from "./types.ts";

/**
 * Plans a launch.
 *
 * @throws {RangeError} naming the value and the limit, when the kernels cannot run the shape.
 */
export function planDenseBackward(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseBackwardOptions,
): DenseBackwardPlan {
  requireDenseOptions("plan dense attention backward", gpu, options);
  const { heads, rows, headDim, dtype } = options;
  const { gradientType = dtype } = options;
  requireDType("plan dense attention backward: gradients", gradientType);
  if (dtype === "f32" && gradientType === "f16") {
    throw new RangeError(
      "plan dense attention backward: gradients of f32 tensors are f32, not f16",
    );
  }
  const unfit = whyNoMatrixBackward(gpu.capabilities, options);
  const asked = options.kernel === "matrix" || options.matrixTilings !== undefined;
  if (unfit && asked) {
    throw new RangeError(`plan dense attention backward on matrix units: ${unfit}`);
  }
  const refused = unfit || options.kernel === "portable" || options.tilings;
  const passes = refused ? planPortablePasses(gpu, options) : planMatrixPasses(gpu, options);
  return {
    ...options,
    gradientType,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    ...passes,
    pipelines: {
      delta: passes.schedule?.bytes.scaledGradients === undefined
        ? deltaSource({ ...options, gradientType })
        : scalesSource(options),
      ...passes.pipelines,
    },
    flops: 5 * pairFlops(options.walk, { heads, rows, headDim }),
    bytes: denseBackwardBytes({ ...options, gradientType }),
  };
}

/** Compiled backward kernels. `bind` may be called for any number of head blocks. */
export interface DenseBackward {
  /** The plan that was compiled. */
  readonly plan: DenseBackwardPlan;
  /** The dispatches for one block of heads, in order. */
  readonly bind: (buffers: DenseBackwardBuffers) => Dispatch[];
  /** The same by pass, for timing each pass. */
  readonly bindPasses: (buffers: DenseBackwardBuffers) => BackwardPasses;
  /** Frees the kernels' buffers. */
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernels.
 *
 * @param options `scratch`: buffers between the passes on matrix units, from a plan for the same
 * shape; another kernel may use them at another time. Default: the kernel's own.
 * @throws {ShaderError} when the device refuses a shader.
 * @throws {MemoryError} when the device has no room for the buffers between the passes.
 */
export async function createDenseBackward(
  gpu: Gpu,
  plan: DenseBackwardPlan,
  options: { readonly scratch?: MatrixBackwardScratch } = {},
): Promise<DenseBackward> {
  const [delta, query, keyValue, sum] = await Promise.all([
    createPipeline(gpu, plan.pipelines.delta),
    createPipeline(gpu, plan.pipelines.query),
    createPipeline(gpu, plan.pipelines.keyValue),
    plan.pipelines.sum && createPipeline(gpu, plan.pipelines.sum),
  ]);
  const pipelines = { query, keyValue, sum };
  const walks = plan.walk && await createWalks(gpu, plan.walk, plan.tiles);
  const destroyWalks = () => Object.values(walks ?? {}).forEach((walk) => walk.destroy());
  let tiled: TiledPasses;
  try {
    tiled = plan.schedule
      ? await bindMatrixPasses(gpu, { plan, schedule: plan.schedule, pipelines, walks, ...options })
      : bindPortablePasses(gpu, { plan, pipelines, walks });
  } catch (error) {
    destroyWalks();
    throw error;
  }
  const first = bindDelta(gpu, { plan, delta, scratch: tiled.scratch });
  const bindPasses = (b: DenseBackwardBuffers) => {
    requireBuffers(plan, b);
    return { delta: first.bind(b), ...tiled.bind(b) };
  };
  return {
    plan,
    bindPasses,
    bind: (buffers) => {
      const { delta, query, keyValue, inOrder } = bindPasses(buffers);
      return [delta, ...inOrder ?? [...query, ...keyValue]];
    },
    destroy: () => {
      first.destroy();
      tiled.destroy();
      destroyWalks();
    },
  };
}

/** A walk for each of the two tiled passes; if allocating the second fails, the first is freed. */
async function createWalks(
  gpu: Gpu,
  walk: TileWalk,
  tiles: DenseBackwardPlan["tiles"],
): Promise<Record<keyof typeof tiles, WalkBuffers>> {
  const query = await walk.create(gpu, tiles.query);
  try {
    return { query, keyValue: await walk.create(gpu, tiles.keyValue) };
  } catch (error) {
    query.destroy();
    throw error;
  }
}

const ROWS = ["q", "k", "v", "o"] as const;
const GRADIENTS = ["outputGradient", "queryGradient", "keyGradient", "valueGradient"] as const;

/** Tensors with a head for each group of query heads. */
const OF_KEYS: readonly string[] = ["k", "v", "keyGradient", "valueGradient"];

/** Checks that buffers hold everything that the passes address. */
function requireBuffers(plan: DenseBackwardPlan, buffers: DenseBackwardBuffers): void {
  const { heads, rows, headDim, dtype, gradientType } = plan;
  const require = (name: Exclude<keyof DenseBackwardBuffers, "firstHead">, bytes: number) =>
    requireBytes(`dense attention backward: ${name}`, buffers[name], bytes);
  const elementsOf = (name: string) =>
    (OF_KEYS.includes(name) ? kvHeadsOf(plan) : heads) * rows * headDim;
  for (const name of ROWS) require(name, elementsOf(name) * bytesPerElement(dtype));
  for (const name of GRADIENTS) require(name, elementsOf(name) * bytesPerElement(gradientType));
  require("lse", heads * rows * 4);
  require("delta", heads * rows * 4);
}
