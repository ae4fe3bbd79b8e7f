import assert from "node:assert/strict";
import { chooseCases, long } from "../../../tools/_cases.ts";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { openRecordingDevice } from "../../gpu/_recording_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { createTensor } from "../../gpu/buffers.ts";
import { inputShapes } from "../../key_heads.ts";
import { checkLayer } from "../tile_lists/_check_layer.ts";
import { compressedPairs, windowCount } from "./branch_walks.ts";
import { nsa } from "./nsa.ts";

const SHAPE = { heads: 2, context: 150, headDim: 64, dtype: "f16" } as const;

const SHORT = {
  compressBlock: 16,
  compressStride: 8,
  block: 32,
  count: 4,
  initBlocks: 1,
  localBlocks: 2,
  window: 40,
};

/** Overlapping windows, windows as long as blocks, no ranked block, more blocks than there are. */
const OPTIONS = [
  SHORT,
  { ...SHORT, compressBlock: 32, compressStride: 32, initBlocks: 0, localBlocks: 1, gateSeed: 7 },
  { ...SHORT, count: 3, window: 1 },
  { ...SHORT, count: 20, window: 1000 },
];

Deno.test("nsa plans its pairs exactly and refuses what it cannot run, in one line", () => {
  const shape = { heads: 8, context: 4096, headDim: 128, dtype: "f16" } as const;
  const published = { ...nsa.presets![0].options } as Record<string, number>;
  const plan = (options: Record<string, number>, own = {}) =>
    nsa.plan(DESK, {
      shape: { ...shape, ...own },
      direction: "forward-backward",
      options: { ...published, ...options },
    });
  const { stages, buffers, peakBytes } = plan({});
  let pairs = 0;
  for (let t = 0; t < 4096; t++) {
    if (t >= 31) pairs += Math.floor((t - 31) / 16) + 1;
    pairs += t % 64 + 1 + 64 * Math.min(15, Math.floor(t / 64)) + Math.min(512, t + 1);
  }
  assert.deepEqual(
    stages.map(({ name, flops }) => [name, flops]),
    [
      ["select", 0],
      ["attention", 4 * 128 * 8 * pairs],
      ["attention-backward", 10 * 128 * 8 * pairs],
    ],
  );
  assert.equal(peakBytes, buffers.reduce((sum, { bytes }) => sum + bytes, 0));
  const refused = [
    [{ block: 48 }, "plan nsa: block 48 is not a multiple of 32"],
    [{ compressStride: 12 }, "plan nsa: compressStride 12 does not divide compressBlock 32"],
    [{ compressBlock: 128 }, "plan nsa: block 64 is not a multiple of compressBlock 128"],
    [{ count: 2 }, "plan nsa: count 2 is below the 3 blocks that are always selected"],
    [{ count: 40 }, "plan nsa: count 40 ranks 37 blocks; the limit is 32"],
    [{ localBlocks: 0 }, "plan nsa: localBlocks 0 is not a whole number from 1"],
  ] as const;
  for (const [options, message] of refused) {
    assert.throws(() => plan(options), { name: "RangeError", message });
  }
  assert.throws(() => plan({}, { context: 20 }), {
    message: "plan nsa: context 20 is shorter than one window of 32 keys",
  });
  assert.throws(() => plan({}, { kvHeads: 3 }), {
    message: "plan nsa: kvHeads 3 does not divide 8 heads",
  });
  // Heads that share keys have as many pairs each, and share the bytes of their keys and lists.
  const shared = plan({}, { kvHeads: 1 });
  assert.deepEqual(shared.stages.map(({ flops }) => flops), stages.map(({ flops }) => flops));
  assert.ok(shared.bytes < plan({}).bytes && shared.headsPerBlock % 8 === 0);
  const narrow = { ...DESK, capabilities: { ...DESK.capabilities, maxStorageBuffers: 8 } };
  assert.throws(() => nsa.plan(narrow, { shape, options: published }), {
    message: "plan nsa: 10 storage buffers are more than a shader may bind here, 8",
  });
});

Deno.test("compressedPairs and windowCount count the windows that end by a query", () => {
  for (const rows of [5, 16, 17, 100]) {
    for (const [window, stride] of [[16, 8], [4, 4], [8, 2]]) {
      let pairs = 0;
      for (let t = 0; t < rows; t++) {
        for (let i = 0; i * stride + window - 1 <= t; i++) pairs++;
      }
      assert.equal(compressedPairs(rows, { window, stride }), pairs);
    }
  }
  assert.deepEqual([15, 16, 23, 24].map((n) => windowCount(n, { window: 16, stride: 8 })), [
    0,
    1,
    1,
    2,
  ]);
});

