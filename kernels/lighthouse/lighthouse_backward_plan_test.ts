import assert from "node:assert/strict";
import { planDenseBackward } from "../dense_attention/dense_attention_backward.ts";
import { testGpu } from "../gpu/_test_gpu.ts";
import type { Direction } from "../implementation.ts";
import { lighthouseNorm } from "./lighthouse_attention.ts";
import { lighthouseBackwardCost } from "./lighthouse_cost.ts";
import { planGeometry } from "./lighthouse_geometry.ts";
import { seededInputs } from "./_seeded_inputs.ts";

Deno.test("lighthouseNorm plans every direction, and 524,288 × 8 × 128 fits an H100", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const big = { ...gpu, capabilities: { ...gpu.capabilities, maxBindingBytes: 2 ** 31 - 4 } };
  big.capabilities.maxBufferBytes = 2 ** 40;
  const shape = { heads: 8, context: 524288, headDim: 128, dtype: "f16" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 8192 } as const;
  const geometry = planGeometry(shape.context, lighthouse);
  const plan = (direction: Direction) =>
    lighthouseNorm.plan(big, { shape, direction, options: lighthouse });
  const [forward, backward, both] = (["forward", "backward", "forward-backward"] as const).map(
    plan,
  );
  const costs = backward.stages.map(({ variant: _, ...cost }) => cost);
  assert.deepEqual(costs, lighthouseBackwardCost(shape, geometry));
  const variants = backward.stages.map(({ variant }) => variant?.split(" ")[0]);
  assert.deepEqual(variants, [undefined, "portable", undefined]);
  assert.deepEqual(both.stages, [...forward.stages, ...backward.stages]);
  assert.equal(backward.flops, 2.5 * forward.flops);
  assert.equal(both.flops, 3.5 * forward.flops);
  const [gather, , scatter] = backward.stages;
  const row = 8 * 128 * 2;
  assert.equal(gather.bytes, (524288 + 2 * 98304) * row);
  assert.equal(scatter.bytes, 3 * (524288 + 2 * 98304) * row);
  // Four more tensors of N rows, one of S rows of f32 and one word per gathered row; the gathered
  // gradients, f32, reuse the memory of the pooled rows.
  const more = 2 * 98304 - geometry.pooledEntries;
  assert.equal(
    both.peakBytes - forward.peakBytes,
    (4 * 524288 + 2 * 98304 + 3 * more) * row + 8 * 98304 * 4,
  );
  // On matrix units the gathered output gradient shares the buffer of q's gathered gradient, and is
  // multiplied as f16, with a factor for each 64 rows and others for rows far below them.
  const matrixUnits = {
    ...big,
    capabilities: {
      ...big.capabilities,
      maxWorkgroupBytes: 49152,
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
      maxStorageBuffers: 16,
      subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
    },
  };
  const onMatrixUnits = lighthouseNorm.plan(matrixUnits, {
    shape,
    direction: "backward",
    options: lighthouse,
  });
  assert.equal(onMatrixUnits.stages[1].variant?.split(" ")[0], "matrix");
  const names = onMatrixUnits.buffers.map(({ name }) => name);
  assert.ok(!names.includes("gathered output gradient"));
  const { scratchBytes } = planDenseBackward(matrixUnits, {
    heads: 8,
    rows: 98304,
    headDim: 128,
    dtype: "f16",
  });
  const scratch = onMatrixUnits.buffers.find(({ name }) => name.startsWith("gradients of scores"))!;
  assert.equal(scratch.bytes - scratchBytes, 98304 * row + 8 * 98304 / 16 * 4);
  assert.ok(both.peakBytes < 12 * 2 ** 30);
  // If more rows are gathered than pooled, the shared buffer grows.
  const narrow = { ...shape, heads: 1, context: 512 };
  const small = { levels: 2, pooling: 2, k: 128 } as const;
  const many = lighthouseNorm.plan(gpu, {
    shape: narrow,
    direction: "backward",
    options: small,
  });
  const place = many.buffers.find(({ name }) => name === "pooled q, gathered q gradient")!;
  assert.equal(place.bytes, many.gathered! * 128 * 4);
  const inputs = await seededInputs(gpu, narrow, { seed: 1 });
  await assert.rejects(
    lighthouseNorm.prepare(gpu, {
      shape: narrow,
      direction: "backward",
      options: small,
    }, { inputs: { ...inputs, outputGradient: undefined } }),
    /prepare lighthouse-norm: outputGradient is missing/,
  );
  gpu.destroy();
});
