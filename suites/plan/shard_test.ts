import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { exitCodeOf } from "../run/runner.ts";
import { planShares, sharesOf } from "../run/_planned.ts";
import { plannedCases, type RunPlan, shardPlan } from "../run/plan_run.ts";
import type { PlannedDevice } from "./planned_case.ts";
import { dealOut, parseShard } from "./shard.ts";

const caseIds = (plan: Pick<RunPlan, "suites">) => plannedCases(plan).map(({ id }) => id);

const DEVICE = {
  capabilities: {
    f16: true,
    timestamps: true,
    subgroups: false,
    subgroupMatrix: [],
    subgroupMinSize: 0,
    subgroupMaxSize: 0,
  },
  adapter: {
    vendor: "v",
    architecture: "a",
    device: "d",
    description: "x",
    isFallbackAdapter: false,
    software: false,
  },
  deviceMemoryBytes: null,
  limits: {
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxBufferSize: 2 ** 33,
    maxComputeWorkgroupStorageSize: 32768,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupsPerDimension: 65535,
    minStorageBufferOffsetAlignment: 256,
  },
} as unknown as PlannedDevice;

Deno.test("shards of a paper plan cover it: groups once, checks wherever a case waits for them", () => {
  const plan = planShares({ profile: "paper" }, { device: DEVICE });
  for (const count of [1, 2, 5, 40]) {
    const shards = Array.from(
      { length: count },
      (_, i) => sharesOf(shardPlan(plan, { index: i + 1, count })),
    );
    const groups = shards.flatMap((shard) => shard.groups);
    assert.equal(groups.length, plan.groups.length);
    assert.equal(new Set(groups).size, plan.groups.length);
    const throughput = shards.flatMap((shard) => shard.throughput);
    assert.equal(new Set(throughput).size, plan.throughput.length);
    assert.equal(throughput.length, plan.throughput.length);
    assert.deepEqual(new Set(shards.flatMap(caseIds)), new Set(caseIds(plan)));
    for (const shard of shards) {
      const ids = caseIds(shard);
      for (const group of shard.groups) {
        const gates = [group.baseline, ...group.candidates].flatMap((entry) =>
          entry?.gate !== undefined && entry.plan ? [entry.gate] : []
        );
        assert.ok(gates.every((gate) => ids.includes(gate)));
      }
    }
  }
});

Deno.test("shardPlan is deterministic and spreads the work", () => {
  const plan = planShares({ profile: "paper" }, { device: DEVICE });
  const again = planShares({ profile: "paper" }, { device: DEVICE });
  const ids = (index: number, of = plan) => caseIds(shardPlan(of, { index, count: 3 }));
  for (const index of [1, 2, 3]) assert.deepEqual(ids(index), ids(index, again));
  assert.ok(
    [1, 2, 3].every((index) => sharesOf(shardPlan(plan, { index, count: 3 })).groups.length > 0),
  );
});

Deno.test("parseShard refuses everything but i/n", () => {
  for (const bad of ["0/8", "9/8", "1/0", "1", "a/b", "1/2/3", "-1/2", "1/9999", ""]) {
    assert.throws(() => parseShard(bad), (error) => error instanceof UsageError);
  }
  assert.throws(() => parseShard("3/2"), /^UsageError: shard "3\/2": 3 is above 2$/);
});

Deno.test("dealOut assigns every piece to one shard, the heaviest first, and spreads the weight", () => {
  const weights = [1, 9, 3, 3, 2];
  assert.deepEqual(dealOut(weights, { count: 2 }), [2, 1, 2, 2, 2]);
  assert.deepEqual(dealOut([1, 1, 1], { count: 5 }), [1, 2, 3]);
  assert.deepEqual(dealOut([], { count: 3 }), []);
});

Deno.test("an empty shard passes, a run that measured nothing fails", () => {
  const empty = { ...sampleResult(), cases: [] };
  assert.equal(exitCodeOf(empty), 5);
  const shard = { index: 3, count: 3, plan: "", cases: [] };
  assert.equal(exitCodeOf({ ...empty, shard }), 0);
  assert.equal(exitCodeOf({ ...empty, shard, finishedAt: null }), 3);
  // Stopped while the device was calibrated: it can be resumed.
  assert.equal(exitCodeOf({ ...empty, finishedAt: null }), 3);
});
