import assert from "node:assert/strict";
import { worstRatio } from "../dense_attention/dense_attention_reference.ts";
import { testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { inspectTensor } from "../gpu/inspect.ts";
import { fillSeeded, pcgSum4, seededRows } from "../gpu/random.ts";
import type {
  AttentionShape,
  Direction,
  LayerInputs,
  Prepared,
  Problem,
} from "../implementation.ts";
import { geometryOf, golden, readFloats } from "./_golden.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseImplementation,
  lighthouseNorm,
} from "./lighthouse_attention.ts";
import { lighthouseBackwardReference } from "./lighthouse_backward_reference.ts";
import { BACKWARD_STAGES, lighthouseBackwardCost, STAGES } from "./lighthouse_cost.ts";
import { type LighthouseGeometry, planGeometry } from "./lighthouse_geometry.ts";
import { lighthouseReference } from "./lighthouse_reference.ts";

const NAMES = ["q", "k", "v"] as const;

async function seededInputs(
  gpu: Gpu,
  shape: AttentionShape,
  options: { seed: number; headsPerBlock?: number },
): Promise<LayerInputs> {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const tensors: Tensor[] = [];
  for (const [n, label] of ["q", "k", "v", "output gradient"].entries()) {
    const { headsPerBlock } = options;
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype }, { label, headsPerBlock });
    await fillSeeded(gpu, tensor, options.seed + n);
    tensors.push(tensor);
  }
  const [q, k, v, outputGradient] = tensors;
  return { q, k, v, outputGradient };
}

/** Gradients of one head in float64, from the selection that the layer made. */
function reference(
  shape: AttentionShape,
  geometry: LighthouseGeometry,
  options: { seed: number; head: number; selection: Int32Array },
) {
  const { heads, context: count, headDim, dtype } = shape;
  const { seed, head } = options;
  const [q, k, v, outputGradient] = [0, 1, 2, 3].map((n) =>
    seededRows(seed + n, { head, heads, first: 0, count, dim: headDim, dtype })
  );
  const { gathered } = geometry;
  return lighthouseBackwardReference({ q, k, v, outputGradient }, geometry, {
    headDim,
    selection: options.selection.subarray(head * gathered, (head + 1) * gathered),
    dtype,
    store: dtype === "f16" ? Math.f16round : Math.fround,
  });
}

/** `[N, d]` of one head. */
function ofHead(all: Float32Array | Float16Array, head: number, shape: AttentionShape) {
  const count = shape.context * shape.headDim;
  return all.subarray(head * count, (head + 1) * count);
}

function readGradients(gpu: Gpu, layer: Prepared) {
  return Promise.all(NAMES.map((name) => readTensor(gpu, layer.outputs.gradients![name])));
}

async function digests(gpu: Gpu, layer: Prepared): Promise<string[]> {
  const found: string[] = [];
  for (const name of NAMES) {
    found.push((await inspectTensor(gpu, layer.outputs.gradients![name])).digest);
  }
  return found;
}

Deno.test("lighthouseBackwardReference agrees with finite differences at fixed selection", () => {
  const headDim = 3;
  // Smaller than the kernels allow, so that every element can be differenced.
  const geometry: LighthouseGeometry = {
    ...planGeometry(512, { levels: 3, pooling: 2, k: 128 }),
    context: 16,
    levelEntries: [16, 8, 4],
    levelOffsets: [0, 16, 24],
    entries: 28,
    pooledEntries: 12,
    gathered: 10,
  };
  // The last window and the first of every level among them, and rows that no level-0 entry is.
  const selection = Int32Array.of(0, 1, 16, 24, 25, 18, 26, 14, 15, 23);
  const tensors = [1, 2, 3, 4].map((seed) =>
    Float64Array.from({ length: 16 * headDim }, (_, i) => pcgSum4(seed, i))
  );
  const [q, k, v, outputGradient] = tensors;
  const loss = () => {
    const { output } = lighthouseReference({ q, k, v }, geometry, { headDim, selection });
    return output.reduce((sum, value, i) => sum + value * outputGradient[i], 0);
  };
  const found = lighthouseBackwardReference({ q, k, v, outputGradient }, geometry, {
    headDim,
    selection,
  });
  const step = 1e-5;
  for (const [n, name] of NAMES.entries()) {
    const tensor = tensors[n];
    for (let i = 0; i < tensor.length; i++) {
      const kept = tensor[i];
      tensor[i] = kept + step;
      const up = loss();
      tensor[i] = kept - step;
      const down = loss();
      tensor[i] = kept;
      const difference = (up - down) / (2 * step);
      // Truncation is of the order of step², rounding of 2^-53 · 100 / step.
      const error = Math.abs(difference - found[name].gradient[i]);
      assert.ok(error < 1e-7, `d${name}, element ${i}: off by ${error}`);
    }
    // Rows 12 and 13 are part of no selected entry but the one of level 2 that is not: 27.
    const rows = found[name].gradient.subarray(12 * headDim, 14 * headDim);
    assert.ok(rows.every((value) => value === 0));
  }
});

