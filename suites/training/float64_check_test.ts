import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import {
  checkSmallModel,
  compareSmall,
  runSmall,
  smallModel,
  smallReference,
} from "./float64_check.ts";

Deno.test("a small model passes its check, and a wrong gradient or loss does not", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const kind = {
    headDim: 32,
    dtype: "f16",
    recompute: "light",
    attention: {
      kind: "lighthouse",
      scorer: "norm",
      options: { levels: 3, pooling: 4, k: 1536 },
    },
  } as const;
  const parts = await checkSmallModel(gpu, kind);
  assert.deepEqual(parts.map(({ name, passed }) => [name, passed]), [
    ["loss of a small model", true],
    ["gradients of a small model", true],
    ["recompute", true],
  ]);
  const options = smallModel(kind);
  const run = await runSmall(gpu, options);
  const reference = smallReference(options, run);
  const passed = (other: Partial<typeof run>) =>
    compareSmall(options, { ...run, ...other }, reference).map(({ passed }) => passed);
  assert.deepEqual(passed({}), [true, true]);
  const name = "layers.1.attention.qkv";
  const changed = (change: (value: number) => number) =>
    new Map(run.gradients).set(name, run.gradients.get(name)!.map(change));
  // One in a hundred, and one element that is not finite.
  assert.deepEqual(passed({ gradients: changed((value) => 1.01 * value) }), [true, false]);
  const broken = new Map(run.gradients);
  broken.set(
    name,
    Float64Array.from(run.gradients.get(name)!, (value, i) => i === 7 ? NaN : value),
  );
  assert.deepEqual(passed({ gradients: broken }), [true, false]);
  assert.deepEqual(passed({ losses: Array.from(run.losses, (loss) => loss + 0.01) }), [
    false,
    true,
  ]);
  gpu.destroy();
});
