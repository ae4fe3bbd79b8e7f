import assert from "node:assert/strict";
import { dense } from "../dense_attention/dense_layer.ts";
import { testGpu } from "./_test_gpu.ts";
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  readBuffer,
  runDispatches,
  slice,
  USAGE,
  writeBuffer,
} from "./buffers.ts";
import { DeviceLostError, type Gpu } from "./device.ts";
import { createPipeline } from "./pipeline.ts";
import { fillSeeded } from "./random.ts";
import { guard, guardUnattended, MemoryError, RefusedError, submit, waitFor } from "./submit.ts";
import { requireStamps, Timer } from "./timing.ts";

const COPY = {
  label: "copy",
  code: `
    @group(0) @binding(0) var<storage, read> source: array<u32>;
    @group(0) @binding(1) var<storage, read_write> sink: array<u32>;
    @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
      sink[id.x] = source[id.x];
    }`,
  bindings: ["read", "read-write"],
} as const;

/** A buffer that was created without the kernels. */
function foreign(gpu: Gpu, usage: number = USAGE.storage | USAGE.copySrc | USAGE.copyDst) {
  return slice(gpu.device.createBuffer({ label: "foreign", size: 16, usage }));
}

async function copyInto(gpu: Gpu, from: BufferSlice): Promise<{ to: BufferSlice; run: Dispatch }> {
  const to = slice(await createStorageBuffer(gpu, 16, { label: "to" }));
  const pipeline = await createPipeline(gpu, COPY);
  return {
    to,
    run: bindDispatch(gpu, pipeline, { slices: [from, to], workgroups: [1, 1, 1], flops: 1 }),
  };
}

Deno.test("refused work returns no numbers", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const other = (await testGpu(t))!;
  const timer = new Timer(gpu);
  const stages = (...dispatches: Dispatch[]) => [{ name: "copy", dispatches }];
  const good = await copyInto(gpu, foreign(gpu));
  const destroyed = foreign(gpu);
  const gone = await copyInto(gpu, destroyed);
  destroyed.buffer.destroy();
  const away = await copyInto(gpu, foreign(other));
  for (const { run } of [gone, away]) {
    await assert.rejects(timer.run(stages(run)), RefusedError);
    await assert.rejects(timer.run(stages(run), { stages: true }), RefusedError);
    // Each dispatch is its own submission: the first, the last or all may be the bad ones.
    for (const order of [[run, good.run], [good.run, run], [run, run]]) {
      await assert.rejects(timer.run(stages(...order), { flopsPerSecond: 1 }), RefusedError);
    }
    await assert.rejects(runDispatches(gpu, "copy", [run]), RefusedError);
  }
  await assert.rejects(readBuffer(gpu, destroyed), RefusedError);
  await assert.rejects(readBuffer(gpu, foreign(other)), RefusedError);
  await assert.rejects(readBuffer(gpu, foreign(gpu, USAGE.storage)), RefusedError);
  // Concurrent calls each get their own error.
  const [one, two, three] = await Promise.allSettled([
    runDispatches(gpu, "copy", [gone.run]),
    timer.run(stages(good.run)),
    readBuffer(gpu, destroyed),
  ]);
  assert.deepEqual([one, two, three].map(({ status }) => status), [
    "rejected",
    "fulfilled",
    "rejected",
  ]);
  // Refused work leaves nothing behind.
  const { gpuSeconds, wallSeconds } = await timer.run(stages(good.run));
  assert.ok(gpuSeconds === null || gpuSeconds >= 0);
  assert.ok(wallSeconds > 0);
  timer.destroy();
  await assert.rejects(timer.run(stages(good.run)), /timer was destroyed/);
  gpu.destroy();
  other.destroy();
});

Deno.test("a write that the device refuses spoils what comes after it", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { to, run } = await copyInto(gpu, foreign(gpu));
  await readBuffer(gpu, to);
  // It cannot be the target of a copy: only the device knows.
  writeBuffer(gpu, foreign(gpu, USAGE.storage), new Uint32Array(4));
  for (let i = 0; i < 2; i++) {
    await assert.rejects(readBuffer(gpu, to), /write foreign: /);
    await assert.rejects(new Timer(gpu).run([{ name: "copy", dispatches: [run] }]), RefusedError);
  }
  gpu.destroy();
});

