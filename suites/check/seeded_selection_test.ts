import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { selectReference } from "../../kernels/lighthouse/lighthouse_reference.ts";
import { sha256 } from "../result/digest.ts";
import { digestSeededSelection, seededScores } from "./seeded_selection.ts";

Deno.test("digestSeededSelection: the digest of any device equals the host's", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const lighthouse = { levels: 3, pooling: 4, k: 128 } as const;
  const shape = { heads: 2, context: 2048, headDim: 64, dtype: "f16" } as const;
  const geometry = planGeometry(2048, lighthouse);
  const digest = await digestSeededSelection(gpu, { shape, options: lighthouse }, { seed: 7 });
  const { query, key } = seededScores(geometry, 7);
  assert.equal(
    digest,
    await sha256(selectReference(query, key, geometry) as Int32Array<ArrayBuffer>),
  );
  assert.notEqual(
    digest,
    await digestSeededSelection(gpu, { shape, options: lighthouse }, { seed: 8 }),
  );
  await assert.rejects(digestSeededSelection(gpu, { shape }, { seed: 7 }), RangeError);
  gpu.destroy();
});
