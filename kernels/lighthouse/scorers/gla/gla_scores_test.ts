import assert from "node:assert/strict";
import { testGpu } from "../../../gpu/_test_gpu.ts";
import { pcgSum4 } from "../../../gpu/random.ts";
import { upload } from "../../../gpu/_test_buffers.ts";
import {
  memoryless,
  resetting,
  scoresOnDevice,
  seededInputs,
  slow,
  usual,
  worstError,
} from "./_gla_cases.ts";
import { createGlaScores, glaFlops, type GlaScoresOptions, planGlaScores } from "./gla_scores.ts";
import { glaOutputReference, glaScoresReference } from "./gla_scores_reference.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";

Deno.test("glaOutputReference without decay is unnormalised linear attention", () => {
  const [context, headDim] = [7, 3];
  const row = (seed: number) =>
    Float64Array.from({ length: context * headDim }, (_, i) => pcgSum4(seed, i));
  const [q, k, v] = [row(1), row(2), row(3)];
  const gates = new Float64Array(context);
  const got = glaOutputReference(
    { readers: q, writers: k, values: v, gates },
    { headDim, dilation: 2 },
  );
  for (let i = 0; i < context; i++) {
    for (let c = 0; c < headDim; c++) {
      let want = 0;
      for (let j = i % 2; j <= i; j += 2) {
        let dot = 0;
        for (let a = 0; a < headDim; a++) dot += q[i * headDim + a] * k[j * headDim + a];
        want += dot / Math.sqrt(headDim) * v[j * headDim + c];
      }
      assert.ok(Math.abs(got[i * headDim + c] - want) < 1e-13);
    }
  }
});

Deno.test("glaScoresReference scores each row by itself if gates clear the state, in both directions", () => {
  // o_t = (q_t · k_t) v_t / √d, so the score is (q_t · k_t)² ‖v_t‖² / d in both directions.
  const q = [1, 2, 3, -1];
  const k = [2, 0, 1, 1];
  const v = [3, 4, 1, 2];
  const gates = [-Infinity, -Infinity];
  const got = glaScoresReference({ q, k, v, gates }, { headDim: 2, dilation: 1 });
  for (const scores of [got.queryScores, got.keyScores]) {
    assert.ok(Math.abs(scores[0] - 4 * 25 / 2) < 1e-12);
    assert.ok(Math.abs(scores[1] - 4 * 5 / 2) < 1e-12);
  }
});

Deno.test("glaScoresReference scores queries and keys differently", () => {
  // The second row's query reads the first row's key (direct), or its key the first row's query.
  const tensors = { q: [5, 1], k: [2, 3], v: [1, 0], gates: [0, 0] };
  const got = glaScoresReference(tensors, { headDim: 1, dilation: 1 });
  assert.deepEqual([...got.queryScores], [100, 4]);
  assert.deepEqual([...got.keyScores], [100, 225]);
});

