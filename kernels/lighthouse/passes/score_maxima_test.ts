import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { Gpu } from "../../gpu/device.ts";
import { pcgSum4 } from "../../gpu/random.ts";
import { readWords, submit, upload } from "../../gpu/_test_buffers.ts";
import { type LighthouseGeometry, planGeometry } from "../lighthouse_geometry.ts";
import { maximaReference } from "../lighthouse_reference.ts";
import { createScoreMaxima, planScoreMaxima } from "./score_maxima.ts";

async function maximaOnDevice(gpu: Gpu, geometry: LighthouseGeometry, scores: Float32Array) {
  const heads = scores.length / geometry.entries;
  const plan = planScoreMaxima(geometry, heads);
  const kernel = await createScoreMaxima(gpu, plan);
  const slice = await upload(gpu, scores);
  await submit(gpu, kernel.bind(slice));
  const words = await readWords(gpu, slice, scores.length);
  kernel.destroy();
  slice.buffer.destroy();
  return new Float32Array(words.buffer);
}

/** Base scores `[heads, P]`; the entries to compute hold garbage that no maximum equals. */
function baseScores(geometry: LighthouseGeometry, heads: number): Float32Array {
  const scores = new Float32Array(heads * geometry.entries).fill(12345);
  for (let head = 0; head < heads; head++) {
    for (let n = 0; n < geometry.context; n++) {
      scores[head * geometry.entries + n] = pcgSum4(head, n) ** 2;
    }
  }
  return scores;
}

for (
  const { context, heads, ...sizes } of [
    { context: 2048, levels: 3, pooling: 4, k: 128, heads: 3 },
    { context: 131 * 2, levels: 2, pooling: 2, k: 128, heads: 2 },
    { context: 128 * 16, levels: 5, pooling: 2, k: 128, heads: 1 },
    { context: 129 * 64, levels: 3, pooling: 8, k: 128, heads: 2 },
  ]
) {
  const name = `N ${context} L ${sizes.levels} p ${sizes.pooling} H ${heads}`;
  Deno.test(`score maxima equal the reference, ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = planGeometry(context, sizes);
    const scores = baseScores(geometry, heads);
    const got = await maximaOnDevice(gpu, geometry, scores);
    for (let head = 0; head < heads; head++) {
      const range = [head * geometry.entries, (head + 1) * geometry.entries] as const;
      const want = maximaReference(scores.subarray(...range), geometry);
      assert.deepEqual(got.subarray(...range), Float32Array.from(want));
    }
    gpu.destroy();
  });
}

Deno.test("score maxima carry NaN and infinity up the levels", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(512, { levels: 3, pooling: 2, k: 128 });
  const scores = baseScores(geometry, 1);
  scores[6] = NaN;
  scores[7] = Infinity;
  scores[100] = Infinity;
  const got = await maximaOnDevice(gpu, geometry, scores);
  const where = (is: (x: number) => boolean) => [...got.keys()].filter((i) => is(got[i]));
  assert.deepEqual(where(Number.isNaN), [6, 512 + 3, 768 + 1]);
  assert.deepEqual(where((x) => x === Infinity), [7, 100, 512 + 50, 768 + 25]);
  gpu.destroy();
});

Deno.test("score maxima refuse a small buffer", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const plan = planScoreMaxima(planGeometry(256, { levels: 2, pooling: 2, k: 128 }), 2);
  const kernel = await createScoreMaxima(gpu, plan);
  const small = await upload(gpu, new Float32Array(100));
  assert.throws(() => kernel.bind(small), /scores: 400 bytes given, 3072 needed/);
  gpu.destroy();
});

Deno.test("planScoreMaxima folds long levels into two grid dimensions", () => {
  const geometry = planGeometry(2 ** 24, { levels: 2, pooling: 2, k: 128 });
  const [level] = planScoreMaxima(geometry, 4).levels;
  assert.deepEqual(level.workgroups, [32768, 1, 4]);
  assert.deepEqual(level.params, {
    entries: geometry.entries,
    below: 0,
    offset: 2 ** 24,
    count: 2 ** 23,
    gridWidth: 32768,
  });
});
