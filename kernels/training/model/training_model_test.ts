import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { watchAllocations } from "../../gpu/accounting.ts";
import type { Gpu } from "../../gpu/device.ts";
import { TINY, tinyBatch, tinyCorpus } from "./_tiny_model.ts";
import type { ModelOptions } from "./model_options.ts";
import { createTrainingModel, type TrainingModel } from "./training_model.ts";

const F16 = { ...TINY, dtype: "f16" } as const;
const SAMPLER = { corpus: tinyCorpus(), seed: 3 };

/** Every parameter and moment, by name. */
async function readAll(model: TrainingModel): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const { name } of model.plan.parameters) {
    for (const part of ["weights", "first moment", "second moment"] as const) {
      all.set(`${name} ${part}`, await model.readParameter(name, part));
    }
  }
  return all;
}

function assertEqualBits(
  one: ReadonlyMap<string, Float32Array>,
  other: ReadonlyMap<string, Float32Array>,
): void {
  for (const [name, values] of one) {
    const [a, b] = [values, other.get(name)!].map((data) =>
      new Uint32Array(data.buffer, data.byteOffset, data.length)
    );
    const at = a.findIndex((bits, i) => bits !== b[i]);
    assert.ok(at < 0, `${name}: element ${at} is ${values[at]} and ${other.get(name)![at]}`);
  }
}

/** Parameters and moments after some steps of a fresh model. */
async function trained(gpu: Gpu, options: Partial<ModelOptions>, { steps = 3, seed = 1 } = {}) {
  const model = await createTrainingModel(gpu, { ...F16, ...options }, { sampler: SAMPLER, seed });
  await model.run(steps);
  const all = await readAll(model);
  const history = await model.readHistory();
  model.destroy();
  return { all, history };
}

Deno.test("training: equal bits, skipped steps, falling loss", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const plain = await trained(gpu, {});

  await t.step("the same seed gives the same bits, another seed others", async () => {
    assertEqualBits(plain.all, (await trained(gpu, {})).all);
    const other = await trained(gpu, {}, { steps: 1, seed: 2 });
    assert.throws(() => assertEqualBits(plain.all, other.all));
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

  await t.step(
    "two batches of one sequence are a batch of two, but for the order of sums",
    async () => {
      const { history } = await trained(gpu, { batch: 1, accumulate: 2 }, { steps: 1 });
      assert.ok(Math.abs(history[0].loss - plain.history[0].loss) < 1e-4);
      const ratio = history[0].gradientNorm / plain.history[0].gradientNorm;
      assert.ok(Math.abs(ratio - 1) < 1e-3);
    },
  );

  await t.step("logits in chunks give the loss and the norm of all at once", async () => {
    const { history } = await trained(gpu, { chunkRows: 128 }, { steps: 1 });
    assert.equal(history[0].loss, plain.history[0].loss);
    const ratio = history[0].gradientNorm / plain.history[0].gradientNorm;
    assert.ok(Math.abs(ratio - 1) < 1e-5);
  });

  await t.step("the loss of a tiny model falls by a third in sixteen steps", async () => {
    const optimizer = { warmup: 2, learningRate: 1e-2 };
    const { history } = await trained(gpu, { optimizer }, { steps: 16 });
    const losses = history.map(({ loss }) => loss);
    assert.equal(losses.length, 16);
    assert.ok(losses[15] < losses[0] * 2 / 3, losses.join(" "));
    assert.ok(history.every(({ skipped }) => !skipped));
  });

  await t.step("tokens that a host writes give the loss that the sampler's give", async () => {
    const model = await createTrainingModel(gpu, F16);
    assert.throws(() => model.writeBatch([1, 2, 3]), {
      message: "write batch: the tokens has 3 elements, [2, 257] needs 514",
    });
    const { all } = tinyBatch(F16);
    assert.throws(() => model.writeBatch(all.map(() => 64)), {
      message: "write batch: token 64 is not a whole number from 0 to 63",
    });
    model.writeBatch(all);
    await model.run(2);
    const [first, second] = await model.readHistory();
    assert.ok(second.loss < first.loss);
    const losses = await model.readLosses();
    const mean = Array.from(losses).reduce((sum, loss) => sum + loss, 0) / losses.length;
    assert.ok(Math.abs(mean - second.loss) < 1e-4);
    model.destroy();
  });
  gpu.destroy();
});

Deno.test("a model allocates what its plan says, and frees it", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const allocations = watchAllocations(gpu.device);
  const model = await createTrainingModel(gpu, F16, { sampler: SAMPLER });
  // Uniforms, tables of the scorer and the like are small, and not in the plan.
  const extra = allocations.bytes - model.plan.peakBytes;
  assert.ok(extra >= 0 && extra < 64 * 1024, `${extra} bytes more than planned`);
  model.destroy();
  assert.equal(allocations.bytes, 0);
  gpu.destroy();
});

Deno.test("bad corpora and seeds are refused before anything is allocated", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const allocations = watchAllocations(gpu.device);
  for (
    const [sampler, message] of [
      [
        { corpus: new Uint8Array(256) },
        "plan sampling: the corpus has 256 bytes, a sequence needs 257",
      ],
      [
        { corpus: new Uint8Array(300).fill(64) },
        "create training model: the corpus has byte 64, the vocabulary ends at 63",
      ],
      [{ corpus: "text" }, "create training model: the corpus is text, not bytes"],
    ] as [{ corpus: Uint8Array }, string][]
  ) {
    await assert.rejects(createTrainingModel(gpu, F16, { sampler }), { message });
  }
  await assert.rejects(
    createTrainingModel(gpu, F16, { seed: -1 }),
    /seed -1 is not a whole number/,
  );
  assert.equal(allocations.peakBytes, 0);
  gpu.destroy();
});

Deno.test({
  ...slow("the same seed gives the same bits after 100 steps"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const one = await trained(gpu, {}, { steps: 100 });
    assertEqualBits(one.all, (await trained(gpu, {}, { steps: 100 })).all);
    gpu.destroy();
  },
});
