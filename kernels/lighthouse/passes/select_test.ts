import assert from "node:assert/strict";
import fc from "fast-check";
import { ALL_CASES } from "../../../tools/_cases.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { Gpu } from "../../gpu/device.ts";
import { pcgSum4 } from "../../gpu/random.ts";
import { readWords, submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { geometryOf, golden, readIndices, selectionScores, sha256 } from "../_golden.ts";
import { type LighthouseGeometry, planGeometry } from "../lighthouse_geometry.ts";
import { selectReference } from "../lighthouse_reference.ts";
import {
  chooseSelection,
  createSelection,
  MOST_CACHED,
  NOT_SELECTED,
  planSelection,
  type SelectionOptions,
} from "./select.ts";

async function selectOnDevice(
  gpu: Gpu,
  geometry: LighthouseGeometry,
  scores: { query: Float32Array; key: Float32Array },
  options?: SelectionOptions,
) {
  const heads = scores.query.length / geometry.entries;
  const plan = planSelection(geometry, heads, options);
  const kernel = await createSelection(gpu, plan);
  const slices = {
    queryScores: await upload(gpu, scores.query),
    keyScores: await upload(gpu, scores.key),
    indices: await uploadGarbage(gpu, plan.indexBytes),
    slots: await uploadGarbage(gpu, plan.slotBytes),
  };
  await submit(gpu, kernel.bind(slices));
  const indices = await readWords(gpu, slices.indices, heads * geometry.gathered);
  const slots = await readWords(gpu, slices.slots, heads * geometry.entries);
  kernel.destroy();
  Object.values(slices).forEach(({ buffer }) => buffer.destroy());
  return { indices: new Int32Array(indices.buffer), slots };
}

/** Compares with the reference and checks that slots and indices are inverse to each other. */
async function checkSelection(
  gpu: Gpu,
  geometry: LighthouseGeometry,
  scores: { query: Float32Array; key: Float32Array },
  options?: SelectionOptions,
) {
  const { indices, slots } = await selectOnDevice(gpu, geometry, scores, options);
  const heads = scores.query.length / geometry.entries;
  for (let head = 0; head < heads; head++) {
    const range = [head * geometry.entries, (head + 1) * geometry.entries] as const;
    const want = selectReference(
      scores.query.subarray(...range),
      scores.key.subarray(...range),
      geometry,
    );
    const got = indices.subarray(head * geometry.gathered, (head + 1) * geometry.gathered);
    const wrong = want.findIndex((entry, s) => entry !== got[s]);
    assert.equal(wrong, -1, `head ${head}, position ${wrong}: ${got[wrong]}, not ${want[wrong]}`);
    const slotsOfHead = new Uint32Array(geometry.entries).fill(NOT_SELECTED);
    want.forEach((entry, s) => slotsOfHead[entry] = s);
    assert.deepEqual(slots.subarray(...range), slotsOfHead);
  }
}

Deno.test("planSelection folds tiles into two dimensions", () => {
  const geometry = planGeometry(2 ** 24, { levels: 2, pooling: 2, k: 2 ** 23 });
  assert.equal(geometry.tiles, 65536);
  assert.deepEqual(planSelection(geometry, 3).workgroups, [32768, 2, 3]);
});

Deno.test("select refuses buffers that are too small", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const plan = planSelection(planGeometry(256, { levels: 2, pooling: 2, k: 128 }), 1);
  const kernel = await createSelection(gpu, plan);
  const small = await upload(gpu, new Uint32Array(16));
  assert.throws(
    () => kernel.bind({ queryScores: small, keyScores: small, indices: small, slots: small }),
    /select: query scores: 64 bytes given, 1536 needed/,
  );
  gpu.destroy();
});

