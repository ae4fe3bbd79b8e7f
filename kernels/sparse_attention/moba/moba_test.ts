import assert from "node:assert/strict";
import { chooseCases } from "../../../tools/_cases.ts";
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { readTensor, writeTensor } from "../../gpu/buffers.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { listSizes } from "../gathered_queries/list_sizes.ts";
import { checkLayer, seededInputs } from "../tile_lists/_check_layer.ts";
import { moba } from "./moba.ts";

const SHAPE = { heads: 2, context: 150, headDim: 64, dtype: "f16" } as const;

Deno.test("moba plans its pairs exactly and refuses what it cannot run, in one line", () => {
  const shape = { heads: 8, context: 131072, headDim: 128, dtype: "f16" } as const;
  const plan = (options: Record<string, number>, own = {}) =>
    moba.plan(DESK, {
      shape: { ...shape, ...own },
      direction: "forward-backward",
      options: { block: 2048, topk: 3, ...options },
    });
  const { stages, buffers, peakBytes } = plan({});
  let [pairs, scored] = [0, 0];
  for (let t = 0; t < 131072; t++) {
    const own = Math.floor(t / 2048);
    pairs += t % 2048 + 1 + 2048 * Math.min(2, own);
    scored += own;
  }
  assert.deepEqual(stages.map(({ name }) => name), ["select", "attention", "attention-backward"]);
  assert.deepEqual(
    stages.map(({ flops }) => flops),
    [2 * 128 * 8 * scored, 4 * 128 * 8 * pairs, 10 * 128 * 8 * pairs],
  );
  assert.equal(peakBytes, buffers.reduce((sum, { bytes }) => sum + bytes, 0));
  const refused = [
    [{ block: 48 }, "plan moba: block 48 is not a multiple of 32"],
    [{ block: 0 }, "plan moba: block 0 is not a whole number from 32"],
    [{ topk: 0 }, "plan moba: topk 0 is not a whole number from 1"],
    [{ topk: 33 }, "plan moba: topk 33 of 64 blocks exceeds the limit of 32"],
    [{ window: 3 }, "plan moba: window is not an option of this layer: block, topk"],
  ] as const;
  for (const [options, message] of refused) {
    assert.throws(() => plan(options), { name: "RangeError", message });
  }
  // No more blocks than there are: two blocks of 64 in a context of 100.
  assert.ok(plan({ block: 64, topk: 1000 }, { context: 100 }));
  const narrow = { ...DESK, capabilities: { ...DESK.capabilities, maxBindingBytes: 2 ** 21 } };
  assert.throws(
    () =>
      moba.plan(narrow, {
        shape: { ...shape, heads: 1, context: 8192 },
        options: { block: 4096, topk: 2 },
      }),
    /^RangeError: plan attention over gathered queries: gathered queries for 4096 queries at a time need a binding of [\d.]+ MiB; the limit is 2 MiB$/,
  );
});

Deno.test("listSizes counts the entries and pairs of any context", () => {
  for (const rows of [1, 31, 32, 100, 500]) {
    for (const block of [32, 64, 512]) {
      for (const count of [1, 2, 3, 7]) {
        for (const group of [1, 4]) {
          const found = listSizes({ rows, block, count, group }, { least: 32 });
          let [entries, pairs] = [0, 0];
          for (let t = 0; t < rows; t++) {
            const earlier = Math.min(count - 1, Math.floor(t / block));
            entries += earlier + 1;
            pairs += group * (earlier * block + t % block + 1);
          }
          assert.deepEqual([found.entries, found.pairs], [entries, pairs]);
          // Every list may end in a tile that has one entry.
          assert.ok(found.packed >= entries * group + found.blocks * (found.tileRows - 1));
          assert.equal(found.packed % found.tileRows, 0);
        }
      }
    }
  }
});

