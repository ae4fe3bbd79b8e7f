import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { type DType, readBuffer } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { pcgSum4 } from "../../gpu/random.ts";
import { readWords, submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { type LighthouseGeometry, planGeometry } from "../lighthouse_geometry.ts";
import { normScoresReference, poolReference } from "../lighthouse_reference.ts";
import { createPyramid, planPyramid, type PyramidOptions } from "./pyramid.ts";

async function poolOnDevice(
  gpu: Gpu,
  geometry: LighthouseGeometry,
  options: PyramidOptions & { data: Float32Array | Float16Array },
) {
  const plan = planPyramid(geometry, options);
  const kernel = await createPyramid(gpu, plan);
  const rows = await upload(gpu, options.data);
  const pooled = await uploadGarbage(gpu, plan.bytes.pooled);
  const scores = options.scored ? await uploadGarbage(gpu, plan.bytes.scores!) : undefined;
  await submit(gpu, kernel.bind({ rows, pooled, scores }));
  const bytes = await readBuffer(gpu, { ...pooled, size: plan.bytes.pooled });
  const values = options.dtype === "f16"
    ? new Float16Array(bytes.buffer)
    : new Float32Array(bytes.buffer);
  const bits = scores && await readWords(gpu, scores, plan.bytes.scores! / 4);
  kernel.destroy();
  for (const { buffer } of scores ? [rows, pooled, scores] : [rows, pooled]) buffer.destroy();
  return { pooled: values, scores: bits && new Float32Array(bits.buffer) };
}

function seeded(count: number, dtype: DType): Float32Array | Float16Array {
  const data = dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = pcgSum4(77, i);
  return data;
}

/** Largest difference, each divided by the rounding error allowed there. */
async function checkPyramid(gpu: Gpu, geometry: LighthouseGeometry, options: PyramidOptions) {
  const { heads, headDim, dtype } = options;
  const data = seeded(heads * geometry.context * headDim, dtype);
  const got = await poolOnDevice(gpu, geometry, { ...options, data });
  const perHead = geometry.context * headDim;
  for (let head = 0; head < heads; head++) {
    const rows = data.subarray(head * perHead, (head + 1) * perHead);
    const want = poolReference(rows, geometry, headDim);
    // Sums of up to windowRows values below 4 in f32, then one rounding to nearest.
    const store = dtype === "f16" ? 2 ** -11 : 2 ** -24;
    const sum = dtype === "f16" ? 2 ** -25 : 4 * geometry.windowRows * 2 ** -24;
    let worst = 0;
    for (let i = 0; i < want.length; i++) {
      const error = Math.abs(got.pooled[head * want.length + i] - want[i]);
      worst = Math.max(worst, error / (sum + store * Math.abs(want[i]) + 4 * 2 ** -24));
    }
    assert.ok(worst <= 1, `head ${head}: ${worst} times the rounding that f32 sums allow`);
    if (!got.scores) continue;
    const scores = normScoresReference(rows, geometry, headDim);
    const range = [head * geometry.entries, (head + 1) * geometry.entries] as const;
    got.scores.subarray(...range).forEach((score, i) => {
      const bound = headDim * 2 ** -24 * scores[i];
      assert.ok(Math.abs(score - scores[i]) <= bound, `score ${i}: ${score}, not ${scores[i]}`);
    });
  }
}

const shapes = [
  { context: 2048, levels: 3, pooling: 4, k: 128, heads: 2 },
  { context: 131 * 2, levels: 2, pooling: 2, k: 128, heads: 3 },
  { context: 128 * 16, levels: 5, pooling: 2, k: 128, heads: 1 },
  { context: 128 * 64, levels: 3, pooling: 8, k: 128, heads: 1 },
  { context: 128 * 64, levels: 4, pooling: 4, k: 128, heads: 1 },
  { context: 129 * 16, levels: 2, pooling: 16, k: 128, heads: 2 },
];

for (const { heads, context, ...sizes } of shapes) {
  for (const [headDim, dtype] of [[32, "f32"], [64, "f16"], [128, "f16"], [128, "f32"]] as const) {
    if (headDim === 128 && sizes.pooling === 8) continue;
    const name = `N ${context} L ${sizes.levels} p ${sizes.pooling} d ${headDim} ${dtype}`;
    Deno.test(`pyramid matches the reference, ${name}`, async (t) => {
      const gpu = await testGpu(t);
      if (!gpu) return;
      const geometry = planGeometry(context, sizes);
      await checkPyramid(gpu, geometry, { heads, headDim, dtype, scored: true });
      await checkPyramid(gpu, geometry, { heads, headDim, dtype, scored: false });
      gpu.destroy();
    });
  }
}

Deno.test("pyramid results do not depend on the tuning options", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(130 * 16, { levels: 3, pooling: 4, k: 128 });
  for (const dtype of ["f16", "f32"] as const) {
    const options = { heads: 1, headDim: 64, dtype, scored: true };
    const data = seeded(geometry.context * 64, dtype);
    const want = await poolOnDevice(gpu, geometry, { ...options, data });
    for (const rowsInFlight of [1, 2, 4, 16]) {
      const threads = rowsInFlight === 2 ? 64 : 128;
      const got = await poolOnDevice(gpu, geometry, { ...options, rowsInFlight, threads, data });
      assert.deepEqual(got, want);
    }
  }
  gpu.destroy();
});

