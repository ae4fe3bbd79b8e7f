import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { download, run, upload } from "../_device_run.ts";
import { initialState, packState } from "../optimizer/step_state.ts";
import { batchStarts, createSampleBatch, planSampleBatch } from "./sample_batch.ts";

Deno.test("a corpus shorter than a sequence is refused in one line", () => {
  assert.throws(() => planSampleBatch({ corpusBytes: 64, sequences: 2, context: 64 }), {
    message: "plan sampling: the corpus has 64 bytes, a sequence needs 65",
  });
});

Deno.test("places differ by step, sequence and seed, and stay within the corpus", () => {
  const options = { corpusBytes: 1000, sequences: 8, context: 100 };
  const all = [0, 1, 2].flatMap((step) => batchStarts(options, step));
  assert.ok(all.every((start) => start >= 0 && start < 900));
  assert.ok(new Set(all).size > 20);
  assert.notDeepEqual(batchStarts(options, 1), batchStarts({ ...options, seed: 2 }, 1));
});

Deno.test("the device draws tokens and the bytes after them at the places that the host computes", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const bytes = Uint8Array.from({ length: 1003 }, (_, i) => (i * i + 3 * i) % 251);
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(words.buffer).set(bytes);
  const [sequences, context, step] = [3, 90, 17];
  const options = { corpusBytes: bytes.length, sequences, context, seed: 5 };
  const empty = new Uint32Array(sequences * context);
  const buffers = {
    corpus: await upload(gpu, words, "u32"),
    state: await upload(gpu, packState({ ...initialState(1), attempts: step }), "u32"),
    tokens: await upload(gpu, empty, "u32"),
    targets: await upload(gpu, empty, "u32"),
  };
  const pass = await createSampleBatch(gpu, planSampleBatch(options));
  await run(gpu, pass.bind(buffers));
  const want = batchStarts(options, step).map((
    start,
  ) => [...bytes.subarray(start, start + context + 1)]);
  const count = sequences * context;
  const tokens = await download(gpu, buffers.tokens, { count, dtype: "u32" });
  const targets = await download(gpu, buffers.targets, { count, dtype: "u32" });
  assert.deepEqual([...tokens], want.flatMap((sequence) => sequence.slice(0, -1)));
  assert.deepEqual([...targets], want.flatMap((sequence) => sequence.slice(1)));
  gpu.destroy();
});
