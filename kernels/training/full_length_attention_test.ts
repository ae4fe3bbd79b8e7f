/**
 * Dense attention of a layer over as many rows as the paper's context has, where every query
 * attends to all rows before it alike: weights near 1e-5, and gradients of scores as small, are
 * where f16 loses most. Equal keys make the weights known, so that float64 takes N·d² instead of
 * N²·d.
 *
 * A software adapter, which takes minutes for so many rows, runs fewer.
 *
 * @module
 */
import assert from "node:assert/strict";
import { testGpu } from "../gpu/_test_gpu.ts";
import { matrixGpu } from "../dense_attention/matrix/_matrix_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BufferSlice } from "../gpu/buffers.ts";
import { download, run, seeded, upload } from "./_device_run.ts";
import { compileLayerAttention, planLayerAttention } from "./attention/layer_attention.ts";
import { DENSE } from "./attention/types.ts";

const DIM = 64;

/** Largest error beside all values, as root mean squares. */
const TOLERANCE = 0.01;

/** Rows of the paper's context, or few on a processor. */
const rowsOf = (software: boolean) => software ? 1_024 : 98_304;

interface Rows {
  readonly q: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  readonly outputGradient: ArrayLike<number>;
}

/** Output and gradients of rows that attend alike, in float64: weights are 1 / (row + 1). */
function reference({ q, v, outputGradient }: Rows, rows: number) {
  const make = () => new Float64Array(rows * DIM);
  const [o, valueGradient, keyGradient] = [make(), make(), make()];
  const sum = new Float64Array(DIM);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < DIM; c++) o[i * DIM + c] = (sum[c] += v[i * DIM + c]) / (i + 1);
  }
  // Sums over the queries from the last on: of dO, of q times dO·o, of q dOᵀ, each by its weight.
  const [gradients, weighted] = [new Float64Array(DIM), new Float64Array(DIM)];
  const products = new Float64Array(DIM * DIM);
  for (let i = rows - 1; i >= 0; i--) {
    const at = i * DIM;
    let delta = 0;
    for (let c = 0; c < DIM; c++) delta += outputGradient[at + c] * o[at + c];
    for (let c = 0; c < DIM; c++) {
      gradients[c] += outputGradient[at + c] / (i + 1);
      weighted[c] += q[at + c] * delta / (i + 1);
      for (let e = 0; e < DIM; e++) {
        products[c * DIM + e] += q[at + c] * outputGradient[at + e] / (i + 1);
      }
    }
    for (let c = 0; c < DIM; c++) {
      let product = 0;
      for (let e = 0; e < DIM; e++) product += products[c * DIM + e] * v[at + e];
      keyGradient[at + c] = (product - weighted[c]) / Math.sqrt(DIM);
      valueGradient[at + c] = gradients[c];
    }
  }
  return { o, valueGradient, keyGradient };
}

/** Root of the mean square. */
function size(numbers: ArrayLike<number>, from: ArrayLike<number> = { length: 0 }): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += (numbers[i] - (from[i] ?? 0)) ** 2;
  return Math.sqrt(sum / numbers.length);
}

Deno.test("attention over rows that attend alike keeps its gradients at full length", async (t) => {
  const gpu = await testGpu(t);
  if (gpu) await check(t, gpu);
});

Deno.test("and so on matrix units", async (t) => {
  const gpu = await matrixGpu();
  if (gpu) await check(t, gpu);
});

async function check(t: Deno.TestContext, gpu: Gpu) {
  const rows = rowsOf(gpu.adapter.software);
  const count = rows * DIM;
  const dtype = "f16";
  const [q, v, outputGradient] = [1, 2, 3].map((seed) => seeded(seed, count, { dtype }));
  const key = seeded(4, DIM, { dtype });
  const k = new Float16Array(count);
  for (let i = 0; i < rows; i++) k.set(key, i * DIM);
  const plan = planLayerAttention(gpu, DENSE, { heads: 1, context: rows, headDim: DIM, dtype });
  const attention = await compileLayerAttention(gpu, plan);
  const empty = () => upload(gpu, { length: count }, dtype);
  const own = new Map<string, BufferSlice>();
  for (const { name, bytes } of plan.buffers) {
    own.set(name, await upload(gpu, new Float32Array(bytes / 4)));
  }
  const buffers = {
    q: await upload(gpu, q, dtype),
    k: await upload(gpu, k, dtype),
    v: await upload(gpu, v, dtype),
    o: await empty(),
    outputGradient: await upload(gpu, outputGradient, dtype),
    queryGradient: await empty(),
    keyGradient: await empty(),
    valueGradient: await empty(),
  };
  const bound = attention.bind({ ...buffers, own: (name) => own.get(name)! });
  await run(gpu, bound.forward);
  await run(gpu, bound.backward);
  const want = reference({ q, v, outputGradient }, rows);
  for (const name of ["o", "valueGradient", "keyGradient"] as const) {
    await t.step(`${name} of ${rows} rows`, async () => {
      const have = await download(gpu, buffers[name], { count, dtype });
      // The last tenth, too, whose values are the smallest.
      for (const from of [0, Math.floor(rows * 0.9) * DIM]) {
        const expected = want[name].subarray(from);
        const error = size(have.subarray(from), expected) / size(expected);
        assert.ok(error < TOLERANCE, `${name} from ${from / DIM}: ${error} of its size`);
      }
    });
  }
  await t.step("queries of equal keys have no gradient", async () => {
    const have = await download(gpu, buffers.queryGradient, { count, dtype });
    assert.ok(size(have) < TOLERANCE * size(want.keyGradient), `${size(have)}`);
  });
  attention.destroy();
  for (const { buffer } of [...Object.values(buffers), ...own.values()]) buffer.destroy();
  gpu.destroy();
}
