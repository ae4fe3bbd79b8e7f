import assert from "node:assert/strict";
import fc from "fast-check";
import { DESK } from "../gpu/_desk_device.ts";
import { denseAttention } from "../attention.ts";
import { shaderValidator, testGpu } from "../gpu/_test_gpu.ts";
import {
  createTensor,
  type DType,
  headsPerBlock,
  readTensor,
  type Tensor,
  writeTensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { fillSeeded } from "../gpu/random.ts";
import type { Implementation } from "../implementation.ts";
import { chooseTiling, planPortable } from "./portable/portable_plan.ts";
import { createDenseAttention, planDenseAttention } from "./dense_attention.ts";
import { planDenseBackward } from "./dense_attention_backward.ts";
import { dense } from "./dense_layer.ts";
import { denseNaive } from "./naive/dense_attention_naive.ts";
import { denseAttentionReference, worstRatio } from "./dense_attention_reference.ts";

Deno.test("denseAttentionReference matches a case computed by hand", () => {
  // d = 2, scale 1: logits of row 1 are 0 and ln 3, so its weights are 1/4 and 3/4.
  const { output, lse } = denseAttentionReference({
    q: [1, 0, 1, 0],
    k: [0, 0, Math.log(3), 0],
    v: [1, 2, 5, 6],
    headDim: 2,
    scale: 1,
  });
  assert.deepEqual([...output].map((x) => Math.round(x * 1e12) / 1e12), [1, 2, 4, 5]);
  assert.ok(Math.abs(lse[0]) < 1e-15);
  assert.ok(Math.abs(lse[1] - Math.log(4)) < 1e-15);
});

Deno.test("planDenseAttention refuses what the kernel cannot run, naming value and limit", () => {
  const plan = (options: Partial<Parameters<typeof planDenseAttention>[1]>) => () =>
    planDenseAttention(DESK, { heads: 1, rows: 8, headDim: 64, dtype: "f16", ...options });
  assert.throws(plan({ headDim: 40 }), /head dimension 40 is not one of 32, 64, 96, 128/);
  assert.throws(plan({ rows: 0 }), /rows 0 is not a whole number from 1/);
  assert.throws(plan({ heads: 1.5 }), /heads 1.5 is not a whole number from 1/);
});

Deno.test("planDenseAttention splits by query range into dispatches of bounded work", () => {
  const options = { heads: 2, rows: 10_000, headDim: 128, dtype: "f16" } as const;
  const whole = planDenseAttention(DESK, options);
  assert.equal(whole.ranges.length, 1);
  const limit = whole.flops / 7;
  const split = planPortable(DESK, { ...options, flopsPerDispatch: limit });
  assert.ok(split.ranges.length >= 7);
  let end = Math.ceil(10_000 / split.tiling.tileRows);
  let flops = 0;
  for (const range of split.ranges) {
    assert.equal(range.firstTile + range.tileCount, end);
    assert.ok(range.flops <= limit || range.tileCount === 1);
    end = range.firstTile;
    flops += range.flops;
  }
  assert.equal(end, 0);
  assert.ok(Math.abs(flops / split.flops - 1) < 1e-9);
});

Deno.test("chooseTiling fits the workgroup memory that the device has", () => {
  for (const bytes of [16384, 32768, 49152]) {
    const gpu = { ...DESK, capabilities: { ...DESK.capabilities, maxWorkgroupBytes: bytes } };
    for (const headDim of [32, 64, 96, 128]) {
      const tiling = chooseTiling(gpu, headDim);
      const plan = planDenseAttention(gpu, { heads: 1, rows: 1, headDim, dtype: "f32", tiling });
      assert.ok(plan.workgroupBytes <= bytes);
    }
  }
  const tiny = { ...DESK, capabilities: { ...DESK.capabilities, maxWorkgroupBytes: 4096 } };
  assert.throws(() => chooseTiling(tiny, 64), /needs [\d.]+ KiB of workgroup memory; .* is 4 KiB/);
});

Deno.test("headsPerBlock keeps every block within one binding", () => {
  const shape = { heads: 8, rows: 524_288, dim: 128, dtype: "f32" } as const;
  assert.equal(headsPerBlock(DESK, [shape]), 7);
  assert.throws(
    () => headsPerBlock(DESK, [{ ...shape, rows: 2 ** 23 }]),
    /one head needs a binding of 4 GiB; the limit is 2 GiB$/,
  );
});

interface Case {
  heads: number;
  rows: number;
  headDim: number;
  dtype: DType;
}

/** Runs an implementation on given data and returns the worst error in units of the tolerance. */
async function errorOf(
  gpu: Gpu,
  implementation: Implementation,
  options: Case & {
    data?: [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
    headsPerBlock?: number;
    flopsPerDispatch?: number;
  },
): Promise<{ ratio: number; output: ArrayLike<number>; lse: ArrayLike<number> }> {
  const { heads, rows, headDim, dtype } = options;
  const shape = { heads, rows, dim: headDim, dtype };
  const blocks = { headsPerBlock: options.headsPerBlock };
  const inputs = {
    q: await createTensor(gpu, shape, blocks),
    k: await createTensor(gpu, shape, blocks),
    v: await createTensor(gpu, shape, blocks),
  };
  const tensors: Tensor[] = [inputs.q, inputs.k, inputs.v];
  for (const [i, tensor] of tensors.entries()) {
    if (options.data) writeTensor(gpu, tensor, options.data[i]);
    else await fillSeeded(gpu, tensor, 100 + i);
  }
  const problem = { shape: { heads, context: rows, headDim, dtype } };
  const prepared = await implementation.prepare(gpu, problem, {
    inputs,
    flopsPerDispatch: options.flopsPerDispatch,
  });
  // Poison the outputs, so that unwritten elements are detected.
  writeTensor(gpu, prepared.outputs.output, new Float32Array(heads * rows * headDim).fill(NaN));
  await prepared.execute();
  const output = await readTensor(gpu, prepared.outputs.output);
  const lse = await readTensor(gpu, prepared.outputs.lse);
  const [q, k, v] = await Promise.all(tensors.map((tensor) => readTensor(gpu, tensor)));
  let ratio = 0;
  for (let head = 0; head < heads; head++) {
    const part = (data: Float32Array | Float16Array) =>
      data.subarray(head * rows * headDim, (head + 1) * rows * headDim);
    const want = denseAttentionReference({ q: part(q), k: part(k), v: part(v), headDim }, {
      dtype,
    });
    ratio = Math.max(
      ratio,
      worstRatio(part(output), want.output, want.tolerance),
      worstRatio(lse.subarray(head * rows, (head + 1) * rows), want.lse, want.lseTolerance),
    );
  }
  prepared.destroy();
  tensors.forEach((tensor) => tensor.destroy());
  return { ratio, output, lse };
}

for (const implementation of [dense, denseNaive]) {
  Deno.test(`${implementation.name} matches float64 at every head dimension and type`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const dtype of ["f32", "f16"] as const) {
      for (const headDim of [32, 64, 96, 128]) {
        const { ratio } = await errorOf(gpu, implementation, {
          heads: 2,
          rows: 141,
          headDim,
          dtype,
        });
        assert.ok(ratio <= 1, `d=${headDim} ${dtype}: error is ${ratio} of the tolerance`);
      }
    }
    gpu.destroy();
  });
}

