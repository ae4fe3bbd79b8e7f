import assert from "node:assert/strict";
import { chooseCases, long } from "../../../tools/_cases.ts";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { createDenseAttention, planDenseAttention } from "../../dense_attention/dense_attention.ts";
import { planDenseBackward } from "../../dense_attention/dense_attention_backward.ts";
import { dense } from "../../dense_attention/dense_layer.ts";
import { tilingName } from "../../dense_attention/tilings.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { runDispatches, writeTensor } from "../../gpu/buffers.ts";
import type { Implementation } from "../../implementation.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { inspectTensor } from "../../gpu/inspect.ts";
import { checkLayer, seededInputs } from "../tile_lists/_check_layer.ts";
import { slidingWindow } from "./sliding_window.ts";
import { windowPairs, windowWalk } from "./window_walk.ts";

const SHAPE = { heads: 2, context: 150, headDim: 64, dtype: "f16" } as const;

/**
 * Window and sinks: a diagonal, narrower and wider than tiles, sinks beside and within the window.
 */
const PATTERNS = [
  { window: 40, sinks: 3 },
  { window: 1, sinks: 0 },
  { window: 1, sinks: 4 },
  { window: 17, sinks: 0 },
  { window: 64, sinks: 70 },
  { window: 100, sinks: 33 },
  { window: 150, sinks: 0 },
  { window: 4000, sinks: 4 },
];

function countPairs(problem: Parameters<NonNullable<typeof slidingWindow.visible>>[1]): number {
  let pairs = 0;
  for (let row = 0; row < problem.shape.context; row++) {
    for (const { first, end } of slidingWindow.visible!(row, problem, 0)) pairs += end - first;
  }
  return pairs;
}

Deno.test("windowPairs counts the pairs of the mask", () => {
  for (const rows of [1, 2, 63, 150]) {
    for (const { window, sinks } of [...PATTERNS, { window: 3, sinks: rows }]) {
      if (sinks > rows) continue;
      const problem = { shape: { ...SHAPE, context: rows }, options: { window, sinks } };
      let masked = 0;
      for (let t = 0; t < rows; t++) {
        for (let j = 0; j <= t; j++) if (t - j < window || j < sinks) masked++;
      }
      assert.equal(windowPairs({ rows, window, sinks }), masked);
      assert.equal(countPairs(problem), masked);
    }
  }
});

Deno.test("a window's walk covers its pairs, and rectangles share them", () => {
  const rows = 300;
  for (const { window, sinks } of PATTERNS) {
    const walk = windowWalk({ heads: 3, rows, window, sinks });
    for (const own of ["queries", "keys"] as const) {
      const tile = { ownRows: 64, columns: 32, own };
      let computed = 0;
      for (let t = 0; t < Math.ceil(rows / 64); t++) computed += walk.tilePairs(t, tile);
      assert.ok(computed >= walk.pairs);
      assert.equal(walk.listBytes(tile), 0);
    }
    let pairs = 0;
    for (let firstKey = 0; firstKey < rows; firstKey += 70) {
      for (let firstQuery = 0; firstQuery < rows; firstQuery += 90) {
        const endKey = Math.min(rows, firstKey + 70);
        const endQuery = Math.min(rows, firstQuery + 90);
        pairs += walk.pairsWithin({ firstKey, endKey, firstQuery, endQuery });
      }
    }
    assert.equal(3 * pairs, walk.pairs);
  }
});

Deno.test("sliding-window plans its pairs exactly and refuses what it cannot run, in one line", () => {
  const plan = (options: Record<string, number>, shape = {}) =>
    slidingWindow.plan(DESK, {
      shape: { ...SHAPE, context: 131072, heads: 8, headDim: 128, ...shape },
      direction: "forward-backward",
      options,
    });
  const { stages, buffers } = plan({ window: 512, sinks: 4 });
  const pairs = 8 * windowPairs({ rows: 131072, window: 512, sinks: 4 });
  assert.deepEqual(stages.map(({ flops }) => flops), [4 * 128 * pairs, 10 * 128 * pairs]);
  assert.ok(buffers.every(({ name }) => name !== "lists of tiles"));
  for (const { variant } of stages) assert.match(variant!, /, tiles of 1\.\d\d × the pairs$/);
  const refused = [
    [{ window: 0, sinks: 4 }, "plan sliding-window: window 0 is not a whole number from 1"],
    [{ window: 512, sinks: -1 }, "plan sliding-window: sinks -1 is not a whole number from 0"],
    [{ window: 1.5, sinks: 0 }, "plan sliding-window: window 1.5 is not a whole number from 1"],
    [{ window: 512 }, "plan sliding-window: option sinks is missing"],
    [
      { window: 512, sinks: 131073 },
      "plan sliding-window: 131073 sinks are more than the context has rows, 131072",
    ],
  ] as const;
  for (const [options, message] of refused) {
    assert.throws(() => plan(options), { name: "RangeError", message });
  }
});

