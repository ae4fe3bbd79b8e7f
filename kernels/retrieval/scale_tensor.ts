/**
 * Scaling of data that is on the device.
 *
 * @module
 */
import code from "./scale_tensor.wgsl" with { type: "text" };
import {
  bindDispatch,
  bytesPerHead,
  createUniform,
  floatBits,
  requireTensor,
  runDispatches,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { foldGrid } from "../lighthouse/lighthouse_geometry.ts";

/**
 * Multiplies every element of a tensor in place by a power of two, which is exact but where an f16
 * becomes subnormal.
 *
 * @throws {RangeError} when the factor is no power of two.
 */
export async function scaleTensor(gpu: Gpu, tensor: Tensor, factor: number): Promise<void> {
  const action = `scale ${tensor?.label ?? "tensor"}`;
  requireTensor(gpu, action, tensor);
  if (!Number.isInteger(Math.log2(factor))) {
    throw new RangeError(`${action}: ${factor} is not a power of two`);
  }
  const pipeline = await createPipeline(gpu, {
    label: "scale tensor",
    code,
    bindings: ["read-write", "uniform"],
  });
  for (const block of tensor.blocks) {
    const words = Math.ceil(block.heads * bytesPerHead(tensor) / 4);
    const [x, y] = foldGrid(Math.ceil(words / 256));
    const uniform = createUniform(gpu, [
      words,
      x * 256,
      tensor.dtype === "f16" ? 1 : 0,
      floatBits(factor),
    ]);
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [block.data, slice(uniform)],
      workgroups: [x, y, 1],
    });
    try {
      await runDispatches(gpu, action, [dispatch]);
    } finally {
      uniform.destroy();
    }
  }
}
