import assert from "node:assert/strict";
import { testGpu } from "../../../gpu/_test_gpu.ts";
import { createTensor, fillSeeded } from "../../../mod.ts";
import { lighthouseImplementation } from "../../lighthouse_attention.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";
import { maximaReference, selectReference } from "../../lighthouse_reference.ts";
import { randomScorer, randomScores } from "./random_scorer.ts";

Deno.test("randomScorer selects by its seed, whatever the inputs", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 3, context: 1024, headDim: 32, dtype: "f32" } as const;
  const options = { levels: 3, pooling: 2, k: 256 };
  const geometry = planGeometry(shape.context, options);
  const layer = lighthouseImplementation({ scorer: randomScorer });
  const select = async (seed: number) => {
    const tensors = await Promise.all([0, 1, 2].map(async (n) => {
      // Blocks of two heads and of one: the second must continue where the first ended.
      const size = { heads: 3, rows: shape.context, dim: shape.headDim, dtype: shape.dtype };
      const tensor = await createTensor(gpu, size, { headsPerBlock: 2 });
      await fillSeeded(gpu, tensor, seed + n);
      return tensor;
    }));
    const [q, k, v] = tensors;
    const prepared = await layer.prepare(gpu, { shape, options }, { inputs: { q, k, v } });
    await prepared.execute();
    const selection = await prepared.outputs.readSelection!();
    prepared.destroy();
    tensors.forEach((tensor) => tensor.destroy());
    return selection;
  };
  const first = await select(1);
  assert.deepEqual(await select(50), first);
  for (let head = 0; head < shape.heads; head++) {
    const { query, key } = randomScores({ head, heads: shape.heads, context: shape.context });
    assert.deepEqual(
      [...first.subarray(head * geometry.gathered, (head + 1) * geometry.gathered)],
      [...selectReference(
        maximaReference(query, geometry),
        maximaReference(key, geometry),
        geometry,
      )],
      `head ${head}`,
    );
  }
  gpu.destroy();
});
