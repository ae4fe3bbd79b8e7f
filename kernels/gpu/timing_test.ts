import assert from "node:assert/strict";
import { testGpu } from "./_test_gpu.ts";
import { bindDispatch, createStorageBuffer, createTensor, readBuffer, slice } from "./buffers.ts";
import { createPipeline } from "./pipeline.ts";
import { fillSeeded } from "./random.ts";
import { dense } from "../dense_attention/dense_layer.ts";
import { Timer } from "./timing.ts";

Deno.test("Timer calls between submissions, and counts the time of neither", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 1024, headDim: 32, dtype: "f32" as const };
  const tensor = await createTensor(gpu, { heads: 1, rows: 1024, dim: 32, dtype: "f32" });
  await fillSeeded(gpu, tensor, 1);
  const inputs = { q: tensor, k: tensor, v: tensor };
  const layer = await dense.prepare(gpu, { shape }, { inputs, flopsPerDispatch: 1e7 });
  await layer.execute();
  let [calls, away] = [0, 0];
  const started = performance.now();
  const timing = await layer.execute({
    // Each dispatch is its own submission.
    flopsPerSecond: 1,
    between: async () => {
      const left = performance.now();
      calls++;
      if (calls === 1) await new Promise((resolve) => setTimeout(resolve, 100));
      away += performance.now() - left;
    },
  });
  const elapsed = (performance.now() - started - away) / 1e3;
  assert.ok(calls >= 1, `${calls} calls`);
  // On a busy machine too, the counted time is at most the time not spent between submissions.
  assert.ok(timing.wallSeconds <= elapsed, `${timing.wallSeconds} s of ${elapsed}`);
  if (timing.gpuSeconds !== null) {
    assert.ok(timing.gpuSeconds <= elapsed, `${timing.gpuSeconds} s of ${elapsed}`);
  }
  await layer.execute({ between: () => Promise.reject(new Error("one submission")) });
  layer.destroy();
  tensor.destroy();
  gpu.destroy();
});

Deno.test("Timer repeats a layer between two timestamps, and reports the time of one", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const timer = new Timer(gpu);
  const counter = await createStorageBuffer(gpu, 4);
  const pipeline = await createPipeline(gpu, {
    label: "count",
    code: `
      @group(0) @binding(0) var<storage, read_write> count: u32;
      @compute @workgroup_size(1) fn main() { count += 1u; }
    `,
    bindings: ["read-write"],
  });
  const dispatch = bindDispatch(gpu, pipeline, {
    slices: [slice(counter)],
    workgroups: [1, 1, 1],
  });
  const stages = [{ name: "count", dispatches: [dispatch] }];
  const count = async () => new Uint32Array((await readBuffer(gpu, slice(counter))).buffer)[0];
  await timer.run(stages);
  assert.equal(await count(), 1);
  const { stages: each } = await timer.run(stages, { repeat: 5, stages: true });
  assert.equal(await count(), 6);
  if (gpu.capabilities.timestamps) assert.equal(each!.length, 1);
  for (const repeat of [0, 1.5, -1, NaN, 10_001]) {
    await assert.rejects(
      timer.run(stages, { repeat }),
      /run count: repeat .* is not a whole number/,
    );
  }
  assert.equal(await count(), 6);
  timer.destroy();
  counter.destroy();
  gpu.destroy();
});
