import assert from "node:assert/strict";
import { ALL_CASES, chooseCases } from "../../../tools/_cases.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { inspectTensor } from "../../gpu/inspect.ts";
import type { AttentionShape } from "../../implementation.ts";
import { checkLayer, seededInputs } from "../tile_lists/_check_layer.ts";
import { dense } from "../../dense_attention/dense_layer.ts";
import { dsa } from "./dsa.ts";

const SHAPE: AttentionShape = { heads: 2, context: 193, headDim: 64, dtype: "f32" };
const OPTIONS = { indexHeads: 4, indexDim: 32, topk: 40 };

Deno.test("dsa plans its index, its pairs and its gather", () => {
  const shape = { heads: 8, kvHeads: 1, context: 131072, headDim: 128, dtype: "f16" } as const;
  const options = { indexHeads: 4, indexDim: 128, topk: 2048 };
  const plan = dsa.plan(DESK, { shape, options, direction: "forward-backward" });
  const [index, select, attention, backward] = plan.stages;
  assert.equal(index.flops, 131072 * 131073 * 4 * 128);
  assert.equal(select.flops, 0);
  // The first 2,048 queries have fewer tokens before them.
  const pairs = 2048 * 2049 / 2 + (131072 - 2048) * 2048;
  assert.equal(attention.flops, 4 * 128 * 8 * pairs);
  assert.equal(backward.flops, 2.5 * attention.flops);
  const gather = 2 * 128 * 2 * pairs;
  assert.ok(attention.bytes > gather && attention.bytes < 1.02 * gather);
  const each = dsa.plan(DESK, { shape: { ...shape, kvHeads: undefined }, options });
  assert.ok(each.stages[2].bytes > 7.9 * gather);
  // All buffers fit a binding, and 256 strips suffice.
  for (const { bytes } of plan.buffers) assert.ok(bytes <= DESK.capabilities.maxBindingBytes);
});

Deno.test("dsa refuses what does not fit, naming value and limit", () => {
  const plan = (options: object, shape: object = {}) => () =>
    dsa.plan(DESK, { shape: { ...SHAPE, ...shape }, options: { ...OPTIONS, ...options } });
  const message = (text: string) => ({ name: "RangeError", message: text });
  assert.throws(
    plan({ indexDim: 160 }),
    message("plan dsa: indexDim 160 is not one of 32, 64, 96, 128"),
  );
  assert.throws(plan({ topk: 0 }), message("plan dsa: topk 0 is not a whole number from 1"));
  assert.throws(
    plan({}, { heads: 4, kvHeads: 3 }),
    message("plan dsa: kvHeads 3 does not divide 4 heads"),
  );
  assert.throws(
    plan({ topk: 8_000_000 }),
    /lists of 8000000 tokens of 128 queries need a binding of 3\.81 GiB; the limit is 2 GiB/,
  );
});

const { cases: LAYERS, note } = chooseCases(
  [
    { shape: SHAPE },
    { shape: { ...SHAPE, heads: 4, kvHeads: 1, dtype: "f16" } },
    { shape: { ...SHAPE, heads: 6, kvHeads: 2, headDim: 96 } },
    { shape: { ...SHAPE, context: 5, headDim: 32 } },
    { shape: { ...SHAPE, headDim: 128, dtype: "f16" } },
  ] as const,
  (_, i) => i < 2,
  (_, i) => i !== 3,
);

Deno.test({
  name: `dsa matches float64 in both passes, twice the same${note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const { shape } of LAYERS) {
      await checkLayer(gpu, dsa, { problem: { shape, options: OPTIONS } });
    }
    await checkLayer(gpu, dsa, {
      problem: { shape: SHAPE, options: OPTIONS },
      flopsPerDispatch: 1e6,
    });
    gpu.destroy();
  },
});

Deno.test("dsa with as many tokens as there are is dense attention", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = { shape: SHAPE, options: { ...OPTIONS, topk: 193 } };
  const inputs = await seededInputs(gpu, problem, 5);
  const layer = await dsa.prepare(gpu, problem, { inputs });
  await layer.execute();
  const lists = await layer.outputs.readSelection!();
  for (const row of [0, 1, 100, 192]) {
    const want = Array.from({ length: 193 }, (_, i) => i <= row ? i : -1);
    assert.deepEqual([...lists.subarray(row * 193, (row + 1) * 193)], want);
  }
  layer.destroy();
  // Checked against float64 with all keys up to the query's own.
  await checkLayer(gpu, { ...dsa, tokens: undefined, visible: dense.visible }, { problem });
  inputs.destroy();
  gpu.destroy();
});

Deno.test({
  name: "the index of dsa on emulated matrix units gives the lists of float64 scores" +
    (ALL_CASES ? "" : " (2 of 3 cases; deno task test:all takes all)"),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    const shape = { ...SHAPE, dtype: "f16" } as const;
    const plan = dsa.plan(emulated, { shape, options: OPTIONS });
    assert.match(plan.stages[0].variant!, /^matrix units/);
    assert.match(plan.stages[2].variant!, /^portable/);
    await checkLayer(emulated, dsa, { problem: { shape, options: OPTIONS } });
    // Four heads of a key head are rows of a matrix; larger queries make workgroups start over.
    const shared = { shape: { ...shape, heads: 4, kvHeads: 1 }, options: OPTIONS };
    assert.match(dsa.plan(emulated, shared).stages[2].variant!, /^matrix units/);
    for (const size of ALL_CASES ? [1, 64] : [64]) {
      await checkLayer(emulated, dsa, { problem: shared, size });
    }
    gpu.destroy();
  },
});

Deno.test("strips of dispatches do not change a bit", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = { shape: SHAPE, options: OPTIONS, direction: "forward-backward" } as const;
  const inputs = await seededInputs(gpu, problem, 9);
  const digests = [];
  for (const flopsPerDispatch of [undefined, 3e5]) {
    const layer = await dsa.prepare(gpu, problem, { inputs, flopsPerDispatch });
    await layer.execute();
    const { output, lse, gradients } = layer.outputs;
    const tensors = [output, lse, ...Object.values(gradients!)];
    digests.push(await Promise.all(tensors.map((tensor) => inspectTensor(gpu, tensor))));
    layer.destroy();
  }
  assert.deepEqual(digests[0], digests[1]);
  inputs.destroy();
  gpu.destroy();
});
