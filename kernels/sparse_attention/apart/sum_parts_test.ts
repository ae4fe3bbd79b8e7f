import assert from "node:assert/strict";
import { MATRIX_UNITS } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { openRecordingDevice } from "../../gpu/_recording_device.ts";
import { createTensor } from "../../gpu/buffers.ts";
import { inputShapes } from "../../key_heads.ts";
import { nsa } from "../nsa/nsa.ts";

Deno.test("partial sums of long contexts are more workgroups than a grid is wide", async () => {
  const { gpu, shaders } = openRecordingDevice({ capabilities: MATRIX_UNITS });
  const shape = { heads: 8, kvHeads: 1, context: 524288, headDim: 128, dtype: "f16" } as const;
  const { q, k, v, outputGradient } = inputShapes(shape);
  const inputs = {
    q: await createTensor(gpu, q),
    k: await createTensor(gpu, k),
    v: await createTensor(gpu, v),
    outputGradient: await createTensor(gpu, outputGradient),
  };
  const options = nsa.presets![0].options as Record<string, number>;
  // Binding throws where a dispatch exceeds the limit.
  await nsa.prepare(gpu, { shape, direction: "forward-backward", options }, { inputs });
  assert.ok(shaders.some(({ label }) => label.startsWith("gathered queries backward, sums of")));
});
