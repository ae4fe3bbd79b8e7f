import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import {
  createSwigluBackward,
  planSwigluBackward,
  swigluBackwardBytes,
} from "./swiglu_backward.ts";
import { swigluBackwardReference } from "./swiglu_reference.ts";

Deno.test("the gradient of SwiGLU, by finite differences", () => {
  const act = (g: number, v: number) => g / (1 + Math.exp(-g)) * v;
  for (const [g, v] of [[0, 2], [1.5, -3], [-4, 0.5], [12, 1]]) {
    const { gateUpGradient } = swigluBackwardReference([0.75], [g, v]);
    const h = 1e-6;
    const dg = 0.75 * (act(g + h, v) - act(g - h, v)) / (2 * h);
    assert.ok(Math.abs(gateUpGradient.values[0] - dg) < 1e-8);
    assert.ok(Math.abs(gateUpGradient.values[1] - 0.75 * act(g, 1)) < 1e-14);
  }
});

Deno.test("plans of SwiGLU: bytes by hand, refusals in one line", () => {
  assert.equal(swigluBackwardBytes({ rows: 3, width: 8, dtype: "f16" }), 3 * 8 * 6 * 2);
  assert.throws(() => planSwigluBackward({ rows: 3, width: 12, dtype: "f16" }), {
    message: "plan swiglu backward: width 12 is not a multiple of 8",
  });
});

Deno.test("the gradient of SwiGLU matches float64, gates of any size included", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [dtype, size] of [["f16", 2], ["f32", 2], ["f32", 40]] as const) {
    const [rows, width] = [37, 24];
    const count = rows * width;
    const gradient = seeded(1, count, { dtype });
    const gateUp = seeded(2, 2 * count, { dtype, size });
    const buffers = {
      gradient: await upload(gpu, gradient, dtype),
      gateUp: await upload(gpu, gateUp, dtype),
      gateUpGradient: await upload(gpu, new Float32Array(2 * count), dtype),
      activation: await upload(gpu, new Float32Array(count), dtype),
    };
    const pass = await createSwigluBackward(gpu, planSwigluBackward({ rows, width, dtype }));
    await run(gpu, pass.bind(buffers));
    const want = swigluBackwardReference(gradient, gateUp, { dtype });
    const read = (name: "gateUpGradient" | "activation", length: number) =>
      download(gpu, buffers[name], { count: length, dtype });
    assertClose(await read("gateUpGradient", 2 * count), want.gateUpGradient, `${dtype} × ${size}`);
    assertClose(await read("activation", count), want.activation, `${dtype} × ${size} act`);
    pass.destroy();
  }
  gpu.destroy();
});