for (
  const { context, dilation, heads, headDim, dtype, chunkRows } of [
    { context: 262, dilation: 1, heads: 2, headDim: 32, dtype: "f32" },
    { context: 300, dilation: 4, heads: 3, headDim: 32, dtype: "f16" },
    { context: 330, dilation: 5, heads: 2, headDim: 64, dtype: "f16" },
    { context: 512, dilation: 1, heads: 1, headDim: 64, dtype: "f32", chunkRows: 128 },
    { context: 300, dilation: 1, heads: 1, headDim: 128, dtype: "f16", chunkRows: 128 },
    { context: 264, dilation: 3, heads: 1, headDim: 128, dtype: "f32" },
  ] as const
) {
  const options = { heads, headDim, dtype, dilation, chunkRows };
  const chunk = chunkRows ? ` C ${chunkRows}` : "";
  const name = `N ${context} δ ${dilation} H ${heads} d ${headDim} ${dtype}${chunk}`;
  Deno.test(`gla scores are within rounding of the reference, ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const gate of headDim === 32 ? [slow, () => 0, memoryless, resetting] : [usual]) {
      const inputs = seededInputs({ heads, context, headDim, dtype }, gate);
      const got = await scoresOnDevice(gpu, context, { ...options, inputs });
      for (let head = 0; head < heads; head++) {
        const worst = worstError(got, { ...options, inputs, head });
        assert.ok(worst <= 1, `head ${head}: ${worst} times the error that f32 sums allow`);
      }
    }
    gpu.destroy();
  });
}

Deno.test("gla scores depend neither on the segments nor on the run", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const options = { heads: 2, headDim: 32, dtype: "f32", dilation: 2 } as const;
  const context = 1100;
  const inputs = seededInputs({ ...options, context }, usual);
  const run = (scratchBytes?: number) =>
    scoresOnDevice(gpu, context, { ...options, inputs, scratchBytes });
  const { segments, ...want } = await run();
  assert.equal(segments, 1);
  // 4 sequences of 9 chunks: segments of 2 chunks; then of one chunk of 3 sequences and of 1.
  for (const [states, count] of [[8, 5], [3, 18], [36, 1]]) {
    const { segments, ...got } = await run(states * 32 * 32 * 4);
    assert.equal(segments, count);
    assert.deepEqual(got, want);
  }
  gpu.destroy();
});

Deno.test("gla scores do not depend on the depth of the stage", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  // 16 elements of d at a time take 16.25 KiB here, so 16 KiB leaves 8.
  const options = { heads: 1, headDim: 128, dtype: "f16", dilation: 1 } as const;
  const inputs = seededInputs({ ...options, context: 262 }, usual);
  const run = (maxWorkgroupBytes: number) =>
    scoresOnDevice(gpu, 262, { ...options, inputs, maxWorkgroupBytes });
  assert.deepEqual(await run(gpu.capabilities.maxWorkgroupBytes), await run(16384));
  gpu.destroy();
});

Deno.test("gla scores of a row do not depend on later rows or other residue classes", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const options = { heads: 1, headDim: 32, dtype: "f32", dilation: 2 } as const;
  const context = 512;
  const inputs = seededInputs({ ...options, context }, usual);
  const before = await scoresOnDevice(gpu, context, { ...options, inputs });
  const row = 257;
  for (const x of [inputs.q, inputs.k, inputs.v]) {
    for (let c = 0; c < 32; c++) x[row * 32 + c] += 1;
  }
  const after = await scoresOnDevice(gpu, context, { ...options, inputs });
  for (const name of ["queryScores", "keyScores"] as const) {
    const changed = [...before[name].keys()].filter((n) => before[name][n] !== after[name][n]);
    assert.equal(changed[0], row);
    assert.ok(changed.every((n) => n >= row && (n - row) % 2 === 0));
    assert.ok(changed.includes(row + 2 * 64), "the state must reach the next chunk");
  }
  gpu.destroy();
});

Deno.test("gla scores refuse small buffers", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(256, { levels: 2, pooling: 2, k: 128 });
  const plan = planGlaScores(geometry, { heads: 1, headDim: 32, dtype: "f32", dilation: 1 });
  const kernel = await createGlaScores(gpu, plan);
  const x = await upload(gpu, new Float32Array(256 * 32));
  const small = await upload(gpu, new Float32Array(4));
  const all = { q: x, k: x, v: x, gates: x, states: x, decays: x, carry: x };
  const scores = { queryScores: x, keyScores: x };
  assert.throws(() => kernel.bind({ ...all, ...scores, q: small }), /q: 16 bytes given, 32768/);
  assert.throws(() => kernel.bind({ ...all, ...scores, carry: small }), /carry: 16 bytes .* 4096/);
  gpu.destroy();
});

Deno.test("planGlaScores bounds scratch and dispatches, and is linear in the context", () => {
  const shape = { heads: 8, headDim: 128, dtype: "f16", dilation: 4 } as const;
  const plan = (context: number, options: Partial<GlaScoresOptions> = {}) =>
    planGlaScores(planGeometry(context, { levels: 3, pooling: 4, k: context / 64 }), {
      ...shape,
      ...options,
    });
  const long = plan(524288);
  assert.equal(long.scratch.states, 128 * 2 ** 20);
  assert.equal(long.scratch.carry, 32 * 65536);
  assert.equal(long.flops, 8 * plan(65536).flops);
  assert.equal(long.flops, glaFlops({ heads: 8, context: 524288, headDim: 128, chunkRows: 64 }));
  assert.ok(long.workgroupBytes <= 16384);
  const large = { chunkRows: 128, maxWorkgroupBytes: 32768 };
  assert.ok(plan(524288, large).workgroupBytes <= 32768);
  // Every chunk of every sequence once.
  const chunks = long.segments.reduce((sum, s) => sum + s.lanes * s.chunks, 0);
  assert.equal(chunks, 8 * 524288 / 64);
  const short = plan(65536, { flopsPerDispatch: 2e9 });
  const chunkFlops = short.flops / (2 * 8 * 65536 / 64);
  assert.ok(short.segments.every((s) => s.lanes * s.chunks * chunkFlops <= 2e9));
});

Deno.test("planGlaScores refuses what the kernels cannot run, in one line", () => {
  const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  const good = { heads: 1, headDim: 64, dtype: "f32", dilation: 1 } as const;
  const plan = (options: Partial<GlaScoresOptions>) => () =>
    planGlaScores(geometry, { ...good, ...options });
  assert.throws(plan({ headDim: 96 }), /^RangeError: plan gla scores: head dimension 96 is not/);
  assert.throws(plan({ dilation: 3 }), /dilation 3 does not divide context 2048$/);
  assert.throws(plan({ dilation: 0 }), /dilation 0 does not divide/);
  assert.throws(plan({ chunkRows: 32 }), /chunkRows 32 is not 64 or 128/);
  assert.throws(plan({ headDim: 32, chunkRows: 128 }), /chunkRows 128 is not 64 \(/);
  assert.throws(
    plan({ headDim: 128, chunkRows: 128 }),
    /chunkRows 128 need 16.8 KiB of workgroup memory; the limit is 16 KiB$/,
  );
  assert.throws(plan({ scratchBytes: 100 }), /scratchBytes 100 is below the 16384 bytes/);
});
