import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { compareGradients } from "./_compare_gradients.ts";
import { TINY } from "./_tiny_model.ts";

Deno.test("losses and every gradient of an f32 model match float64 but for its rounding", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const found = await compareGradients(gpu, { ...TINY, dtype: "f32" });
  const { errors, losses, exact, selections, rankedSelections } = found;
  assert.equal(selections.size, 1);
  assert.deepEqual(selections, rankedSelections);
  for (const [i, loss] of losses.entries()) {
    // A logit is a sum of 64 products of numbers that went through two layers: 2^-18 of a few.
    assert.ok(Math.abs(loss - exact.losses[i]) < 2 ** -18 * 4, `loss ${i}`);
  }
  // The reference rounds results alone; the device rounds every addition of sums over all tokens.
  const growth = Math.sqrt(TINY.batch! * TINY.context);
  for (const { name, device, rounded } of errors) {
    assert.ok(device <= growth * rounded, `${name}: ${device} and ${rounded}`);
  }
  gpu.destroy();
});
