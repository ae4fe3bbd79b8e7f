import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { readRows } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import type { AttentionShape } from "../../kernels/implementation.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseNorm,
} from "../../kernels/lighthouse/lighthouse_attention.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { mergePartials } from "../../kernels/retrieval/last_row.ts";
import { simulateTrial } from "./simulator.ts";
import { batchHeads, TrialBatch } from "./trial_batch.ts";

const SHAPE: AttentionShape = { heads: 3, context: 1024, headDim: 32, dtype: "f32" };

async function withBatch(
  t: Deno.TestContext,
  shape: AttentionShape,
  use: (batch: TrialBatch, gpu: Gpu) => Promise<void>,
): Promise<void> {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const batch = await TrialBatch.create(gpu, shape);
  try {
    await batch.fill(50);
    await use(batch, gpu);
  } finally {
    batch.destroy();
    gpu.destroy();
  }
}

const needle = (head: number) => [
  { row: 300 + head, margin: 3, digit: head },
  { row: 900, margin: 1, salience: 1.3 },
];

function relativeError(have: ArrayLike<number>, want: ArrayLike<number>): number {
  let [error, size] = [0, 0];
  for (let c = 0; c < want.length; c++) {
    error += (have[c] - want[c]) ** 2;
    size += want[c] ** 2;
  }
  return Math.sqrt(error / size);
}

Deno.test("mergePartials: two chunks by hand, an empty one, a row without any", () => {
  const plan = { heads: 1, queries: 2, chunks: 2, headDim: 1 };
  const e = Math.exp;
  const merged = mergePartials(
    plan,
    Float32Array.of(0, 1, 0, 0, 5, 1, 2, 0, 0, 6, -3e38, 0, 0, 0, 0, -3e38, 0, 0, 0, 0),
  )[0];
  assert.ok(Math.abs(merged[0].lse - Math.log(1 + 2 * e(1))) < 1e-6);
  assert.ok(Math.abs(merged[0].output[0] - (5 + 6 * e(1)) / (1 + 2 * e(1))) < 1e-6);
  assert.deepEqual([merged[1].lse, merged[1].output[0]], [-Infinity, 0]);
});

for (const dtype of ["f32", "f16"] as const) {
  Deno.test(`TrialBatch in ${dtype}: dense last rows match float64, filters included`, async (t) => {
    await withBatch(t, { ...SHAPE, dtype }, async (batch) => {
      const edits = [0, 1, 2].map(needle);
      const planted = batch.plant(edits);
      const rows = await batch.attend();
      const logits = await batch.readLogits();
      const window = await batch.attend(edits.map(() => ({ first: 800 })));
      const hashed = await batch.attend(edits.map(() => ({ hash: { seed: 9, most: 2 ** 30 } })));
      const strong = await batch.attend(edits.map(() => ({ leastLogit: 1 })));
      for (const [head, edit] of edits.entries()) {
        const source = batch.source(head);
        const want = simulateTrial(source, edit);
        const lse = Math.log(want.logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
        assert.ok(Math.abs(rows[head].lse - lse) < 1e-5);
        assert.ok(relativeError(rows[head].output, want.output) < 1e-5);
        assert.ok(want.logits.every((logit, row) => Math.abs(logit - logits[head][row]) < 1e-5));
        const mass = Math.exp(planted[head][0].logit - rows[head].lse);
        assert.ok(Math.abs(mass / want.masses[0] - 1) < 1e-5);
        const same = (
          have: { output: Float64Array },
          filter: (row: number, l: number) => boolean,
        ) =>
          assert.ok(
            relativeError(have.output, simulateTrial(source, edit, { filter }).output) < 1e-5,
          );
        same(window[head], (row) => row >= 800);
        same(hashed[head], (row) => pcg(row + 9) <= 2 ** 30);
        same(strong[head], (_row, logit) => logit >= 1);
      }
    });
  });
}

Deno.test("TrialBatch: planting again restores the rows of the previous needle", async (t) => {
  await withBatch(t, SHAPE, async (batch) => {
    const before = await batch.attend();
    batch.plant([0, 1, 2].map(needle));
    const during = await batch.attend();
    assert.ok(relativeError(during[1].output, before[1].output) > 0.1);
    batch.restore();
    const after = await batch.attend();
    assert.deepEqual(after, before);
  });
});

Deno.test("last rows equal those of the whole layers", async (t) => {
  for (const dtype of ["f32", "f16"] as const) {
    await withBatch(t, { ...SHAPE, dtype }, async (batch, gpu) => {
      batch.plant([0, 1, 2].map(needle));
      const { shape, inputs } = batch;
      const lastOf = async (head: number, prepared: Awaited<ReturnType<typeof dense.prepare>>) =>
        await readRows(gpu, prepared.outputs.output, { head, first: 1023, count: 1 });
      const tolerance = dtype === "f16" ? 3e-3 : 1e-4;
      const layer = await dense.prepare(gpu, { shape }, { inputs });
      await layer.execute();
      const rows = await batch.attend();
      for (let head = 0; head < 3; head++) {
        assert.ok(relativeError(rows[head].output, await lastOf(head, layer)) < tolerance);
      }
      layer.destroy();
      for (
        const [scorer, implementation] of [
          ["norm", lighthouseNorm],
          ["dilated", lighthouseDilated],
          ["gla", lighthouseGla],
        ] as const
      ) {
        const options = { levels: 3, pooling: 2, k: 128 };
        const lighthouse = { ...options, scorer };
        const whole = await implementation.prepare(gpu, { shape, options }, { inputs });
        await whole.execute();
        const selection = await whole.outputs.readSelection!();
        const geometry = planGeometry(1024, options);
        const watched = [0, 1, 2].map((head) => [300 + head, 900, 5]);
        // In one request with a layer of another scorer and one of another pyramid.
        const others = [{ ...lighthouse, scorer: "norm" as const }, { ...lighthouse, levels: 2 }];
        const layers = [others[0], lighthouse, others[1]];
        const finish = await batch.start({ plain: [], layers, watched });
        batch.restore();
        const { gathered, rows, selected } = (await finish()).layers[1];
        batch.plant([0, 1, 2].map(needle));
        assert.equal(gathered, geometry.gathered);
        for (let head = 0; head < 3; head++) {
          const error = relativeError(rows[head].output, await lastOf(head, whole));
          assert.ok(error < tolerance, `${scorer} ${dtype} head ${head}: ${error}`);
          const own = new Set(
            selection.subarray(head * geometry.gathered, (head + 1) * geometry.gathered),
          );
          const has = (base: number) =>
            geometry.levelOffsets.map((offset, level) =>
              own.has(offset + Math.floor(base / 2 ** level))
            );
          assert.deepEqual(selected[head], watched[head].map(has));
          assert.deepEqual(rows[head].levels.map((level) => level !== null), has(1023));
        }
        whole.destroy();
      }
    });
  }
});

Deno.test("batchHeads stays within a binding and a gigabyte", () => {
  const gpu = { capabilities: { maxBindingBytes: 2 ** 31 - 4, maxBufferBytes: 2 ** 32 } };
  const at = (context: number) =>
    batchHeads(gpu as unknown as Gpu, { heads: 200, context, headDim: 128, dtype: "f16" });
  assert.deepEqual([at(2048), at(65536), at(524288)], [200, 64, 8]);
});
