import assert from "node:assert/strict";
import { bindDispatch, slice } from "../../gpu/buffers.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { readWords, submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { scalesSource } from "../delta_pass.ts";

const ROWS = 320;
const DIM = 64;

/** Classes of each 64 rows of dO, whose rows have these magnitudes. */
async function classesOf(
  t: Deno.TestContext,
  magnitudes: readonly number[],
): Promise<number[] | undefined> {
  const gpu = await testGpu(t);
  if (!gpu) return undefined;
  const gradients = Float32Array.from(
    { length: ROWS * DIM },
    (_, i) => magnitudes[Math.floor(i / DIM / 64)] * (i % 2 === 0 ? 1 : -0.5),
  );
  const pipeline = await createPipeline(
    gpu,
    scalesSource({ heads: 1, rows: ROWS, headDim: DIM, dtype: "f16" }),
  );
  const uniform = createParams(gpu, { rows: "u32", blocks: "u32", gridWidth: "u32" }, {
    rows: ROWS,
    blocks: ROWS / 64,
    gridWidth: ROWS / 64,
  });
  const masks = await uploadGarbage(gpu, ROWS / 16 * 4);
  const slices = [
    await upload(gpu, new Float16Array(ROWS * DIM)),
    await upload(gpu, gradients),
    await uploadGarbage(gpu, ROWS * 4),
    await uploadGarbage(gpu, ROWS * DIM * 2),
    masks,
    slice(uniform),
  ];
  await submit(gpu, [bindDispatch(gpu, pipeline, { slices, workgroups: [ROWS / 64, 1, 1] })]);
  const words = [...await readWords(gpu, masks, ROWS / 16)];
  gpu.destroy();
  return words.filter((_, i) => i % 4 === 0).map((mask, i) => {
    assert.ok(words.slice(4 * i, 4 * i + 4).every((other) => other === mask));
    return Math.log2(mask);
  });
}

/** The class whose power is 2^0: see `dense_matrix_gradient_scales.wgsl`. */
const ONE = 15;

Deno.test("rows of dO around a power of 2^8 share a class, rows far below have their own", async (t) => {
  const found = await classesOf(t, [0.3, 3, 0.02, 1e-6, 0]);
  if (found) assert.deepEqual(found, [ONE, ONE, ONE, ONE - 3, ONE]);
});

Deno.test("a class has room above the rows that are looked at", async (t) => {
  // 0.9 is below 2^0 and four times that above, so all rows get the larger power.
  const found = await classesOf(t, [0.9, 0.9, 0.9, 0.9, 0.9]);
  if (found) assert.deepEqual(found, [ONE, ONE, ONE, ONE, ONE]);
});