for (const entry of golden.selection) {
  Deno.test(`select matches golden ${entry.case}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = geometryOf(entry);
    const count = entry.H * geometry.entries;
    const { indices, slots } = await selectOnDevice(gpu, geometry, {
      query: selectionScores(entry.seed, count),
      key: selectionScores(entry.seed + 1, count),
    });
    if (entry.indices) assert.deepEqual(indices, readIndices(entry.indices));
    assert.equal(sha256(indices), entry.sha256);
    const marked = slots.reduce((sum, slot) => sum + Number(slot !== NOT_SELECTED), 0);
    assert.equal(marked, indices.length);
    gpu.destroy();
  });
}

/** Every day without those marked `rare`, whose levels, pooling and k the others have too. */
const shapes = [
  { context: 256, levels: 2, pooling: 2, k: 128, heads: 1, rare: true },
  { context: 129 * 2 * 3, levels: 2, pooling: 2, k: 384, heads: 2 },
  { context: 16 * 131, levels: 3, pooling: 4, k: 128, heads: 3 },
  { context: 8192, levels: 5, pooling: 2, k: 256, heads: 2 },
  { context: 256 * 128, levels: 5, pooling: 4, k: 128, heads: 1, rare: true },
  { context: 64 * 300, levels: 3, pooling: 8, k: 256, heads: 2 },
  { context: 256 * 130, levels: 3, pooling: 16, k: 128, heads: 1 },
  { context: 2 ** 15, levels: 9, pooling: 2, k: 128, heads: 1 },
].filter(({ rare }) => ALL_CASES || !rare);

const patterns: Record<string, (i: number) => number> = {
  "random": (i) => pcgSum4(11, i),
  "few values": (i) => Math.floor(pcgSum4(12, i) * 2) / 2,
  "equal": () => 0.25,
  "zeros of both signs": (i) => (i % 3 === 0 ? -0 : 0),
  "with NaN and infinities": (i) =>
    i % 5 === 0 ? NaN : i % 31 === 0 ? -Infinity : i % 37 === 0 ? Infinity : pcgSum4(13, i),
  "all NaN": () => NaN,
  "negative and tiny": (i) => -Math.abs(pcgSum4(14, i)) * 1e-42,
};

/** Patterns that the kernels with a cache meet every day. */
const CACHED_DAILY = ["random", "few values", "with NaN and infinities"];

Deno.test("select caches up to 512 candidates of a level", () => {
  const geometry = planGeometry(2048, { levels: 2, pooling: 2, k: 128 });
  assert.equal(
    planSelection(geometry, 1, { cached: true }).code,
    planSelection(geometry, 1).code,
  );
  const small = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  assert.match(planSelection(small, 1, { cached: true }).code, /const capacity = 512u;/);
});

Deno.test("a selection gathers where tiles and heads are few, and where its memory and bindings fit", () => {
  const row = { headDim: 128, dtype: "f16" } as const;
  const choose = (
    context: number,
    { k, heads = 8, tuning, ...limits }: {
      k: number;
      heads?: number;
      tuning?: Parameters<typeof chooseSelection>[2]["tuning"];
      maxStorageBuffers?: number;
      maxWorkgroupBytes?: number;
    },
  ) => {
    const capabilities = { ...DESK.capabilities, ...limits };
    const geometry = planGeometry(context, { levels: 3, pooling: 4, k });
    const { parts, gathers } = chooseSelection({ capabilities }, geometry, {
      ...row,
      heads,
      tuning,
    });
    return gathers ? { parts, ...gathers } : parts;
  };
  const sixteen = { parts: 16, ...row };
  assert.deepEqual(choose(8192, { k: 128 }), sixteen);
  assert.deepEqual(choose(16384, { k: 256, heads: 4 }), sixteen);
  // Measured to be slower from 32 tiles on, and not measured between.
  assert.equal(choose(8192, { k: 128, heads: 9 }), undefined);
  assert.equal(choose(16384, { k: 256 }), undefined);
  // 1,024 candidates are not cached.
  assert.equal(choose(16384, { k: 128 }), undefined);
  assert.equal(choose(8192, { k: 128, maxStorageBuffers: 12 }), undefined);
  assert.equal(choose(8192, { k: 128, maxWorkgroupBytes: 16384 }), undefined);
  const parts = { tuning: { parts: 4, gathers: true } };
  assert.deepEqual(choose(32768, { k: 512, ...parts }), { ...sixteen, parts: 4 });
  assert.equal(choose(8192, { k: 128, tuning: { gathers: false } }), undefined);
  assert.equal(choose(8192, { k: 128, tuning: { parts: 1, gathers: true } }), 1);
});

for (const { heads, context, ...options } of shapes) {
  const { levels, pooling, k } = options;
  Deno.test(`select matches the reference, N ${context} L ${levels} p ${pooling} k ${k}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = planGeometry(context, options);
    const count = heads * geometry.entries;
    for (const [name, pattern] of Object.entries(patterns)) {
      const query = Float32Array.from({ length: count }, (_, i) => pattern(i));
      const key = Float32Array.from({ length: count }, (_, i) => pattern(i + 7 * count));
      await t.step(name, () => checkSelection(gpu, geometry, { query, key }));
      if (Math.max(geometry.tileEntries, 128 * pooling) > MOST_CACHED) continue;
      // Every pattern in every kernel with `test:all`.
      if (!ALL_CASES && !CACHED_DAILY.includes(name)) continue;
      const cached = { cached: true, threads: name === "random" ? 256 : 512 };
      await t.step(
        `${name}, cached`,
        () => checkSelection(gpu, geometry, { query, key }, cached),
      );
      await t.step(
        `${name}, several workgroups a tile`,
        () => checkSelection(gpu, geometry, { query, key }, { ...cached, parts: 3 }),
      );
    }
    gpu.destroy();
  });
}

Deno.test("select matches the reference for random shapes and repeated scores", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const cases = fc.record({
    logPooling: fc.integer({ min: 1, max: 3 }),
    levels: fc.integer({ min: 2, max: 4 }),
    tiles: fc.integer({ min: 1, max: 3 }),
    tileEntries: fc.integer({ min: 128, max: 300 }),
    heads: fc.integer({ min: 1, max: 2 }),
    distinct: fc.integer({ min: 1, max: 500 }),
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
  });
  const property = fc.asyncProperty(cases, async (c) => {
    const pooling = 2 ** c.logPooling;
    const context = c.tileEntries * c.tiles * pooling ** (c.levels - 1);
    const geometry = planGeometry(context, { levels: c.levels, pooling, k: 128 * c.tiles });
    const scores = (seed: number) =>
      Float32Array.from(
        { length: c.heads * geometry.entries },
        (_, i) => Math.floor(pcgSum4(seed, i) * c.distinct / 8),
      );
    const drawn = { query: scores(c.seed), key: scores(c.seed + 1) };
    await checkSelection(gpu, geometry, drawn);
    if (128 * pooling <= MOST_CACHED) {
      await checkSelection(gpu, geometry, drawn, { cached: true, threads: 256 });
      await checkSelection(gpu, geometry, drawn, { cached: true, threads: 256, parts: 4 });
    }
  });
  await fc.assert(property, { numRuns: 15, seed: 20260506 });
  gpu.destroy();
});

Deno.test("select streams a coarsest level of 262,144 candidates", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(524288, { levels: 2, pooling: 2, k: 128 });
  assert.equal(geometry.tileEntries, 262144);
  for (const name of ["random", "few values", "equal"]) {
    const pattern = patterns[name];
    const query = Float32Array.from({ length: geometry.entries }, (_, i) => pattern(i));
    const key = Float32Array.from({ length: geometry.entries }, (_, i) => pattern(i + 5));
    await checkSelection(gpu, geometry, { query, key });
  }
  gpu.destroy();
});
