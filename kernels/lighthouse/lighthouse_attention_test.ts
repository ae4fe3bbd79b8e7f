import assert from "node:assert/strict";
import { testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { inspectTensor } from "../gpu/inspect.ts";
import { fillSeeded, seededRows } from "../gpu/random.ts";
import type { AttentionShape, LayerInputs, Problem } from "../implementation.ts";
import { geometryOf, golden, readFloats, readIndices, sha256 } from "./_golden.ts";
import { lighthouseImplementation, lighthouseNorm } from "./lighthouse_attention.ts";
import type { LighthouseTuning } from "./lighthouse_tuning.ts";
import { STAGES } from "./lighthouse_cost.ts";
import { planGeometry } from "./lighthouse_geometry.ts";
import { lighthouseReference, uncoveredReference } from "./lighthouse_reference.ts";

async function seededInputs(
  gpu: Gpu,
  shape: AttentionShape,
  options: { seed: number; headsPerBlock?: number },
): Promise<LayerInputs> {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const { headsPerBlock } = options;
  const tensors = [];
  for (const [n, label] of ["q", "k", "v"].entries()) {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype }, { label, headsPerBlock });
    await fillSeeded(gpu, tensor, options.seed + n);
    tensors.push(tensor);
  }
  const [q, k, v] = tensors;
  return { q, k, v };
}

/** The same rows on the host, for one head. */
function hostInputs(shape: AttentionShape, options: { seed: number; head: number }) {
  const { heads, context: count, headDim: dim, dtype } = shape;
  const rows = (seed: number) =>
    seededRows(seed, { head: options.head, heads, first: 0, count, dim, dtype });
  return { q: rows(options.seed), k: rows(options.seed + 1), v: rows(options.seed + 2) };
}

/**
 * Worst case of the layer in f32 arithmetic, to first order, for `pcg-sum4` inputs: |x| ≤ 4 and row
 * norms below 2√d (four standard deviations above the mean from d = 32 on; the test asserts it).
 * With u = 2^-24:
 * - a logit (d products, the scale, p^(L-1) additions in each pooled factor) errs by
 *   (d + 2 + 2·rows)·u·|q||k|/√d, and |q||k|/√d ≤ 4√d;
 * - a weight errs by that twice (numerator and denominator), plus exp's (3 + 2|x|)·u with |x| at
 *   most twice the largest logit, plus S·u for the running sum;
 * - Õ is an average of values below 4, L of them are added.
 * Storage adds one rounding each for Õ and the output, and where f32 noise flips a rounding, a
 * step.
 */
function tolerance(shape: AttentionShape, geometry: ReturnType<typeof planGeometry>): number {
  const u = 2 ** -24;
  const logit = 4 * Math.sqrt(shape.headDim);
  const logitError = (shape.headDim + 2 + 2 * geometry.windowRows) * u * logit;
  const weightError = 2 * (logitError + (3 + 4 * logit) * u) + 2 * geometry.gathered * u;
  const storage = shape.dtype === "f16" ? 3 * 2 ** -11 : 3 * u;
  return geometry.levels * 4 * (weightError + storage);
}

function largestNorm(rows: Float32Array | Float16Array, dim: number): number {
  let most = 0;
  for (let r = 0; r < rows.length; r += dim) {
    most = Math.max(most, Math.hypot(...rows.subarray(r, r + dim)));
  }
  return most;
}