// The shortest one: `verify` takes all of them.
for (const entry of golden.forward.filter(({ scorer }) => scorer === "norm").slice(0, 1)) {
  Deno.test(`lighthouseNorm's gradients match golden ${entry.case}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = geometryOf(entry);
    const shape = { heads: entry.H, context: entry.N, headDim: entry.D, dtype: "f32" } as const;
    const problem: Problem = {
      shape,
      direction: "forward-backward",
      options: { levels: entry.L, pooling: entry.p, k: entry.k },
    };
    const inputs = await seededInputs(gpu, shape, { seed: entry.seed });
    const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
    await layer.execute();
    const selection = await layer.outputs.readSelection!();
    const got = await readGradients(gpu, layer);
    for (let head = 0; head < shape.heads; head++) {
      const want = reference(shape, geometry, { seed: entry.seed, head, selection });
      for (const [n, name] of NAMES.entries()) {
        const { gradient, tolerance } = want[name];
        const ours = ofHead(got[n], head, shape);
        const ratio = worstRatio(ours, gradient, tolerance);
        assert.ok(ratio <= 1, `d${name} of head ${head}: error is ${ratio} of the tolerance`);
        // Golden gradients were rounded on their own way, by no more than ours.
        const theirs = ofHead(readFloats(entry.files[`d${name}`].file), head, shape);
        const apart = worstRatio(ours, theirs, tolerance);
        assert.ok(apart <= 2, `d${name} of head ${head}: golden is ${apart} tolerances away`);
      }
    }
    layer.destroy();
    gpu.destroy();
  });
}

const cases = [
  { levels: 2, pooling: 2, k: 128, context: 512, heads: 3, headDim: 64, dtype: "f16", each: 2 },
  { levels: 4, pooling: 2, k: 128, context: 1040, heads: 2, headDim: 32, dtype: "f32", each: 1 },
  { levels: 2, pooling: 8, k: 128, context: 1032, heads: 1, headDim: 32, dtype: "f16", each: 1 },
] as const;

for (const { levels, pooling, k, each, ...shape } of cases) {
  const name = `N ${shape.context} L ${levels} p ${pooling} d ${shape.headDim} ${shape.dtype}`;
  Deno.test(`lighthouseNorm's gradients match float64 and repeat their bits, ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = planGeometry(shape.context, { levels, pooling, k });
    const problem = (direction: Direction): Problem => ({
      shape,
      direction,
      options: { levels, pooling, k },
    });
    const inputs = await seededInputs(gpu, shape, { seed: 300, headsPerBlock: each });
    const layer = await lighthouseNorm.prepare(gpu, problem("forward-backward"), { inputs });
    const timing = await layer.execute({ stages: true });
    assert.deepEqual(layer.stages, [...STAGES, ...BACKWARD_STAGES]);
    if (timing.stages) assert.equal(timing.stages.length, layer.stages.length);
    const selection = await layer.outputs.readSelection!();
    const got = await readGradients(gpu, layer);
    for (let head = 0; head < shape.heads; head++) {
      const want = reference(shape, geometry, { seed: 300, head, selection });
      for (const [n, name] of NAMES.entries()) {
        const { gradient, tolerance } = want[name];
        const ratio = worstRatio(ofHead(got[n], head, shape), gradient, tolerance);
        assert.ok(ratio <= 1, `d${name} of head ${head}: error is ${ratio} of the tolerance`);
      }
    }
    const first = await digests(gpu, layer);
    await layer.execute({ flopsPerSecond: 1e9 });
    assert.deepEqual(await digests(gpu, layer), first);
    layer.destroy();
    // Alone, twice, with other cuts into threads, dispatches and blocks: the same bits.
    const tuned = lighthouseImplementation({
      name: "tuned",
      title: "tuned",
      tuning: {
        gatherGradient: { rowsInFlight: 1, threads: 64 },
        scatter: { rowsPerThread: 1, threads: 64 },
      },
    });
    const whole = await seededInputs(gpu, shape, { seed: 300 });
    const alone = await tuned.prepare(gpu, problem("backward"), {
      inputs: whole,
      flopsPerDispatch: 1e7,
    });
    assert.deepEqual(alone.stages, [...BACKWARD_STAGES]);
    for (let times = 0; times < 2; times++) {
      await alone.execute();
      assert.deepEqual(await readGradients(gpu, alone), got);
    }
    assert.deepEqual(await alone.outputs.readSelection!(), selection);
    alone.destroy();
    gpu.destroy();
  });
}

