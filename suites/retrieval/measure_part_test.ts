import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { pcg, pcgSum4 } from "../../kernels/gpu/random.ts";
import { UsageError } from "../errors.ts";
import { acceptanceBand } from "../statistics/intervals.ts";
import { logitMoments, massGivenLogit } from "./law.ts";
import { plantQuery } from "./planting.ts";
import { planRetrieval } from "./retrieval_plan.ts";
import { type RetrievalProfile, retrievalProfile } from "./profile.ts";
import { retrievalCellSchema } from "./record.ts";
import { countChecks } from "./instrument.ts";
import { finestLevel, measurePart, smallestHash } from "./measure_part.ts";
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
  quadraticContext: 0,
  quadraticGridContext: 0,
  passContext: 0,
};

Deno.test("a layer that gathers more rows than the context has leaves every arm a needle to see", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const profile: RetrievalProfile = {
    ...TINY,
    contexts: [256],
    trials: 10,
    margins: [4],
    transition: [],
  };
  const parts = planRetrieval(profile).parts.filter(({ context }) => context === 256);
  assert.ok(parts.length > 0);
  const checks = parts.reduce((sum, part) => sum + countChecks(part), 0);
  const options = { profile, seed: 21, dtype: "f32" as const, checks, late: () => false };
  for (const part of parts) {
    assert.ok(part.attended > part.context, String(part.attended));
    const told: number[] = [];
    let last: readonly unknown[] = [];
    const { cells } = await measurePart(gpu, part, {
      ...options,
      found: (some) => told.push((last = some).length),
    });
    // What is found is told after each setting, in the end all of it.
    assert.equal(told.length, part.settings.length);
    assert.deepEqual(told, told.toSorted((a, b) => a - b));
    assert.deepEqual(last, cells);
    for (const cell of cells) retrievalCellSchema.parse(cell);
    // The window then sees what dense attention sees.
    for (const { depth, mass } of cells.filter(({ arm }) => arm === "window")) {
      const twin = cells.find((one) => one.arm === "dense" && one.depth === depth)!;
      assert.equal(mass, twin.mass);
    }
  }
  gpu.destroy();
});