Deno.test("windows take the tilings on matrix units that suit their length", () => {
  const gpu = { ...DESK, capabilities: MATRIX_UNITS };
  for (
    const [window, sinks, forward, keyValue] of [
      [512, 0, "4/32/1/2", "8/64/1/1"],
      [512, 4, "4/32/1/2", "8/64/1/1"],
      [4096, 0, "8/32/2/2", "8/64/1/1"],
      [64, 0, "4/32/1/1", "4/64/1/1"],
    ] as const
  ) {
    const walk = windowWalk({ heads: 8, rows: 131072, window, sinks });
    const shape = { heads: 8, rows: 131072, headDim: 128, dtype: "f16", walk } as const;
    const { variant } = planDenseAttention(gpu, shape);
    assert.ok(variant.startsWith(`matrix units ${forward},`), variant);
    const { tilings } = planDenseBackward(gpu, shape).schedule!;
    assert.equal(tilingName(tilings.keyValue), keyValue);
  }
});

const { cases: PORTABLE, note } = chooseCases(
  PATTERNS.flatMap((options) =>
    (["f16", "f32"] as const).flatMap((dtype) =>
      [64, 32].map((headDim) => ({ options, shape: { ...SHAPE, dtype, headDim } }))
    )
  ),
  (_, i) => i === 0,
  // Every other pattern with f16 and 64, the rest with f32 and 32.
  (_, i) => i % 8 === 0 || i % 8 === 7,
);

