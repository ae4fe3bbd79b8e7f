import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { watchAllocations } from "../../gpu/accounting.ts";
import { MemoryError } from "../../gpu/buffers.ts";
import { tinyBatch } from "./_tiny_model.ts";
import { Timer } from "../../gpu/timing.ts";
import { assertEqualBits, F16, readAll, SAMPLER, trained } from "./_trained.ts";
import { STAGE_NAMES } from "./step_stages.ts";
import { createTrainingModel } from "./training_model.ts";

Deno.test("training: batches, chunks, falling loss, tokens of the host", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const plain = await trained(gpu, {}, { steps: 1, read: false });

  await t.step(
    "two batches of one sequence are a batch of two, but for the order of sums",
    async () => {
      const { history } = await trained(gpu, { batch: 1, accumulate: 2 }, {
        steps: 1,
        read: false,
      });
      assert.ok(Math.abs(history[0].loss - plain.history[0].loss) < 1e-4);
      const ratio = history[0].gradientNorm / plain.history[0].gradientNorm;
      assert.ok(Math.abs(ratio - 1) < 1e-3);
    },
  );

  await t.step("logits in chunks give the loss and the norm of all at once", async () => {
    const { history } = await trained(gpu, { chunkRows: 128 }, { steps: 1, read: false });
    assert.equal(history[0].loss, plain.history[0].loss);
    const ratio = history[0].gradientNorm / plain.history[0].gradientNorm;
    assert.ok(Math.abs(ratio - 1) < 1e-5);
  });

  await t.step("the loss of a tiny model falls by a third in twelve steps", async () => {
    const optimizer = { warmup: 2, learningRate: 2e-2 };
    const { history } = await trained(gpu, { optimizer }, { steps: 12, read: false });
    const losses = history.map(({ loss }) => loss);
    assert.equal(losses.length, 12);
    assert.ok(losses[11] < losses[0] * 2 / 3, losses.join(" "));
    assert.ok(history.every(({ skipped }) => !skipped));
  });

  await t.step("an evaluation gives the losses of a step, and changes nothing", async () => {
    const { all } = tinyBatch(F16);
    const [model, other] = [
      await createTrainingModel(gpu, F16),
      await createTrainingModel(gpu, F16),
    ];
    const losses = await model.evaluate(all);
    for (const one of [model, other]) {
      one.writeBatch(all);
      await one.run(2);
    }
    assert.deepEqual(await model.readHistory(), await other.readHistory());
    assertEqualBits(await readAll(model), await readAll(other));
    const { loss } = (await model.readHistory())[0];
    const mean = Array.from(losses).reduce((sum, loss) => sum + loss, 0) / losses.length;
    assert.ok(Math.abs(mean - loss) < 1e-5 * loss);
    await assert.rejects(model.evaluate([1]), {
      message: "evaluate: the batch has 1 elements, [2, 257] needs 514",
    });
    model.destroy();
    other.destroy();
  });

  await t.step("a timer measures the stages of a step, which have known names", async () => {
    const model = await createTrainingModel(gpu, F16, { sampler: SAMPLER });
    const timer = new Timer(gpu);
    const { stages } = await timer.run(model.stages, { stages: true });
    const names = new Set(model.stages.map(({ name }) => name));
    assert.deepEqual([...names].sort(), [...STAGE_NAMES].sort());
    if (gpu.capabilities.timestamps) assert.equal(stages!.length, model.stages.length);
    timer.destroy();
    model.destroy();
  });

  await t.step("tokens that a host writes give the loss that the sampler's give", async () => {
    const model = await createTrainingModel(gpu, F16);
    assert.throws(() => model.writeBatch([1, 2, 3]), {
      message: "write batch: the batch has 3 elements, [2, 257] needs 514",
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

Deno.test("a device without room frees what was allocated, and an option that needs less is named", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const allocations = watchAllocations(gpu.device);
  const create = gpu.device.createBuffer.bind(gpu.device);
  // Stands in for a device that has room for 4 MiB.
  gpu.device.createBuffer = (descriptor) => {
    if (allocations.bytes + descriptor.size > 4 * 2 ** 20) {
      throw new MemoryError(`allocate ${descriptor.label}: no room`);
    }
    return create(descriptor);
  };
  await assert.rejects(createTrainingModel(gpu, F16, { sampler: SAMPLER }), (error: Error) => {
    assert.ok(error instanceof MemoryError);
    assert.match(
      error.message,
      /^allocate .*: no room: the model needs 5\.\d+ MiB, recompute light needs [\d.]+ MiB$/,
    );
    return true;
  });
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
