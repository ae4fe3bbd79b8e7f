import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { createSumPartials, planSumPartials } from "./sum_partials.ts";

Deno.test("a sum of partials refuses a size that is no multiple of 4", () => {
  assert.throws(() => planSumPartials({ count: 2, size: 6 }), {
    message: "plan sum of partials: size 6 is not a multiple of 4",
  });
  assert.throws(() => planSumPartials({ count: 0, size: 8 }), /count 0 is not a whole number/);
});

Deno.test("partial sums are added to the result in one order, with one lane and with many", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [count, size] of [[1, 4], [3, 1100], [40, 100], [17, 64]]) {
    const partials = seeded(1, count * size);
    const before = seeded(2, size);
    const buffers = { partials: await upload(gpu, partials), result: await upload(gpu, before) };
    const sum = await createSumPartials(gpu, planSumPartials({ count, size }));
    await run(gpu, sum.bind(buffers));
    const want = { values: new Float64Array(size), tolerance: new Float64Array(size) };
    for (let i = 0; i < size; i++) {
      let sizes = Math.abs(before[i]);
      want.values[i] = before[i];
      for (let s = 0; s < count; s++) {
        want.values[i] += partials[s * size + i];
        sizes += Math.abs(partials[s * size + i]);
      }
      // Each of count additions rounds by half a unit in the last place.
      want.tolerance[i] = count * 2 ** -24 * sizes;
    }
    const have = await download(gpu, buffers.result, { count: size });
    assertClose(have, want, `${count} × ${size}`);
    sum.destroy();
  }
  gpu.destroy();
});
