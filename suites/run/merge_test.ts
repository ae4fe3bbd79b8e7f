import assert from "node:assert/strict";
import { sampleResult } from "../result/_sample_result.ts";
import { NotComparableError, UsageError } from "../errors.ts";
import { mergeResults } from "./merge.ts";
import { type Result, resultSchema } from "../result/result_schema.ts";

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
  await assert.rejects(mergeResults([{ name: "x", result: WHOLE }]), /x: it is not a shard/);
});

Deno.test("mergeResults of mixed machines says so in every case and in the fingerprint", async () => {
  const elsewhere = shard(2, (r) => r.environment.fingerprint = "other");
  const reason = "matrix units on the first machine's adapter";
  const first = shard(1, (r) => r.stackChoice = { asked: "auto", reason });
  const { result } = await mergeResults([first, elsewhere, shard(3)], { mixedMachines: true });
  assert.equal(result.stackChoice, undefined);
  const machines = new Set(result.cases.map((record) => (record as { machine?: string }).machine));
  assert.equal(machines.size, 2);
  assert.ok(!machines.has(result.environment.fingerprint));
  assert.match(result.notes.join(), /measured on 2 machines/);
});

Deno.test("mergeResults keeps why the stack was chosen, and refuses shards of two stacks", async () => {
  const stackChoice = { asked: "auto", reason: "matrix units on NVIDIA H200" } as const;
  const dawn = (r: Result) => Object.assign(r, { stack: "dawn", stackChoice });
  const { result } = await mergeResults([1, 2, 3].map((i) => shard(i, dawn)));
  assert.deepEqual([result.stack, result.stackChoice], ["dawn", stackChoice]);
  await assert.rejects(
    mergeResults([shard(1, dawn), shard(2)]),
    (error) => error instanceof NotComparableError && /another stack/.test(error.message),
  );
});

Deno.test("mergeResults: a shared check fails if it failed anywhere", async () => {
  const check = (status: "ok" | "failed") => (result: Result) => {
    result.cases.push({ ...structuredClone(WHOLE.cases[0]), id: IDS[0], status });
    result.cases = result.cases.filter((record, i, all) =>
      all.findLastIndex(({ id }) => id === record.id) === i
    );
  };
  const { result } = await mergeResults([shard(1), shard(2, check("failed")), shard(3)]);
  assert.equal(result.cases[0].status, "failed");
});

Deno.test("mergeResults: a failure of a shared check is kept, whatever the other shards report", async () => {
  const check = (status: "ok" | "failed" | "skipped" | "inconclusive") => (result: Result) => {
    result.cases = result.cases.filter(({ id }) => id !== IDS[0]);
    result.cases.push({ ...structuredClone(WHOLE.cases[0]), id: IDS[0], status });
  };
  const status = async (...all: Parameters<typeof check>[0][]) => {
    const shards = all.map((status, i) => shard(i + 1, check(status)));
    return (await mergeResults(shards)).result.cases[0].status;
  };
  assert.equal(await status("skipped", "failed", "ok"), "failed");
  assert.equal(await status("failed", "skipped", "ok"), "failed");
  assert.equal(await status("skipped", "ok", "skipped"), "ok");
  assert.equal(await status("inconclusive", "ok", "ok"), "inconclusive");
  const unlike = shard(2, (result) => {
    check("ok")(result);
    result.cases.at(-1)!.digest = { output: "f".repeat(32) };
  });
  const { result } = await mergeResults([shard(1), unlike, shard(3)]);
  assert.match(result.notes.join(), /shards found different digests of latency/);
});

Deno.test("mergeResults joins the shards' reports on peers, and refuses two versions of one", async () => {
  const peer = (versions: Record<string, string>, unavailable?: string) => (result: Result) => {
    const own = { implementation: "peer:torch", asked: "torch", computes: "dense", versions };
    const more = { device: null, timing: "host clock", ...(unavailable && { unavailable }) };
    result.peers = [{ ...own, ...more }] as Result["peers"];
  };
  const there = shard(2, peer({ torch: "2.11.0" }));
  const lacking = shard(1, peer({}, "no torch"));
  const { result } = await mergeResults([lacking, there, shard(3)]);
  assert.deepEqual(result.peers?.map(({ versions }) => versions), [{ torch: "2.11.0" }]);
  resultSchema.parse(result);
  await assert.rejects(
    mergeResults([shard(1, peer({ torch: "2.10.0" })), there]),
    (error) =>
      error instanceof NotComparableError && /another version of a peer/.test(error.message),
  );
});

Deno.test("mergeResults joins only times of one clock, on mixed machines too", async () => {
  const wall = shard(2, (result) => result.calibration!.clock = "wall");
  for (const options of [{}, { mixedMachines: true }]) {
    await assert.rejects(
      mergeResults([shard(1), wall, shard(3)], options),
      (error) =>
        error instanceof NotComparableError &&
        error.message === "merge 2.json: its times are wall clock, those of 1.json GPU timestamps",
    );
  }
  // A shard without times has no clock, and the other shards' calibration is kept.
  const idle = shard(1, (result) => result.calibration = null);
  await assert.rejects(mergeResults([idle, wall, shard(3)]), NotComparableError);
  const { result } = await mergeResults([idle, shard(2), shard(3)]);
  assert.deepEqual(result.calibration, WHOLE.calibration);
});

Deno.test("mergeResults keeps the coarsest clock step, and notes a slower device", async () => {
  const coarse = shard(2, ({ calibration }) => calibration!.timestampGranularity = 1e-3);
  const one = (await mergeResults([shard(1), coarse])).result;
  assert.equal(one.calibration!.timestampGranularity, 1e-3);
  assert.ok(!one.notes.some((note) => /arithmetic/.test(note)));
  const slow = shard(3, ({ calibration }) => calibration!.fmaF32!.median /= 2);
  const { notes } = (await mergeResults([shard(1), slow])).result;
  assert.match(notes.join(), /the device reached 0\.50 of the arithmetic in shard 3/);
});

Deno.test("mergeResults: if uncommitted changes are unknown in a shard, they are unknown in the result", async () => {
  const dirty = async (...values: (boolean | null)[]) => {
    const parts = values.map((value, i) => shard(i + 1, ({ tool }) => tool.dirty = value));
    return (await mergeResults(parts)).result.tool.dirty;
  };
  assert.equal(await dirty(false, false), false);
  assert.equal(await dirty(null, false), null);
  assert.equal(await dirty(null, true), true);
});
