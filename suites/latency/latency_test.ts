import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { Budget } from "../plan/budget.ts";
import { ClockWatch } from "../device/clock.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { measureGroup, type Session } from "./latency.ts";
import { planRun } from "../plan/plan.ts";
import type { CaseRecord } from "../result/result_schema.ts";
import { summarize } from "../statistics/statistics.ts";
import { measureThroughput } from "../throughput/throughput.ts";

function planOf(gpu: Gpu, suite: "latency" | "throughput") {
  return planRun(
    {
      profile: "smoke",
      suites: [suite],
      implementations: ["dense", "lighthouse-norm"],
      contexts: [1024],
      headDims: [32],
      options: { pooling: [2], k: [128] },
      directions: ["forward"],
      samples: 2,
    },
    { ...gpu, deviceMemoryBytes: null },
    IMPLEMENTATIONS,
  );
}

/** A session as if the device were as slow as told; by default one execution overruns the budget. */
function slowSession(gpu: Gpu, { profile }: ReturnType<typeof planRun>, flopsPerSecond = 1e5) {
  const records = new Map<string, CaseRecord>();
  const { canary } = CALIBRATION;
  const record = { clock: "wall" as const, fmaF32: summarize([flopsPerSecond]) };
  const steps: string[] = [];
  const session: Session = {
    gpu,
    registry: IMPLEMENTATIONS,
    calibration: { record, canary, secondsOf: ({ wallSeconds }) => wallSeconds },
    clock: new ClockWatch(canary, { judged: false }),
    live: new Set(),
    budget: new Budget({ calibration: record, samples: profile.samples, seconds: 100 }),
    seed: 1,
    memoryBytes: null,
    record: (found) => Promise.resolve(void records.set(found.id, found)),
    recordRatio: () => Promise.resolve(),
    finished: (id) => records.get(id),
    note: () => {},
    step: (text) => steps.push(text),
  };
  return {
    session,
    statuses: () => [...records.values()].map(({ status }) => status),
    tries: () => steps.filter((text) => text.endsWith("trying how fast it is")).length,
  };
}

Deno.test("measureGroup: what resembles nothing seen is tried at a shorter context before it is given up", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const { session, statuses, tries } = slowSession(gpu, plan);
    assert.ok(session.budget.predict(plan.groups[0].baseline!) > 1e3);
    await measureGroup(session, plan.groups[0], { allowance: 100 });
    assert.deepEqual(statuses(), ["ok", "ok"]);
    assert.equal(tries(), 2);
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: what would be cut into dispatches by a guess is tried first", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const baseline = plan.groups[0].baseline!;
    const second = slowSession(gpu, plan, 1).session.budget.predict(baseline);
    // The prediction is in proportion to the rate: half a second is two dispatches and a bit.
    for (const [seconds, tried] of [[0.5, 1], [0.1, 0]]) {
      const { session, tries } = slowSession(gpu, plan, second / seconds);
      assert.ok(Math.abs(session.budget.predict(baseline) - seconds) < 0.05 * seconds);
      await measureGroup(session, { ...plan.groups[0], candidates: [] }, { allowance: 100 });
      assert.equal(tries(), tried, `${seconds} s`);
    }
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureThroughput tries a shorter context in the same way", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "throughput");
    const { session, statuses, tries } = slowSession(gpu, plan);
    const entry = plan.throughput.find(({ implementation }) => implementation === "dense")!;
    assert.ok(session.budget.predict(entry) > 1e3);
    await measureThroughput(session, entry);
    assert.deepEqual(statuses(), ["ok"]);
    assert.equal(tries(), 1);
  } finally {
    gpu.destroy();
  }
});
