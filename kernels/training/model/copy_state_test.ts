import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertEqualBits, F16, readAll } from "./_trained.ts";
import { copyState } from "./copy_state.ts";
import { createTrainingModel } from "./training_model.ts";

Deno.test({
  ...slow("training: a stream, steps ahead and copies"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const stream = { digitShare: 0.5, seed: 3 };
    const vocabulary = 128;
    const model = await createTrainingModel(gpu, { ...F16, vocabulary }, { stream });
    await model.run(4, { stepsAhead: 0 });

    await t.step("steps submitted ahead give the same bits", async () => {
      const other = await createTrainingModel(gpu, { ...F16, vocabulary }, { stream });
      await other.run(4, { stepsAhead: 3 });
      assertEqualBits(await readAll(model), await readAll(other));
      other.destroy();
    });

    await t.step("a copy goes on with the same bits", async () => {
      const other = await createTrainingModel(gpu, { ...F16, vocabulary }, { stream, seed: 9 });
      await copyState(gpu, { from: model, to: other });
      await Promise.all([model.run(2), other.run(2)]);
      assertEqualBits(await readAll(model), await readAll(other));
      assert.deepEqual(await model.readHistory(), await other.readHistory());
      other.destroy();
    });

    await t.step("models of other shapes are refused", async () => {
      const other = await createTrainingModel(gpu, { ...F16, vocabulary: 136 });
      await assert.rejects(copyState(gpu, { from: model, to: other }), {
        message: /^copy a model's state: models of \d layers .* differ in shape or storage$/,
      });
      other.destroy();
    });
    model.destroy();
    gpu.destroy();
  },
});
