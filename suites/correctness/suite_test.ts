import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import type { CaseRecord } from "../result/result_schema.ts";
import type { Session } from "../measure/session.ts";
import { planRun } from "../run/plan_run.ts";
import { suite } from "./suite.ts";

Deno.test("checks run several at a time on a real GPU, and are recorded in order", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const software of [false, true]) {
    const events: string[] = [];
    const records: CaseRecord[] = [];
    const registry = IMPLEMENTATIONS.map((one) => ({
      ...one,
      prepare: (...given: Parameters<typeof one.prepare>) => {
        events.push(`start ${one.name}`);
        return one.prepare(...given);
      },
    }));
    const names = ["dense", "sliding-window", "moba"];
    const device = { ...gpu, adapter: { ...gpu.adapter, software } };
    const plan = planRun(
      {
        profile: "smoke",
        suites: ["correctness"],
        implementations: names,
        contexts: [256],
        headDims: [32],
        directions: ["forward"],
      },
      { ...device, deviceMemoryBytes: null },
      {
        registry,
        suites: [suite],
      },
    );
    const [{ plan: { groups } }] = plan.suites;
    const session = {
      gpu: device,
      seed: 1,
      registry,
      finished: (id: string) => records.find((record) => record.id === id),
      step: () => {},
      record: (record: CaseRecord) => {
        events.push(`record ${record.implementation}`);
        records.push(record);
        return Promise.resolve();
      },
    } as unknown as Session;
    const measurer = suite.begin(session, { plan: plan.suites[0].plan } as never);
    for (const [i, group] of groups.entries()) {
      await measurer.measure(group, { later: groups.slice(i + 1), after: [] });
    }
    const planned = groups.flatMap(({ candidates }) => candidates.map(({ id }) => id));
    assert.ok(planned.length >= 3);
    assert.deepEqual(records.map(({ id }) => id), planned);
    for (const { status, reason } of records) assert.equal(status, "ok", reason);
    // On the cores that a software adapter computes on, one after the other.
    const before = events.findIndex((event) => event.startsWith("record"));
    const started = events.slice(0, before).filter((event) => event.startsWith("start"));
    assert.equal(started.length, software ? 1 : Math.min(4, planned.length), events.join(", "));
  }
  gpu.destroy();
});
