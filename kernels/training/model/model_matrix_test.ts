import assert from "node:assert/strict";
import { long } from "../../../tools/_cases.ts";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { tinyBatch } from "./_tiny_model.ts";
import { createTrainingModel } from "./training_model.ts";

/** Small enough for the loops of a software adapter that emulates matrix units. */
const OPTIONS = {
  layers: 1,
  width: 64,
  heads: 1,
  ffn: 64,
  vocabulary: 64,
  context: 48,
  batch: 2,
  dtype: "f16",
} as const;

/**
 * A vocabulary so large that the gradient of the head's input is cut into slices: on the portable
 * kernel too.
 */
const LARGE = { ...OPTIONS, vocabulary: 8192, context: 16, batch: 1 } as const;

Deno.test("a product of a model that stores is cut into slices, and has room for their sums", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const model = await createTrainingModel(gpu, { ...LARGE, dtype: "f32" });
  const [{ input }] = [...model.plan.products.head.values()];
  assert.ok(input.result.kind === "store" && input.slices > 1, input.variant);
  model.writeBatch(tinyBatch(LARGE).all);
  await model.run(2);
  const [first, second] = await model.readHistory();
  assert.ok(second.loss < first.loss && first.gradientNorm > 0);
  model.destroy();
  gpu.destroy();
});

Deno.test({
  ...long("a model on emulated matrix units trains as on portable kernels, within f16"),
  fn: async (t) => {
    const device = await emulatingGpu(t);
    if (!device) return;
    const histories = [];
    for (const gpu of [device, withEmulatedMatrices(device)]) {
      const model = await createTrainingModel(gpu, OPTIONS);
      const { variants } = model.plan.products;
      const kernel = gpu === device ? "portable" : "matrix units";
      assert.ok(variants.every((variant) => variant.includes(kernel)), variants.join());
      model.writeBatch(tinyBatch(OPTIONS).all);
      await model.run(3);
      histories.push(await model.readHistory());
      model.destroy();
    }
    for (const [step, { loss, gradientNorm, skipped }] of histories[0].entries()) {
      const other = histories[1][step];
      assert.ok(!skipped && !other.skipped);
      // Weights of attention are rounded to f16 on matrix units: 2^-11 of parts of a gradient.
      assert.ok(Math.abs(loss - other.loss) < 1e-3, `${loss} and ${other.loss}`);
      assert.ok(Math.abs(gradientNorm / other.gradientNorm - 1) < 2e-3);
    }
    device.destroy();
  },
});