Deno.test("pyramid scores equal rows equally, and f16 squares as exact f32 chains", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(512, { levels: 3, pooling: 2, k: 128 });
  const headDim = 64;
  const row = Float16Array.from({ length: headDim }, (_, c) => pcgSum4(5, c));
  const data = new Float16Array(512 * headDim);
  for (let r = 0; r < 512; r++) data.set(row, r * headDim);
  const { scores } = await poolOnDevice(gpu, geometry, {
    heads: 1,
    headDim,
    dtype: "f16",
    scored: true,
    data,
  });
  // One word holds 8 elements: one chain per word, then the words' sums in order, all in f32.
  let want = 0;
  for (let word = 0; word < headDim / 8; word++) {
    let chain = 0;
    for (const x of row.subarray(8 * word, 8 * word + 8)) chain = Math.fround(chain + x * x);
    want = Math.fround(want + chain);
  }
  assert.deepEqual(scores, new Float32Array(geometry.entries).fill(want));
  gpu.destroy();
});

Deno.test("pyramid keeps a NaN row's score NaN up the levels and rounds means to nearest", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(256, { levels: 2, pooling: 2, k: 128 });
  const data = new Float16Array(256 * 32);
  data[7 * 32 + 5] = NaN;
  // Means halfway between two f16 values: ties go to even, in both directions.
  data.set([1, 1 + 2 ** -10, -1, -1 - 2 ** -10], 20 * 32);
  data.set([1 + 2 ** -10, 1 + 2 ** -9, -1 - 2 ** -10, -1 - 2 ** -9], 21 * 32);
  const options = { heads: 1, headDim: 32, dtype: "f16", scored: true, data } as const;
  const { pooled, scores } = await poolOnDevice(gpu, geometry, options);
  const nan = [...scores!.keys()].filter((i) => Number.isNaN(scores![i]));
  assert.deepEqual(nan, [7, 256 + 3]);
  const want = [1, 1 + 1.5 * 2 ** -10, -1, -1 - 1.5 * 2 ** -10].map((x) => Math.f16round(x));
  const sums = [0, 1, 2, 3].map((c) => (data[20 * 32 + c] + data[21 * 32 + c]) / 2);
  assert.deepEqual([...pooled.subarray(320, 324)], sums.map((x) => Math.f16round(x)));
  assert.notDeepEqual(want, sums);
  gpu.destroy();
});

Deno.test("pyramid refuses missing and small buffers", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(256, { levels: 2, pooling: 2, k: 128 });
  const plan = planPyramid(geometry, { heads: 1, headDim: 32, dtype: "f32", scored: true });
  const kernel = await createPyramid(gpu, plan);
  const rows = await upload(gpu, new Float32Array(256 * 32));
  assert.throws(
    () => kernel.bind({ rows, pooled: rows }),
    /bind lighthouse pyramid: scores: the slice is missing/,
  );
  const small = await upload(gpu, new Float32Array(16));
  assert.throws(() => kernel.bind({ rows: small, pooled: rows }), /rows: 64 bytes given, 32768/);
  gpu.destroy();
});

Deno.test("planPyramid needs no device and keeps its code small", () => {
  const geometry = planGeometry(131072, { levels: 3, pooling: 4, k: 2048 });
  const options = { heads: 8, headDim: 128, dtype: "f16" } as const;
  const scored = planPyramid(geometry, { ...options, scored: true });
  // 8,192 windows per head, 16 at a time.
  assert.deepEqual(scored.workgroups, [512, 1, 8]);
  assert.deepEqual(scored.bytes, {
    rows: 8 * 131072 * 256,
    pooled: 8 * (32768 + 8192) * 256,
    scores: 8 * 172032 * 4,
  });
  const { code, bindings } = scored.pipeline;
  assert.equal(bindings.length, 4);
  assert.ok(code.length < 16384, `${code.length} characters`);
  const plain = planPyramid(geometry, { ...options, scored: false });
  assert.equal(plain.bytes.scores, undefined);
  assert.equal(plain.pipeline.bindings.length, 3);
});

Deno.test("planPyramid refuses tuning options that the kernel does not support", () => {
  const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  const options = { heads: 1, headDim: 128, dtype: "f32", scored: true } as const;
  assert.throws(
    () => planPyramid(geometry, { ...options, threads: 16 }),
    /pyramid threads: 16 is not a power of two from 32 to 1024/,
  );
  assert.throws(() => planPyramid(geometry, { ...options, rowsInFlight: 3 }), /rowsInFlight: 3/);
});