for (const entry of golden.forward.filter(({ scorer }) => scorer === "norm")) {
  Deno.test(`lighthouseNorm matches golden ${entry.case}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = geometryOf(entry);
    const shape = { heads: entry.H, context: entry.N, headDim: entry.D, dtype: "f32" } as const;
    const problem: Problem = {
      shape,
      options: { levels: entry.L, pooling: entry.p, k: entry.k },
    };
    const inputs = await seededInputs(gpu, shape, { seed: entry.seed });
    const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
    await layer.execute();
    const selection = await layer.outputs.readSelection!();
    assert.deepEqual(selection, readIndices(entry.files.idx.file));
    assert.equal(sha256(selection), entry.idx_sha256);
    const want = readFloats(entry.files.out.file);
    const got = await readTensor(gpu, layer.outputs.output);
    assert.equal(got.length, want.length);
    const error = want.reduce((most, value, i) => Math.max(most, Math.abs(got[i] - value)), 0);
    const bound = tolerance(shape, geometry);
    assert.ok(error <= bound, `max error ${error} exceeds ${bound}`);
    const host = hostInputs(shape, { seed: entry.seed, head: 0 });
    for (const rows of [host.q, host.k]) {
      assert.ok(largestNorm(rows, entry.D) <= 2 * Math.sqrt(entry.D));
    }
    layer.destroy();
    gpu.destroy();
  });
}

const cases = [
  { levels: 2, pooling: 2, k: 256, context: 1024, heads: 3, headDim: 64, dtype: "f16", each: 2 },
  { levels: 3, pooling: 4, k: 128, context: 2096, heads: 2, headDim: 128, dtype: "f16", each: 1 },
  { levels: 4, pooling: 2, k: 128, context: 1040, heads: 1, headDim: 32, dtype: "f32", each: 1 },
  { levels: 3, pooling: 8, k: 128, context: 8192, heads: 1, headDim: 32, dtype: "f16", each: 1 },
] as const;

for (const { levels, pooling, k, each, ...shape } of cases) {
  const name = `N ${shape.context} L ${levels} p ${pooling} d ${shape.headDim} ${shape.dtype}`;
  Deno.test(`lighthouseNorm matches the reference and repeats its bits, ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = planGeometry(shape.context, { levels, pooling, k });
    const problem: Problem = { shape, options: { levels, pooling, k } };
    const inputs = await seededInputs(gpu, shape, { seed: 900, headsPerBlock: each });
    const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
    assert.equal(layer.outputs.output.blocks.length, Math.ceil(shape.heads / each));
    const timing = await layer.execute({ stages: true });
    assert.deepEqual(layer.stages, layer.plan.stages.map(({ name }) => name));
    if (timing.stages) assert.equal(timing.stages.length, layer.stages.length);
    const selection = await layer.outputs.readSelection!();
    const output = await readTensor(gpu, layer.outputs.output);
    const lse = await readTensor(gpu, layer.outputs.lse);
    const { gathered } = geometry;
    for (let head = 0; head < shape.heads; head++) {
      const want = lighthouseReference(hostInputs(shape, { seed: 900, head }), geometry, {
        headDim: shape.headDim,
        store: shape.dtype === "f16" ? Math.f16round : Math.fround,
      });
      const part = selection.subarray(head * gathered, (head + 1) * gathered);
      assert.deepEqual(part, want.selection);
      const bound = tolerance(shape, geometry);
      const count = want.output.length;
      let error = 0;
      want.output.forEach((value, i) => {
        error = Math.max(error, Math.abs(output[head * count + i] - value));
      });
      assert.ok(error <= bound, `head ${head}: max error ${error} exceeds ${bound}`);
      want.lse.forEach((value, s) => {
        assert.ok(Math.abs(lse[head * gathered + s] - value) <= bound);
      });
      for (const row of uncoveredReference(part, geometry)) {
        const first = head * count + row * shape.headDim;
        assert.ok(output.subarray(first, first + shape.headDim).every((x) => Object.is(x, 0)));
      }
    }
    const { digest } = await inspectTensor(gpu, layer.outputs.output);
    await layer.execute({ flopsPerSecond: 1e9 });
    assert.equal((await inspectTensor(gpu, layer.outputs.output)).digest, digest);
    // Other divisions into threads, dispatches and blocks: the same bits.
    const cut: LighthouseTuning = {
      pyramid: { rowsInFlight: 2, threads: 64 },
      gather: { rowsPerThread: 1, threads: 128 },
      scatter: { rowsPerThread: 1, threads: 64 },
      merged: false,
      selection: { cached: false },
    };
    const whole = await seededInputs(gpu, shape, { seed: 900 });
    const many = { threads: 256, parts: 3 };
    for (
      const tuning of [
        cut,
        { ...cut, merged: true, selection: { threads: 256 } },
        { selection: many },
        { selection: { ...many, gathers: true } },
      ]
    ) {
      const tuned = lighthouseImplementation({ name: "tuned", title: "tuned", tuning });
      const other = await tuned.prepare(gpu, problem, { inputs: whole, flopsPerDispatch: 1e7 });
      await other.execute();
      assert.deepEqual(await readTensor(gpu, other.outputs.output), output);
      other.destroy();
    }
    layer.destroy();
    gpu.destroy();
  });
}

