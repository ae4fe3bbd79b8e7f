import assert from "node:assert/strict";
import { testGpu } from "./_test_gpu.ts";
import { createTensor } from "./buffers.ts";
import { fillSeeded } from "./random.ts";
import { dense } from "../dense_attention/dense_layer.ts";

Deno.test("Timer calls between submissions, and counts the time of neither", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 1024, headDim: 32, dtype: "f32" as const };
  const tensor = await createTensor(gpu, { heads: 1, rows: 1024, dim: 32, dtype: "f32" });
  await fillSeeded(gpu, tensor, 1);
  const inputs = { q: tensor, k: tensor, v: tensor };
  const layer = await dense.prepare(gpu, { shape }, { inputs, flopsPerDispatch: 1e7 });
  await layer.execute();
  const rest = 300;
  let calls = 0;
  const timing = await layer.execute({
    // Each dispatch is a submission of its own.
    flopsPerSecond: 1,
    between: async () => {
      calls++;
      if (calls === 1) await new Promise((resolve) => setTimeout(resolve, rest));
    },
  });
  assert.ok(calls >= 1, `${calls} calls`);
  const plain = await layer.execute({ flopsPerSecond: 1 });
  assert.ok(timing.wallSeconds < plain.wallSeconds + rest / 1e3, `${timing.wallSeconds} s`);
  if (timing.gpuSeconds !== null) {
    assert.ok(timing.gpuSeconds < plain.gpuSeconds! + rest / 1e3, `${timing.gpuSeconds} s`);
  }
  await layer.execute({ between: () => Promise.reject(new Error("one submission")) });
  layer.destroy();
  tensor.destroy();
  gpu.destroy();
});
