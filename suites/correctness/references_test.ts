import assert from "node:assert/strict";
import { denseBackwardReference } from "../../kernels/dense_attention/dense_attention_backward_reference.ts";
import { denseAttentionReference } from "../../kernels/dense_attention/dense_attention_reference.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import { seededRows } from "../../kernels/gpu/random.ts";
import { lighthouseBackwardReference } from "../../kernels/lighthouse/lighthouse_backward_reference.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseReference } from "../../kernels/lighthouse/lighthouse_reference.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { layerGradients, layerReference } from "./layer_reference.ts";
import { attentionOutputs, attentionReference, gradientReference } from "./references.ts";

const headDim = 8;
const tensor = (seed: number, count: number, dtype: DType) =>
  new Float64Array(
    seededRows(seed, { head: 0, heads: 1, first: 0, count, dim: headDim, dtype }),
  );
const inputs = (rows: number, dtype: DType) => ({
  q: tensor(1, rows, dtype),
  k: tensor(2, rows, dtype),
  v: tensor(3, rows, dtype),
});

for (const workers of [0, 3]) {
  for (const dtype of ["f32", "f16"] as const) {
    for (const rows of [1, 5, 141]) {
      Deno.test(`references dealt to ${workers} workers are the kernels', bit for bit: ${rows} rows ${dtype}`, async () => {
        using _workers = holdWorkers({ workers });
        const given = inputs(rows, dtype);
        const outputGradient = tensor(4, rows, dtype);
        // As on matrix units, and as everywhere else.
        const weights = rows > 5 ? dtype : "f32";
        const forward = await attentionReference(given, { headDim, dtype, weights });
        const want = denseAttentionReference({ ...given, headDim }, { dtype, weights });
        assert.deepEqual(forward, want);
        const [{ output, lse }] = await attentionOutputs([given], { headDim });
        assert.deepEqual({ output, lse }, { output: want.output, lse: want.lse });
        const all = { ...given, outputGradient };
        assert.deepEqual(
          await gradientReference(all, { forward, headDim, dtype, weights }),
          denseBackwardReference({ ...all, headDim }, { dtype, weights }),
        );
      });
    }
  }
}

Deno.test("gradients of a layer whose forward pass is known are the kernels' reference", async () => {
  using _workers = holdWorkers({ workers: 2 });
  const lighthouse = { levels: 2, pooling: 2, k: 128 };
  const geometry = planGeometry(256, lighthouse);
  for (const dtype of ["f32", "f16"] as const) {
    const given = inputs(256, dtype);
    const outputGradient = tensor(4, 256, dtype);
    const { selection } = lighthouseReference(given, geometry, { headDim });
    const options = { geometry, selection, headDim, dtype, weights: "f32" as const };
    const layer = await layerReference(given, options);
    assert.deepEqual(
      await layerGradients(layer, outputGradient, options),
      lighthouseBackwardReference({ ...given, outputGradient }, geometry, {
        headDim,
        selection,
        dtype,
        store: dtype === "f16" ? Math.f16round : Math.fround,
      }),
    );
  }
});
