/**
 * The PyTorch twin of our model, fed our weights and tokens: losses and gradients within what
 * rounding explains. Runs where `python3` (or `LIGHTHOUSE_TEST_PYTHON`) has torch and a CUDA
 * device; `LIGHTHOUSE_TORCH_DEVICE=cpu` takes the processor.
 *
 * @module
 */
import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import {
  createTrainingModel,
  type TrainingModel,
} from "../../kernels/training/model/training_model.ts";
import type { PeerModel } from "../plan/training_peer.ts";
import { writeTrainingFiles } from "./_training_files.ts";
import { openPeers } from "./peers.ts";

const OPTIONS: ModelOptions = {
  layers: 2,
  width: 64,
  heads: 2,
  ffn: 96,
  vocabulary: 64,
  context: 256,
  batch: 2,
  dtype: "f32",
  optimizer: { warmup: 4, learningRate: 5e-3 },
};

/** Batches that can be learnt: runs of numbers, begun at other places. */
function batchesOf(
  { context, batch = 1, accumulate = 1 }: ModelOptions,
  count: number,
): Uint32Array<ArrayBuffer>[] {
  return Array.from(
    { length: count },
    (_, i) =>
      Uint32Array.from({ length: batch * accumulate * (context + 1) }, (_, n) => {
        const at = n + Math.floor(n / (context + 1)) * 11 + i * 7;
        return at % 23 + (at % 46 >= 23 ? 30 : 0);
      }),
  );
}

/**
 * Runs a test with a model of ours and its twin; skipped, with the reason, where there is no twin.
 *
 * @param options `earlier`: steps of ours before the twin gets its checkpoint.
 */
async function withTwin(
  t: Deno.TestContext,
  { earlier = 0, ...options }: ModelOptions & { readonly earlier?: number },
  use: (given: {
    model: TrainingModel;
    twin: PeerModel;
    batches: readonly Uint32Array<ArrayBuffer>[];
  }) => Promise<void>,
): Promise<void> {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const python = Deno.env.get("LIGHTHOUSE_TEST_PYTHON");
  const folder = await Deno.makeTempDir();
  const peers = await openPeers(["torch-training"], { gpu, ...python && { python } });
  try {
    const [{ unavailable }] = peers.records;
    if (unavailable !== undefined) return console.warn(`skipped: ${t.name}: ${unavailable}`);
    const model = await createTrainingModel(gpu, options);
    const batches = batchesOf(options, 4);
    for (let step = 0; step < earlier; step++) {
      model.writeBatch(batches[3]);
      await model.run(1);
    }
    const [{ training }] = peers.implementations;
    const request = await writeTrainingFiles(gpu, model, { folder, tokens: batches });
    const twin = await training!.prepare(request);
    await use({ model, twin, batches });
    await twin.destroy();
    model.destroy();
  } finally {
    await peers.close();
    await Deno.remove(folder, { recursive: true });
    gpu.destroy();
  }
}

/** Losses of so many steps of both. */
async function losses(
  { model, twin, batches }: Parameters<Parameters<typeof withTwin>[2]>[0],
  steps: number,
): Promise<{ ours: number[]; theirs: number[] }> {
  const theirs: number[] = [];
  for (let step = 0; step < steps; step++) {
    model.writeBatch(batches[step % batches.length]);
    await model.run(1);
    theirs.push((await twin.step()).loss);
  }
  const history = await model.readHistory();
  assert.ok(history.every(({ skipped }) => !skipped));
  return { ours: history.slice(-steps).map(({ loss }) => loss), theirs };
}

/**
 * Gradients of the first batch: root mean square of the difference over that of ours, by parameter.
 */
async function gradientErrors(
  { model, twin, batches }: Parameters<Parameters<typeof withTwin>[2]>[0],
): Promise<[name: string, error: number][]> {
  const state = await model.readState();
  model.writeBatch(batches[0]);
  await model.runGradients();
  const found = await twin.gradients!(0);
  const { lossScale } = state;
  const { rows } = model.plan.model;
  const errors: [string, number][] = [];
  for (const { name } of model.plan.parameters) {
    const have = await found.read(name);
    const own = await model.readParameter(name, "gradient");
    let [distance, size] = [0, 0];
    for (let i = 0; i < own.length; i++) {
      const want = own[i] / lossScale / rows;
      distance += (have[i] - want) ** 2;
      size += want ** 2;
    }
    errors.push([name, Math.sqrt(distance / size)]);
    model.writeParameter(name, new Float32Array(own.length), "gradient");
  }
  // As if nothing had run: the sum of losses is part of the state.
  model.writeState(state);
  return errors;
}

Deno.test("PyTorch twin, f32: every gradient, and the losses of 20 steps within 1e-4", async (t) => {
  await withTwin(t, OPTIONS, async (given) => {
    // Sums over 512 tokens in other orders: tens of units of 2^-24.
    for (const [name, error] of await gradientErrors(given)) {
      assert.ok(error < 1e-5, `${name}: ${error}`);
    }
    const { ours, theirs } = await losses(given, 20);
    assert.ok(ours[19] < ours[0] - 1);
    for (const [step, loss] of ours.entries()) {
      const error = Math.abs(theirs[step] - loss) / loss;
      assert.ok(error < 1e-4, `step ${step}: ${loss} and ${theirs[step]}`);
    }
  });
});

Deno.test("PyTorch twin: a resumed run, and batches that add up, take the same steps", async (t) => {
  await withTwin(t, { ...OPTIONS, batch: 1, accumulate: 2, earlier: 2 }, async (given) => {
    const { ours, theirs } = await losses(given, 3);
    for (const [step, loss] of ours.entries()) {
      assert.ok(Math.abs(theirs[step] - loss) / loss < 1e-4, `step ${step}`);
    }
    const { name } = given.model.plan.parameters[3];
    const [have, want] = [
      await given.twin.readWeights!(name),
      await given.model.readParameter(name),
    ];
    const apart = want.map((one, i) => Math.abs(one - have[i])).reduce((a, b) => Math.max(a, b));
    // AdamW's updates have the size of the rate, however small a gradient is that f32 knows badly.
    assert.ok(apart < 5e-3 / 10, `${name}: ${apart}`);
  });
});

Deno.test("PyTorch twin, f16 beside its bf16: gradients within a bf16's rounding", async (t) => {
  await withTwin(t, { ...OPTIONS, dtype: "f16" }, async (given) => {
    // Each of some ten roundings to bf16, one after the other, errs by 2^-9 at most.
    for (const [name, error] of await gradientErrors(given)) {
      assert.ok(error < 10 * 2 ** -9, `${name}: ${error}`);
    }
  });
});

Deno.test({
  ...slow("PyTorch twin, f16 beside its bf16: mean loss of steps 100 to 200 within 0.01 nats"),
  fn: async (t) => {
    await withTwin(t, { ...OPTIONS, dtype: "f16" }, async (given) => {
      const { ours, theirs } = await losses(given, 200);
      const mean = (all: readonly number[]) =>
        all.slice(100).reduce((sum, one) => sum + one, 0) / 100;
      assert.ok(Math.abs(mean(ours) - mean(theirs)) < 0.01, `${mean(ours)} and ${mean(theirs)}`);
    });
  },
});
