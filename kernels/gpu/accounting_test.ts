import assert from "node:assert/strict";
import { testGpu } from "./_test_gpu.ts";
import { watchAllocations } from "./accounting.ts";
import { createTensor, createUniform } from "./buffers.ts";

Deno.test("watchAllocations counts tensors and uniforms of a device until they are destroyed", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const allocations = watchAllocations(gpu.device);
  assert.equal(watchAllocations(gpu.device), allocations);
  const shape = { heads: 3, rows: 100, dim: 32, dtype: "f32" } as const;
  const tensor = await createTensor(gpu, shape, { headsPerBlock: 2 });
  assert.equal(allocations.bytes, 3 * 100 * 32 * 4);
  const uniform = createUniform(gpu, [1]);
  assert.equal(allocations.bytes, 3 * 100 * 32 * 4 + 16);
  uniform.destroy();
  uniform.destroy();
  tensor.destroy();
  assert.deepEqual([allocations.bytes, allocations.peakBytes], [0, 3 * 100 * 32 * 4 + 16]);
  allocations.restart();
  assert.equal(allocations.peakBytes, 0);
  gpu.destroy();
});
