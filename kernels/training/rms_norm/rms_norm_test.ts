import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { createRmsNorm, planRmsNorm } from "./rms_norm.ts";
import { createRmsNormBackward, planRmsNormBackward } from "./rms_norm_backward.ts";
import { rmsNormBackwardBytes, rmsNormBytes } from "./rms_norm_cost.ts";
import { rmsNormBackwardReference, rmsNormReference } from "./rms_norm_reference.ts";

Deno.test("the reference of a norm, by hand and by finite differences", () => {
  const gain = [1, 2, 1, 1, 1, 1, 1, 1];
  const x = [3, 4, 0, 0, 0, 0, 0, 0];
  const { y, inverse } = rmsNormReference({ x, gain }, { epsilon: 0 });
  // mean of squares 25/8, so r = √8/5.
  assert.ok(Math.abs(inverse.values[0] - Math.sqrt(8) / 5) < 1e-15);
  assert.ok(Math.abs(y.values[1] - 2 * 4 * Math.sqrt(8) / 5) < 1e-14);

  const gradient = [0.5, -1, 2, 0.25, 1, -3, 0.125, 4];
  const stream = new Float64Array(8);
  const given = { x, gain, gradient, stream };
  const loss = (x: number[], gain: number[]) =>
    rmsNormReference({ x, gain }).y.values.reduce((sum, y, i) => sum + y * gradient[i], 0);
  const moved = (numbers: number[], i: number, by: number) =>
    numbers.map((value, j) => i === j ? value + by : value);
  const found = rmsNormBackwardReference(given);
  for (let i = 0; i < 8; i++) {
    const h = 1e-5;
    const dx = (loss(moved(x, i, h), gain) - loss(moved(x, i, -h), gain)) / (2 * h);
    const dg = (loss(x, moved(gain, i, h)) - loss(x, moved(gain, i, -h))) / (2 * h);
    assert.ok(Math.abs(dx - found.stream.values[i]) < 1e-9);
    assert.ok(Math.abs(dg - found.gainGradient.values[i]) < 1e-9);
  }
});

Deno.test("plans of a norm: bytes by hand, refusals in one line", () => {
  const size = { rows: 10, columns: 64, dtype: "f16" } as const;
  assert.equal(rmsNormBytes(size), 10 * 64 * 6 + 40 + 256);
  assert.equal(rmsNormBackwardBytes(size), 10 * 64 * 18 + 40 + 512);
  assert.equal(rmsNormBackwardBytes({ ...size, remakes: true }), 10 * 64 * 20 + 40 + 512);
  assert.equal(planRmsNormBackward({ ...size, rows: 98304 }).partialBytes, 1024 * 64 * 4);
  assert.throws(() => planRmsNorm({ ...size, columns: 12 }), {
    message: "plan norm: columns 12 is not a multiple of 8",
  });
  assert.throws(() => planRmsNormBackward({ ...size, rows: 0 }), {
    message: "plan norm backward: rows 0 is not a whole number from 1",
  });
});

Deno.test("norms and their gradients match float64 within the derived tolerance", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (
    const [rows, columns, dtype, size] of [
      [1, 8, "f32", 1],
      [37, 64, "f16", 1],
      [1030, 72, "f32", 1e-3],
      [3, 1536, "f16", 30],
    ] as const
  ) {
    await t.step(`${rows} × ${columns} ${dtype} × ${size}`, async () => {
      const count = rows * columns;
      const x = seeded(1, count, { size });
      const gain = seeded(2, columns);
      const gradient = seeded(3, count);
      const stream = seeded(4, count);
      const before = seeded(5, columns);
      const options = { rows, columns, dtype, adds: rows > 1, remakes: columns > 8 };
      const plan = planRmsNormBackward(options);
      const buffers = {
        x: await upload(gpu, x),
        gain: await upload(gpu, gain),
        y: await upload(gpu, new Float32Array(count), dtype),
        inverse: await upload(gpu, new Float32Array(rows)),
        gradient: await upload(gpu, gradient),
        stream: await upload(gpu, stream),
        copy: await upload(gpu, new Float32Array(count), dtype),
        partials: await upload(gpu, new Float32Array(plan.partialBytes / 4)),
        gainGradient: await upload(gpu, before),
      };
      const forward = await createRmsNorm(gpu, planRmsNorm(options));
      const backward = await createRmsNormBackward(gpu, plan);
      const again = await upload(gpu, new Float32Array(count), dtype);
      await run(gpu, [...forward.bind(buffers), ...backward.bind({ ...buffers, y: again })]);
      const want = rmsNormReference({ x, gain }, { dtype });
      const y = await download(gpu, buffers.y, { count, dtype });
      assertClose(y, want.y, "y");
      const zeros = new Float32Array(count);
      assert.deepEqual(
        [...await download(gpu, again, { count, dtype })],
        [...options.remakes ? y : zeros],
      );
      assertClose(await download(gpu, buffers.inverse, { count: rows }), want.inverse, "r");
      const gradients = rmsNormBackwardReference(
        {
          x,
          gain,
          gradient,
          stream: options.adds ? stream : new Float32Array(count),
          gainGradient: before,
        },
        { dtype },
      );
      assertClose(await download(gpu, buffers.stream, { count }), gradients.stream, "dx");
      assertClose(await download(gpu, buffers.copy, { count, dtype }), gradients.copy, "copy");
      assertClose(
        await download(gpu, buffers.gainGradient, { count: columns }),
        gradients.gainGradient,
        "dg",
      );
      forward.destroy();
      backward.destroy();
    });
  }
  gpu.destroy();
});
