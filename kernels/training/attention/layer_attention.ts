/**
 * Attention of one layer within a training step, dense or Lighthouse, on buffers that the model
 * owns.
 *
 * The layers of `Implementation` allocate for themselves; a model of many layers shares scratch
 * among them and keeps for the backward pass only what its recompute mode says. So this composes
 * the same kernels, compiled once for all layers of a kind and bound layer by layer. A batch is
 * more heads.
 *
 * Shapes: q, k, v, o and their gradients `[heads, N, d]`, heads those of all sequences.
 *
 * @module
 */
import { createDenseAttention, planDenseAttention } from "../../dense_attention/dense_attention.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../../dense_attention/dense_attention_backward.ts";
import {
  denseBackwardFlops,
  denseForwardFlops,
} from "../../dense_attention/dense_attention_cost.ts";
import { HEAD_DIMS } from "../../dense_attention/types.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { requireRecord, show } from "../../gpu/require.ts";
import { compileLighthouse, planLighthouseLayer } from "./lighthouse_layer.ts";
import {
  type AttentionPlan,
  type AttentionSize,
  type CompiledAttention,
  DENSE,
  type LayerAttention,
} from "./types.ts";

/**
 * Plans the attention of a layer.
 *
 * @throws {TypeError} when the kind of attention is unknown.
 * @throws {RangeError} one line that names the value and the limit, when the layer cannot run it.
 */
export function planLayerAttention(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: LayerAttention,
  size: AttentionSize,
): AttentionPlan {
  requireRecord("plan attention", "the layer's attention", attention);
  if (attention.kind !== DENSE.kind && attention.kind !== "lighthouse") {
    const { kind } = attention as { kind: unknown };
    throw new TypeError(
      `plan attention: kind ${show(kind)} is not one of ${DENSE.kind}, lighthouse`,
    );
  }
  const { headDim } = size;
  if (!HEAD_DIMS.includes(headDim)) {
    throw new RangeError(
      `plan attention: head dimension ${headDim} is not one of ${HEAD_DIMS.join(", ")}`,
    );
  }
  return attention.kind === "lighthouse"
    ? planLighthouseLayer(gpu, attention, size)
    : planDenseLayer(gpu, attention, size);
}

function planDenseLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: LayerAttention,
  size: AttentionSize,
): AttentionPlan {
  const { heads, context: rows, headDim, dtype } = size;
  planDenseAttention(gpu, { heads, rows, headDim, dtype });
  const { scratchBytes } = planDenseBackward(gpu, { heads, rows, headDim, dtype });
  const statistic = heads * rows * 4;
  return {
    name: attention.kind,
    detail: "",
    attention,
    size,
    buffers: [
      { name: "log-sum-exp", bytes: statistic, keptIn: ["none", "light"] },
      { name: "delta", bytes: statistic, keptIn: [] },
    ],
    scratchBytes,
    keeps: { qkv: ["none"], o: ["none", "light"] },
    flops: {
      forward: denseForwardFlops({ heads, rows, headDim }),
      backward: denseBackwardFlops({ heads, rows, headDim }),
      scorer: 0,
    },
  };
}

/** Compiles the attention of all layers of a plan. */
export function compileLayerAttention(gpu: Gpu, plan: AttentionPlan): Promise<CompiledAttention> {
  return plan.geometry ? compileLighthouse(gpu, plan, plan.geometry) : compileDense(gpu, plan);
}

async function compileDense(gpu: Gpu, { size }: AttentionPlan): Promise<CompiledAttention> {
  const { heads, context: rows, headDim, dtype, flopsPerDispatch } = size;
  const options = { heads, rows, headDim, dtype, flopsPerDispatch };
  const { ownAll, destroy } = collectOwned();
  const [forward, backward] = await ownAll(
    createDenseAttention(gpu, planDenseAttention(gpu, options)),
    createDenseBackward(gpu, planDenseBackward(gpu, options)),
  ).catch((error) => {
    destroy();
    throw error;
  });
  return {
    bind(buffers) {
      const { q, k, v, o, own } = buffers;
      const lse = own("log-sum-exp");
      const attend = forward.bind({ q, k, v, o, lse });
      return {
        forward: attend,
        rebuild: { none: [], light: [], least: attend },
        backward: backward.bind({ ...buffers, lse, delta: own("delta") }),
      };
    },
    destroy,
  };
}
