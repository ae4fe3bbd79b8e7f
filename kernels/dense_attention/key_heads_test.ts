import assert from "node:assert/strict";
import { chooseCases } from "../../tools/_cases.ts";
import { DESK } from "../gpu/_desk_device.ts";
import { recordEntry } from "../gpu/_catalog_entry.ts";
import { shaderValidator, testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, writeTensor } from "../gpu/buffers.ts";
import type { AttentionShape, Implementation } from "../implementation.ts";
import { groupedHeadsPerBlock } from "../key_heads.ts";
import { lighthouseImplementation } from "../lighthouse/lighthouse_attention.ts";
import { findScorer } from "../lighthouse/scorers/scorers.ts";
import { bigBird } from "../sparse_attention/bigbird/bigbird.ts";
import { slidingWindow } from "../sparse_attention/sliding_window/sliding_window.ts";
import { checkLayer, seededInputs } from "../sparse_attention/tile_lists/_check_layer.ts";
import { DENSE_CATALOG } from "./_dense_catalog.ts";
import { dense } from "./dense_layer.ts";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "./matrix/_matrix_gpu.ts";
import { planMatrixSchedule } from "./matrix/matrix_schedule.ts";
import { denseNaive } from "./naive/dense_attention_naive.ts";
import { planDenseBackward } from "./dense_attention_backward.ts";
import "../../suites/check/_shared_workers.ts";

/** Four query heads on two key heads; the context is not a multiple of any tile. */
const SHAPE: AttentionShape = { heads: 4, kvHeads: 2, context: 141, headDim: 32, dtype: "f32" };

Deno.test("layers refuse key heads that do not divide the heads, and Lighthouse fewer than its heads", () => {
  const plan =
    (implementation: Implementation, shape: Partial<AttentionShape>, options = {}) => () =>
      implementation.plan(DESK, { shape: { ...SHAPE, ...shape }, options });
  const message = (text: string) => ({ name: "RangeError", message: text });
  assert.throws(
    plan(dense, { kvHeads: 3 }),
    message("plan dense: kvHeads 3 does not divide 4 heads"),
  );
  assert.throws(
    plan(dense, { kvHeads: 0 }),
    message("plan dense: kvHeads 0 is not a whole number from 1"),
  );
  const lighthouse = lighthouseImplementation({ scorer: findScorer("norm") });
  assert.throws(
    plan(lighthouse, { context: 2048 }, { levels: 3, pooling: 4, k: 128 }),
    message("plan lighthouse: 2 key heads for 4 heads: it needs one key head a head"),
  );
});

Deno.test("blocks of heads hold whole groups", () => {
  const gpu = { capabilities: { ...DESK.capabilities, maxBindingBytes: 7 * 1024 } };
  const head = { heads: 8, rows: 8, dim: 32, dtype: "f32" } as const; // 1 KiB
  const blocks = (kvHeads: number) => groupedHeadsPerBlock(gpu, [head], { heads: 8, kvHeads });
  assert.deepEqual([8, 4, 2].map(blocks), [7, 6, 4]);
  assert.throws(() => blocks(1), {
    message: "plan tensor: the 8 query heads of a key head do not fit one binding, which takes 7",
  });
});

Deno.test("a plan counts the bytes of the keys that there are, and the same FLOP", () => {
  const bytesOf = (kvHeads?: number) => {
    const shape = { heads: 8, kvHeads, context: 4096, headDim: 128, dtype: "f16" } as const;
    const plan = dense.plan(DESK, { shape, direction: "forward-backward" });
    const buffers = Object.fromEntries(plan.buffers.map(({ name, bytes }) => [name, bytes]));
    return { ...plan, buffers };
  };
  const [all, two] = [bytesOf(), bytesOf(2)];
  assert.equal(two.flops, all.flops);
  for (const name of ["k", "v", "k gradient", "v gradient"]) {
    assert.equal(4 * two.buffers[name], all.buffers[name], name);
  }
  assert.equal(two.buffers["q gradient"], all.buffers["q gradient"]);
  // Of 20 tensors and statistics, Q, K, V and O forward; those, dO and the gradients backward.
  const tensor = all.buffers.q;
  assert.equal(all.bytes - two.bytes, (2 + 4) * tensor * 3 / 4);
});

Deno.test("groups share a rectangle of score gradients, or the kernels are the portable ones", () => {
  const shape = { heads: 8, kvHeads: 2, rows: 524_288, headDim: 128, dtype: "f16" } as const;
  const plan = (maxBindingBytes: number) =>
    planDenseBackward({
      ...DESK,
      capabilities: { ...MATRIX_UNITS, maxBindingBytes },
    }, { ...shape, heads: 4, kvHeads: 1 });
  assert.equal(plan(2 ** 30).schedule?.groupHeads, 4);
  assert.ok(plan(2 ** 30).pipelines.sum);
  assert.equal(plan(2 ** 30 - 4).kernel, "portable");
  const { query, keyValue } = plan(2 ** 30).schedule!.tilings;
  const limits = { maxBindingBytes: 2 ** 31 - 4, maxBufferBytes: 2 ** 32 };
  const options = { heads: 8, rows: shape.rows, headDim: 128, tilings: { query, keyValue } };
  assert.equal(planMatrixSchedule(limits, { ...options, group: 4 }).groupHeads, 4);
  assert.throws(
    () => planMatrixSchedule(limits, { ...options, group: 8 }),
    /partial sums of a group of 8 heads need a binding of 2,147,483,648 bytes; the limit is 2,147,483,644 bytes$/,
  );
});

