import assert from "node:assert/strict";
import { chooseCases } from "../../tools/_cases.ts";
import { testGpu } from "../gpu/_test_gpu.ts";
import { backward, draw } from "./_both_passes.ts";
import { planDenseBackward } from "./dense_attention_backward.ts";
import {
  denseBackwardReference,
  keyValueGradientRow,
  queryGradientRow,
  rowStatistics,
} from "./dense_attention_backward_reference.ts";
import { denseAttentionReference } from "./dense_attention_reference.ts";
import { splitTiles, splitTilesMirrored } from "./portable/tile_ranges.ts";

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

Deno.test("the references of a whole head and of single rows give the same bits", () => {
  const [headDim, rows] = [16, 37];
  const random = (seed: number) =>
    Float64Array.from({ length: rows * headDim }, (_, i) => Math.sin(1e4 * Math.sin(seed + i)));
  // Logits far apart: weights that underflow are among them.
  const [q, k, v, outputGradient] = [1, 2, 3, 4].map(random);
  for (const [scale, weights] of [[undefined, undefined], [300, "f16"]] as const) {
    const inputs = { q, k, v, outputGradient, headDim, scale };
    const options = { dtype: "f16", gradientType: "f32", weights } as const;
    const whole = denseBackwardReference(inputs, options);
    const forward = denseAttentionReference(inputs);
    const statistics = rowStatistics(inputs);
    assert.deepEqual(statistics, rowStatistics(inputs, { forward }));
    for (let row = 0; row < rows; row++) {
      const { key, value } = keyValueGradientRow(inputs, statistics, { row, ...options });
      const query = queryGradientRow(inputs, statistics, { row, ...options });
      for (const [name, found] of Object.entries({ q: query, k: key, v: value })) {
        const { gradient, tolerance } = whole[name as "q" | "k" | "v"];
        const [from, to] = [row * headDim, (row + 1) * headDim];
        assert.deepEqual(gradient.subarray(from, to), found.gradient, `d${name}, row ${row}`);
        assert.deepEqual(tolerance.subarray(from, to), found.tolerance, `d${name}, row ${row}`);
      }
    }
  }
});

Deno.test("splitTiles and splitTilesMirrored cover every tile once, within the limit", () => {
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

const STORAGE = chooseCases(
  (["f32", "f16"] as const).flatMap((dtype) =>
    [32, 64, 96, 128].map((headDim) => ({ dtype, headDim }))
  ),
  // Both types; a software adapter takes four seconds to compile each.
  ({ dtype, headDim }) => dtype === "f16" ? headDim === 128 : headDim === 96,
  // And every head dimension.
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

Deno.test("dense backward gives the same bits when repeated and when split by range", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  // The shape of an earlier case, whose kernels are already compiled.
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

Deno.test("dense backward accepts f32 gradients with f16 tensors", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const headDim of [64, 96]) {
    const size = { heads: 2, rows: 141, headDim };
    const count = size.heads * size.rows * headDim;
    // Far above and far below the range of f16.
    for (const factor of [2 ** 40, 2 ** -60]) {
      const data = [0, 1, 2].map((i) => draw(count, i));
      const gradient = draw(count, 3).map((x) => Math.fround(x * factor));
      const { ratio, gradients } = await backward(gpu, {
        ...size,
        dtype: "f16",
        gradientType: "f32",
        data: [...data, gradient],
      });
      assert.ok(gradients.every((rows) => rows instanceof Float32Array));
      assert.ok(ratio <= 1, `d=${headDim} × ${factor}: error is ${ratio} of the tolerance`);
    }
  }
  assert.throws(
    () =>
      planDenseBackward(gpu, {
        heads: 1,
        rows: 9,
        headDim: 32,
        dtype: "f32",
        gradientType: "f16",
      }),
    /gradients of f32 tensors are f32, not f16/,
  );
  gpu.destroy();
});

/** Q, K, V and dO whose logits all have one magnitude and both signs. */
function extremeLogits(options: { rows: number; headDim: number; logit: number }) {
  const { rows, headDim, logit } = options;
  const count = rows * headDim;
  // Σ q·k / √d = logit where signs agree.
  const size = Math.sqrt(logit / Math.sqrt(headDim));
  const signed = (seed: number) =>
    Float32Array.from({ length: count }, (_, i) => {
      const row = Math.floor(i / headDim);
      return size * ((row * 7 + seed) % 3 === 0 ? -1 : 1);
    });
  return [signed(1), signed(2), draw(count, 2), draw(count, 3)];
}

Deno.test("no weight of the backward pass exceeds 1, however large the logits are", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [heads, headDim] = [1, 32];
  for (const dtype of ["f32", "f16"] as const) {
    for (const rows of [1, 2, 37]) {
      for (const logit of [2 ** 20, 5e8, 5.1e8, 3e9, 9.9e9]) {
        // f16 cannot represent logits beyond 2^16² √32.
        if (dtype === "f16" && logit > 1e10) continue;
        const data = extremeLogits({ rows, headDim, logit });
        // Small enough that f16 holds every result of weights up to 1.
        data[3] = data[3].map((x) => x * 2 ** -10);
        const { ratio, gradients, inputs } = await backward(gpu, {
          heads,
          rows,
          headDim,
          dtype,
          data,
        });
        const what = `${dtype}, ${rows} rows, logits ${logit}`;
        assert.ok(ratio <= 1, `${what}: ${ratio} of the tolerance`);
        const [, , v, outputGradient] = inputs;
        const [dq, dk, dv] = gradients;
        // |dV| ≤ Σ |dO|, since 0 ≤ P ≤ 1; |dS| ≤ |dO|·|v| + |delta| in sums of that many terms.
        const sum = (data: ArrayLike<number>) =>
          Array.from(data).reduce((all, x) => all + Math.abs(x), 0);
        for (let c = 0; c < headDim; c++) {
          let most = 0;
          for (let row = 0; row < rows; row++) {
            most += Math.abs(outputGradient[row * headDim + c]);
          }
          for (let row = 0; row < rows; row++) {
            assert.ok(Math.abs(dv[row * headDim + c]) <= most * 1.001, `${what}: dV too large`);
          }
        }
        const steps = 2 * sum(outputGradient) * Math.max(...Array.from(v, Math.abs)) * headDim;
        const largest = Math.max(...Array.from(inputs[0], Math.abs));
        for (const gradient of [dq, dk]) {
          for (const x of gradient) {
            assert.ok(Math.abs(x) <= rows * steps * largest, `${what}: dQ or dK too large: ${x}`);
          }
        }
      }
    }
  }
  gpu.destroy();
});

Deno.test("weights that a device flushes to zero are within the tolerance", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [heads, headDim, rows] = [1, 32, 24];
  // The logit of row n's own key is `gap` below the first one's: weights from 2^-115 down to zero.
  for (const gap of [80, 86, 87, 88, 90, 95, 103, 104, 120]) {
    const count = rows * headDim;
    const q = new Float32Array(count).fill(1);
    const k = Float32Array.from(
      { length: count },
      (_, i) => (Math.floor(i / headDim) === 0 ? gap : 0) / Math.sqrt(headDim),
    );
    for (const size of [1, 2 ** 20, 2 ** -100]) {
      const gradient = draw(count, 3).map((x) => Math.fround(x * size));
      const data = [q, k, draw(count, 2), gradient];
      const { ratio } = await backward(gpu, { heads, rows, headDim, dtype: "f32", data });
      assert.ok(ratio <= 1, `${gap} apart, dO × ${size}: ${ratio} of the tolerance`);
    }
  }
  gpu.destroy();
});
