import assert from "node:assert/strict";
import { chooseCases } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { compareGradients } from "./_compare_gradients.ts";
import type { ModelOptions } from "./model_options.ts";

/** Every head dimension, odd lengths, one token, chunks with a rest, recomputing. */
const SHAPES: readonly Omit<ModelOptions, "dtype">[] = [
  { layers: 2, width: 96, heads: 3, ffn: 40, vocabulary: 72, context: 33, batch: 3 },
  { layers: 1, width: 64, heads: 1, ffn: 8, vocabulary: 8, context: 1 },
  {
    layers: 1,
    width: 192,
    heads: 2,
    ffn: 200,
    vocabulary: 520,
    context: 70,
    batch: 2,
    chunkRows: 128,
  },
  { layers: 1, width: 128, heads: 1, ffn: 24, vocabulary: 64, context: 17 },
  {
    layers: 3,
    width: 64,
    heads: 2,
    ffn: 72,
    vocabulary: 64,
    context: 41,
    recompute: "least",
    ropeScaling: null,
  },
];

const CASES = chooseCases(
  (["f16", "f32"] as const).flatMap((dtype) => SHAPES.map((shape) => ({ ...shape, dtype }))),
  ({ dtype, width }) => dtype === "f16" && width === 192,
  ({ dtype, width }) => dtype === "f16" ? width === 192 : width === 96,
);

Deno.test(`gradients of models of odd shapes match float64${CASES.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const options of CASES.cases) {
    const { layers, width, heads, context, batch = 1, dtype } = options;
    await t.step(`${layers} × ${width} / ${heads}, ${batch} × ${context}, ${dtype}`, async () => {
      const { errors, losses, exact } = await compareGradients(gpu, options);
      const tokens = batch * context;
      const sum = losses.reduce((total, loss) => total + loss, 0);
      assert.ok(Math.abs(sum - exact.loss) / tokens < 1e-3);
      // In f16 rounding what is stored is nearly all; in f32 additions round too, as in the f32
      // test.
      const growth = dtype === "f16" ? 1.25 : Math.sqrt(512);
      for (const { name, device, rounded } of errors) {
        assert.ok(device <= growth * rounded, `${name}: ${device} and ${rounded}`);
      }
    });
  }
  gpu.destroy();
});
