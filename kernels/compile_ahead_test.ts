import assert from "node:assert/strict";
import { MATRIX_UNITS } from "./dense_attention/matrix/_matrix_gpu.ts";
import { openRecordingDevice } from "./gpu/_recording_device.ts";
import { createTensor } from "./gpu/buffers.ts";
import { IMPLEMENTATIONS } from "./implementations.ts";

/** Options of layers whose default is a rule. */
const OPTIONS: Readonly<Record<string, number>> = { k: 128 };

const DEVICES = { "portable kernels": {}, "matrix units": MATRIX_UNITS };

for (const implementation of IMPLEMENTATIONS) {
  const { name, compile } = implementation;
  if (!compile) continue;
  Deno.test(`${name} compiles ahead what it prepares, and nothing else`, async () => {
    for (const [device, capabilities] of Object.entries(DEVICES)) {
      for (const dtype of ["f16", "f32"] as const) {
        for (const direction of implementation.directions) {
          const shape = { heads: 2, context: 2048, headDim: 64, dtype };
          const options = Object.fromEntries(
            implementation.options.map(({ name, initial }) => [name, OPTIONS[name] ?? initial]),
          );
          const problem = { shape, direction, options };

          const ahead = openRecordingDevice({ capabilities });
          await compile(ahead.gpu, problem);

          const { gpu, shaders } = openRecordingDevice({ capabilities });
          const tensor = await createTensor(gpu, { ...shape, rows: 2048, dim: 64 });
          const inputs = { q: tensor, k: tensor, v: tensor, outputGradient: tensor };
          await implementation.prepare(gpu, problem, { inputs });

          const prepared = new Set(shaders.map(({ code }) => code));
          const useless = ahead.shaders.filter(({ code }) => !prepared.has(code));
          assert.ok(ahead.shaders.length > 0);
          assert.deepEqual(
            useless.map(({ label }) => label),
            [],
            `${device} ${dtype} ${direction}`,
          );
        }
      }
    }
  });
}
