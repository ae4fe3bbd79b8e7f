import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import {
  createTensor,
  encodeDispatches,
  readBuffer,
  readRows,
  type Tensor,
  writeTensor,
} from "../../kernels/gpu/buffers.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { IndexInputs, Problem, RowSpan } from "../../kernels/implementation.ts";
import { createWeightedRows } from "../../kernels/retrieval/weighted_rows.ts";
import { visibleOf } from "../check/check_options.ts";
import { attendedKeys, largestOf } from "./attended_keys.ts";
import { findRival, rivalLayers, RIVALS } from "./rival_arms.ts";

const SIZE = { heads: 1, context: 321, headDim: 32, dtype: "f32" } as const;

/** Options with which 321 rows hold several blocks of each kind. */
const SMALL: Record<string, Record<string, number>> = {
  "sliding-window": { window: 70, sinks: 3 },
  bigbird: { block: 16, globalBlocks: 1, windowBlocks: 2, randomBlocks: 3, patternSeed: 5 },
  moba: { block: 32, topk: 3 },
  nsa: {
    compressBlock: 16,
    compressStride: 8,
    block: 32,
    count: 5,
    initBlocks: 1,
    localBlocks: 2,
    window: 20,
    gateSeed: 1,
  },
  dsa: { indexHeads: 1, indexDim: 32, topk: 40 },
  hisa: { indexHeads: 1, indexDim: 32, indexBlock: 32, indexBlocks: 5, topk: 40 },
};

Deno.test("every sparse attention tells what its last query attends to, as its kernels choose", async (t) => {
  assert.deepEqual(RIVALS.map(({ name }) => name).sort(), Object.keys(SMALL).sort());
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { heads, context: rows, headDim: dim, dtype } = SIZE;
  const tensor = async (label: string, seed: number) => {
    const made = await createTensor(gpu, { heads, rows, dim, dtype }, { label });
    await fillSeeded(gpu, made, seed);
    return made;
  };
  const inputs = { q: await tensor("q", 3), k: await tensor("k", 4), v: await tensor("v", 5) };
  const ones = await createTensor(gpu, { heads: 1, rows, dim: 1, dtype }, { label: "w" });
  await writeTensor(gpu, ones, new Float32Array(rows).fill(1));
  const read = async (from: Tensor, first: number, count: number) =>
    Float64Array.from(await readRows(gpu, from, { head: 0, first, count }));
  const query = await read(inputs.q, rows - 1, 1);
  const [keys, values] = [await read(inputs.k, 0, rows), await read(inputs.v, 0, rows)];
  const logits = Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let c = 0; c < dim; c++) sum += query[c] * keys[row * dim + c];
    return sum / Math.sqrt(dim);
  });
  // An index of one head that ranks by the query and the keys themselves.
  const index: IndexInputs = { q: inputs.q, k: inputs.k, w: ones };
  for (const [name, options] of Object.entries(SMALL)) {
    const implementation = findRival(name);
    const problem: Problem = { shape: SIZE, options };
    const found = attendedKeys(implementation, problem, { logits, trial: 0 });
    const given = implementation.tokens ? { inputs, index } : { inputs };
    const prepared = await implementation.prepare(gpu, problem, given);
    await prepared.execute();
    const selected = await prepared.outputs.readSelection?.();
    const spans = implementation.selector
      ? implementation.selector.visible(
        selected!.subarray((rows - 1) * implementation.selector.width(problem)),
        rows - 1,
        problem,
      )
      : visibleOf({ implementation, problem, tokens: selected }, 0)(rows - 1);
    const held = (list: readonly RowSpan[]) =>
      new Set(
        list.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i)),
      );
    const [own, theirs] = [held(found.spans), held(spans)];
    if (implementation.lastQuery) {
      // The sliding window is seen too.
      for (let row = rows - options.window; row < rows; row++) theirs.add(row);
      assert.ok(Math.abs(found.weights.reduce((a, b) => a + b, 0) - 1.5) < 1e-9);
    } else {
      const output = await read(prepared.outputs.output, rows - 1, 1);
      for (let c = 0; c < dim; c++) {
        let sum = 0;
        for (const [i, row] of found.rows.entries()) {
          sum += found.weights[i] * values[row * dim + c];
        }
        assert.ok(Math.abs(sum - output[c]) < 1e-4, `${name}: ${sum} and ${output[c]}`);
      }
    }
    assert.deepEqual([...own].sort((a, b) => a - b), [...theirs].sort((a, b) => a - b), name);
    prepared.destroy();
  }
  // The same sum on the device.
  const lists = [{ rows: [300, 7, 8], weights: [0.5, 0.25, -2] }];
  const size = { heads: 1, context: rows, headDim: dim, dtype, width: 4 };
  const kernel = await createWeightedRows(gpu, size, inputs.v.blocks[0].data);
  assert.throws(
    () => kernel.write([{ rows: [1, 2, 3, 4, 5], weights: [1, 1, 1, 1, 1] }]),
    /^RangeError: sum weighted rows: a list of 5 rows and 5 weights; the width is 4$/,
  );
  kernel.write(lists);
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encodeDispatches(pass, [kernel.dispatch]);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  const bytes = await readBuffer(gpu, kernel.partials);
  const [sum] = kernel.outputs(new Float32Array(bytes.buffer));
  for (let c = 0; c < dim; c++) {
    const want = 0.5 * values[300 * dim + c] + 0.25 * values[7 * dim + c] - 2 * values[8 * dim + c];
    assert.ok(Math.abs(sum[c] - want) < 1e-5);
  }
  kernel.destroy();
  [inputs.q, inputs.k, inputs.v, ones].forEach((one) => one.destroy());
  gpu.destroy();
});

Deno.test("largestOf: the largest values in order, of equal ones the first", () => {
  const values = Float32Array.from({ length: 500 }, (_, i) => (i * 7919) % 83);
  for (const count of [1, 6, 7, 250, 499, 500, 900]) {
    const want = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b)
      .slice(0, count).sort((a, b) => a - b);
    assert.deepEqual([...largestOf(values, { count })], want, String(count));
  }
});

Deno.test("rivalLayers: as many keys as Lighthouse has, published settings where that cannot be", () => {
  const profile = { rivals: RIVALS.map(({ name }) => name), trials: 100, headDim: 128 };
  for (const context of [8192, 131072, 524288]) {
    const skipped: string[] = [];
    const keys = 9 * context / 512;
    const layers = rivalLayers(profile, { context, keys, skipped });
    assert.deepEqual(skipped, []);
    const presets = layers.map(({ implementation, preset }) => `${implementation} ${preset}`);
    assert.deepEqual(presets, [
      "sliding-window matched",
      context === 131072 ? "bigbird matched" : "bigbird matched-blocks",
      "moba matched",
      "nsa published",
      "dsa matched",
      "hisa matched",
    ]);
    for (const layer of layers.filter(({ preset }) => preset !== "published")) {
      const problem = { shape: { ...SIZE, context }, options: layer.options };
      const { rows } = attendedKeys(findRival(layer.implementation), problem, {
        logits: new Float32Array(context),
        trial: 0,
      });
      assert.ok(Math.abs(Math.log(rows.length / keys)) < 0.4, `${layer.implementation} ${context}`);
    }
  }
  const skipped: string[] = [];
  assert.deepEqual(
    rivalLayers({ ...profile, rivals: ["nsa"] }, { context: 16, keys: 3, skipped }),
    [],
  );
  assert.deepEqual(skipped, [
    "nsa at 16: attend last query: context 16 is shorter than one window of 32 keys",
  ]);
});
