import assert from "node:assert/strict";
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { Budget } from "./budget.ts";
import { ClockWatch } from "./clock.ts";
import { IMPLEMENTATIONS } from "./implementations.ts";
import { measureGroup, type Session } from "./latency.ts";
import { planRun } from "./plan.ts";
import type { CaseRecord } from "./result_schema.ts";
import { summarize } from "./statistics.ts";

Deno.test("measureGroup: what resembles nothing seen is tried at a shorter context before it is given up", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const plan = planRun(
    {
      profile: "smoke",
      suites: ["latency"],
      implementations: ["dense", "lighthouse-norm"],
      contexts: [1024],
      headDims: [32],
      pooling: [2],
      k: [128],
      directions: ["forward"],
      samples: 2,
    },
    { ...gpu, deviceMemoryBytes: null },
    IMPLEMENTATIONS,
  );
  const records = new Map<string, CaseRecord>();
  const canary = { referenceSeconds: 1e-4, probe: () => Promise.resolve(1), destroy: () => {} };
  // As if the device were so slow that a single execution overran the budget by far.
  const record = { clock: "wall" as const, fmaF32: summarize([1e5]) };
  const steps: string[] = [];
  const session: Session = {
    gpu,
    registry: IMPLEMENTATIONS,
    calibration: { record, canary, secondsOf: ({ wallSeconds }) => wallSeconds },
    clock: new ClockWatch(canary, { judged: false }),
    live: new Set(),
    budget: new Budget({ calibration: record, samples: plan.profile.samples, seconds: 100 }),
    seed: 1,
    memoryBytes: null,
    record: (found) => Promise.resolve(void records.set(found.id, found)),
    recordRatio: () => Promise.resolve(),
    finished: (id) => records.get(id),
    note: () => {},
    step: (text) => steps.push(text),
  };
  try {
    assert.ok(session.budget.predict(plan.groups[0].baseline!) > 1e3);
    await measureGroup(session, plan.groups[0], { allowance: 100 });
    assert.deepEqual([...records.values()].map(({ status }) => status), ["ok", "ok"]);
    assert.equal(steps.filter((text) => text.endsWith("trying how fast it is")).length, 2);
  } finally {
    gpu.destroy();
  }
});
