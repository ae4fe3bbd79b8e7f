import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { runCalibrated } from "../run/runner.ts";
import { chooseCases } from "../../tools/_cases.ts";
import { NOISE } from "./noisy_selection.ts";

/** Scorers with a dilation, and those whose selections come before theirs. */
const DILATED = chooseCases([
  { scorer: "dilated", before: ["lighthouse-norm"] },
  { scorer: "gla", before: ["lighthouse-norm", "lighthouse-dilated"] },
], ({ scorer }) => scorer === "dilated");

Deno.test(`a timed Lighthouse case reports its selection's quality, and restores the inputs${DILATED.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const result = await runCalibrated({
      profile: "smoke",
      suites: ["latency"],
      contexts: [1024],
      implementations: [
        ...["dense", "lighthouse-norm"],
        ...DILATED.cases.map(({ scorer }) => `lighthouse-${scorer}`),
      ],
      directions: ["forward"],
      headDims: [32],
      options: { dilation: [2, 8], pooling: [2], k: [128] },
      samples: 2,
      seed: 5,
      gpu,
    }, { calibration: CALIBRATION });
    const record = result.cases.find((c) => c.suite === "latency" && c.options)!;
    // Determinism compares outputs from before the noise with those of the last round, so it would
    // notice inputs that were not restored.
    assert.equal(record.status, "ok", record.reason);
    assert.ok(record.check!.parts!.some(({ name, passed }) => name === "determinism" && passed));
    const { rows, fanIn, uncoveredRows, levelShares, stability } = record.selectionQuality!;
    assert.equal(rows, record.shape.heads * 1024);
    assert.equal(fanIn.reduce((sum, count) => sum + count), rows);
    assert.equal(uncoveredRows, record.zeroRows);
    assert.ok(Math.abs(levelShares.reduce((sum, share) => sum + share) - 1) < 1e-12);
    assert.equal(stability!.noise, NOISE);
    // A little noise changes some choices but far from all.
    assert.ok(stability!.jaccard > 0.5 && stability!.jaccard < 1, `${stability!.jaccard}`);
    assert.equal(stability!.levels.at(-1), 1);
    const quality = (scorer: string, dilation?: number) =>
      result.cases.find(({ suite, scorer: own, options }) =>
        suite === "latency" && own === scorer && options!.dilation === dilation
      )!.selectionQuality!;
    const overlaps = (...which: Parameters<typeof quality>) =>
      quality(...which).overlaps!.map(({ implementation }) => implementation);
    // Each dilation has its own selection, compared with scorers of the same dilation.
    for (const { scorer, before } of DILATED.cases) {
      for (const dilation of [2, 8]) assert.deepEqual(overlaps(scorer, dilation), before);
      assert.notDeepEqual(quality(scorer, 2).overlaps, quality(scorer, 8).overlaps);
    }
    const dense = result.cases.find((c) => c.suite === "latency" && !c.options)!;
    assert.equal(dense.selectionQuality, undefined);
  } finally {
    gpu.destroy();
  }
});
