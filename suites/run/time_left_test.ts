import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { runCalibrated } from "./runner.ts";

Deno.test("runSuite: no time left is told before the layers to come have run once", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const told: { timed: number; seconds: number | null }[] = [];
    let timed = 0;
    await runCalibrated({
      profile: "smoke",
      suites: ["correctness", "latency"],
      contexts: [512, 1024, 2048],
      headDims: [32],
      options: { pooling: [2], k: [128] },
      scorers: ["norm"],
      samples: 2,
      seed: 3,
      gpu,
    }, {
      calibration: CALIBRATION,
      hooks: {
        onProgress: ({ case: record, remainingSeconds: seconds }) => {
          if (record?.suite === "latency" && record.statistic) timed++;
          told.push({ timed, seconds });
        },
      },
    });
    const first = told.findIndex(({ seconds }) => seconds !== null);
    assert.ok(first > 0);
    // The first of three groups has run, at least up to its first samples.
    assert.ok(told.slice(first).every(({ seconds }) => seconds !== null));
    assert.ok(told.slice(first).some(({ timed, seconds }) => timed >= 2 && seconds! > 0));
    assert.equal(told.filter(({ timed }) => timed === 0).at(0)!.seconds, null);
  } finally {
    gpu.destroy();
  }
});

Deno.test("runSuite: a budget that was over before the first case still measures the first group", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const { cases, ratios } = await runCalibrated({
      profile: "smoke",
      suites: ["latency"],
      contexts: [512, 1024],
      headDims: [32],
      options: { pooling: [2], k: [128] },
      scorers: ["norm"],
      budgetSeconds: 10,
      budgetBegan: performance.now() - 1e6,
      leastGroups: 1,
      seed: 3,
      gpu,
    }, { calibration: CALIBRATION });
    const found = cases.filter(({ suite }) => suite === "latency").map((
      { shape, status, samples },
    ) => [shape.context, status, samples.length]);
    assert.deepEqual(found.sort(), [
      [1024, "skipped", 0],
      [1024, "skipped", 0],
      [512, "ok", 2],
      [512, "ok", 2],
    ]);
    assert.equal(ratios.length, 1);
  } finally {
    gpu.destroy();
  }
});
