import assert from "node:assert/strict";
import { testGpu } from "./_test_gpu.ts";
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  readBuffer,
  slice,
} from "./buffers.ts";
import { createPipeline, type PipelineSource } from "./pipeline.ts";
import { Timer } from "./timing.ts";

const source = (access: "read" | "read_write"): PipelineSource => ({
  label: `sums, ${access}`,
  code: `
    @group(0) @binding(0) var<storage, ${access}> one: array<u32>;
    @group(0) @binding(1) var<storage, ${access}> other: array<u32>;
    @group(0) @binding(2) var<storage, read_write> sums: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      sums[id.x] = one[id.x] + other[id.x];
    }`,
  bindings: access === "read"
    ? ["read", "read", "read-write"]
    : ["read-write", "read-write", "read-write"],
});

Deno.test("if a buffer is bound twice, the read-only shader runs instead", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [COUNT, BYTES] = [64, 256];
  const inputs = await createStorageBuffer(gpu, 2 * BYTES, { label: "inputs" });
  const sums = slice(await createStorageBuffer(gpu, BYTES, { label: "sums" }));
  gpu.device.queue.writeBuffer(inputs, 0, Uint32Array.from({ length: 2 * COUNT }, (_, i) => i));
  const part = (i: number): BufferSlice => ({ buffer: inputs, offset: i * BYTES, size: BYTES });
  assert.equal((await createPipeline(gpu, source("read_write"))).shared, undefined);
  const pipeline = await createPipeline(gpu, { ...source("read_write"), shared: source("read") });
  const shared = pipeline.shared!();
  assert.equal(pipeline.shared!(), shared, "it is compiled once");
  const timer = new Timer(gpu);
  for (
    const [one, other, expected] of [
      [0, 1, pipeline], // ranges apart, all bound for writing: allowed
      [0, 0, shared],
    ] as const
  ) {
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [part(one), part(other), sums],
      workgroups: [1, 1, 1],
    });
    assert.equal(dispatch.pipeline, expected.pipeline);
    await timer.run([{ name: "sums", dispatches: [dispatch] }]);
    const have: Uint32Array = new Uint32Array((await readBuffer(gpu, sums)).buffer);
    assert.equal(have[5], 5 + (one * COUNT) + 5 + (other * COUNT));
  }
  // A buffer that is written may not be read in the same dispatch, whatever its ranges.
  const mixed: PipelineSource = {
    ...source("read_write"),
    bindings: ["read-write", "read", "read-write"],
    code: source("read_write").code.replace("read_write> other", "read> other"),
    shared: source("read"),
  };
  const made = await createPipeline(gpu, mixed);
  const dispatch = bindDispatch(gpu, made, {
    slices: [part(0), part(1), sums],
    workgroups: [1, 1, 1],
  });
  assert.equal(dispatch.pipeline, made.shared!().pipeline);
  timer.destroy();
  [inputs, sums.buffer].forEach((buffer) => buffer.destroy());
  gpu.destroy();
});
