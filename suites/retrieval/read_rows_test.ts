import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { F16 } from "../../kernels/training/model/_trained.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { meanLosses, readRowLogits } from "./read_rows.ts";

Deno.test("logits of rows give the losses that evaluate gives", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const vocabulary = 128;
  const model = await createTrainingModel(gpu, { ...F16, vocabulary });
  const { batch, context } = model.plan.model;
  const sequences = Array.from(
    { length: batch },
    (_, i) => Uint8Array.from({ length: context + 1 }, (_, n) => (7 * n + i * n * n) % vocabulary),
  );
  const tokens = new Uint32Array(batch * context);
  sequences.forEach((one, i) => tokens.set(one.subarray(0, context), i * context));
  const rows = [context - 1, batch * context - 2];
  const [logits, again] = await readRowLogits(gpu, model, [{ tokens, rows }, { tokens, rows }]);
  assert.deepEqual(logits, again);
  const losses = await model.evaluate(sequences.flatMap((one) => [...one]));
  for (const [i, row] of rows.entries()) {
    const own = [...logits.subarray(i * vocabulary, (i + 1) * vocabulary)];
    const most = Math.max(...own);
    const sum = own.reduce((total, value) => total + Math.exp(value - most), 0);
    const target = sequences[Math.floor(row / context)][row % context + 1];
    assert.ok(Math.abs(Math.log(sum) + most - own[target] - losses[row]) < 1e-4);
  }
  const means = await meanLosses(model, sequences);
  const all = losses.reduce((sum, one) => sum + one, 0) / losses.length;
  assert.ok(Math.abs(means.reduce((sum, one) => sum + one, 0) / batch - all) < 1e-5);
  model.destroy();
  gpu.destroy();
});