Deno.test("lighthouseNorm selects by index where all rows are equal", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 4096, headDim: 32, dtype: "f16" } as const;
  const options = { levels: 3, pooling: 4, k: 128 };
  const inputs = await seededInputs(gpu, shape, { seed: 1 });
  const row = seededRows(8, { head: 0, heads: 1, first: 0, count: 1, dim: 32, dtype: "f16" });
  const rows = Float32Array.from({ length: 4096 * 32 }, (_, i) => row[i % 32]);
  for (const tensor of [inputs.q, inputs.k, inputs.v]) writeTensor(gpu, tensor, rows);
  const problem: Problem = { shape, options: { ...options } };
  const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
  await layer.execute();
  const geometry = planGeometry(shape.context, options);
  const want = lighthouseReference({ q: rows, k: rows, v: rows }, geometry, { headDim: 32 });
  assert.deepEqual(await layer.outputs.readSelection!(), want.selection);
  // Attention over equal rows gives that row; each base row gets one copy per level that reaches
  // it.
  const got = await readTensor(gpu, layer.outputs.output);
  const worst = want.output.reduce((most, value, i) => Math.max(most, Math.abs(got[i] - value)), 0);
  assert.ok(worst <= tolerance(shape, geometry), `max error ${worst}`);
  layer.destroy();
  gpu.destroy();
});

Deno.test("lighthouseNorm leaves rows before a changed value row untouched", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 2048, headDim: 32, dtype: "f32" } as const;
  const problem: Problem = {
    shape,
    options: { levels: 3, pooling: 4, k: 128 },
  };
  const inputs = await seededInputs(gpu, shape, { seed: 61 });
  const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
  await layer.execute();
  const before = await readTensor(gpu, layer.outputs.output);
  // Selection reads only Q and K, so changed values do not affect it.
  for (const changed of [700, 701, 1023, 2047]) {
    const values = Float32Array.from(hostInputs(shape, { seed: 61, head: 0 }).v);
    values.fill(50, changed * 32, (changed + 1) * 32);
    writeTensor(gpu, inputs.v, values);
    await layer.execute();
    const after = await readTensor(gpu, layer.outputs.output);
    assert.deepEqual(after.subarray(0, changed * 32), before.subarray(0, changed * 32));
    assert.notDeepEqual(after, before);
  }
  layer.destroy();
  gpu.destroy();
});

Deno.test("lighthouseNorm plans bytes and refuses what it cannot run, in one line", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 2, context: 2048, headDim: 32, dtype: "f32" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 128 } as const;
  const plan = lighthouseNorm.plan(gpu, { shape, options: lighthouse });
  assert.equal(plan.gathered, 1152);
  const stagesWith = (maxStorageBuffers: number) => {
    const capabilities = { ...gpu.capabilities, maxStorageBuffers };
    const { stages } = lighthouseNorm.plan({ ...gpu, capabilities }, {
      shape,
      options: lighthouse,
    });
    return stages.map(({ name }) => name);
  };
  assert.deepEqual(stagesWith(12), [...STAGES]);
  assert.deepEqual(stagesWith(13), ["score-and-pool", "select-and-gather", "attention", "scatter"]);
  assert.equal(plan.peakBytes, plan.buffers.reduce((sum, { bytes }) => sum + bytes, 0));
  const refusals: [Problem, RegExp][] = [
    [{ shape }, /option levels is missing/],
    [{ shape, options: { ...lighthouse, window: 4 } }, /window is not an option/],
    [{ shape, options: { ...lighthouse, k: 256 } }, /k 256 leaves 64/],
    [{ shape: { ...shape, headDim: 96 }, options: lighthouse }, /headDim 96/],
    [{ shape: { ...shape, headDim: 256 }, options: lighthouse }, /head dimension 256/],
  ];
  for (const [problem, message] of refusals) {
    assert.throws(() => lighthouseNorm.plan(gpu, problem), (error) => {
      assert.ok(error instanceof RangeError && !error.message.includes("\n"));
      assert.match(error.message, message);
      return true;
    });
  }
  const inputs = await seededInputs(gpu, { ...shape, dtype: "f16" }, { seed: 1 });
  await assert.rejects(
    lighthouseNorm.prepare(gpu, { shape, options: lighthouse }, { inputs }),
    /q is f16 \[2, 2048, 32\] in 1 block, the layer needs f32/,
  );
  gpu.destroy();
});
