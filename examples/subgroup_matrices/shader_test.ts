import assert from "node:assert/strict";
import { shaderValidator } from "../../kernels/gpu/_test_gpu.ts";
import { shader } from "./shader.ts";

Deno.test("the loops of the proposals compile in Dawn's front end", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  for (const exchange of [false, true]) {
    for (const staging of [false, true]) {
      const module = gpu.device.createShaderModule({ code: shader({ exchange, staging }) });
      const { messages } = await module.getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), []);
    }
  }
  gpu.destroy();
});