const PORTABLE = chooseCases(
  OPTIONS.flatMap((options) =>
    (["f16", "f32"] as const).map((dtype) => ({
      options,
      shape: { ...SHAPE, headDim: 32, dtype },
    }))
  ),
  (_, i) => i === 0,
  // A software adapter takes half a minute to compile each for the first time.
  (_, i) => i === 3,
);

Deno.test({
  name: `nsa matches float64 in both passes, twice the same${PORTABLE.note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const problem of PORTABLE.cases) await checkLayer(gpu, nsa, { problem });
    const [problem] = PORTABLE.cases;
    await checkLayer(gpu, nsa, { problem, flopsPerDispatch: 1e6 });
    gpu.destroy();
  },
});

Deno.test("nsa matches float64 where query heads share keys, one list a key head", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { ...SHAPE, heads: 4, kvHeads: 2, headDim: 32 };
  const problem = { shape, options: SHORT };
  // At once; in turns of which the ranking takes all at once, or two.
  for (const cuts of [undefined, { turnQueries: 64 }, { turnQueries: 64, sweepTurns: 2 }]) {
    await checkLayer(gpu, nsa, { problem, cuts });
  }
  const layer = nsa.smallest!({ shape: { ...shape, heads: 12, kvHeads: 4 }, options: SHORT });
  assert.deepEqual([layer.shape.heads, layer.shape.kvHeads], [6, 2]);
  gpu.destroy();
});

Deno.test("nsa takes a long context whose inputs fit a binding, but not their gradients in f32", async () => {
  const { gpu } = openRecordingDevice({ capabilities: MATRIX_UNITS });
  const shape = { heads: 8, context: 524288, headDim: 128, dtype: "f16" } as const;
  const options = nsa.presets![0].options as Record<string, number>;
  const problem = { shape, direction: "forward-backward", options } as const;
  assert.equal(nsa.plan(gpu, problem).headsPerBlock, 4);
  const { q, k, v, outputGradient } = inputShapes(shape);
  const inputs = {
    q: await createTensor(gpu, q),
    k: await createTensor(gpu, k),
    v: await createTensor(gpu, v),
    outputGradient: await createTensor(gpu, outputGradient),
  };
  assert.equal(inputs.q.blocks.length, 1);
  const { outputs } = await nsa.prepare(gpu, problem, { inputs });
  assert.deepEqual(outputs.lse.blocks.map(({ firstHead, heads }) => [firstHead, heads]), [
    [0, 4],
    [4, 4],
  ]);
});

Deno.test("nsa on matrix units matches float64, twice the same", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const headDim of [64, 128]) {
    for (const context of [300, 1021]) {
      const shape = { ...SHAPE, ...headDim === 64 && { heads: 8, kvHeads: 2 }, context, headDim };
      const options = { ...SHORT, block: 64, window: 100 };
      // At once, or in four turns of which the other branches take two at a time.
      for (
        const cuts of [undefined, ...context > 1000 ? [{ turnQueries: 256, sweepTurns: 2 }] : []]
      ) {
        // On an H200 some workgroups start over on seeded inputs.
        await checkLayer(gpu, nsa, {
          problem: { shape, options },
          kernel: "matrix units",
          anyRestarts: true,
          cuts,
        });
      }
    }
  }
  gpu.destroy();
});

const EMULATED: readonly {
  cut?: number;
  window?: number;
  kvHeads?: number;
  partQueries?: number;
}[] = [
  {},
  { cut: 64 * 512 },
  { window: 200 },
  { kvHeads: 1 },
  // Parts of 256 of 580 queries, and of their entries; and two of them in each range.
  { kvHeads: 1, partQueries: 64 },
  { kvHeads: 1, partQueries: 64, cut: 256 * 512 },
];

/** A software adapter compiles its kernels for a minute. */
Deno.test({
  ...long("nsa on emulated matrix units matches float64, twice the same"),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    for (const { cut, kvHeads, partQueries, ...more } of EMULATED) {
      await checkLayer(emulated, nsa, {
        problem: {
          shape: { ...SHAPE, ...kvHeads && { kvHeads }, context: 290 },
          options: { ...SHORT, block: 64, ...more },
        },
        kernel: "matrix units",
        cuts: { partQueries },
        ...cut !== undefined && { flopsPerDispatch: cut * 8 * 64 * 2 },
      });
    }
    gpu.destroy();
  },
});
