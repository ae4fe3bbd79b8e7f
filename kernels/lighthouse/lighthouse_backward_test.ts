import assert from "node:assert/strict";
import { ALL_CASES, chooseCases, slow } from "../../tools/_cases.ts";
import { worstRatio } from "../dense_attention/dense_attention_reference.ts";
import { testGpu } from "../gpu/_test_gpu.ts";
import { readTensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { inspectTensor } from "../gpu/inspect.ts";
import { pcgSum4, seededRows } from "../gpu/random.ts";
import type { AttentionShape, Direction, Prepared, Problem } from "../implementation.ts";
import { geometryOf, golden, readFloats } from "./_golden.ts";
import { NAMES, seededInputs } from "./_seeded_inputs.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseImplementation,
  lighthouseNorm,
} from "./lighthouse_attention.ts";
import {
  gatherGradientReference,
  lighthouseBackwardReference,
} from "./lighthouse_backward_reference.ts";
import { BACKWARD_STAGES } from "./lighthouse_cost.ts";
import { type LighthouseGeometry, planGeometry } from "./lighthouse_geometry.ts";

/** Gradients of one head in float64, for the layer's own selection. */
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

// The shortest one: `verify` covers all of them.
for (const entry of golden.forward.filter(({ scorer }) => scorer === "norm").slice(0, 1)) {
  const named = slow(`lighthouseNorm's gradients match golden ${entry.case}`);
  Deno.test({
    ...named,
    fn: async (t) => {
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
          // Golden gradients have their own rounding error, no larger than ours.
          const theirs = ofHead(readFloats(entry.files[`d${name}`].file), head, shape);
          const apart = worstRatio(ours, theirs, tolerance);
          assert.ok(apart <= 2, `d${name} of head ${head}: golden is ${apart} tolerances away`);
        }
      }
      layer.destroy();
      gpu.destroy();
    },
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
    assert.deepEqual(layer.stages, layer.plan.stages.map(({ name }) => name));
    assert.deepEqual(layer.stages.slice(-BACKWARD_STAGES.length), [...BACKWARD_STAGES]);
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
    // Alone, repeated, and with other divisions into threads, dispatches and blocks: the same bits.
    const tuned = lighthouseImplementation({
      name: "tuned",
      title: "tuned",
      tuning: {
        gatherGradient: { rowsInFlight: 1, threads: 64 },
        scatter: { rowsPerThread: 1, threads: 64 },
        selection: { gathers: false },
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

Deno.test("lighthouseNorm's backward pass uses a new output gradient and changes nothing else", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 512, headDim: 32, dtype: "f32" } as const;
  const lighthouse = { levels: 2, pooling: 2, k: 128 } as const;
  const inputs = await seededInputs(gpu, shape, { seed: 41 });
  const problem: Problem = { shape, direction: "backward", options: lighthouse };
  const layer = await lighthouseNorm.prepare(gpu, problem, { inputs });
  await layer.execute();
  const [q, k, v] = await readGradients(gpu, layer);
  // Linear in dO: doubling dO doubles the gradient exactly, except for denormals.
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

/** Layers of every shape of window; the first is the one where this fault was found. */
const WINDOWS = chooseCases([
  { context: 2048, levels: 3, pooling: 4 },
  { context: 512, levels: 3, pooling: 2 },
  { context: 512, levels: 2, pooling: 4 },
  { context: 1024, levels: 2, pooling: 8 },
  { context: 1024, levels: 4, pooling: 2 },
], (_, n) => [0, 3, 4].includes(n));

/** Output gradients of the magnitudes that scaled losses have: `[N, d]`, in f16. */
const LARGE_GRADIENTS: Record<string, (row: number, size: { windowRows: number }) => number> = {
  "5000 in the rows of one window": (row, { windowRows }) =>
    Math.floor((row + 1) / windowRows) === 7 ? 5000 : 0,
  "a loss scaled by 2^13": () => 2 ** 13,
  "the largest f16 in a few rows": (row) => row % 97 === 5 ? 65504 : 2 ** -3,
  "one window 2^15 above the others": (row, { windowRows }) =>
    Math.floor(row / windowRows) === 11 ? 2 ** 14 : 0.5,
};

for (const [n, { context, levels, pooling }] of WINDOWS.cases.entries()) {
  const name = `N ${context} L ${levels} p ${pooling}${WINDOWS.note}`;
  Deno.test(`gradients that fit f16 are finite and right, however large dO is: ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const headDim = 32;
    const shape = { heads: 1, context, headDim, dtype: "f16" } as const;
    const geometry = planGeometry(context, { levels, pooling, k: 128 });
    const inputs = await seededInputs(gpu, shape, { seed: 900 + n });
    const names = ["q", "k", "v"] as const;
    const [q, k, v] = await Promise.all(names.map((one) => readTensor(gpu, inputs[one])));
    // Each scorer with the pass that it shares with the others, at its own selection.
    const layers = [lighthouseNorm, lighthouseDilated, lighthouseGla];
    const all = Object.entries(LARGE_GRADIENTS);
    for (const [g, [what, sizeOf]] of all.entries()) {
      // `test:all` runs all of them in the first window; float64 takes a second for each.
      if ((n > 0 || !ALL_CASES) && (n + g) % 2 === 1) continue;
      const layerOf = layers[(n + g) % layers.length];
      const scorer = layerOf.scorer!.name;
      const dilation = scorer === "norm" ? undefined : 2;
      const options = { levels, pooling, k: 128, ...dilation && { dilation } };
      let gradient = Float16Array.from(
        { length: context * headDim },
        (_, i) => {
          const size = sizeOf(Math.floor(i / headDim), geometry);
          return size === 5000 ? size : Math.max(-1, Math.min(1, pcgSum4(31, i))) * size;
        },
      );
      const layer = await layerOf.prepare(gpu, {
        shape,
        direction: "forward-backward",
        options,
      }, { inputs });
      writeTensor(gpu, inputs.outputGradient!, gradient);
      await layer.execute();
      const selection = await layer.outputs.readSelection!();
      const referenceOf = () =>
        lighthouseBackwardReference({ q, k, v, outputGradient: gradient }, geometry, {
          headDim,
          selection,
          dtype: "f16",
          store: Math.f16round,
        });
      let want = referenceOf();
      const most = Math.max(
        ...names.map((one) => want[one].gradient.reduce((a, x) => Math.max(a, Math.abs(x)), 0)),
      );
      if (most > 60000) {
        // Exact gradients beyond f16 are correctly infinite, so scale dO down until they fit.
        const less = 2 ** -Math.ceil(Math.log2(most / 60000));
        gradient = gradient.map((x) => x * less);
        writeTensor(gpu, inputs.outputGradient!, gradient);
        await layer.execute();
        want = referenceOf();
      }
      // The intermediate sums exceed f16: this case tests that.
      const sums = gatherGradientReference(gradient, selection, geometry);
      const largest = sums.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
      if (g < 2 && context === 2048) assert.ok(largest > 65504, `${what}: sums up to ${largest}`);
      const got = await readGradients(gpu, layer);
      for (const [i, one] of names.entries()) {
        const lost = got[i].findIndex((x) => !Number.isFinite(x));
        assert.equal(lost, -1, `${what}, ${scorer}: element ${lost} of d${one} is ${got[i][lost]}`);
        const ratio = worstRatio(got[i], want[one].gradient, want[one].tolerance);
        assert.ok(ratio <= 1, `${what}, ${scorer}: d${one} is ${ratio} of its tolerance off`);
      }
      layer.destroy();
    }
    gpu.destroy();
  });
}