Deno.test("shared keys take one block of keys a subgroup, and refuse tilings of two", () => {
  for (const headDim of [64, 128]) {
    const shape = { heads: 8, kvHeads: 2, rows: 32_768, headDim, dtype: "f16" } as const;
    const device = { ...DESK, capabilities: MATRIX_UNITS };
    const { query, keyValue } = planDenseBackward(device, shape).schedule!.tilings;
    assert.equal(keyValue.blocks, 1);
    const matrixTilings = { query, keyValue: { ...keyValue, blocks: 2 } } as const;
    assert.throws(
      () => planDenseBackward(device, { ...shape, matrixTilings }),
      /tiling \S+ needs one key head a head$/,
    );
  }
});

const { cases: PORTABLE, note } = chooseCases(
  [
    { shape: SHAPE },
    { shape: { ...SHAPE, heads: 3, kvHeads: 1, headDim: 64, dtype: "f16" } },
    { shape: { ...SHAPE, heads: 6, kvHeads: 2, context: 5 } },
  ] as const,
  (_, i) => i === 0,
);

Deno.test({
  name: `query heads that share keys match float64 in both passes, twice the same${note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const problem of PORTABLE) await checkLayer(gpu, dense, { problem });
    await checkLayer(gpu, dense, { problem: PORTABLE[0], flopsPerDispatch: 1e6 });
    const window = { shape: SHAPE, options: { window: 40, sinks: 3 } };
    await checkLayer(gpu, slidingWindow, { problem: window });
    gpu.destroy();
  },
});

Deno.test("shared keys give the bits of keys repeated for each head", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const inputs = await seededInputs(gpu, { shape: SHAPE }, 5);
  const { heads, context: rows, headDim: dim, dtype } = SHAPE;
  const repeat = async (name: "k" | "v") => {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
    const data = await readTensor(gpu, inputs[name]);
    const each = rows * dim;
    const parts = [0, 0, 1, 1].map((head) => data.subarray(head * each, (head + 1) * each));
    writeTensor(gpu, tensor, parts.flatMap((part) => [...part]));
    return tensor;
  };
  const repeated = { ...inputs, k: await repeat("k"), v: await repeat("v") };
  for (const implementation of [dense, denseNaive]) {
    const bits = [];
    for (const [kvHeads, given] of [[2, inputs], [undefined, repeated]] as const) {
      const layer = await implementation.prepare(gpu, { shape: { ...SHAPE, kvHeads } }, {
        inputs: given,
      });
      await layer.execute();
      bits.push(
        await Promise.all(
          [layer.outputs.output, layer.outputs.lse].map((tensor) => readTensor(gpu, tensor)),
        ),
      );
      layer.destroy();
    }
    assert.deepEqual(bits[0], bits[1], implementation.name);
  }
  [repeated.k, repeated.v, inputs].forEach((owned) => owned.destroy());
  gpu.destroy();
});

/** Layers for matrix units: dense, and both kinds of walks. */
const MATRIX = [
  // Several rectangles, so that sums of a group continue from one to the next.
  { implementation: dense, flopsPerDispatch: 64 * 64 * 8 * 64 * 4 },
  { implementation: dense },
  {
    implementation: slidingWindow,
    options: { window: 40, sinks: 3 },
    flopsPerDispatch: 64 * 384 * 8 * 64 * 4,
  },
  {
    implementation: bigBird,
    options: { block: 32, globalBlocks: 1, windowBlocks: 2, randomBlocks: 1, patternSeed: 1 },
  },
] as const;

Deno.test("query heads that share keys match float64 on matrix units, twice the same", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const { implementation, ...rest } of MATRIX) {
    for (const [heads, kvHeads] of [[4, 2], [8, 1], [6, 2]]) {
      const shape = { heads, kvHeads, context: 1021, headDim: 128, dtype: "f16" } as const;
      const options = "options" in rest ? rest.options : undefined;
      const problem = { shape, options };
      await checkLayer(gpu, implementation, { problem, kernel: "matrix units" });
    }
  }
  gpu.destroy();
});

const EMULATED = chooseCases(MATRIX, (_, i) => i === 0, (_, i) => i === 2);

Deno.test({
  name: `query heads that share keys match float64 on emulated matrix units${EMULATED.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    for (const { implementation, ...rest } of EMULATED.cases) {
      const shape = { ...SHAPE, headDim: 64, dtype: "f16" } as const;
      const options = "options" in rest ? rest.options : undefined;
      await checkLayer(emulated, implementation, {
        problem: { shape, options },
        kernel: "matrix units",
        ...("flopsPerDispatch" in rest && { flopsPerDispatch: rest.flopsPerDispatch }),
      });
    }
    gpu.destroy();
  },
});

Deno.test("kernels of query heads that share keys compile in Dawn's front end", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  let count = 0;
  for (const entry of DENSE_CATALOG.filter(({ name }) => / heads on \d/.test(name))) {
    const capabilities = { subgroupsDirective: "enable subgroups;\n", ...entry.capabilities };
    for (const { code, label } of await recordEntry({ ...entry, capabilities })) {
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), [], `${entry.name}: ${label}`);
      count++;
    }
  }
  assert.ok(count > 30);
  gpu.destroy();
});