Deno.test("moba selects no block whose mean is NaN while others are left", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = {
    shape: { ...SHAPE, heads: 1, context: 160, dtype: "f32" },
    options: { block: 32, topk: 3 },
  } as const;
  const inputs = await seededInputs(gpu, problem, 9);
  const keys = await readTensor(gpu, inputs.k);
  keys[40 * 64] = NaN; // in block 1
  writeTensor(gpu, inputs.k, keys);
  const layer = await moba.prepare(gpu, problem, { inputs });
  await layer.execute();
  const lists = await layer.outputs.readSelection!();
  const listOf = (row: number) => [...lists.subarray(3 * row, 3 * row + 3)];
  assert.deepEqual(listOf(31), [0, -1, -1]);
  assert.deepEqual(listOf(63), [0, 1, -1]);
  // Block 1 is one of the two before block 2, but never one of the best two of three or four.
  assert.deepEqual(listOf(95), [0, 1, 2]);
  for (let row = 96; row < 160; row++) {
    assert.ok(!listOf(row).includes(1));
    assert.equal(listOf(row)[2], Math.floor(row / 32));
  }
  layer.destroy();
  inputs.destroy();
  gpu.destroy();
});

/** Some blocks of several, of one, of all; a block as long as the context. */
const OPTIONS = [
  { block: 32, topk: 3 },
  { block: 64, topk: 2 },
  { block: 32, topk: 1 },
  { block: 32, topk: 32 },
  { block: 256, topk: 3 },
];

const PORTABLE = chooseCases(
  OPTIONS.flatMap((options) =>
    (["f16", "f32"] as const).map((dtype) => ({ options, shape: { ...SHAPE, dtype } }))
  ),
  (_, i) => i === 0,
);

Deno.test({
  name: `moba matches float64 in both passes, twice the same${PORTABLE.note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const problem of PORTABLE.cases) await checkLayer(gpu, moba, { problem });
    const [problem] = PORTABLE.cases;
    await checkLayer(gpu, moba, { problem, flopsPerDispatch: 1e6 });
    gpu.destroy();
  },
});

Deno.test("moba takes the heads of a block of its inputs one at a time where more do not fit", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  // Two heads of K fit a binding, not their dK in f32.
  const narrow = { ...gpu, capabilities: { ...gpu.capabilities, maxBindingBytes: 140_000 } };
  const problem = {
    shape: { heads: 2, context: 300, headDim: 64, dtype: "f16" },
    options: { block: 64, topk: 3 },
    direction: "forward-backward",
  } as const;
  assert.equal(moba.plan(narrow, problem).headsPerBlock, 1);
  await checkLayer(narrow, moba, { problem });
  gpu.destroy();
});

Deno.test("moba on matrix units matches float64, twice the same", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const headDim of [64, 128]) {
    for (const options of OPTIONS) {
      if (options.block % 64 !== 0) continue;
      for (const context of [150, 1021]) {
        const problem = { shape: { ...SHAPE, context, headDim }, options };
        await checkLayer(gpu, moba, { problem, kernel: "matrix units" });
      }
    }
    const problem = { shape: { ...SHAPE, context: 1021, headDim }, options: OPTIONS[1] };
    const flopsPerDispatch = 256 * 64 * 8 * headDim * 2;
    await checkLayer(gpu, moba, { problem, kernel: "matrix units", flopsPerDispatch });
  }
  gpu.destroy();
});

const EMULATED = chooseCases(
  [
    { block: 64, topk: 2, cut: 64 * 64 },
    // Parts of a range, lists of up to three.
    { block: 64, topk: 3, partQueries: 64 },
    { block: 128, topk: 1 },
    { block: 128, topk: 3, cut: 128 * 128 },
    // Two parts in each range.
    { block: 64, topk: 3, partQueries: 64, cut: 128 * 64 },
  ],
  // Blocks whose scores fit registers, and longer ones.
  (_, i) => i === 1 || i === 2,
  (_, i) => i < 3,
);

Deno.test({
  name: `moba on emulated matrix units matches float64, twice the same${EMULATED.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    for (const { cut, partQueries, ...options } of EMULATED.cases) {
      await checkLayer(emulated, moba, {
        problem: { shape: { ...SHAPE, context: 277 }, options },
        kernel: "matrix units",
        cuts: { partQueries },
        // Pairs of a range of entries of both heads.
        ...cut !== undefined && { flopsPerDispatch: cut * 8 * 64 * 2 },
      });
    }
    // Scores that no first reference stands for: short blocks need none, longer ones start over.
    for (const [block, size] of [[64, 4096], [128, 64]]) {
      await checkLayer(emulated, moba, {
        problem: { shape: SHAPE, options: { block, topk: 2 } },
        kernel: "matrix units",
        size,
        anyRestarts: block === 64,
      });
    }
    gpu.destroy();
  },
});
