import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
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

Deno.test({
  ...slow("a model on emulated matrix units trains as on portable kernels, within f16"),
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
