import assert from "node:assert/strict";
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { runSuite } from "./runner.ts";
import { NOISE } from "./selection_quality_probe.ts";

Deno.test("a timed Lighthouse case tells its selection's quality, and noise leaves no trace", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const result = await runSuite({
      profile: "smoke",
      suites: ["latency"],
      contexts: [2048],
      headDims: [32],
      pooling: [2],
      k: [128],
      samples: 2,
      seed: 5,
      gpu,
    });
    const record = result.cases.find((c) => c.suite === "latency" && c.lighthouse)!;
    // Determinism compares outputs from before the noise with those of the last round: inputs that
    // were not restored would show.
    assert.equal(record.status, "ok", record.reason);
    assert.ok(record.check!.parts!.some(({ name, passed }) => name === "determinism" && passed));
    const { rows, fanIn, uncoveredRows, levelShares, stability } = record.selectionQuality!;
    assert.equal(rows, record.shape.heads * 2048);
    assert.equal(fanIn.reduce((sum, count) => sum + count), rows);
    assert.equal(uncoveredRows, record.zeroRows);
    assert.ok(Math.abs(levelShares.reduce((sum, share) => sum + share) - 1) < 1e-12);
    assert.equal(stability!.noise, NOISE);
    // A little noise moves some choices and far from all.
    assert.ok(stability!.jaccard > 0.5 && stability!.jaccard < 1, `${stability!.jaccard}`);
    assert.equal(stability!.levels.at(-1), 1);
    const dense = result.cases.find((c) => c.suite === "latency" && !c.lighthouse)!;
    assert.equal(dense.selectionQuality, undefined);
  } finally {
    gpu.destroy();
  }
});