Deno.test("retrievalProfile: each bad input gives one line that names value and limit", () => {
  const cases: [Parameters<typeof retrievalProfile>[0], RegExp][] = [
    [{ depths: [-1] }, /depth -1 is not a percentage from 0 to 100/],
    [{ depths: [NaN] }, /depth NaN is not/],
    [{ margins: [Infinity] }, /margin Infinity is not a finite number from -40 to 40/],
    [{ contexts: [3000] }, /context 3000: .*3000 is not a multiple of .* 16/],
    [
      { contexts: [1024] },
      /context 1024: .*64 coarsest entries of 16 rows; any k needs at least 128/,
    ],
    [{ trials: 3 }, /trials 3 is not a whole number from 10/],
    [{ headDim: 48 }, /headDim 48 is not a power of two/],
    [{ scorers: ["best"] }, /scorer best is not one of norm, dilated, gla/],
    [{ profile: "huge" }, /profile huge is not one of smoke, standard, paper, rivals/],
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

Deno.test("planRetrieval: every profile has all arms, depths, stress cases; omissions are reported", () => {
  for (const name of ["smoke", "standard", "paper"]) {
    const profile = retrievalProfile({ profile: name });
    const { parts, skipped } = planRetrieval(profile);
    const [first] = parts;
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
    const stress = parts.flatMap(({ settings }) => settings).filter((s) => s.sweep === "stress");
    assert.ok(stress.length >= 10);
    const single = stress.filter(({ needles }) => needles.length === 1).map(({ needles }) =>
      needles[0]
    );
    assert.ok(
      new Set(single).size >= single.length - 1,
      "edges of each kind are distinct rows",
    );
    for (const { edits } of stress) {
      const rows = edits(3).map(({ row }) => row);
      assert.equal(new Set(rows).size, rows.length);
    }
  }
});

Deno.test("planRetrieval: short contexts leave out what they have no rows for, and say so", () => {
  const base = retrievalProfile({ profile: "smoke" });
  for (const levels of [2, 3]) {
    for (const context of [256, 258, 268, 270, 384, 512, 1024, 2048]) {
      const layer = { levels, pooling: 2, k: 128 };
      if (context % 2 ** (levels - 1) !== 0 || context < 128 * 2 ** (levels - 1)) continue;
      const stress = { ...base.stress!, context };
      const { parts, skipped } = planRetrieval({ ...base, layer, stress });
      const settings = parts.filter(({ name }) => name === "stress").flatMap((p) => p.settings);
      for (const { stress, edits } of settings) {
        const rows = edits(3).map(({ row }) => row);
        assert.ok(rows.every((row) => row >= 0 && row <= context - 2), `${stress}: ${rows}`);
      }
      const lines = skipped.filter((line) => line.startsWith("stress"));
      assert.ok(settings.length >= 5 && settings.length + lines.length >= 10, lines.join("\n"));
      assert.equal(lines.length === 0, context >= 270, `${context}: ${lines.join("\n")}`);
    }
  }
});

Deno.test("a window whose mean cancels leaves nothing of the needle in the window", () => {
  const { parts } = planRetrieval(retrievalProfile({ profile: "smoke" }));
  const settings = parts.flatMap(({ settings }) => settings);
  const { edits } = settings.find(({ stress }) => stress?.includes("cancels"))!;
  const all = edits(6);
  assert.equal(all.length, 16);
  assert.ok(Math.abs(all.reduce((sum, { margin }) => sum + margin, 0)) < 1e-12);
  assert.ok(Math.abs(1 + all.reduce((sum, { shift }) => sum + (shift?.amount ?? 0), 0)) < 1e-12);
});

Deno.test("smallestHash admits exactly the requested number of rows", () => {
  for (const [rows, count] of [[1000, 1], [1000, 377], [5000, 4999], [64, 64]]) {
    const most = smallestHash(12, { rows, count });
    let kept = 0;
    for (let row = 0; row < rows; row++) if (pcg(row + 12) <= most) kept++;
    assert.equal(kept, count);
  }
});

Deno.test("TopLogits: thresholds and maxima match a full sort of the edited logits", () => {
  const logits = Float32Array.from({ length: 3000 }, (_, i) => pcgSum4(3, i));
  for (const count of [1, 200, 2990, 3000]) {
    const top = new TopLogits(logits, { count });
    for (
      const edits of [
        [],
        [{ row: 4, logit: 9.5 }, { row: 70, logit: -9 }, { row: 71, logit: 0.5 }],
        // The largest rows go down, and some of those around the threshold go up.
        [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 9)
          .map((row, i) => ({ row, logit: -5 - i })),
        [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(195, 205)
          .map((row, i) => ({ row, logit: 5 + i })),
      ]
    ) {
      const edited = Array.from(logits);
      for (const { row, logit } of edits) edited[row] = logit;
      const { largest, threshold } = top.withEdits(edits);
      assert.equal(largest, Math.max(...edited));
      assert.equal(edited.filter((logit) => logit >= threshold).length, count);
    }
  }
});

Deno.test("acceptanceBand: excludes at most its share on each side, and never one count too few", () => {
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

Deno.test("planRetrieval: the paper's grids reach 512K, each scorer has a salience curve", () => {
  const { parts } = planRetrieval(retrievalProfile({ profile: "paper" }));
  const names = parts.map(({ name, context }) => `${name} ${context}`);
  assert.ok(names.indexOf("keys 16384") < names.indexOf("grid 524288"), "short parts come first");
  assert.deepEqual(names.slice(-3), ["quadratic 32768", "quadratic 65536", "quadratic 98304"]);
  const keys = parts.find(({ name }) => name === "keys")!;
  const curves = new Set(keys.settings[0].arms.map(({ name }) => name));
  assert.deepEqual([...curves], [
    "dense",
    ...["norm", "dilated", "gla"].map((s) => `lighthouse-${s}`),
  ]);
  const { settings: [{ arms }] } = parts.find(({ name }) => name === "options")!;
  const layers = arms.flatMap(({ lighthouse }) => lighthouse ?? []);
  for (const name of ["k", "pooling", "levels"] as const) {
    assert.ok(new Set(layers.map((layer) => layer[name])).size >= 3, name);
  }
  // Depths of the paper's figure, at its contexts, for all of its scorers.
  for (const context of [4096, 8192, 16384, 32768, 65536, 98304]) {
    const cells = parts.filter((part) => part.context === context)
      .flatMap(({ settings }) => settings).filter(({ sweep, margin }) =>
        sweep === "grid" && margin === 6
      );
    for (const depth of [0, 15, 30, 50, 70, 85, 100]) {
      const there = cells.filter((cell) => cell.depth === depth)
        .flatMap(({ arms }) => arms).filter(({ reference }) => !reference).map(({ name }) => name);
      assert.equal(new Set(there).size, there.length, "no cell twice");
      assert.equal(there.length, 7, `${context} ${depth}`);
    }
  }
});

Deno.test("finestLevel: the finest of several rows, undefined if none was selected", () => {
  assert.equal(finestLevel([[false, false, true], [false, true, true]]), 1);
  assert.equal(finestLevel([[false, false]]), undefined);
  assert.equal(finestLevel([]), undefined);
});

Deno.test("measurePart: counts add up, laws hold, needles survive when they must", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const { parts } = planRetrieval(TINY);
    const checks = parts.reduce((sum, part) => sum + countChecks(part), 0);
    const options = {
      profile: TINY,
      seed: 21,
      dtype: "f32" as const,
      checks,
      late: () => false,
    };
    const found = [];
    for (const part of parts) found.push(await measurePart(gpu, part, options));
    const cells = found.flatMap((one) => one.cells);
    const instrument = found.flatMap((one) => one.instrument);
    assert.deepEqual(instrument.filter(({ passed }) => !passed), []);
    assert.equal(instrument.length, 2 * 4 + 1);
    assert.equal(instrument.length, checks);
    assert.ok(found.every(({ cut }) => cut === undefined));
    for (const cell of cells) {
      retrievalCellSchema.parse(cell);
      assert.equal(cell.trials, 30);
      const { needle, query, diluted } = cell.lost;
      assert.equal(needle + query + diluted, 30 - cell.correct);
      assert.ok(cell.low <= cell.correct / 30 && cell.correct / 30 <= cell.high);
      if (cell.finestLevels) assert.equal(cell.finestLevels.reduce((a, b) => a + b), 30);
      if (cell.finestLevels) assert.equal(cell.finestLevels[0], cell.needleSelected);
    }
    const salient = cells.filter((c) => c.sweep === "salience" && c.lighthouse);
    // A key of twice the norm of all others is ranked first, one of 0.8 behind nearly all.
    assert.deepEqual(salient.map((c) => c.needleSelected > 25), [false, true]);
    const window = cells.find((c) => c.arm === "window" && c.depth === 0)!;
    assert.equal(window.needleSelected, 0);
    assert.ok(window.low < 0.1);
    const twin = cells.find((c) => c.arm === "dense" && c.sweep === "stress")!;
    assert.equal(twin.outputError, 0);
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(measurePart(gpu, parts[0], { ...options, signal: controller.signal }), {
      name: "AbortError",
    });
    // The time runs out after two settings: their cells are kept, and the missing ones are
    // reported.
    let asked = 0;
    const broke = await measurePart(gpu, parts[0], { ...options, late: () => ++asked > 3 });
    assert.match(broke.cut!, /\d+ of \d+ settings times batches left out/);
    assert.ok(broke.cells.length > 0 && broke.cells.length < found[0].cells.length);
  } finally {
    gpu.destroy();
  }
});