Deno.test({
  name: `sliding-window matches float64 in both passes, twice the same${note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const problem of PORTABLE) await checkLayer(gpu, slidingWindow, { problem });
    await checkLayer(gpu, slidingWindow, { problem: PORTABLE[0], flopsPerDispatch: 1e6 });
    gpu.destroy();
  },
});

Deno.test("queries of the sinks' keys are cut into ranges on matrix units, where lists are long", () => {
  const schedule = (window: number, sinks: number, rows: number) => {
    const walk = windowWalk({ heads: 8, rows, window, sinks });
    const shape = { heads: 8, rows, headDim: 128, dtype: "f16", walk } as const;
    const device = { ...DESK, capabilities: MATRIX_UNITS };
    const { pipelines, schedule } = planDenseBackward(device, shape);
    return { cut: pipelines.sum !== undefined, rectangles: schedule!.rectangles, walk };
  };
  const { cut, rectangles: [first, ...rest], walk } = schedule(512, 4, 131072);
  assert.ok(cut);
  assert.equal(first.firstKey, 0);
  assert.equal(first.endQuery, 131072);
  assert.ok(first.parts! * first.partQueries! >= 131072);
  assert.ok((first.parts! - 1) * first.partQueries! < 131072);
  assert.ok(rest.every(({ firstKey, parts }) => firstKey >= first.endKey && parts === undefined));
  assert.equal(8 * [first, ...rest].reduce((sum, { pairs }) => sum + pairs, 0), walk.pairs);
  assert.ok(!schedule(512, 0, 131072).cut);
  assert.ok(!schedule(512, 4, 512).cut);
});

Deno.test("rectangles of a window hold all queries of their keys, each pair once", () => {
  const device = { ...DESK, capabilities: MATRIX_UNITS };
  for (
    const [window, sinks, rows] of [[512, 0, 131072], [4096, 0, 131072], [512, 4, 131072], [
      4096,
      0,
      20000,
    ]]
  ) {
    const walk = windowWalk({ heads: 8, rows, window, sinks });
    const shape = { heads: 8, rows, headDim: 128, dtype: "f16", walk } as const;
    const { rectangles, keys, queries, bytes } = planDenseBackward(device, shape).schedule!;
    const own = sinks > 0 ? rectangles.slice(1) : rectangles;
    let pairs = 0;
    for (const [i, one] of own.entries()) {
      assert.ok(one.complete && one.firstQuery === one.firstKey);
      assert.ok(one.endQuery === rows || one.endQuery >= one.endKey - 1 + window);
      assert.equal(
        one.firstKey,
        i === 0 ? rectangles[0].endKey * Number(sinks > 0) : own[i - 1].endKey,
      );
      // Whoever was in an earlier rectangle has sums; with sinks all queries were in the first.
      assert.equal(
        one.carried,
        i > 0 && sinks === 0 ? own[i - 1].endQuery : sinks > 0 ? 2 ** 32 - 1 : 0,
      );
      assert.ok(one.endKey - one.firstKey <= keys && one.endQuery - one.firstQuery <= queries);
      pairs += one.pairs;
    }
    if (sinks > 0) pairs += rectangles[0].pairs;
    assert.equal(8 * pairs, walk.pairs);
    assert.ok(bytes.scoreGradients <= 2 ** 30);
    // Squares of the same bytes would be twice as many, of which most hold few pairs.
    assert.ok(own.length <= Math.ceil(rows / 6000));
  }
});

Deno.test("a window as wide as the context gives the bits of dense attention", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = { shape: { ...SHAPE, dtype: "f32" }, direction: "forward-backward" } as const;
  const inputs = await seededInputs(gpu, problem, 5);
  const digests = [];
  const options = { window: SHAPE.context, sinks: 0 };
  for (const [layer, own] of [[dense, {}], [slidingWindow, { options }]] as const) {
    const prepared = await layer.prepare(gpu, { ...problem, ...own }, { inputs });
    await prepared.execute();
    const { output, lse, gradients } = prepared.outputs;
    const tensors = [output, lse, ...Object.values(gradients!)];
    digests.push(await Promise.all(tensors.map((x) => inspectTensor(gpu, x))));
    prepared.destroy();
  }
  assert.deepEqual(digests[0], digests[1]);
  inputs.destroy();
  gpu.destroy();
});

Deno.test("sliding-window on matrix units matches float64, twice the same", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const headDim of [64, 128]) {
    for (const options of PATTERNS) {
      for (const context of [150, 1021]) {
        const problem = { shape: { ...SHAPE, context, headDim }, options };
        await checkLayer(gpu, slidingWindow, { problem, kernel: "matrix units" });
      }
    }
    // Rectangles of 256 × 256, of which most hold no pair.
    const problem = {
      shape: { ...SHAPE, context: 1021, headDim },
      options: { window: 40, sinks: 3 },
    };
    const flopsPerDispatch = 256 * 256 * 8 * headDim * 2;
    await checkLayer(gpu, slidingWindow, { problem, kernel: "matrix units", flopsPerDispatch });
  }
  gpu.destroy();
});

const TILINGS = ([[1, 2, 2], [1, 2, 1], [1, 1, 1], [2, 1, 2]] as const)
  .map(([subgroups, blocks, stages]) => ({ subgroups, blocks, stages, tileColumns: 32 }));

Deno.test({
  ...long("sliding-window forward on emulated matrix units is right in any tiling"),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    const options = { window: 40, sinks: 3 };
    for (const matrixTiling of TILINGS) {
      const implementation: Implementation = {
        ...slidingWindow,
        prepare: async (gpu, problem, { inputs }) => {
          const layer = await slidingWindow.prepare(gpu, problem, { inputs });
          const { heads, context: rows, headDim, dtype } = problem.shape;
          const walk = windowWalk({ heads, rows, ...options });
          const plan = planDenseAttention(gpu, { heads, rows, headDim, dtype, walk, matrixTiling });
          const kernel = await createDenseAttention(gpu, plan);
          const { output, lse } = layer.outputs;
          const [q, k, v, o, sums] = [inputs.q, inputs.k, inputs.v, output, lse].map((tensor) =>
            tensor.blocks[0].data
          );
          const dispatches = kernel.bind({ q, k, v, o, lse: sums });
          return {
            ...layer,
            execute: async () => {
              const timing = await layer.execute();
              // What the layer's own tiling left is poisoned, to be written anew.
              writeTensor(gpu, output, Array(heads * rows * headDim).fill(NaN));
              writeTensor(gpu, lse, Array(heads * rows).fill(NaN));
              await runDispatches(gpu, "run another tiling", dispatches);
              return timing;
            },
          };
        },
      };
      const problem = { shape: SHAPE, options };
      await checkLayer(emulated, implementation, { problem, kernel: "matrix units" });
    }
    gpu.destroy();
  },
});

const EMULATED = chooseCases(
  [
    // Pairs of a rectangle: enough for all queries of the sinks' tile, but not for the rest at
    // once.
    { window: 40, sinks: 3, cut: 64 * 384 },
    { window: 40, sinks: 3, cut: 64 * 64 },
    { window: 40, sinks: 3 },
    { window: 20, sinks: 70 },
    { window: 1, sinks: 0, cut: 64 * 64 },
    { window: 17, sinks: 0, cut: 64 * 64 },
    // Rectangles of 64 or 128 keys and all queries that see them.
    { window: 17, sinks: 0, cut: 64 * 128 },
    { window: 100, sinks: 0, cut: 128 * 256 },
    { window: 100, sinks: 33, cut: 64 * 384 },
    { window: 4000, sinks: 4 },
  ],
  (_, i) => i === 0 || i === 7,
  (_, i) => [0, 4, 7].includes(i),
);

Deno.test({
  name: `sliding-window on emulated matrix units matches float64, twice the same${EMULATED.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    for (const { cut, ...options } of EMULATED.cases) {
      const problem = { shape: { ...SHAPE, context: 277 }, options };
      await checkLayer(emulated, slidingWindow, {
        problem,
        kernel: "matrix units",
        ...cut !== undefined && { flopsPerDispatch: cut * 8 * 64 * 2 },
      });
    }
    const problem = { shape: SHAPE, options: { window: 40, sinks: 3 } };
    // Workgroups that start over, and some that take the careful pass.
    for (const size of [64, 4096]) {
      await checkLayer(emulated, slidingWindow, { problem, kernel: "matrix units", size });
    }
    gpu.destroy();
  },
});
