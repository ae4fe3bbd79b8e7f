import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { compareGradients } from "./_compare_gradients.ts";

Deno.test("losses and every gradient of an f16 model match float64 but for its rounding", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { errors, losses, exact, rounded } = await compareGradients(gpu, "f16");
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
