/**
 * The backward pass of a Lighthouse layer, composed of its passes (specification, section 6).
 *
 * dO `[H, N, d]` → gather-gradient (dÕ `[H, S, d]`) → attention-backward (the dense kernels over
 * the gathered rows) → scatter-gradient → dQ, dK, dV `[H, N, d]`. It reads results of the forward
 * pass: gathered rows, attended rows, log-sum-exp, indices and slots. It does not use the scorer.
 *
 * Numerics: gathered gradients are f32, because they may not fit f16 even if the results do: dÕ
 * sums up to p^(L-1) rows of dO, and the results divide gathered gradients by the same factor.
 * Results are rounded to storage once; sums are f32 in one fixed order. Two runs give the same
 * bits. On matrix units dÕ is multiplied as f16 times powers of two
 * (`dense_matrix_gradient_scales.wgsl`).
 *
 * @module
 */
import { bindDenseBackwardTensors } from "../dense_attention/dense_layer.ts";
import type { BufferSlice, Dispatch, Tensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import type { Stage } from "../gpu/timing.ts";
import { createGatherGradient, planGatherGradient } from "./passes/gather_gradient.ts";
import { BACKWARD_STAGES } from "./lighthouse_cost.ts";
import type { LighthouseGeometry } from "./lighthouse_geometry.ts";
import { MERGED_BINDINGS } from "./passes/merged_passes.ts";
import { createMergedScatter, planMergedScatter } from "./passes/merged_scatter.ts";
import type { ScatterOptions } from "./passes/scatter.ts";
import { createScatter, planScatter } from "./passes/scatter.ts";

/** One tensor each for Q, K and V. */
export interface Triple {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Results of the forward pass that the backward pass reads, over the same blocks of heads. */
export interface ForwardState {
  /** `[heads, S, d]` each. */
  readonly gathered: Triple;
  /** Õ, `[heads, S, d]`. */
  readonly attended: Tensor;
  /** f32 `[heads, S, 1]`. */
  readonly lse: Tensor;
  /** For each block: indices u32 `[heads, S]`, slots u32 `[heads, P]`. */
  readonly selections: readonly { readonly indices: BufferSlice; readonly slots: BufferSlice }[];
}

/** Tensors of the backward pass, over the same blocks of heads. */
export interface BackwardTensors {
  /** dO, `[heads, N, d]`. */
  readonly outputGradient: Tensor;
  /** dÕ, f32 `[heads, S, d]`, scratch; on matrix units it shares the buffer of dQ̃. */
  readonly gatheredOutputGradient: Tensor;
  /** dQ̃, dK̃, dṼ, at least f32 `[heads, S, d]` each, scratch. */
  readonly gatheredGradients: Triple;
  /** f32 `[heads, S, 1]`, scratch. */
  readonly delta: Tensor;
  /** dQ, dK, dV, `[heads, N, d]` each, written. */
  readonly gradients: Triple;
}

/** Compiles the passes for every block size and binds them, one block after another. */
export async function bindLighthouseBackward(
  gpu: Gpu,
  tensors: { forward: ForwardState } & BackwardTensors,
  options: {
    geometry: LighthouseGeometry;
    flopsPerDispatch?: number;
    tuning?: {
      gatherGradient?: { rowsInFlight?: number; threads?: number };
      scatter?: Pick<ScatterOptions, "rowsPerThread" | "threads">;
      merged?: boolean;
    };
  },
): Promise<{ stages: Stage[]; destroy: () => void }> {
  const { forward, gatheredGradients, gradients } = tensors;
  const { geometry, flopsPerDispatch, tuning } = options;
  const { dim: headDim, dtype, blocks } = tensors.outputGradient;
  // As for the passes of TensorPasses, though this one binds fewer buffers.
  const merged = tuning?.merged ?? gpu.capabilities.maxStorageBuffers >= MERGED_BINDINGS;
  const { own, destroy } = collectOwned();
  const compile = async (heads: number) => {
    const size = { heads, headDim, dtype };
    const gather = planGatherGradient(geometry, { ...size, ...tuning?.gatherGradient });
    const each = { ...size, ...tuning?.scatter };
    const single = planScatter(geometry, { ...each, gradient: true });
    return {
      gather: own(await createGatherGradient(gpu, gather)),
      scatter: merged
        ? own(await createMergedScatter(gpu, planMergedScatter(geometry, each)))
        : undefined,
      scatterEach: merged ? undefined : own(await createScatter(gpu, single)),
    };
  };
  try {
    const kernels = new Map<number, Awaited<ReturnType<typeof compile>>>();
    const gathers: Dispatch[] = [];
    const scatters: Dispatch[] = [];
    for (const [b, { heads, data: outputGradient }] of blocks.entries()) {
      let passes = kernels.get(heads);
      if (!passes) kernels.set(heads, passes = await compile(heads));
      const { indices, slots } = forward.selections[b];
      const gathered = tensors.gatheredOutputGradient.blocks[b].data;
      gathers.push(...passes.gather.bind({ outputGradient, indices, gathered }));
      const at = (tensor: Tensor) => tensor.blocks[b].data;
      scatters.push(
        ...passes.scatter?.bind({
          gatheredQ: at(gatheredGradients.q),
          gatheredK: at(gatheredGradients.k),
          gatheredV: at(gatheredGradients.v),
          slots,
          outputQ: at(gradients.q),
          outputK: at(gradients.k),
          outputV: at(gradients.v),
        }) ?? [],
      );
      for (const name of passes.scatterEach ? ["q", "k", "v"] as const : []) {
        const [gathered, output] = [at(gatheredGradients[name]), at(gradients[name])];
        scatters.push(...passes.scatterEach!.bind({ gathered, slots, output }));
      }
    }
    const dense = own(
      await bindDenseBackwardTensors(gpu, {
        ...forward.gathered,
        o: forward.attended,
        lse: forward.lse,
        outputGradient: tensors.gatheredOutputGradient,
        delta: tensors.delta,
        gradients: gatheredGradients,
      }, { flopsPerDispatch }),
    );
    const dispatches = [gathers, dense.dispatches, scatters];
    return {
      stages: BACKWARD_STAGES.map((name, i) => ({ name, dispatches: dispatches[i] })),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
