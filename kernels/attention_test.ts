import assert from "node:assert/strict";
import type { AttentionInputs } from "./attention_inputs.ts";
import {
  denseAttention,
  lighthouseAttention,
  type LighthouseAttentionOptions,
} from "./attention.ts";
import {
  denseBackwardReference,
  type DenseBackwardReferenceInputs,
} from "./dense_attention/dense_attention_backward_reference.ts";
import {
  denseAttentionReference,
  worstRatio,
} from "./dense_attention/dense_attention_reference.ts";
import { testGpu } from "./gpu/_test_gpu.ts";
import { createTensor, readTensor, writeTensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import { fillSeeded, seededRows } from "./gpu/random.ts";
import { seededGates } from "./lighthouse/scorers/gla/gla_gates.ts";
import { glaScoresReference } from "./lighthouse/scorers/gla/gla_scores_reference.ts";
import { lighthouseBackwardReference } from "./lighthouse/lighthouse_backward_reference.ts";
import { planGeometry } from "./lighthouse/lighthouse_geometry.ts";
import {
  lighthouseReference,
  maximaReference,
  scatterReference,
  selectReference,
} from "./lighthouse/lighthouse_reference.ts";

Deno.test("denseAttention: query heads share the keys that there are", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const size = { heads: 4, count: 75, dim: 32 };
  const [q, outputGradient] = [1, 4].map((seed) => seeded(seed, size));
  const [k, v] = [2, 3].map((seed) => seeded(seed, { ...size, heads: 2 }));
  const rows = size.count * size.dim;
  const inputs = { q: q.all, k: k.all, v: v.all, outputGradient: outputGradient.all };
  const options = { heads: 4, kvHeads: 2, headDim: 32 };
  const { output, gradients } = await denseAttention(gpu, inputs, options);
  assert.deepEqual([output.length, gradients.k.length], [4 * rows, 2 * rows]);
  for (const head of [0, 3]) {
    const keys = Math.floor(head / 2);
    const given = { q: q.each[head], k: k.each[keys], v: v.each[keys], headDim: 32 };
    const want = denseAttentionReference(given);
    const part = output.subarray(head * rows, (head + 1) * rows);
    assert.ok(worstRatio(part, want.output, want.tolerance) <= 1);
  }
  await assert.rejects(denseAttention(gpu, inputs, { ...options, kvHeads: 4 }), {
    message: "attention: k is 4800 elements, the layer needs f32 [4, 75, 32]",
  });
  await assert.rejects(denseAttention(gpu, inputs, { ...options, kvHeads: 3 }), {
    message: "attention: kvHeads 3 does not divide 4 heads",
  });
  gpu.destroy();
});

/** Rows `[count, dim]` of each head, and all heads in one. */
function seeded(seed: number, size: { heads: number; count: number; dim: number }) {
  const each = Array.from(
    { length: size.heads },
    (_, head) =>
      seededRows(seed, { head, first: 0, ...size, dtype: "f32" }) as Float32Array<ArrayBuffer>,
  );
  const all = new Float32Array(size.heads * size.count * size.dim);
  each.forEach((rows, head) => all.set(rows, head * rows.length));
  return { each, all };
}

Deno.test("denseAttention: numbers in, output and gradients of every head out", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const size = { heads: 2, count: 75, dim: 32 };
  const [q, k, v, outputGradient] = [1, 2, 3, 4].map((seed) => seeded(seed, size));
  const inputs = { q: q.all, k: k.all, v: v.all, outputGradient: outputGradient.all };
  const result = await denseAttention(gpu, inputs, { heads: 2, headDim: 32 });
  const rows = size.count * size.dim;
  for (let head = 0; head < size.heads; head++) {
    const given: DenseBackwardReferenceInputs = {
      q: q.each[head],
      k: k.each[head],
      v: v.each[head],
      outputGradient: outputGradient.each[head],
      headDim: 32,
    };
    const want = denseAttentionReference(given);
    const part = (data: Float32Array | Float16Array) =>
      data.subarray(head * rows, (head + 1) * rows);
    assert.ok(worstRatio(part(result.output), want.output, want.tolerance) <= 1);
    const lse = result.lse.subarray(head * size.count, (head + 1) * size.count);
    assert.ok(worstRatio(lse, want.lse, want.lseTolerance) <= 1);
    const gradients = denseBackwardReference(given);
    for (const name of ["q", "k", "v"] as const) {
      const { gradient, tolerance } = gradients[name];
      assert.ok(worstRatio(part(result.gradients[name]), gradient, tolerance) <= 1, `d${name}`);
    }
  }
  assert.equal(
    "gradients" in await denseAttention(gpu, { ...inputs, outputGradient: undefined }, {
      heads: 2,
      headDim: 32,
    }),
    false,
  );
  gpu.destroy();
});

