import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillModel, paperModel } from "../../kernels/training/model/model_options.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { UnavailableError } from "../plan/measurable.ts";
import type { TrainingRequest } from "../plan/training_peer.ts";
import { writeTrainingFiles } from "./_training_files.ts";
import { openPeers } from "./peers.ts";
import { PythonPeer } from "./python_peer.ts";
import { PeerError } from "./python_process.ts";
import { estimateTrainingBytes } from "./python_training.ts";

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const HELPER = here("peer_helper.py");
const MODULE = here("_fake_training.py");

const python = await new Deno.Command("python3", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

const OPTIONS: ModelOptions = {
  layers: 1,
  width: 32,
  heads: 1,
  ffn: 40,
  vocabulary: 64,
  context: 16,
  batch: 1,
  accumulate: 1,
  dtype: "f32",
};

const BATCHES = [0, 1].map((i) => Uint32Array.from({ length: 17 }, (_, n) => (7 * n + 5 * i) % 61));

/** Runs a test with a model of ours and its files. */
async function withFiles(
  t: Deno.TestContext,
  use: (
    given: { gpu: Gpu; request: TrainingRequest; weights: Map<string, Float32Array> },
  ) => Promise<void>,
): Promise<void> {
  if (!python) return console.warn(`skipped: ${t.name}: there is no python3`);
  const gpu = await testGpu(t);
  if (!gpu) return;
  const folder = await Deno.makeTempDir();
  try {
    const model = await createTrainingModel(gpu, OPTIONS);
    const request = await writeTrainingFiles(gpu, model, { folder, tokens: BATCHES });
    const weights = new Map<string, Float32Array>();
    for (const { name } of model.plan.parameters) {
      weights.set(name, await model.readParameter(name));
    }
    model.destroy();
    await use({ gpu, request, weights });
  } finally {
    await Deno.remove(folder, { recursive: true });
    gpu.destroy();
  }
}

Deno.test("a module that trains gets our weights and tokens, bit for bit", async (t) => {
  await withFiles(t, async ({ gpu, request, weights }) => {
    const peers = await openPeers([`python:${MODULE}`], { gpu });
    try {
      const [record] = peers.records;
      assert.deepEqual([record.implementation, record.computes], [
        "peer:fake-training",
        "training",
      ]);
      const [{ training, directions, plan, prepare }] = peers.implementations;
      assert.deepEqual(directions, []);
      assert.throws(() => plan(gpu, {} as never), /computes no layer alone/);
      await assert.rejects(prepare(gpu, {} as never, {} as never), /computes no layer alone/);
      const model = await training!.prepare(request);
      assert.deepEqual(model.notes, ["it only adds"]);
      for (const [name, values] of weights) {
        assert.deepEqual(await model.readWeights!(name), values, name);
      }
      const table = weights.get("embedding")!;
      const mean = (batch: Uint32Array) =>
        batch.subarray(1).reduce((sum, token) => sum + table[token * 32], 0) / 16;
      // The third step goes round.
      for (const [i, batch] of [...BATCHES, BATCHES[0]].entries()) {
        const { loss, gpuSeconds, wallSeconds } = await model.step();
        assert.ok(Math.abs(loss - (i + 1) - mean(batch)) < 1e-6);
        assert.equal(gpuSeconds, null);
        assert.ok(wallSeconds > 0);
      }
      const found = await model.gradients!(1);
      assert.equal(found.loss, 0.5 * BATCHES[1][0]);
      const gain = weights.get("final_norm")!;
      assert.deepEqual(await found.read("final_norm"), gain.map((one) => 2 * one));
      const down = weights.get("layers.0.ffn.down")!;
      assert.deepEqual(await found.read("layers.0.ffn.down"), down.map((one) => 2 * one));
      await assert.rejects(
        found.read("layers.7.ffn.down"),
        (error) =>
          error instanceof PeerError && /no parameter layers\.7\.ffn\.down/.test(error.message),
      );
      await model.destroy();
    } finally {
      await peers.close();
    }
  });
});

Deno.test("a module that trains refuses in one line what it cannot train", async (t) => {
  await withFiles(t, async ({ request }) => {
    const folder = await Deno.makeTempDir();
    const use = async (fault: string) => {
      const file = `${folder}/fault_${fault}.py`;
      await Deno.copyFile(MODULE, file);
      const peer = new PythonPeer({ args: [HELPER, file] });
      return { peer, training: peer.register(await peer.hello()).training! };
    };
    try {
      const refusing = await use("refusal");
      await assert.rejects(
        refusing.training.prepare(request),
        (error) => error instanceof UnavailableError && error.message === "1 layers are too many",
      );
      await refusing.peer.close();
      const { peer, training } = await use("infinite");
      const model = await training.prepare(request);
      assert.ok(Number.isNaN((await model.step()).loss));
      await model.destroy();
      for (
        const [change, said] of [
          [{ batches: 3 }, /136 bytes, 3 batches need 204/],
          [{ checkpoint: request.tokens }, /Error/],
        ] as const
      ) await assert.rejects(training.prepare({ ...request, ...change }), said);
      const dilated = { kind: "lighthouse", scorer: "dilated", options: {} } as never;
      const paper = (attention?: never) =>
        fillModel(paperModel({ vocabulary: "bytes", attention }));
      assert.equal(training.refuses(paper()), undefined);
      assert.equal(
        training.refuses(paper(dilated)),
        "fake-training trains layers of dense, norm, not of dilated",
      );
      await peer.close();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});

Deno.test("torch-training without Python refuses every model, with the reason", async () => {
  const { implementations, records, close } = await openPeers(["torch-training"], {
    gpu: {} as never,
    python: "no-such-python",
  });
  assert.equal(records[0].unavailable, "there is no no-such-python");
  const [{ name, training }] = implementations;
  assert.equal(name, "peer:torch-training");
  assert.equal(training!.refuses(fillModel(OPTIONS)), "there is no no-such-python");
  await assert.rejects(training!.prepare({} as never), UnavailableError);
  await close();
});

Deno.test("the estimate of a training peer's memory is near what PyTorch took on an H200", () => {
  // 74.7 and 81.2 GiB: the paper's model, dense, without recompute.
  for (const [vocabulary, gib] of [["bytes", 74.69], ["paper", 81.19]] as const) {
    const estimate = estimateTrainingBytes(fillModel(paperModel({ vocabulary }))) / 2 ** 30;
    assert.ok(estimate > gib && estimate < 1.35 * gib, `${estimate} and ${gib}`);
  }
});
