import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { TEXT, train } from "./train.ts";

Deno.test({
  ...slow("the example's loss falls by half, and a resumed run gives the same bits"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const corpus = new TextEncoder().encode(TEXT);
    const steps = 20;
    const whole = await train(gpu, corpus, { steps });
    assert.equal(whole.losses.length, steps);
    assert.ok(whole.losses[steps - 1] < whole.losses[0] / 2, whole.losses.join(" "));
    const resumed = await train(gpu, corpus, { steps, resume: whole.checkpoint });
    assert.deepEqual(resumed.losses, whole.losses.slice(steps / 2));
    assert.deepEqual(resumed.head, whole.head);
    gpu.destroy();
  },
});
