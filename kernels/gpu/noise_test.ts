import assert from "node:assert/strict";
import { testGpu } from "./_test_gpu.ts";
import { createTensor, readTensor } from "./buffers.ts";
import { perturbTensor } from "./noise.ts";
import { fillSeeded } from "./random.ts";

for (const dtype of ["f32", "f16"] as const) {
  Deno.test(`perturbTensor ${dtype}: relative noise of the requested size, seeded, without bias`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const tensor = await createTensor(gpu, { heads: 3, rows: 500, dim: 32, dtype }, {
      headsPerBlock: 2,
    });
    try {
      const deviation = 2 ** -6;
      const run = async (seed: number) => {
        await fillSeeded(gpu, tensor, 5);
        const before = await readTensor(gpu, tensor);
        await perturbTensor(gpu, tensor, { seed, deviation });
        const after = await readTensor(gpu, tensor);
        return { before, after };
      };
      const { before, after } = await run(9);
      let sum = 0;
      let squares = 0;
      let count = 0;
      for (let i = 0; i < before.length; i++) {
        if (Math.abs(before[i]) < 0.01) continue; // f16 subnormals round coarsely
        const noise = after[i] / before[i] - 1;
        sum += noise;
        squares += noise * noise;
        count++;
        assert.ok(Math.abs(noise) < 4 * deviation, `element ${i}: ${noise}`);
      }
      // For 48,000 samples: the mean within five, the deviation within ten standard errors.
      assert.ok(Math.abs(sum / count) < 5 * deviation / Math.sqrt(count));
      const ratio = Math.sqrt(squares / count) / deviation;
      assert.ok(Math.abs(ratio - 1) < 10 / Math.sqrt(2 * count), `deviation off by ${ratio}`);
      assert.deepEqual((await run(9)).after, after);
      assert.notDeepEqual((await run(10)).after, after);
    } finally {
      tensor.destroy();
      gpu.destroy();
    }
  });
}
