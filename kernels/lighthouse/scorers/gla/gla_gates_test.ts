import assert from "node:assert/strict";
import { testGpu } from "../../../gpu/_test_gpu.ts";
import { createTensor, readTensor } from "../../../gpu/buffers.ts";
import { pcgSum4 } from "../../../gpu/random.ts";
import { upload } from "../../../gpu/_test_buffers.ts";
import { fillGates, requireGates, seededGates } from "./gla_gates.ts";

Deno.test("seededGates are logsigmoid of the seeded value over 16", () => {
  const gates = seededGates(3, { head: 1, heads: 4, context: 50 });
  for (const n of [0, 1, 49]) {
    const sigmoid = 1 / (1 + Math.exp(-pcgSum4(3, 4 * n + 1)));
    assert.ok(Math.abs(gates[n] - Math.log(sigmoid) / 16) < 2e-8);
  }
  const mean = seededGates(3, { head: 0, heads: 1, context: 5000 })
    .reduce((sum, gate) => sum + gate / 5000, 0);
  assert.ok(mean < -0.045 && mean > -0.06, `${mean}`);
});

Deno.test("fillGates equals seededGates bit for bit, for any blocks", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 3, rows: 5000, dim: 1, dtype: "f32" } as const;
  const want = Float32Array.from([0, 1, 2].flatMap((head) => [
    ...seededGates(11, { head, heads: 3, context: 5000 }),
  ]));
  for (const headsPerBlock of [3, 2]) {
    const tensor = await createTensor(gpu, shape, { label: "gates", headsPerBlock });
    await fillGates(gpu, tensor, 11);
    assert.deepEqual(await readTensor(gpu, tensor), want);
    await requireGates(gpu, tensor.blocks.map((block) => block.data));
    tensor.destroy();
  }
  const wrong = await createTensor(gpu, { ...shape, dim: 2 }, { label: "gates" });
  await assert.rejects(fillGates(gpu, wrong, 1), /fill gates gates: dim 2 f32 is not 1 f32/);
  gpu.destroy();
});

Deno.test("requireGates counts gates above zero and NaN, and accepts zero and -∞", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const good = new Float32Array(1000).fill(-0.1);
  good.set([0, -0, -Infinity, -1e-45, -3e38]);
  const accepted = await upload(gpu, good);
  await requireGates(gpu, [accepted]);
  const bad = good.slice();
  bad.set([1e-45, 1, Infinity, NaN], 400);
  new Uint32Array(bad.buffer)[999] = 0xffc00000; // NaN with the sign bit set
  const refused = await upload(gpu, bad);
  await assert.rejects(requireGates(gpu, [accepted, refused]), {
    name: "RangeError",
    message: "check gates: 5 of 2000 log gates are NaN or above 0, the largest allowed",
  });
  gpu.destroy();
});
