import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { pcg, pcgSum4 } from "../../kernels/gpu/random.ts";
import { UsageError } from "../errors.ts";
import { acceptanceBand } from "./intervals.ts";
import { logitMoments, massGivenLogit } from "./law.ts";
import { plantQuery } from "./planting.ts";
import { planRetrieval } from "./retrieval_plan.ts";
import { type RetrievalProfile, retrievalProfile } from "./retrieval_profile.ts";
import { retrievalSchema } from "./retrieval_schema.ts";
import { runRetrieval, smallestHash } from "./retrieval_suite.ts";
import { TopLogits } from "./top_logits.ts";

const LAYER = { levels: 2, pooling: 2, k: 128 };

const TINY: RetrievalProfile = {
  ...retrievalProfile({ profile: "smoke" }),
  trials: 30,
  headDim: 16,
  contexts: [1024],
  depths: [0, 50],
  margins: [5],
  transition: [2, 4],
  layer: LAYER,
  options: { context: 1024, layers: [{ levels: 3, pooling: 2, k: 128 }] },
  keys: { context: 1024, layers: [LAYER], margin: 3, saliences: [0.8, 2], margins: [3] },
  stress: { context: 1024, margin: 5 },
  dilatedContext: 0,
  glaContext: 0,
};

Deno.test("retrievalProfile: each bad input is one line that names value and limit", () => {
  const cases: [Parameters<typeof retrievalProfile>[0], RegExp][] = [
    [{ depths: [-1] }, /depth -1 is not a percentage from 0 to 100/],
    [{ depths: [NaN] }, /depth NaN is not/],
    [{ margins: [Infinity] }, /margin Infinity is not a finite number from -40 to 40/],
    [{ contexts: [3000] }, /context 3000: .*3000 is not a multiple of .* 16/],
    [{ contexts: [1024] }, /context 1024: .*64 coarsest entries a tile, at least 128/],
    [{ trials: 3 }, /trials 3 is not a whole number from 10/],
    [{ headDim: 48 }, /headDim 48 is not a power of two/],
    [{ scorers: ["best"] }, /scorer best is not one of norm, dilated, gla/],
    [{ profile: "huge" }, /profile huge is not one of smoke, standard, paper/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => retrievalProfile(options),
      (error) =>
        error instanceof UsageError && message.test(error.message) && !/\n/.test(error.message),
      JSON.stringify(options),
    );
  }
});

Deno.test("planRetrieval: every profile has all arms, depths, stress cases; what is left out is said", () => {
  for (const name of ["smoke", "standard", "paper"]) {
    const profile = retrievalProfile({ profile: name });
    const { contexts, skipped } = planRetrieval(profile);
    const [first] = contexts;
    const grid = first.settings.filter(({ sweep }) => sweep === "grid");
    assert.equal(grid.length, profile.depths.length * profile.margins.length);
    assert.deepEqual(
      grid[0].arms.map((arm) => arm.name),
      [
        ...["dense", "oracle", "random", "window"],
        ...["norm", "dilated", "gla"].map((scorer) => `lighthouse-${scorer}`),
      ],
    );
    assert.ok(skipped.every((line) => /cost/.test(line)), skipped.join("\n"));
    const stress = contexts.flatMap(({ settings }) => settings).filter((s) => s.sweep === "stress");
    assert.ok(stress.length >= 10);
    for (const { edits } of stress) {
      const rows = edits(3).map(({ row }) => row);
      assert.equal(new Set(rows).size, rows.length);
    }
  }
});

Deno.test("a window whose mean cancels leaves nothing of the needle in the window", () => {
  const { contexts } = planRetrieval(retrievalProfile({ profile: "smoke" }));
  const { edits } = contexts[0].settings.find(({ stress }) => stress?.includes("cancels"))!;
  const all = edits(6);
  assert.equal(all.length, 16);
  assert.ok(Math.abs(all.reduce((sum, { margin }) => sum + margin, 0)) < 1e-12);
  assert.ok(Math.abs(1 + all.reduce((sum, { shift }) => sum + (shift?.amount ?? 0), 0)) < 1e-12);
});

Deno.test("smallestHash admits exactly as many rows as asked for", () => {
  for (const [rows, count] of [[1000, 1], [1000, 377], [5000, 4999], [64, 64]]) {
    const most = smallestHash(12, { rows, count });
    let kept = 0;
    for (let row = 0; row < rows; row++) if (pcg(row + 12) <= most) kept++;
    assert.equal(kept, count);
  }
});

