/**
 * Where tests of the kernels on matrix units run: real units or their emulation.
 *
 * @module
 */
import { DESK } from "../../gpu/_desk_device.ts";
import { createTensor, type Tensor, writeTensor } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { PipelineSource } from "../../gpu/pipeline.ts";
import { emulateMatrices } from "./_matrix_emulation.ts";
import { MATRIX_UNITS } from "./_matrix_gpu.ts";
import { planDenseAttention } from "../dense_attention.ts";
import type { MatrixBackwardTiling, MatrixTiling } from "../tilings.ts";

export const DEVICE = { ...DESK, capabilities: MATRIX_UNITS };
export const SHAPE = { heads: 1, rows: 1000, headDim: 128, dtype: "f16" } as const;

/** Where a kernel runs: on matrix units, or emulated on any adapter. */
export interface Bench {
  readonly gpu: Gpu;
  readonly emulated: boolean;
}

/** A plan for matrix units, or for their emulation. */
export function planFor(
  { gpu, emulated }: Bench,
  options: Omit<Parameters<typeof planDenseAttention>[1], "dtype" | "kernel">,
) {
  const device = emulated ? DEVICE : gpu;
  const plan = planDenseAttention(device, { ...options, dtype: "f16", kernel: "matrix" });
  return emulated ? { ...plan, pipeline: emulatePipeline(plan.pipeline, options) } : plan;
}

export function emulatePipeline(
  { shared, ...pipeline }: PipelineSource,
  options: { matrixTiling?: { readonly subgroups: number } },
): PipelineSource {
  return {
    ...pipeline,
    bindings: pipeline.bindings.map((kind) => kind === "uniform" ? "read" : kind),
    code: emulateMatrices(pipeline.code, options.matrixTiling!.subgroups),
    shared: shared && emulatePipeline(shared, options),
  };
}

/** Small enough for the workgroup memory of any adapter when emulated. */
export const SMALLEST = {
  subgroups: 1,
  blocks: 1,
  tileColumns: 16,
  stages: 1,
} as const satisfies MatrixTiling & MatrixBackwardTiling;

export async function createInputs(
  gpu: Gpu,
  options: { heads: number; rows: number; headDim: number; size: number; equal: boolean },
): Promise<{ q: Tensor; k: Tensor; v: Tensor }> {
  const { heads, rows, headDim, size, equal } = options;
  const tensors: Tensor[] = [];
  for (const [i, factor] of [size, 1, 1].entries()) {
    const tensor = await createTensor(gpu, { heads, rows, dim: headDim, dtype: "f16" });
    let state = 12345 + i;
    const draw = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 31 - 1;
    };
    const row = Float32Array.from({ length: headDim }, () => 1.7 * draw());
    writeTensor(
      gpu,
      tensor,
      Float32Array.from(
        { length: heads * rows * headDim },
        (_, at) => factor * (equal ? row[at % headDim] : 1.7 * draw()),
      ),
    );
    tensors.push(tensor);
  }
  const [q, k, v] = tensors;
  return { q, k, v };
}
