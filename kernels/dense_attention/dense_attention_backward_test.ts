import assert from "node:assert/strict";
import { chooseCases } from "../../tools/_cases.ts";
import { testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { Timer } from "../gpu/timing.ts";
import { createDenseAttention, planDenseAttention } from "./dense_attention.ts";
import {
  type BackwardTilings,
  createDenseBackward,
  planDenseBackward,
} from "./dense_attention_backward.ts";
import { denseBackwardReference } from "./dense_attention_backward_reference.ts";
import { denseAttentionReference, worstRatio } from "./dense_attention_reference.ts";
import { splitTiles, splitTilesMirrored } from "./portable/tile_ranges.ts";

function draw(count: number, salt: number): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, i) => Math.sin(i * 12.9898 + salt * 78.233) * 1.7,
  );
}

Deno.test("denseBackwardReference agrees with finite differences of the forward reference", () => {
  const headDim = 4;
  const rows = 6;
  const size = rows * headDim;
  const tensors = [1, 2, 3].map((salt) => Float64Array.from(draw(size, salt)));
  const outputGradient = Float64Array.from(draw(size, 4));
  const loss = () => {
    const [q, k, v] = tensors;
    const { output } = denseAttentionReference({ q, k, v, headDim });
    return output.reduce((sum, x, i) => sum + x * outputGradient[i], 0);
  };
  const [q, k, v] = tensors;
  const found = denseBackwardReference({ q, k, v, outputGradient, headDim });
  const gradients = [found.q.gradient, found.k.gradient, found.v.gradient];
  const step = 1e-5;
  for (const [t, tensor] of tensors.entries()) {
    for (let i = 0; i < size; i++) {
      const kept = tensor[i];
      tensor[i] = kept + step;
      const up = loss();
      tensor[i] = kept - step;
      const down = loss();
      tensor[i] = kept;
      const difference = (up - down) / (2 * step);
      assert.ok(
        Math.abs(difference - gradients[t][i]) < 1e-8,
        `tensor ${t}, element ${i}: ${gradients[t][i]} against ${difference}`,
      );
    }
  }
});

Deno.test("splitTiles and its mirror cover every tile once, within the limit", () => {
  for (const split of [splitTiles, splitTilesMirrored]) {
    const ranges = split({ tiles: 37, flops: 1000, limit: 90, most: 12 });
    const seen = new Array(37).fill(0);
    for (const { firstTile, tileCount, flops } of ranges) {
      assert.ok(tileCount <= 12 && (flops <= 90 || tileCount === 1));
      for (let t = firstTile; t < firstTile + tileCount; t++) seen[t]++;
    }
    assert.deepEqual(seen, new Array(37).fill(1));
    assert.ok(Math.abs(ranges.reduce((sum, { flops }) => sum + flops, 0) - 1000) < 1e-9);
  }
});

/** Runs forward and backward; returns gradients and their worst error in units of the tolerance. */
async function backward(
  gpu: Gpu,
  options: {
    heads: number;
    rows: number;
    headDim: number;
    dtype: "f16" | "f32";
    flopsPerDispatch?: number;
    tilings?: BackwardTilings;
  },
) {
  const { heads, rows, headDim, dtype } = options;
  const shape = { heads, rows, dim: headDim, dtype };
  const size = heads * rows * headDim;
  const tensors: Tensor[] = [];
  for (let i = 0; i < 8; i++) tensors.push(await createTensor(gpu, shape));
  const [q, k, v, outputGradient, o, queryGradient, keyGradient, valueGradient] = tensors;
  const statistic = { heads, rows, dim: 1, dtype: "f32" } as const;
  const lse = await createTensor(gpu, statistic);
  const delta = await createTensor(gpu, statistic);
  for (let i = 0; i < 4; i++) writeTensor(gpu, tensors[i], draw(size, i));
  for (let i = 5; i < 8; i++) writeTensor(gpu, tensors[i], new Float32Array(size).fill(NaN));
  const data = (tensor: Tensor) => tensor.blocks[0].data;
  const forward = await createDenseAttention(
    gpu,
    planDenseAttention(gpu, { ...shape, ...options, tiling: undefined }),
  );
  const kernels = await createDenseBackward(gpu, planDenseBackward(gpu, options));
  const buffers = { q: data(q), k: data(k), v: data(v), o: data(o), lse: data(lse) };
  const timer = new Timer(gpu);
  await timer.run([
    { name: "forward", dispatches: forward.bind(buffers) },
    {
      name: "backward",
      dispatches: kernels.bind({
        ...buffers,
        outputGradient: data(outputGradient),
        delta: data(delta),
        queryGradient: data(queryGradient),
        keyGradient: data(keyGradient),
        valueGradient: data(valueGradient),
      }),
    },
  ]);
  const inputs = await Promise.all(tensors.slice(0, 4).map((tensor) => readTensor(gpu, tensor)));
  const got = await Promise.all(tensors.slice(5).map((tensor) => readTensor(gpu, tensor)));
  let ratio = 0;
  for (let head = 0; head < heads; head++) {
    const part = (all: Float32Array | Float16Array) =>
      all.subarray(head * rows * headDim, (head + 1) * rows * headDim);
    const [hq, hk, hv, hg] = inputs.map(part);
    const want = denseBackwardReference({ q: hq, k: hk, v: hv, outputGradient: hg, headDim }, {
      dtype,
    });
    for (const [i, row] of [want.q, want.k, want.v].entries()) {
      ratio = Math.max(ratio, worstRatio(part(got[i]), row.gradient, row.tolerance));
    }
  }
  timer.destroy();
  kernels.destroy();
  forward.destroy();
  [...tensors, lse, delta].forEach((tensor) => tensor.destroy());
  return { ratio, gradients: got };
}

const STORAGE = chooseCases(
  (["f32", "f16"] as const).flatMap((dtype) =>
    [32, 64, 96, 128].map((headDim) => ({ dtype, headDim }))
  ),
  // Every type and every head dimension; each takes a software adapter four seconds to compile.
  ({ dtype, headDim }) => (dtype === "f16") === [32, 128].includes(headDim),
);

Deno.test(`dense backward matches float64 at every head dimension and type${STORAGE.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const { dtype, headDim } of STORAGE.cases) {
    const { ratio } = await backward(gpu, { heads: 2, rows: 141, headDim, dtype });
    assert.ok(ratio <= 1, `d=${headDim} ${dtype}: error is ${ratio} of the tolerance`);
  }
  gpu.destroy();
});

Deno.test("dense backward gives the same bits twice and when split by range", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  // The shape of a case above, whose kernels are compiled.
  const shape = { heads: 2, rows: 141, headDim: 32, dtype: "f16" } as const;
  const once = await backward(gpu, shape);
  const twice = await backward(gpu, shape);
  const split = await backward(gpu, { ...shape, flopsPerDispatch: 1e6 });
  for (const other of [twice, split]) {
    for (const [i, gradient] of once.gradients.entries()) {
      assert.deepEqual([...other.gradients[i]], [...gradient]);
    }
  }
  gpu.destroy();
});
