import assert from "node:assert/strict";
import { sampleResult } from "../reports/_sample_result.ts";
import { NotComparableError, UsageError } from "./errors.ts";
import { mergeResults } from "./merge.ts";
import { type Result, resultSchema } from "./result_schema.ts";

const WHOLE = sampleResult({ contexts: [8192, 16_384, 32_768] });
const IDS = WHOLE.cases.map(({ id }) => id);

/** Shard `index` of three: the pair of one context. */
function shard(index: number, change: (result: Result) => void = () => {}) {
  const mine = new Set(IDS.slice(2 * index - 2, 2 * index));
  const result: Result = {
    ...structuredClone(WHOLE),
    startedAt: `2026-01-0${index}T00:00:00Z`,
    command: ["deno", "task", "bench", "--shard", `${index}/3`, "--seed", "1"],
    cases: structuredClone(WHOLE.cases.filter(({ id }) => mine.has(id))),
    ratios: WHOLE.ratios.filter(({ denominator }) => mine.has(denominator)),
    shard: { index, count: 3, plan: "whole", cases: IDS },
  };
  change(result);
  return { name: `${index}.json`, result };
}

Deno.test("mergeResults joins shards in any order into the whole plan's result", async () => {
  const { result, missing } = await mergeResults([shard(3), shard(1), shard(2)]);
  assert.deepEqual(missing, []);
  assert.deepEqual(result.cases, WHOLE.cases);
  assert.deepEqual(result.ratios, WHOLE.ratios);
  assert.equal(result.hashes.plan, "whole");
  assert.equal(result.startedAt, "2026-01-01T00:00:00Z");
  assert.deepEqual(result.command, ["deno", "task", "bench", "--seed", "1"]);
  assert.equal((result as { shard?: unknown }).shard, undefined);
  assert.equal(result.finishedAt, WHOLE.finishedAt);
  resultSchema.parse(result);
});

Deno.test("mergeResults names missing cases and leaves the result unfinished", async () => {
  const { result, missing } = await mergeResults([shard(1), shard(3)]);
  assert.deepEqual(missing, IDS.slice(2, 4));
  assert.equal(result.finishedAt, null);
  assert.match(result.notes.join(), /2 of 3 shards.*2 cases of the plan are missing/);
});

Deno.test("mergeResults refuses mixed plans, machines, code, and a shard given twice", async () => {
  const refused: [(result: Result) => void, RegExp][] = [
    [(r) => (r as { shard?: { plan: string } }).shard!.plan = "other", /another plan/],
    [(r) => r.hashes.wgsl = "other", /another shader code/],
    [(r) => r.tool.commit = "f".repeat(40), /another commit/],
    [(r) => r.seed = 9, /another seed/],
    [(r) => r.environment.fingerprint = "other", /another machine/],
  ];
  for (const [change, message] of refused) {
    await assert.rejects(
      mergeResults([shard(1), shard(2, change)]),
      (error) => error instanceof NotComparableError && message.test(error.message),
    );
  }
  await assert.rejects(mergeResults([shard(1), shard(1)]), /are both shard 1\/3/);
  await assert.rejects(mergeResults([]), UsageError);
  await assert.rejects(mergeResults([{ name: "x", result: WHOLE }]), /x: it is no shard/);
});

Deno.test("mergeResults of mixed machines says so in every case and in the fingerprint", async () => {
  const elsewhere = shard(2, (r) => r.environment.fingerprint = "other");
  const { result } = await mergeResults([shard(1), elsewhere, shard(3)], { mixedMachines: true });
  const machines = new Set(result.cases.map((record) => (record as { machine?: string }).machine));
  assert.equal(machines.size, 2);
  assert.ok(!machines.has(result.environment.fingerprint));
  assert.match(result.notes.join(), /measured on 2 machines/);
});

Deno.test("mergeResults: a shared check that failed anywhere has failed", async () => {
  const check = (status: "ok" | "failed") => (result: Result) => {
    result.cases.push({ ...structuredClone(WHOLE.cases[0]), id: IDS[0], status });
    result.cases = result.cases.filter((record, i, all) =>
      all.findLastIndex(({ id }) => id === record.id) === i
    );
  };
  const { result } = await mergeResults([shard(1), shard(2, check("failed")), shard(3)]);
  assert.equal(result.cases[0].status, "failed");
});
