/**
 * Adds seeded relative noise to data on the device. It models a different rounding of the inputs,
 * or another kernel upstream.
 *
 * @module
 */
import code from "./noise.wgsl" with { type: "text" };
import {
  bindDispatch,
  bytesPerElement,
  bytesPerHead,
  requireTensor,
  runDispatches,
  slice,
  type Tensor,
} from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { NEAREST_HALF } from "./half.ts";
import { createPipeline } from "./pipeline.ts";
import { pcg } from "./random.ts";
import { createParams } from "./uniform.ts";

const PARAMS = {
  seedHash: "u32",
  firstElement: "u32",
  words: "u32",
  stride: "u32",
  half: "u32",
  amplitude: "f32",
} as const;

/** Standard deviation of a value of `pcg-sum4`: four uniform numbers of variance 1/3. */
const DEVIATION = 2 / Math.sqrt(3);

/**
 * Multiplies each element x of a tensor in place by 1 + ε and rounds it to the storage type. ε is
 * seeded, independent, close to normal and of standard deviation `deviation`.
 */
export async function perturbTensor(
  gpu: Gpu,
  tensor: Tensor,
  options: { seed: number; deviation: number },
): Promise<void> {
  const action = `perturb ${tensor?.label ?? "tensor"}`;
  requireTensor(gpu, action, tensor);
  const half = tensor.dtype === "f16";
  const pipeline = await createPipeline(gpu, {
    label: "relative noise",
    code: `${code}${NEAREST_HALF}`,
    bindings: ["read-write", "uniform"],
  });
  for (const block of tensor.blocks) {
    const words = Math.ceil(block.heads * bytesPerHead(tensor) / 4);
    const groups = Math.ceil(words / 256);
    const x = Math.min(groups, 32768);
    const first = block.firstHead * bytesPerHead(tensor) / bytesPerElement(tensor.dtype);
    const uniform = createParams(gpu, PARAMS, {
      seedHash: pcg(options.seed >>> 0),
      firstElement: first >>> 0,
      words,
      stride: x * 256,
      half: half ? 1 : 0,
      amplitude: options.deviation / DEVIATION,
    });
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [block.data, slice(uniform)],
      workgroups: [x, Math.ceil(groups / x), 1],
    });
    try {
      await runDispatches(gpu, action, [dispatch]);
    } finally {
      uniform.destroy();
    }
  }
}
