import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { download, run, upload } from "../_device_run.ts";
import { createInitWeights, planInitWeights, seededWeights } from "./init_weights.ts";
import { createRoundWeights, planRoundWeights } from "./round_weights.ts";
import { createTransposeWeights, planTransposeWeights } from "./transpose_weights.ts";

Deno.test("seeded weights have the deviation asked for, row by row", () => {
  const [rows, columns] = [200, 64];
  const weights = seededWeights({ rows, columns, deviation: [0.02, 0.01], seed: 3 });
  for (const parity of [0, 1]) {
    let squares = 0;
    for (let row = parity; row < rows; row += 2) {
      for (let c = 0; c < columns; c++) squares += weights[row * columns + c] ** 2;
    }
    const deviation = Math.sqrt(squares / (rows * columns / 2));
    // The deviation of 6,400 numbers is within four of its own standard errors, 0.9 % each.
    assert.ok(Math.abs(deviation / [0.02, 0.01][parity] - 1) < 0.036);
  }
});

Deno.test("the device makes the weights that the host computes, and their f16 copy", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const deviation of [[0.02, 0.004], undefined] as const) {
    const options = { rows: 37, columns: 24, deviation, seed: 9 };
    const size = 37 * 24;
    const buffers = {
      weights: await upload(gpu, new Float32Array(size)),
      copy: await upload(gpu, new Float32Array(size), "f16"),
    };
    const init = await createInitWeights(gpu, planInitWeights(options));
    const round = await createRoundWeights(gpu, planRoundWeights({ size }));
    await run(gpu, [...init.bind(buffers), ...round.bind(buffers)]);
    const weights = await download(gpu, buffers.weights, { count: size });
    const want = seededWeights(options);
    assert.deepEqual(weights, want);
    const copy = await download(gpu, buffers.copy, { count: size, dtype: "f16" });
    assert.ok(
      copy.every((value, i) => value === Math.f16round(want[i]) || Math.abs(value) < 2 ** -14),
    );
  }
  gpu.destroy();
});

Deno.test("the copy of a matrix of weights is transposed, with tiles that are not whole, too", async (t) => {
  assert.throws(() => planTransposeWeights({ rows: 64, columns: 6 }), {
    message: "plan transposed weights: columns 6 is not a multiple of 4",
  });
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [rows, columns] of [[64, 128], [72, 20], [4, 200]]) {
    const weights = Float32Array.from({ length: rows * columns }, (_, i) => i % 2039);
    const buffers = {
      copy: await upload(gpu, weights, "f16"),
      transposed: await upload(gpu, new Float32Array(rows * columns), "f16"),
    };
    const pass = await createTransposeWeights(gpu, planTransposeWeights({ rows, columns }));
    await run(gpu, pass.bind(buffers));
    const have = await download(gpu, buffers.transposed, { count: rows * columns, dtype: "f16" });
    const want = weights.map((_, i) => weights[i % rows * columns + Math.floor(i / rows)]);
    assert.deepEqual(have, new Float16Array(want));
    pass.destroy();
  }
  gpu.destroy();
});
