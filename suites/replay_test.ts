import assert from "node:assert/strict";
import { sampleResult } from "../reports/_sample_result.ts";
import { compareResults } from "../reports/gate/compare_results.ts";
import { describeReplay, replayExit } from "./cli/replay.ts";
import { parseBench } from "./cli/bench.ts";
import { UsageError } from "./errors.ts";
import { compareEnvironments, replayArguments, withoutPeers } from "./replay.ts";

Deno.test("replayArguments: same suites and grid, seed and choices spelled out, output left out", () => {
  const line = "latency --context 8192 --seed 1 --out here --profile=paper --resume --shard 1/2";
  const result = {
    ...sampleResult(),
    command: ["deno", "task", "bench", ...line.split(" ")],
    profile: "paper",
    seed: 99,
    configuration: { dtype: "f16" },
  };
  const parsed = parseBench(replayArguments(result))!;
  assert.deepEqual(parsed.suite.contexts, [8192]);
  assert.deepEqual(parsed.suite.suites, ["latency"]);
  const { seed, profile, dtype, resume, shard } = parsed.suite;
  assert.deepEqual({ seed, profile, dtype, resume, shard }, {
    seed: 99,
    profile: "paper",
    dtype: "f16",
    resume: false,
    shard: { index: 1, count: 2 },
  });
  assert.notEqual(parsed.suite.out, "here");
});

Deno.test("a replay runs no peer on a result's word, and does not miss its cases", () => {
  const before = sampleResult({ contexts: [8192], extras: true });
  before.command = ["deno", "task", "bench", "--peer", "python:/tmp/evil.py", "--peer=torch-fa2"];
  assert.equal(parseBench(replayArguments(before))!.suite.peers, undefined);
  const peer = before.cases.find(({ id }) => id.startsWith("latency/peer:"))!;
  before.ratios.push({ ...before.ratios[0], denominator: peer.id });
  const own = withoutPeers(before);
  assert.ok(!own.cases.some(({ implementation }) => implementation.startsWith("peer:")));
  assert.equal(own.cases.length, before.cases.length - 1);
  assert.equal(own.ratios.length, before.ratios.length - 1);
});

Deno.test("replayArguments refuses commands that are not the bench's", () => {
  for (const command of [["rm", "-rf", "/"], [], ["deno", "run", "-A", "https://x"]]) {
    assert.throws(
      () => replayArguments({ ...sampleResult(), command }),
      (error) => error instanceof UsageError && !/\n/.test(error.message),
    );
  }
  const hostile = { ...sampleResult(), command: ["deno", "task", "bench", "--evil", "x"] };
  assert.throws(() => parseBench(replayArguments(hostile)), UsageError);
});

Deno.test("a replay names what differs in the environment and in the digests", () => {
  const before = sampleResult({ contexts: [8192] });
  const now = structuredClone(before);
  now.startedAt = "2027-01-01T00:00:00Z";
  assert.deepEqual(compareEnvironments(before, now), []);
  now.environment.driver = "another driver";
  now.environment.packages.zod = "9.9.9";
  assert.deepEqual(compareEnvironments(before, now).map(({ name }) => name), [
    "driver",
    "package zod",
  ]);
  now.environment.driver = before.environment.driver;
  const same = compareResults(before, now);
  assert.equal(replayExit(same), 0);
  assert.match(describeReplay(before, now, same), /^Reproduced: \d+ exact fields equal/);
  now.cases[1].digest!.selection = "5".repeat(64);
  const other = compareResults(before, now);
  assert.equal(replayExit(other), 1);
  assert.match(describeReplay(before, now, other), /^Not reproduced[^]*digest\.selection was/);
});
