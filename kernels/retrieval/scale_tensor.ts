/**
 * Scales a tensor on the device.
 *
 * @module
 */
import code from "./scale_tensor.wgsl" with { type: "text" };
import {
  bindDispatch,
  bytesPerHead,
  requireTensor,
  runDispatches,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { createParams } from "../gpu/uniform.ts";
import { foldGrid } from "../lighthouse/lighthouse_geometry.ts";

const PARAMS = { words: "u32", stride: "u32", half: "u32", factor: "f32" } as const;

/**
 * Multiplies every element of a tensor in place by a power of two, which is exact unless an f16
 * becomes subnormal.
 *
 * @throws {RangeError} when the factor is not a power of two.
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
    const uniform = createParams(gpu, PARAMS, {
      words,
      stride: x * 256,
      half: tensor.dtype === "f16" ? 1 : 0,
      factor,
    });
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
