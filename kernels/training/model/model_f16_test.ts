import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { compareGradients } from "./_compare_gradients.ts";
import { F16, trained } from "./_trained.ts";

Deno.test("losses and every gradient of an f16 model match float64 but for its rounding", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { errors, losses, exact, rounded } = await compareGradients(gpu, F16);
  const sum = (numbers: ArrayLike<number>) => Array.from(numbers).reduce((a, b) => a + b, 0);
  const tokens = losses.length;
  assert.ok(Math.abs(sum(losses) - sum(rounded.losses)) / tokens < 1e-5);
  assert.ok(Math.abs(sum(losses) - exact.loss) / tokens < 1e-3);
  for (const { name, device, rounded, between } of errors) {
    // Numbers that f32 sums put on the other side of a tie are few.
    assert.ok(between <= rounded / 2, `${name}: ${between} and ${rounded}`);
    assert.ok(device <= 1.25 * rounded, `${name}: ${device} and ${rounded}`);
    assert.ok(rounded < 2e-3, `${name}: rounding alone makes ${rounded}`);
  }
  gpu.destroy();
});

Deno.test({
  ...slow("an f16 model learns as an f32 model does, within 0.01 nats"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const [half, single] = [
      await trained(gpu, {}, { steps: 10 }),
      await trained(gpu, { dtype: "f32" }, { steps: 10 }),
    ];
    assert.ok(single.history[9].loss < single.history[0].loss - 1);
    for (const [step, { loss }] of half.history.entries()) {
      assert.ok(Math.abs(loss - single.history[step].loss) < 0.01, `step ${step}: ${loss}`);
    }
    assert.deepEqual([half.history[0].lossScale, single.history[0].lossScale], [1024, 1]);
    gpu.destroy();
  },
});
