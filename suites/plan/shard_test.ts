import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { planRun } from "./plan.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { exitCodeOf } from "../run/runner.ts";
import { caseIds, parseShard, shardCuts, shardPlan } from "./shard.ts";

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
} as unknown as Parameters<typeof planRun>[1];

Deno.test("shards of a paper plan cover it: groups once, checks wherever they are waited for", () => {
  const plan = planRun({ profile: "paper" }, DEVICE, IMPLEMENTATIONS);
  for (const count of [1, 2, 5, 40]) {
    const shards = Array.from(
      { length: count },
      (_, i) => shardPlan(plan, { index: i + 1, count }),
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
  const plan = planRun({ profile: "paper" }, DEVICE, IMPLEMENTATIONS);
  const again = planRun({ profile: "paper" }, DEVICE, IMPLEMENTATIONS);
  const ids = (index: number, of = plan) => caseIds(shardPlan(of, { index, count: 3 }));
  for (const index of [1, 2, 3]) assert.deepEqual(ids(index), ids(index, again));
  assert.ok([1, 2, 3].every((index) => shardPlan(plan, { index, count: 3 }).groups.length > 0));
});

Deno.test("parseShard refuses everything but i/n", () => {
  for (const bad of ["0/8", "9/8", "1/0", "1", "a/b", "1/2/3", "-1/2", "1/9999", ""]) {
    assert.throws(() => parseShard(bad), (error) => error instanceof UsageError);
  }
});

Deno.test("shardCuts deals every piece to one shard", () => {
  const cuts = ["a", "b", "c", "d", "e"];
  for (const count of [1, 2, 3, 8]) {
    const dealt = Array.from({ length: count }, (_, i) => shardCuts(cuts, { index: i + 1, count }));
    assert.deepEqual(dealt.flat().sort(), cuts);
    assert.ok(dealt.every(({ length }) => length <= Math.ceil(cuts.length / count)));
  }
});

Deno.test("a shard that has nothing to do is fine, a run that measured nothing is not", () => {
  const empty = { ...sampleResult(), cases: [] };
  assert.equal(exitCodeOf(empty), 5);
  const shard = { index: 3, count: 3, plan: "", cases: [] };
  assert.equal(exitCodeOf({ ...empty, shard }), 0);
  assert.equal(exitCodeOf({ ...empty, shard, finishedAt: null }), 5);
});
