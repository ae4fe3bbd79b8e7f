/**
 * Dense causal attention, forward: O = softmax(Q·Kᵀ/√d + causal mask)·V, per head.
 *
 * Shapes: Q, O `[heads, N, d]`, K, V `[kvHeads, N, d]`, where query head h reads key head
 * ⌊h / (heads / kvHeads)⌋; log-sum-exp `[heads, N]`, natural logarithm of the sum of
 * exponentials of the scaled logits. Row i attends to keys 0…i, so no row is ever fully masked.
 *
 * Numerics: f16 or f32 storage, every product and sum in f32. Compared with a float64 evaluation of
 * the same stored inputs, the error is that of f32 dot products of length d, of one exponential per
 * score and of one rounding to the storage type.
 *
 * A NaN or an infinity in a row of K or V reaches that row and all later ones. It may also reach up
 * to 256 earlier rows of the same tile, because their weight of 0 times NaN is NaN.
 *
 * Variants: `dense` is tiled and tuned. It runs on matrix units if the device has them
 * (dense_matrix.ts says when, and how that changes the numerics) and on the portable kernel
 * otherwise. `dense-naive` (dense_attention_naive.ts) uses one thread per row and serves as a
 * second reference in tests.
 *
 * @module
 */
import type { Dispatch, Tensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createLaunch } from "./dense_launch.ts";
import { requireDenseOptions } from "./dense_options.ts";
import { whyNotOnMatrixUnits } from "./matrix/dense_matrix.ts";
import { planMatrix } from "./matrix/matrix_plan.ts";
import { planPortable } from "./portable/portable_plan.ts";
import type { TileWalk } from "./tile_walk.ts";
import {
  type DenseAttentionBuffers,
  type DenseAttentionOptions,
  type DenseAttentionPlan,
  type DenseKernel,
  type DenseVariant,
  WHOLE_ROWS,
} from "./types.ts";

/**
 * Plans a launch.
 *
 * @throws {RangeError} naming the value and the limit, when the kernel cannot run the shape.
 */
export function planDenseAttention(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
): DenseAttentionPlan {
  return planVariant(gpu, options, WHOLE_ROWS);
}

/** Plans a variant of the kernel: see {@linkcode DenseVariant}. */
export function planVariant(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
  variant: DenseVariant,
): DenseAttentionPlan {
  requireDenseOptions("plan dense attention", gpu, options);
  const unfit = whyNotOnMatrixUnits(gpu.capabilities, options);
  if (options.kernel === "matrix" || options.matrixTiling) {
    if (unfit) throw new RangeError(`plan dense attention on matrix units: ${unfit}`);
    return planMatrix(gpu, options, variant);
  }
  if (options.kernel === "portable" || options.tiling || unfit) {
    return planPortable(gpu, options, variant);
  }
  return planMatrix(gpu, options, variant);
}

/** A compiled kernel. `bind` may be called for any number of head blocks of the planned size. */
export interface DenseAttention {
  /** The plan that was compiled. */
  readonly plan: DenseAttentionPlan;
  /** The dispatches for one block of heads. */
  readonly bind: (buffers: DenseAttentionBuffers) => Dispatch[];
  /** On matrix units: workgroups that restarted since the kernel was created. */
  readonly readRestarts?: () => Promise<number>;
  /** Frees the kernel's buffers. */
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernel.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createDenseAttention(
  gpu: Gpu,
  plan: DenseAttentionPlan,
): Promise<DenseAttention> {
  const launch = await createLaunch(gpu, plan, {
    resultRows: plan.rows,
    rowStride: 1,
    results: ["o", "log-sum-exp"],
  });
  return {
    plan,
    bind: ({ q, k, v, o, lse, firstHead }) => launch.bind([q, k, v, o, lse], firstHead),
    readRestarts: launch.readRestarts,
    destroy: launch.destroy,
  };
}

/** Dense attention bound to blocks of heads. */
export interface BoundDense {
  readonly dispatches: Dispatch[];
  /** On matrix units: workgroups that restarted since the kernels were created. */
  readonly readRestarts?: () => Promise<number>;
  readonly destroy: () => void;
}

/**
 * Compiles kernels for every block size of a set of tensors and binds them, one block after
 * another. Only the last block may have fewer heads.
 */
export async function bindDenseTensors(
  gpu: Gpu,
  tensors: { q: Tensor; k: Tensor; v: Tensor; o: Tensor; lse: Tensor },
  options: {
    create?: (heads: number) => Promise<DenseAttention>;
    flopsPerDispatch?: number;
    kernel?: DenseKernel;
    walk?: TileWalk;
  } = {},
): Promise<BoundDense> {
  const { q, k, v, o, lse } = tensors;
  const create = options.create ?? ((heads) =>
    createDenseAttention(
      gpu,
      planDenseAttention(gpu, {
        heads,
        kvHeads: heads * k.heads / q.heads,
        rows: q.rows,
        headDim: q.dim,
        dtype: q.dtype,
        flopsPerDispatch: options.flopsPerDispatch,
        kernel: options.kernel,
        walk: options.walk,
      }),
    ));
  const kernels = new Map<number, DenseAttention>();
  const dispatches: Dispatch[] = [];
  for (const [i, block] of q.blocks.entries()) {
    let kernel = kernels.get(block.heads);
    if (!kernel) kernels.set(block.heads, kernel = await create(block.heads));
    dispatches.push(...kernel.bind({
      q: block.data,
      k: k.blocks[i].data,
      v: v.blocks[i].data,
      o: o.blocks[i].data,
      lse: lse.blocks[i].data,
      firstHead: block.firstHead,
    }));
  }
  const counters = [...kernels.values()].flatMap(({ readRestarts }) => readRestarts ?? []);
  return {
    dispatches,
    readRestarts: counters.length === 0
      ? undefined
      : async () => (await Promise.all(counters.map((read) => read()))).reduce((a, b) => a + b),
    destroy: () => kernels.forEach((kernel) => kernel.destroy()),
  };
}
