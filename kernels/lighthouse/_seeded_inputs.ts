/**
 * Seeded inputs of a layer for tests.
 *
 * @module
 */
import { createTensor, type Tensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { fillSeeded } from "../gpu/random.ts";
import type { AttentionShape, LayerInputs } from "../implementation.ts";

/** Tensors that have a gradient. */
export const NAMES = ["q", "k", "v"] as const;

/** Q, K, V and dO of a layer, from four consecutive seeds. */
export async function seededInputs(
  gpu: Gpu,
  shape: AttentionShape,
  options: { seed: number; headsPerBlock?: number },
): Promise<LayerInputs> {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const tensors: Tensor[] = [];
  for (const [n, label] of ["q", "k", "v", "output gradient"].entries()) {
    const { headsPerBlock } = options;
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype }, { label, headsPerBlock });
    await fillSeeded(gpu, tensor, options.seed + n);
    tensors.push(tensor);
  }
  const [q, k, v, outputGradient] = tensors;
  return { q, k, v, outputGradient };
}
