import assert from "node:assert/strict";
import { createTensor, readTensor } from "./buffers.ts";
import { testGpu } from "./_test_gpu.ts";
import { digestWords, inspectTensor, requireFinite } from "./inspect.ts";
import { fillSeeded, pcgSum4, seededRows } from "./random.ts";
import { writeTensor } from "./buffers.ts";

Deno.test("pcgSum4 is exact in float32 and bounded", () => {
  let sum = 0;
  let squares = 0;
  const count = 20000;
  for (let i = 0; i < count; i++) {
    const value = pcgSum4(7, i);
    assert.equal(value, Math.fround(value));
    assert.ok(Math.abs(value) <= 4);
    sum += value;
    squares += value * value;
  }
  assert.ok(Math.abs(sum / count) < 0.05);
  // Four uniform numbers on (-1, 1): variance 4/3.
  assert.ok(Math.abs(squares / count - 4 / 3) < 0.05);
});

for (const dtype of ["f32", "f16"] as const) {
  Deno.test(`fillSeeded writes the host's bits in ${dtype}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads: 3, rows: 65, dim: 32, dtype };
    const tensor = await createTensor(gpu, shape, { headsPerBlock: 2 });
    await fillSeeded(gpu, tensor, 4242);
    const got = await readTensor(gpu, tensor);
    const want = [0, 1, 2].flatMap((head) => [
      ...seededRows(4242, { head, heads: 3, first: 0, count: 65, dim: 32, dtype }),
    ]);
    assert.deepEqual([...got], want);
    const words = new Uint32Array(got.buffer);
    assert.equal((await inspectTensor(gpu, tensor)).digest, digestWords(words));
    tensor.destroy();
    gpu.destroy();
  });
}

Deno.test("requireFinite names the tensor and counts its non-finite elements", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const dtype of ["f16", "f32"] as const) {
    const tensor = await createTensor(gpu, { heads: 1, rows: 4, dim: 32, dtype }, {
      label: "keys",
    });
    const data = new Float32Array(128).fill(1);
    writeTensor(gpu, tensor, data);
    await requireFinite(gpu, [tensor]);
    data[3] = NaN;
    data[90] = -Infinity;
    writeTensor(gpu, tensor, data);
    await assert.rejects(requireFinite(gpu, [tensor]), /check keys: 2 of 128 elements/);
    tensor.destroy();
  }
  gpu.destroy();
});