Deno.test("TopLogits: thresholds and maxima as a full sort of the edited logits gives them", () => {
  const logits = Float32Array.from({ length: 3000 }, (_, i) => pcgSum4(3, i));
  for (const count of [1, 200, 2990, 3000]) {
    const top = new TopLogits(logits, { count });
    for (
      const edits of [[], [{ row: 4, logit: 9.5 }, { row: 70, logit: -9 }, { row: 71, logit: 0.5 }]]
    ) {
      const edited = Array.from(logits);
      for (const { row, logit } of edits) edited[row] = logit;
      const { largest, threshold } = top.withEdits(edits);
      assert.equal(largest, Math.max(...edited));
      assert.equal(edited.filter((logit) => logit >= threshold).length, count);
    }
  }
});

Deno.test("acceptanceBand: leaves at most its share out on each side, and no count less", () => {
  const { low, high } = acceptanceBand(0.5, { trials: 4, confidence: 0.8 });
  // Tails of 0.1: P(0) = 1/16 may be left out, P(0) + P(1) = 5/16 may not.
  assert.deepEqual([low, high], [0.25, 0.75]);
  assert.deepEqual(acceptanceBand(1, { trials: 9, confidence: 0.9 }), { low: 1, high: 1 });
});

Deno.test("logitMoments: those of the generator's keys, and masses that follow them", () => {
  const source = { seed: 3, head: 0, heads: 1, context: 64, headDim: 32, dtype: "f32" } as const;
  const query = plantQuery(source);
  const { first, second } = logitMoments(query);
  let [a, b] = [0, 0];
  const count = 40_000;
  for (let n = 0; n < count; n++) {
    let logit = 0;
    for (let c = 0; c < 32; c++) logit += query[c] * pcgSum4(8, n * 32 + c) / Math.sqrt(32);
    a += Math.exp(logit) / count;
    b += Math.exp(2 * logit) / count;
  }
  assert.ok(Math.abs(a - first) < 4 * Math.sqrt((second - first ** 2) / count));
  assert.ok(Math.abs(b / second - 1) < 0.1);
  assert.ok(Math.abs(first / Math.exp(0.5) - 1) < 0.01);
  const law = massGivenLogit({ context: 4096, logit: 3, moments: { first, second } });
  assert.ok(Math.abs(law.mean / (Math.exp(3) / (Math.exp(3) + 4095 * first)) - 1) < 0.01);
});

Deno.test("runRetrieval: counts add up, laws hold, needles survive where they must", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const saved: number[] = [];
    const record = await runRetrieval(gpu, {
      profile: TINY,
      seed: 21,
      dtype: "f32",
      save: (partial) => Promise.resolve(void saved.push(partial.cells.length)),
    });
    retrievalSchema.parse(record);
    assert.deepEqual(record.instrument.filter(({ passed }) => !passed), []);
    assert.equal(record.instrument.length, 2 * 4 + 1);
    assert.ok(saved.length === 2 && saved[0] > 0);
    for (const cell of record.cells) {
      assert.equal(cell.trials, 30);
      const { needle, query, diluted } = cell.lost;
      assert.equal(needle + query + diluted, 30 - cell.correct);
      assert.ok(cell.low <= cell.correct / 30 && cell.correct / 30 <= cell.high);
      if (cell.finestLevels) assert.equal(cell.finestLevels.reduce((a, b) => a + b), 30);
      if (cell.finestLevels) assert.equal(cell.finestLevels[0], cell.needleSelected);
    }
    const salient = record.cells.filter((c) => c.sweep === "salience" && c.lighthouse);
    // A key of twice the norm of all others is ranked first, one of 0.8 behind nearly all.
    assert.deepEqual(salient.map((c) => c.needleSelected > 25), [false, true]);
    const window = record.cells.find((c) => c.arm === "window" && c.depth === 0)!;
    assert.equal(window.needleSelected, 0);
    assert.ok(window.low < 0.1);
    const twin = record.cells.find((c) => c.arm === "dense" && c.sweep === "stress")!;
    assert.equal(twin.outputError, 0);
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(
      runRetrieval(gpu, { profile: TINY, seed: 1, dtype: "f32", signal: controller.signal }),
      { name: "AbortError" },
    );
    const broke = await runRetrieval(gpu, {
      profile: { ...TINY, budgetSeconds: 1e-9 },
      seed: 1,
      dtype: "f32",
    });
    assert.match(broke.skipped.join("\n"), /context 1024: the budget was spent before it/);
  } finally {
    gpu.destroy();
  }
});