Deno.test("dense matches float64 without subgroups, in head blocks and split by query range", async (t) => {
  const gpu = await testGpu(t, { without: ["subgroups"] });
  if (!gpu) return;
  assert.equal(gpu.capabilities.subgroups, false);
  const shape = { heads: 3, rows: 300, headDim: 64, dtype: "f16" } as const;
  const whole = await errorOf(gpu, dense, shape);
  const cut = await errorOf(gpu, dense, { ...shape, headsPerBlock: 2, flopsPerDispatch: 1e6 });
  assert.ok(whole.ratio <= 1, `error is ${whole.ratio} of the tolerance`);
  assert.deepEqual([...cut.output as Float16Array], [...whole.output as Float16Array]);
  gpu.destroy();
});

Deno.test("dense matches float64 on random shapes and magnitudes", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const cases = fc.record({
    heads: fc.integer({ min: 1, max: 3 }),
    rows: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 100, max: 300 })),
    headDim: fc.constantFrom(32, 64, 128),
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
    kind: fc.constantFrom("normal", "extreme", "equal", "repeated", "tiny"),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ heads, rows, headDim, seed, kind }) => {
      let state = seed;
      const uniform = () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32 * 2 - 1;
      };
      const size = heads * rows * headDim;
      const magnitude = kind === "extreme" ? 1e4 : kind === "tiny" ? 1e-20 : 1.5;
      const draw = () => Float32Array.from({ length: size }, () => uniform() * magnitude);
      const same = () => {
        const row = Float32Array.from({ length: headDim }, uniform);
        return Float32Array.from({ length: size }, (_, i) => row[i % headDim]);
      };
      const data: [Float32Array, Float32Array, Float32Array] = kind === "equal"
        ? [same(), same(), same()]
        : [draw(), kind === "repeated" ? same() : draw(), draw()];
      const shape = { heads, rows, headDim, dtype: "f32" as const };
      const { ratio } = await errorOf(gpu, dense, { ...shape, data });
      assert.ok(ratio <= 1, `${kind}: error is ${ratio} of the tolerance`);
    }),
    { numRuns: 25, seed: 20261122 },
  );
  gpu.destroy();
});

