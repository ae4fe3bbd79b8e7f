import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { repeatsOf } from "../measure/rounds.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import { readTensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Implementation } from "../../kernels/implementation.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { Budget } from "../plan/budget.ts";
import { ClockWatch } from "../device/clock.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { measureGroup } from "./latency.ts";
import type { Session } from "../measure/session.ts";
import { planShares } from "../run/_planned.ts";
import type { CaseRecord } from "../result/result_schema.ts";
import { summarize } from "../statistics/statistics.ts";
import { measureThroughput } from "../throughput/throughput.ts";

function planOf(gpu: Gpu, suite: "latency" | "throughput") {
  return planShares(
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
    { device: { ...gpu, deviceMemoryBytes: null } },
  );
}

/** A session on a device of the given speed; by default one execution exceeds the budget. */
function slowSession(gpu: Gpu, { profile }: ReturnType<typeof planShares>, flopsPerSecond = 1e5) {
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
    records: () => [...records.values()],
    statuses: () => [...records.values()].map(({ status }) => status),
    tries: () => steps.filter((text) => text.endsWith("trying how fast it is")).length,
  };
}

Deno.test("measureGroup: an unfamiliar layer is tried at a shorter context before it is skipped", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const { session, statuses, tries } = slowSession(gpu, plan);
    assert.ok(session.budget.predict(plan.groups[0].baseline!) > 1e3);
    await measureGroup(session, plan.groups[0]);
    assert.deepEqual(statuses(), ["ok", "ok"]);
    assert.equal(tries(), 2);
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: a layer that a guess would split into dispatches is tried first", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const baseline = plan.groups[0].baseline!;
    const second = slowSession(gpu, plan, 1).session.budget.predict(baseline);
    // The prediction is proportional to the rate: half a second is slightly more than two
    // dispatches.
    for (const [seconds, tried] of [[0.5, 1], [0.1, 0]]) {
      const { session, tries } = slowSession(gpu, plan, second / seconds);
      assert.ok(Math.abs(session.budget.predict(baseline) - seconds) < 0.05 * seconds);
      await measureGroup(session, { ...plan.groups[0], candidates: [] });
      assert.equal(tries(), tried, `${seconds} s`);
    }
  } finally {
    gpu.destroy();
  }
});

Deno.test({
  ...slow("measureThroughput tries a shorter context in the same way"),
  fn: async (t) => {
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
  },
});

/** Implementations that log when they run and when their output is read; some change it. */
function traced(changes: Record<string, (data: Float32Array | Float16Array) => void> = {}) {
  const trace: string[] = [];
  const registry = IMPLEMENTATIONS.map((original): Implementation => ({
    ...original,
    prepare: async (gpu, problem, options) => {
      const prepared = await original.prepare(gpu, problem, options);
      return {
        ...prepared,
        execute: async (run) => {
          trace.push("run");
          const timing = await prepared.execute(run);
          const { output } = prepared.outputs;
          const data = await readTensor(gpu, output);
          changes[original.name]?.(data);
          writeTensor(gpu, output, data);
          return timing;
        },
        get outputs() {
          if (trace.at(-1) !== "read") trace.push("read");
          return prepared.outputs;
        },
      };
    },
  }));
  return { registry, trace };
}

Deno.test("measureGroup checks all cases of a batch between their first runs and their rounds", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const { session, statuses } = slowSession(gpu, plan, 1e12);
    const { registry, trace } = traced();
    await measureGroup({ ...session, registry }, plan.groups[0]);
    assert.deepEqual(statuses(), ["ok", "ok"]);
    // Dense and Lighthouse run once each, both are checked, and nothing is read between samples;
    // the run after the check is that of the selection probe.
    assert.match(trace.join(" "), /^run run read( run)+( read)?( run)+ read$/);
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: a wrong case has no time, but the others of its batch do", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    for (const wrong of ["dense", "lighthouse-norm"]) {
      const { session, records } = slowSession(gpu, plan, 1e12);
      const { registry } = traced({ [wrong]: (data) => data[data.length - 1] += 1 });
      await measureGroup({ ...session, registry }, plan.groups[0]);
      assert.equal(records().length, 2);
      for (const { implementation, status, samples, reason } of records()) {
        assert.equal(status, implementation === wrong ? "failed" : "ok");
        assert.equal(samples.length > 0, implementation !== wrong);
        if (implementation === wrong) assert.match(reason!, /^check of output failed/);
      }
      assert.equal(session.live.size, 0);
    }
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: stopped while it checks, it frees the layers and throws the reason", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    const plan = planOf(gpu, "latency");
    const { session, records } = slowSession(gpu, plan, 1e12);
    const stop = new AbortController();
    const step = (text: string) => text.endsWith("checking") && stop.abort(new Error("stopped"));
    const allocations = watchAllocations(gpu.device);
    const before = allocations.bytes;
    await assert.rejects(
      measureGroup({ ...session, step, signal: stop.signal }, plan.groups[0]),
      /^Error: stopped$/,
    );
    assert.deepEqual(records(), []);
    assert.equal(allocations.bytes, before);
  } finally {
    gpu.destroy();
  }
});

Deno.test("repeatsOf keeps a step of the clock below a hundredth of a sample", () => {
  const browser = { clock: "gpu" as const, timestampGranularity: 1e-4 };
  assert.equal(repeatsOf(browser, 164e-6), 61);
  assert.equal(repeatsOf(browser, 0.02), 1);
  assert.equal(repeatsOf(browser, 1e-9), 1000);
  const usual = { clock: "gpu" as const, timestampGranularity: 1e-6 };
  assert.equal(repeatsOf(usual, 126e-6), 1);
  assert.equal(repeatsOf({ clock: "gpu" }, 1e-6), 1);
  assert.equal(repeatsOf({ clock: "wall" }, 5e-3), 20);
  // Nothing is known of it yet.
  for (const seconds of [0, NaN]) assert.equal(repeatsOf(browser, seconds), 1);
});
