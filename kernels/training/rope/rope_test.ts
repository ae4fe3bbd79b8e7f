import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { createRopeBackward, planRopeBackward, ropeFrequencies, ropeTable } from "./rope.ts";
import { ropeBackwardReference } from "./rope_reference.ts";

Deno.test("frequencies are scaled as in Llama 3.1, by hand", () => {
  const plain = ropeFrequencies({ headDim: 128, scaling: null });
  const scaled = ropeFrequencies({ headDim: 128 });
  assert.equal(plain[0], 1);
  for (let i = 0; i < 64; i++) {
    const wavelength = 2 * Math.PI * 10_000 ** (i / 64);
    if (wavelength < 2048) assert.equal(scaled[i], plain[i]);
    else if (wavelength > 8192) assert.equal(scaled[i], plain[i] / 8);
    else assert.ok(scaled[i] < plain[i] && scaled[i] > plain[i] / 8);
  }
  // The pair whose wavelength is 4,529: a third of the way from the low end.
  const i = Math.round(64 * Math.log(4529 / (2 * Math.PI)) / Math.log(10_000));
  const turns = 8192 * 10_000 ** (-i / 64) / (2 * Math.PI);
  const smooth = (turns - 1) / 3;
  const want = 10_000 ** (-i / 64) * (smooth + (1 - smooth) / 8);
  assert.ok(Math.abs(scaled[i] - want) <= 2 ** -24 * want);
});

Deno.test("the table keeps lengths, and far positions their angle", () => {
  const table = ropeTable({ context: 300, headDim: 8 });
  for (let i = 0; i < table.length; i += 2) {
    assert.ok(Math.abs(table[i] ** 2 + table[i + 1] ** 2 - 1) < 2 ** -22);
  }
  assert.equal(table[299 * 8 + 1], Math.fround(Math.sin(299)));
  assert.throws(() => ropeTable({ context: 3, headDim: 5 }), {
    message: "make rope table: headDim 5 is odd",
  });
});

Deno.test("the gradient undoes a rotation, by hand", () => {
  const table = ropeTable({ context: 2, headDim: 2, scaling: null });
  const { values } = ropeBackwardReference([1, 2, Math.cos(1), Math.sin(1)], table, { headDim: 2 });
  assert.deepEqual([...values.subarray(0, 2)], [1, 2]);
  assert.ok(Math.abs(values[2] - 1) < 1e-7 && Math.abs(values[3]) < 1e-7);
});

Deno.test("the gradient on the device matches float64 and leaves the last part alone", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const dtype of ["f16", "f32"] as const) {
    const layout = { parts: 3, sequences: 2, heads: 2, context: 13, headDim: 32, partStride: 1728 };
    const each = 2 * 2 * 13 * 32;
    const table = ropeTable(layout);
    const before = seeded(1, 2 * layout.partStride + each, { dtype });
    const gradient = await upload(gpu, before, dtype);
    const pass = await createRopeBackward(gpu, planRopeBackward({ layout, dtype }));
    await run(gpu, pass.bind({ gradient, table: await upload(gpu, table) }));
    const have = await download(gpu, gradient, { count: before.length, dtype });
    for (const part of [0, 1]) {
      const own = (data: ArrayLike<number>) =>
        Array.from(data).slice(part * layout.partStride, part * layout.partStride + each);
      const want = ropeBackwardReference(own(before), table, { headDim: 32, dtype });
      assertClose(own(have), want, `${dtype} part ${part}`);
    }
    const rest = 2 * layout.partStride;
    assert.deepEqual(have.subarray(rest), before.subarray(rest));
    pass.destroy();
  }
  gpu.destroy();
});