Deno.test("dense is causal and deterministic: later rows never change earlier outputs", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, rows: 260, headDim: 64, dtype: "f32" } as const;
  const size = 260 * 64;
  const draw = (salt: number) =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898 + salt) * 2);
  const data: [Float32Array, Float32Array, Float32Array] = [draw(1), draw(2), draw(3)];
  const before = await errorOf(gpu, dense, { ...shape, data });
  const again = await errorOf(gpu, dense, { ...shape, data });
  assert.deepEqual([...again.output as Float32Array], [...before.output as Float32Array]);
  const j = 133;
  const changed = data.map((tensor) => {
    const copy = tensor.slice();
    for (let i = j * 64; i < size; i++) copy[i] = -3 * copy[i] + 1;
    return copy;
  }) as typeof data;
  const after = await errorOf(gpu, dense, { ...shape, data: changed });
  const head = (
    result: { output: ArrayLike<number> },
  ) => [...(result.output as Float32Array).subarray(0, j * 64)];
  assert.deepEqual(head(after), head(before));
  assert.notEqual(after.output[j * 64], before.output[j * 64]);
  gpu.destroy();
});

Deno.test("dense compiles in Dawn's front end for every variant", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  for (const subgroups of [true, false]) {
    for (const headDim of [32, 64, 96, 128]) {
      for (const dtype of ["f16", "f32"] as const) {
        for (const maxWorkgroupBytes of [16384, 32768, 49152]) {
          const capabilities = {
            ...gpu.capabilities,
            subgroups,
            subgroupMinSize: 32,
            subgroupsDirective: "enable subgroups;",
            maxWorkgroupBytes,
            maxInvocations: 1024,
          };
          const plan = planDenseAttention({ capabilities, adapter: DESK.adapter }, {
            heads: 1,
            rows: 100,
            headDim,
            dtype,
          });
          // The null device itself has 16 KiB of workgroup memory: larger variants are only parsed.
          if (plan.workgroupBytes <= gpu.capabilities.maxWorkgroupBytes) {
            (await createDenseAttention(gpu, plan)).destroy();
          }
          const { pipelines } = planDenseBackward({ capabilities, adapter: DESK.adapter }, {
            heads: 1,
            rows: 100,
            headDim,
            dtype,
          });
          for (const { code } of [plan.pipeline, ...Object.values(pipelines)]) {
            const module = gpu.device.createShaderModule({ code });
            const { messages } = await module.getCompilationInfo();
            assert.deepEqual(messages.map((m) => m.message), []);
          }
        }
      }
    }
  }
  gpu.destroy();
});

Deno.test("a NaN reaches all rows that attend to it, and at most the earlier rows of its tile", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [context, headDim, bad] = [700, 32, 600];
  const count = context * headDim;
  const [q, k, v] = [1, 2, 3].map((seed) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(seed * 77 + 1.3 * i))
  );
  const run = (inputs: { q: Float32Array; k: Float32Array; v: Float32Array }) =>
    denseAttention(gpu, inputs, { headDim });
  const clean = await run({ q, k, v });
  for (const name of ["k", "v"] as const) {
    for (const value of [NaN, Infinity]) {
      const given = { q, k, v };
      given[name] = given[name].slice();
      given[name][bad * headDim] = value;
      const { output } = await run(given);
      // The documented limit is 256 rows.
      const before = (bad - 256) * headDim;
      assert.deepEqual(output.subarray(0, before), clean.output.subarray(0, before));
      // A logit of minus infinity masks a key for a row.
      if (name === "k" && value === Infinity) continue;
      for (let row = bad; row < context; row++) {
        const own = output.subarray(row * headDim, (row + 1) * headDim);
        assert.ok(own.some((x) => !Number.isFinite(x)), `${name} ${value}: row ${row}`);
      }
    }
  }
  gpu.destroy();
});