for (const layerOf of [lighthouseDilated, lighthouseGla]) {
  Deno.test(`${layerOf.name}'s gradients match float64 at its selection, alone and after the forward pass`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads: 1, context: 768, headDim: 32, dtype: "f32" } as const;
    const lighthouse = { levels: 2, pooling: 2, k: 128, dilation: 3 } as const;
    const geometry = planGeometry(shape.context, lighthouse);
    const inputs = await seededInputs(gpu, shape, { seed: 70 });
    const run = async (direction: Direction) => {
      const layer = await layerOf.prepare(gpu, { shape, direction, options: lighthouse }, {
        inputs,
      });
      await layer.execute();
      const selection = await layer.outputs.readSelection!();
      const gradients = await readGradients(gpu, layer);
      layer.destroy();
      return { selection, gradients };
    };
    const both = await run("forward-backward");
    const want = reference(shape, geometry, { seed: 70, head: 0, selection: both.selection });
    for (const [n, name] of NAMES.entries()) {
      const { gradient, tolerance } = want[name];
      const ratio = worstRatio(both.gradients[n], gradient, tolerance);
      assert.ok(ratio <= 1, `d${name}: error is ${ratio} of the tolerance`);
    }
    assert.deepEqual(await run("backward"), both);
    gpu.destroy();
  });
}

Deno.test("lighthouseNorm's backward pass follows a new output gradient and nothing else", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 512, headDim: 32, dtype: "f32" } as const;
  const lighthouse = { levels: 2, pooling: 2, k: 128 } as const;
  const inputs = await seededInputs(gpu, shape, { seed: 41 });
  const problem: Problem = { shape, direction: "backward", options: lighthouse };
  const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
  await layer.execute();
  const [q, k, v] = await readGradients(gpu, layer);
  // Linear in dO: twice the gradient is twice the bits, away from denormals.
  const double = await readTensor(gpu, inputs.outputGradient!);
  writeTensor(gpu, inputs.outputGradient!, double.map((value) => 2 * value));
  await layer.execute();
  const doubled = await readGradients(gpu, layer);
  for (const [n, once] of [q, k, v].entries()) {
    assert.deepEqual(doubled[n], once.map((value) => 2 * value));
  }
  layer.destroy();
  gpu.destroy();
});

Deno.test("lighthouseNorm plans every direction, and 524,288 × 8 × 128 fits an H100", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const big = { ...gpu, capabilities: { ...gpu.capabilities, maxBindingBytes: 2 ** 31 - 4 } };
  big.capabilities.maxBufferBytes = 2 ** 40;
  const shape = { heads: 8, context: 524288, headDim: 128, dtype: "f16" } as const;
  const lighthouse = { levels: 3, pooling: 4, k: 8192 } as const;
  const geometry = planGeometry(shape.context, lighthouse);
  const plan = (direction: Direction) =>
    lighthouseNorm.plan(big, { shape, direction, options: lighthouse });
  const [forward, backward, both] = (["forward", "backward", "forward-backward"] as const).map(
    plan,
  );
  const costs = backward.stages.map(({ variant: _, ...cost }) => cost);
  assert.deepEqual(costs, lighthouseBackwardCost(shape, geometry));
  const variants = backward.stages.map(({ variant }) => variant?.split(" ")[0]);
  assert.deepEqual(variants, [undefined, "portable", undefined]);
  assert.deepEqual(both.stages, [...forward.stages, ...backward.stages]);
  assert.equal(backward.flops, 2.5 * forward.flops);
  assert.equal(both.flops, 3.5 * forward.flops);
  const [gather, , scatter] = backward.stages;
  const row = 8 * 128 * 2;
  assert.equal(gather.bytes, (524288 + 98304) * row);
  assert.equal(scatter.bytes, 3 * (524288 + 98304) * row);
  // Four more tensors of N rows, one of S rows and one word a gathered row; the gathered gradients
  // take the place of the pooled rows.
  assert.equal(both.peakBytes - forward.peakBytes, (4 * 524288 + 98304) * row + 8 * 98304 * 4);
  assert.ok(both.peakBytes < 12 * 2 ** 30);
  // Where more rows are gathered than pooled, their place grows.
  const narrow = { ...shape, heads: 1, context: 512 };
  const small = { levels: 2, pooling: 2, k: 128 } as const;
  const many = lighthouseNorm.plan(gpu, {
    shape: narrow,
    direction: "backward",
    options: small,
  });
  const place = many.buffers.find(({ name }) => name === "pooled q, gathered q gradient")!;
  assert.equal(place.bytes, many.gathered! * 128 * 2);
  const inputs = await seededInputs(gpu, narrow, { seed: 1 });
  await assert.rejects(
    lighthouseNorm.prepare(gpu, {
      shape: narrow,
      direction: "backward",
      options: small,
    }, { inputs: { ...inputs, outputGradient: undefined } }),
    /prepare lighthouse-norm: outputGradient is missing/,
  );
  gpu.destroy();
});