Deno.test("lighthouseAttention: numbers in, selection, output and gradients out", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const size = { heads: 1, count: 2048, dim: 32 };
  const [q, k, v, outputGradient] = [5, 6, 7, 8].map((seed) => seeded(seed, size).all);
  const options = { headDim: 32, levels: 3, pooling: 4, k: 128 };
  const result = await lighthouseAttention(gpu, { q, k, v, outputGradient }, options);
  const geometry = planGeometry(2048, options);
  const want = lighthouseReference({ q, k, v }, geometry, { headDim: 32 });
  assert.equal(result.gathered, geometry.gathered);
  assert.deepEqual(result.selection, want.selection);
  // For each gathered row, and for the sum over the levels that reach a row; nothing may be zero.
  const attended = denseAttentionReference({ ...want.gathered, headDim: 32 });
  const carried = scatterReference(attended.tolerance, want.selection, geometry);
  const sizes = scatterReference(attended.output.map(Math.abs), want.selection, geometry);
  const tolerance = carried.map((value, i) =>
    value + geometry.levels * 2 ** -24 * (sizes[i] + value) + 2 ** -149
  );
  assert.ok(worstRatio(result.output, want.output, tolerance) <= 1);
  assert.equal(result.lse.length, geometry.gathered);
  const gradients = lighthouseBackwardReference({ q, k, v, outputGradient }, geometry, {
    headDim: 32,
    selection: result.selection,
  });
  for (const name of ["q", "k", "v"] as const) {
    const { gradient, tolerance } = gradients[name];
    assert.ok(worstRatio(result.gradients[name], gradient, tolerance) <= 1, `d${name}`);
  }
  // Gates from the caller determine what the gla scorer selects.
  const gates = seededGates(11, { head: 0, heads: 1, context: 2048 });
  const gla = await lighthouseAttention(gpu, { q, k, v }, {
    ...options,
    scorer: "gla",
    dilation: 2,
    gates,
  });
  const scores = glaScoresReference({ q, k, v, gates }, { headDim: 32, dilation: 2 });
  const byGates = selectReference(
    maximaReference(scores.queryScores, geometry),
    maximaReference(scores.keyScores, geometry),
    geometry,
  );
  // Scores are rounded differently from float64: near ties may be ranked the other way.
  const agreed = new Set(byGates);
  assert.ok(gla.selection.filter((entry) => agreed.has(entry)).length >= 0.99 * gla.gathered);
  assert.notDeepEqual(gla.selection, result.selection);
  gpu.destroy();
});

Deno.test("denseAttention: tensors give the same results as numbers, and stay allocated", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const tensors = await Promise.all([1, 2, 3].map(async (seed) => {
    const shape = { heads: 3, rows: 70, dim: 64, dtype: "f32" } as const;
    // Blocks of two heads and of one.
    const tensor = await createTensor(gpu, shape, { headsPerBlock: 2 });
    await fillSeeded(gpu, tensor, seed);
    return tensor;
  }));
  const [q, k, v] = tensors;
  const [onHost, keys, values] = await Promise.all(tensors.map((one) => readTensor(gpu, one)));
  const fromTensors = await denseAttention(gpu, { q, k, v });
  const mixed = await denseAttention(gpu, { q: onHost, k, v: values });
  const fromNumbers = await denseAttention(gpu, { q: onHost, k: keys, v: values }, {
    heads: 3,
    headDim: 64,
  });
  assert.deepEqual(mixed.output, fromTensors.output);
  assert.deepEqual(fromNumbers.output, fromTensors.output);
  // The calls did not destroy them.
  writeTensor(gpu, k, onHost);
  assert.deepEqual(await readTensor(gpu, k), onHost);
  gpu.destroy();
});

Deno.test("denseAttention: Float16Array is stored as f16, split work gives the same bits", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const rows = Float16Array.from(seeded(9, { heads: 1, count: 300, dim: 64 }).all);
  const inputs = { q: rows, k: rows, v: rows };
  if (gpu.capabilities.f16) {
    const whole = await denseAttention(gpu, inputs, { headDim: 64 });
    assert.ok(whole.output instanceof Float16Array);
    const cut = await denseAttention(gpu, inputs, { headDim: 64, flopsPerSecond: 1e7 });
    assert.deepEqual(cut.output, whole.output);
  }
  const without = { ...gpu, capabilities: { ...gpu.capabilities, f16: false } };
  await assert.rejects(
    denseAttention(without, inputs, { headDim: 64 }),
    { message: "attention: dtype f16: the device does not grant shader-f16" },
  );
  gpu.destroy();
});

Deno.test("attention in one call names what does not fit before it uses the device", async () => {
  const gpu = {
    capabilities: { f16: true, maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 27 },
    adapter: { software: true },
  } as Gpu;
  const rows = new Float32Array(128);
  const inputs: AttentionInputs = { q: rows, k: rows, v: rows };
  const lighthouse = (options: Partial<LighthouseAttentionOptions>) =>
    lighthouseAttention(gpu, inputs, { headDim: 32, k: 128, ...options });
  for (
    const [run, message] of [
      [() => denseAttention(gpu, inputs), "attention: headDim is missing"],
      [
        () => denseAttention(gpu, inputs, { headDim: 0 }),
        "attention: headDim 0 is not a whole number from 1",
      ],
      [
        () => denseAttention(gpu, inputs, { headDim: 32, heads: 3 }),
        "attention: the 128 elements of q are not rows of 32 for 3 heads",
      ],
      [
        () => denseAttention(gpu, { ...inputs, k: new Float32Array(64) }, { headDim: 32 }),
        "attention: k is 64 elements, the layer needs f32 [1, 4, 32]",
      ],
      [() => lighthouse({ gates: rows }), "attention: gates are for the scorer gla, not norm"],
      [
        () => lighthouse({ scorer: "best" }),
        "attention: scorer best is not one of norm, dilated, gla, random",
      ],
      [
        () => lighthouse({ k: 100 }),
        "plan lighthouse: k 100 is not a whole number from 128",
      ],
    ] as const
  ) {
    await assert.rejects(run(), { name: "RangeError", message });
  }
});