Deno.test("a destroyed tensor or another device's tensor gives one line before anything runs", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const other = (await testGpu(t))!;
  const shape = { heads: 2, context: 40, headDim: 32, dtype: "f32" } as const;
  const make = async (gpu: Gpu, label: string) => {
    const tensor = await createTensor(gpu, { heads: 2, rows: 40, dim: 32, dtype: "f32" }, {
      label,
    });
    await fillSeeded(gpu, tensor, 1);
    return tensor;
  };
  const [q, k, v] = [await make(gpu, "q"), await make(gpu, "k"), await make(gpu, "v")];
  const theirs = await make(other, "v of another");
  await assert.rejects(dense.prepare(gpu, { shape }, { inputs: { q, k, v: theirs } }), {
    name: "RangeError",
    message: "prepare dense: v: v of another belongs to another device",
  });
  const layer = await dense.prepare(gpu, { shape }, { inputs: { q, k, v } });
  await layer.execute();
  v.destroy();
  await assert.rejects(layer.execute(), {
    name: "RangeError",
    message: "run attention: v was destroyed",
  });
  await assert.rejects(dense.prepare(gpu, { shape }, { inputs: { q, k, v } }), {
    name: "RangeError",
    message: "prepare dense: v: v was destroyed",
  });
  layer.destroy();
  await assert.rejects(layer.execute(), { name: "RangeError", message: /was destroyed/ });
  gpu.destroy();
  other.destroy();
});

/**
 * A device that answers scopes with the given errors, by filter, and does nothing on submission.
 */
function fake(errors: Record<string, string>, lost: () => string | undefined = () => undefined) {
  const scopes: string[] = [];
  let submissions = 0;
  const device = {
    pushErrorScope: (filter: string) => scopes.push(filter),
    popErrorScope: () => {
      const message = errors[scopes.pop()!];
      return Promise.resolve(message === undefined ? null : { message });
    },
    queue: { submit: () => submissions++ },
  };
  const gpu = { device, lost } as unknown as Gpu;
  return { gpu, scopes, count: () => submissions };
}

const ENCODER = { finish: () => ({}) } as unknown as GPUCommandEncoder;

Deno.test("each kind of device error becomes one of ours, in one line", async () => {
  for (
    const [errors, kind, message] of [
      [{ validation: "bad buffer\nmore" }, RefusedError, "add: bad buffer"],
      [{ internal: "pipeline too large" }, RefusedError, "add: pipeline too large"],
      [{ "out-of-memory": "" }, MemoryError, "add: the device gave no reason"],
      [{ "out-of-memory": "full", validation: "bad" }, MemoryError, "add: full"],
    ] as const
  ) {
    const { gpu, scopes } = fake(errors);
    await assert.rejects(submit(gpu, ENCODER, "add"), (error) => {
      assert.ok(error instanceof kind);
      assert.equal(error.message, message);
      return true;
    });
    assert.deepEqual(scopes, [], "every scope is taken back");
  }
  const { gpu, scopes } = fake({});
  await submit(gpu, ENCODER, "add");
  assert.throws(() =>
    guard(gpu, "throw", () => {
      throw new TypeError("no");
    }), TypeError);
  assert.deepEqual(scopes, []);
});

Deno.test("unattended work that was refused is remembered, attended work is not", async () => {
  const errors: Record<string, string> = { "out-of-memory": "full" };
  const { gpu } = fake(errors);
  guardUnattended(gpu, "write q", () => {});
  delete errors["out-of-memory"];
  for (let i = 0; i < 2; i++) {
    await assert.rejects(submit(gpu, ENCODER, "add"), { message: "write q: full" });
  }
  const second = fake({ validation: "bad" });
  guard(second.gpu, "bind", () => {});
  await assert.rejects(submit(second.gpu, ENCODER, "add"), { message: "add: bad" });
});

Deno.test("a lost device is reported as lost, whatever its promises say", async () => {
  const state: { lost?: string } = {};
  const { gpu, count } = fake({}, () => state.lost);
  const rejected = waitFor(gpu, Promise.reject(new Error("mapping aborted")), "read");
  state.lost = "device lost: unplugged";
  await assert.rejects(rejected, {
    name: "DeviceLostError",
    message: "read: device lost: unplugged",
  });
  await assert.rejects(waitFor(gpu, Promise.resolve(1), "read"), DeviceLostError);
  assert.throws(() => submit(gpu, ENCODER, "add"), DeviceLostError);
  assert.equal(count(), 0);
});

Deno.test("timestamps that were not written, or run backwards, give no time", () => {
  requireStamps(BigUint64Array.of(1n, 1n, 2n, 9n), "run x");
  for (const stamps of [[0n, 5n], [0n, 0n], [5n, 0n], [9n, 2n], [1n, 2n, 5n, 4n]]) {
    assert.throws(() => requireStamps(BigUint64Array.from(stamps), "run x"), RefusedError);
  }
});
