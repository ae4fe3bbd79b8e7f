import assert from "node:assert/strict";
import { long, slow } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { SCORERS } from "../../lighthouse/scorers/scorers.ts";
import { assertEqualBits, F16, readAll, SAMPLER, trained } from "./_trained.ts";
import type { Dispatch } from "../../gpu/buffers.ts";
import { cutDispatches } from "./run_stages.ts";
import { createTrainingModel } from "./training_model.ts";

function flopsOf(dispatches: readonly Dispatch[]): number {
  return dispatches.reduce((sum, { flops }) => sum + flops, 0);
}

Deno.test({
  ...slow("training: equal bits and skipped steps"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const plain = await trained(gpu, {});

    await t.step("the same seed gives the same bits, another seed others", async () => {
      assertEqualBits(plain.all, (await trained(gpu, {})).all);
      const other = await trained(gpu, {}, { steps: 1, seed: 2 });
      assert.throws(() => assertEqualBits(plain.all, other.all));
    });

    await t.step("a step in many submissions gives the same bits", async () => {
      const model = await createTrainingModel(gpu, F16, { sampler: SAMPLER });
      const dispatches = model.stages.flatMap((stage) => stage.dispatches);
      const parts = cutDispatches(dispatches, 4e7);
      assert.ok(parts.length > 5);
      assert.deepEqual(parts.flat(), dispatches);
      for (const part of parts) {
        assert.ok(part.filter(({ flops }) => flops > 0).length === 1 || flopsOf(part) <= 4e7);
      }
      await model.run(3, { flopsPerSubmission: 4e7 });
      assertEqualBits(plain.all, await readAll(model));
      await assert.rejects(model.run(1, { flopsPerSubmission: 0 }), {
        message: "run training steps: flopsPerSubmission 0 is not a number above 0",
      });
      await assert.rejects(model.run(1, { signal: AbortSignal.abort() }), { name: "AbortError" });
      model.destroy();
    });

    await t.step("recompute none, light and least give the same bits", async () => {
      for (const recompute of ["light", "least"] as const) {
        const { all, history } = await trained(gpu, { recompute });
        assertEqualBits(plain.all, all);
        assert.deepEqual(history, plain.history);
      }
    });

    await t.step(
      "an infinity costs exactly one skipped step, and halves the loss scale",
      async () => {
        const model = await createTrainingModel(gpu, F16, { sampler: SAMPLER });
        await model.run(1);
        const before = await readAll(model);
        const gradient = new Float32Array(96 * 64);
        gradient[17] = Infinity;
        model.writeParameter("layers.0.ffn.down", gradient, "gradient");
        await model.run(1);
        assertEqualBits(before, await readAll(model));
        await model.run(2);
        const [first, second, third, fourth] = await model.readHistory();
        assert.deepEqual([first, second, third, fourth].map(({ skipped }) => skipped), [
          false,
          true,
          false,
          false,
        ]);
        assert.deepEqual([first.lossScale, second.lossScale, third.lossScale], [1024, 1024, 512]);
        const { updates, attempts, skippedSteps } = await model.readState();
        assert.deepEqual([updates, attempts, skippedSteps], [3, 4, 1]);
        assert.equal(first.loss, plain.history[0].loss);
        assert.throws(() => assertEqualBits(before, new Map(plain.all)));
        model.destroy();
      },
    );
    gpu.destroy();
  },
});

Deno.test({
  ...slow("every scorer trains, with the same bits in every recompute mode"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const scorer of SCORERS) {
      await t.step(scorer.name, async () => {
        const options = { levels: 2, pooling: 2, k: 128, ...scorer.options && { dilation: 2 } };
        const attention = { kind: "lighthouse", scorer: scorer.name, options } as const;
        const sizes = { layers: 1, attention };
        const { all, history } = await trained(gpu, sizes, { steps: 2 });
        assert.ok(history[1].loss < history[0].loss && history[1].gradientNorm > 0);
        for (const recompute of ["light", "least"] as const) {
          assertEqualBits(all, (await trained(gpu, { ...sizes, recompute }, { steps: 2 })).all);
        }
      });
    }
    gpu.destroy();
  },
});

Deno.test({
  ...long("the same seed gives the same bits after 100 steps"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const one = await trained(gpu, {}, { steps: 100 });
    assertEqualBits(one.all, (await trained(gpu, {}, { steps: 100 })).all);
    gpu.destroy();
  },
});
