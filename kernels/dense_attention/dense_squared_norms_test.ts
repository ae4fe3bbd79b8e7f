import assert from "node:assert/strict";
import { testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, writeTensor } from "../gpu/buffers.ts";
import { fillSeeded } from "../gpu/random.ts";
import { Timer } from "../gpu/timing.ts";
import { denseAttentionReference } from "./dense_attention_reference.ts";
import { createSquaredNorms, planSquaredNorms } from "./dense_squared_norms.ts";

for (
  const { dilation, rows, headDim, dtype, heads } of [
    { dilation: 1, rows: 131, headDim: 64, dtype: "f32", heads: 2 },
    { dilation: 4, rows: 520, headDim: 32, dtype: "f16", heads: 2 },
    { dilation: 7, rows: 1113, headDim: 128, dtype: "f32", heads: 1 },
    { dilation: 60, rows: 60, headDim: 32, dtype: "f32", heads: 1 },
  ] as const
) {
  Deno.test(`squared norms within residue classes modulo ${dilation} match float64`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads, rows, dim: headDim, dtype };
    const resultRows = rows + 5;
    const [q, k, v] = [
      await createTensor(gpu, shape),
      await createTensor(gpu, shape),
      await createTensor(gpu, shape),
    ];
    for (const [i, tensor] of [q, k, v].entries()) await fillSeeded(gpu, tensor, 70 + i);
    const norms = await createTensor(gpu, { heads, rows: resultRows, dim: 1, dtype: "f32" });
    writeTensor(gpu, norms, new Float32Array(heads * resultRows).fill(-7));
    const plan = planSquaredNorms(gpu, { heads, rows, headDim, dtype, dilation, resultRows });
    const kernel = await createSquaredNorms(gpu, plan);
    const timer = new Timer(gpu);
    const [bq, bk, bv, squaredNorms] = [q, k, v, norms].map((x) => x.blocks[0].data);
    const run = (flopsPerDispatch?: number) => {
      const planned = planSquaredNorms(gpu, { ...plan.options, flopsPerDispatch });
      return createSquaredNorms(gpu, planned).then((made) =>
        timer.run([{ name: "norms", dispatches: made.bind({ q: bq, k: bk, v: bv, squaredNorms }) }])
      );
    };
    await run();
    const got = await readTensor(gpu, norms);
    const inputs = await Promise.all([q, k, v].map((tensor) => readTensor(gpu, tensor)));
    let sequences = 0;
    for (let head = 0; head < heads; head++) {
      for (let residue = 0; residue < dilation; residue++) {
        sequences++;
        const count = rows / dilation;
        const [sq, sk, sv] = inputs.map((data) =>
          Float64Array.from({ length: count * headDim }, (_, i) => {
            const row = Math.floor(i / headDim) * dilation + residue;
            return data[(head * rows + row) * headDim + i % headDim];
          })
        );
        const want = denseAttentionReference({ q: sq, k: sk, v: sv, headDim });
        for (let n = 0; n < count; n++) {
          let norm = 0;
          let tolerance = 0;
          for (let c = 0; c < headDim; c++) {
            const o = want.output[n * headDim + c];
            norm += o * o;
            // (o + e)² - o², and the rounding of the sum of squares.
            tolerance += (2 * Math.abs(o) + want.tolerance[n * headDim + c]) *
                want.tolerance[n * headDim + c] + (headDim + 4) * 2 ** -24 * o * o;
          }
          const found = got[head * resultRows + n * dilation + residue];
          assert.ok(Math.abs(found - norm) <= tolerance, `${found} against ${norm}`);
        }
      }
      for (let i = rows; i < resultRows; i++) assert.equal(got[head * resultRows + i], -7);
    }
    assert.equal(sequences, heads * dilation);
    await run(plan.flops / 5);
    assert.deepEqual(await readTensor(gpu, norms), got);
    timer.destroy();
    kernel.destroy();
    gpu.destroy();
  });
}

Deno.test("planSquaredNorms refuses a dilation that does not divide the rows", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  assert.throws(
    () => planSquaredNorms(gpu, { heads: 1, rows: 10, headDim: 32, dtype: "f32", dilation: 4 }),
    /dilation 4 does not divide 10 rows/,
  );
  gpu.destroy();
});
