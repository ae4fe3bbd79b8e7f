import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { copyState } from "../../kernels/training/model/copy_state.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { F16 } from "../../kernels/training/model/_trained.ts";
import { DENSE } from "../../kernels/training/attention/types.ts";
import { DenseModels } from "./dense_models.ts";
import { keyedPrompt, needlePrompt } from "./needle_model.ts";
import { packWeights, parseWeights, placeWeights } from "./trained_weights.ts";

Deno.test("weights of a trained model give the same answers from a file", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const options = { ...F16, vocabulary: 128, attention: DENSE };
  const stream = { digitShare: 1 };
  const model = await createTrainingModel(gpu, options, { stream });
  await model.run(3);
  const protocol = { contexts: [128, 256], depths: [0, 50] };
  const file = await packWeights(model, { name: "tiny", protocol });
  const read = parseWeights(file, "tiny.safetensors");
  assert.deepEqual([read.name, read.protocol], ["tiny", protocol]);
  assert.deepEqual(read.model, {
    layers: 2,
    width: 64,
    heads: 2,
    ffn: 96,
    vocabulary: 128,
    context: 256,
  });

  await t.step("one after the other, together, and from the model itself", async () => {
    const texts = [
      needlePrompt(3, { context: 128, depth: 50, seed: 1 }),
      needlePrompt(4, { context: 256, depth: 0, seed: 1 }),
      keyedPrompt(5, { context: 256, depth: 70, seed: 1, keys: 4 }),
    ];
    const placed = placeWeights(gpu, read);
    const copied = new DenseModels(
      gpu,
      options,
      (to) => copyState(gpu, { from: model, to, weightsOnly: true }),
    );
    const needles = placed.needleModel("tiny");
    const together = await needles.digitLogitsOf!(texts);
    const own = await copied.needleModel("tiny").digitLogitsOf!(texts);
    for (const [i, text] of texts.entries()) {
      assert.equal(together[i].length, 10);
      assert.deepEqual(await needles.digitLogits(text), together[i]);
      assert.deepEqual(own[i], together[i]);
    }
    placed.destroy();
    copied.destroy();
  });

  await t.step("a damaged file is one line that names what is wrong", () => {
    const refuse = (bytes: Uint8Array<ArrayBuffer>, message: RegExp) =>
      assert.throws(() => parseWeights(bytes, "x"), (error: Error) => {
        assert.match(error.message, message);
        return !error.message.includes("\n");
      });
    refuse(file.slice(0, 4), /^checkpoint x: 4 bytes are no weights$/);
    refuse(file.slice(0, 40), /only their beginning$/);
    refuse(file.slice(0, -2), /in a file of \d+, the model needs \d+ numbers$/);
    const other = (from: string, to: string) => {
      const text = new TextDecoder("latin1").decode(file);
      const at = text.indexOf(from);
      assert.ok(at > 0 && from.length === to.length);
      const changed = file.slice();
      changed.set(new TextEncoder().encode(to), at);
      return changed;
    };
    refuse(other("lighthouse-attention-weights", "lighthouse-attention-wei9hts"), /its format is /);
    refuse(other('\\"heads\\":2', '\\"heads\\":3'), /width 64 is not divided by 3$/);
    refuse(other('"final_norm"', '"final_n0rm"'), /^checkpoint x: it has no final_norm$/);
    const infinite = file.slice();
    new DataView(infinite.buffer).setUint16(infinite.length - 2, 0x7c00, true);
    refuse(infinite, /head holds numbers that are not finite$/);
  });
  model.destroy();
  gpu.destroy();
});
