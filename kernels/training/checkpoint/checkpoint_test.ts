import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { TINY, tinyBatch, tinyCorpus } from "../model/_tiny_model.ts";
import { createTrainingModel, type TrainingModel } from "../model/training_model.ts";
import type { Gpu } from "../../gpu/device.ts";
import { blobSource, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { inspectCheckpoint } from "./inspect_checkpoint.ts";

const OPTIONS = { ...TINY, dtype: "f16" } as const;
const SAMPLER = { corpus: tinyCorpus(), seed: 3 };

async function save(gpu: Gpu, model: TrainingModel, metadata = {}): Promise<Uint8Array> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of saveCheckpoint(gpu, model, { metadata })) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

function load(gpu: Gpu, model: TrainingModel, bytes: Uint8Array) {
  return loadCheckpoint(gpu, model, sourceOf(bytes));
}

function sourceOf(bytes: Uint8Array) {
  return blobSource(new Blob([bytes as Uint8Array<ArrayBuffer>]));
}

/** The header of a file, and where its tensors begin. */
function headerOf(bytes: Uint8Array) {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return {
    header: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))),
    begin: 8 + length,
  };
}

/** A file with another header. */
function withHeader(bytes: Uint8Array, change: (header: Record<string, unknown>) => void) {
  const { header, begin } = headerOf(bytes);
  change(header);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const changed = new Uint8Array(8 + text.length + bytes.length - begin);
  new DataView(changed.buffer).setBigUint64(0, BigInt(text.length), true);
  changed.set(text, 8);
  changed.set(bytes.subarray(begin), 8 + text.length);
  return changed;
}

Deno.test("checkpoints: a resumed run gives the bits of an uninterrupted one; bad files are refused", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const model = await createTrainingModel(gpu, OPTIONS, { sampler: SAMPLER });
  await model.run(2);
  const saved = await save(gpu, model, { note: "after two steps" });
  await model.run(2);
  const uninterrupted = await save(gpu, model);
  const resumed = await createTrainingModel(gpu, OPTIONS, { sampler: SAMPLER, seed: 9 });

  await t.step("resuming gives the same bits, with another seed of the first weights", async () => {
    const metadata = await load(gpu, resumed, saved);
    assert.equal(metadata.note, "after two steps");
    await resumed.run(2);
    assert.deepEqual(await save(gpu, resumed), uninterrupted);
    const history = await resumed.readHistory();
    assert.deepEqual(history.map(({ step }) => step), [2, 3]);
  });

  await t.step("another attention and recompute mode take the same file", async () => {
    const other = await createTrainingModel(gpu, {
      ...OPTIONS,
      attention: { kind: "dense" },
      recompute: "least",
    }, { sampler: SAMPLER });
    await load(gpu, other, saved);
    await other.run(1);
    const { updates } = await other.readState();
    assert.equal(updates, 3);
    other.destroy();
  });

  await t.step("the file is as documented", async () => {
    const { header, begin } = headerOf(saved);
    assert.equal(begin % 8, 0);
    const qkv = header["layers.1.attention.qkv"];
    assert.deepEqual([qkv.dtype, qkv.shape], ["F32", [192, 64]]);
    assert.deepEqual(header["final_norm.second_moment"].shape, [64]);
    const { format, version, sampler } = header.__metadata__;
    assert.deepEqual([format, version], ["lighthouse-attention-training", "1"]);
    assert.deepEqual(JSON.parse(sampler), { seed: 3, corpusBytes: 3000 });
    const [from] = header["head"].data_offsets;
    const later = new Float32Array(saved.slice(begin + from, begin + from + 64 * 64 * 4).buffer);
    assert.equal(later.length, 64 * 64);
    assert.ok(later.every(Number.isFinite));
    await assert.rejects(async () => await save(gpu, model, { model: "mine" }), {
      message: "save checkpoint: metadata model is the format's own",
    });
  });

  await t.step("damaged files and those of other models are refused in one line", async () => {
    const before = await save(gpu, resumed);
    const flipped = saved.slice();
    const { header, begin } = headerOf(saved);
    const [from] = header["layers.0.ffn.down"].data_offsets;
    flipped[begin + from + 5] ^= 1;
    const files: [Uint8Array, RegExp][] = [
      [new Uint8Array(3), /^load checkpoint: 3 bytes are no checkpoint$/],
      [saved.subarray(0, 500), /a header of \d+ bytes in 500 bytes: no checkpoint, or only its/],
      [saved.subarray(0, saved.length - 8), /bytes, its header needs \d+: it is damaged$/],
      [
        flipped,
        /^load checkpoint: layers\.0\.ffn\.down is damaged: its checksum is [0-9a-f]{8}, the file says/,
      ],
      [withHeader(saved, (header) => delete header["final_norm"]), /the file has no final_norm$/],
      [
        withHeader(saved, (header) => header["final_norm"] = { ...header["head"] as object }),
        /final_norm is F32 \[64,64\] of 16384 bytes in the file, the model needs F32 \[64\]$/,
      ],
      [
        withHeader(saved, (header) => header.__metadata__ = { format: "pt" }),
        /the file's format is pt, not lighthouse-attention-training$/,
      ],
      [
        withHeader(saved, (header) => header["final_norm"] = 7),
        /the header's entry of final_norm is damaged$/,
      ],
      [
        withHeader(saved, (header) => {
          header["layers.0.ffn.up"] = header["layers.0.ffn.down"];
          delete header["layers.0.ffn.down"];
        }),
        /the file has no layers\.0\.ffn\.down$/,
      ],
      [
        withHeader(saved, (header) => {
          header["head"] = { ...header["head"] as object, dtype: "BF16" };
        }),
        /head is BF16 \[64,64\] of 16384 bytes in the file, the model needs F32 \[64,64\]$/,
      ],
      [new TextEncoder().encode("\x05\0\0\0\0\0\0\0{{{{{"), /the header is not JSON/],
    ];
    for (const [bytes, message] of files) {
      // The same without a model, before anything is allocated.
      await assert.rejects(inspectCheckpoint(sourceOf(bytes)), {
        name: "RangeError",
        message,
      });
      await assert.rejects(load(gpu, resumed, bytes), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n"));
        return error instanceof RangeError;
      });
    }
    const many = withHeader(saved, (header) => {
      const { __metadata__: own } = header as { __metadata__: Record<string, string> };
      own.model = JSON.stringify({ ...JSON.parse(own.model), layers: 1e9 });
    });
    await assert.rejects(
      inspectCheckpoint(sourceOf(many)),
      /^RangeError: load checkpoint: layers of the file 1000000000 is not a whole number from 1 to /,
    );
    assert.deepEqual(await save(gpu, resumed), before, "a refused file changes nothing");
    const other = await createTrainingModel(gpu, { ...OPTIONS, ffn: 64 }, { sampler: SAMPLER });
    await assert.rejects(
      load(gpu, other, saved),
      /is of a model \{.*"ffn":96.*this one is \{.*"ffn":64/,
    );
    other.destroy();
    const data = await createTrainingModel(gpu, OPTIONS, { sampler: { ...SAMPLER, seed: 4 } });
    await assert.rejects(load(gpu, data, saved), /the file's batches come from \{"seed":3/);
    data.destroy();
    const written = await createTrainingModel(gpu, OPTIONS);
    await load(gpu, written, saved);
    written.writeBatch(tinyBatch(OPTIONS).all);
    await written.run(1);
    written.destroy();
  });
  model.destroy();
  resumed.destroy();
  gpu.destroy();
});
