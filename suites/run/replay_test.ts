import assert from "node:assert/strict";
import { sampleResult } from "../result/_sample_result.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { countRuns, describeReplay, onlyCasesOf, replayExit } from "../cli/replay.ts";
import { parseBench } from "../cli/bench.ts";
import { UsageError } from "../errors.ts";
import { compareEnvironments, replayArguments, withoutPeers } from "./replay.ts";

Deno.test("replayArguments: same suites and grid, seed and choices spelled out, output left out", () => {
  const line =
    "latency --context 8192 --seed 1 --out here --force --profile=paper --resume --shard 1/2";
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
  assert.equal(parsed.suite.out, undefined);
  assert.equal(parsed.force, false);
});

Deno.test("replayArguments: the stack is the one that ran, whatever was requested", () => {
  for (const stack of ["deno", "dawn"] as const) {
    for (const asked of [[], ["--stack", "auto"], ["--stack=auto", "--no-keep-warm"]]) {
      const command = ["deno", "task", "bench", "latency", ...asked];
      const { suite } = parseBench(replayArguments({ ...sampleResult(), command, stack }))!;
      assert.deepEqual([suite.stack, suite.keepWarm], [stack, undefined], asked.join(" "));
    }
  }
});

Deno.test("a replay runs no peer that a result names, and its cases are not missing", () => {
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

Deno.test("a replay names differences in the environment and in the digests", () => {
  const before = sampleResult({ contexts: [8192] });
  const now = structuredClone(before);
  now.startedAt = "2027-01-01T00:00:00Z";
  assert.deepEqual(compareEnvironments(before, now), []);
  now.environment.driver = "another driver";
  now.environment.packages.zod = "9.9.9";
  now.keepWarm = {
    means: ["polled"],
    powerWatts: { count: 1, median: 400, highest: 400, limit: 500, atLimit: 0 },
  };
  assert.deepEqual(compareEnvironments(before, now).map(({ name }) => name), [
    "driver",
    "power limit in W",
    "package zod",
  ]);
  now.environment.driver = before.environment.driver;
  const same = compareResults(before, now);
  const ran = countRuns(before, now);
  assert.equal(replayExit(same, ran), 0);
  assert.match(
    describeReplay(before, now, { report: same }),
    /^Reproduced: \d+ exact fields equal/,
  );
  now.cases[1].digest!.selection = "5".repeat(64);
  const other = compareResults(before, now);
  assert.equal(replayExit(other, ran), 1);
  assert.match(
    describeReplay(before, now, { report: other }),
    /^Not reproduced[^]*digest\.selection was/,
  );
});

Deno.test("a replay on another adapter compares selections, and reports what could not run there", () => {
  const before = sampleResult({ contexts: [8192, 16_384] });
  for (const { digest, options } of before.cases) {
    if (options) digest!.seededSelection = "1".repeat(64);
  }
  const replayed = (change: (result: typeof before) => void) => {
    const now = structuredClone(before);
    now.startedAt = "2027-01-01T00:00:00Z";
    now.environment.fingerprint = "other";
    now.environment.adapter.description = "Another adapter";
    change(now);
    const report = compareResults(before, now);
    return {
      code: replayExit(report, countRuns(before, now)),
      text: describeReplay(before, now, { report }),
    };
  };
  const skip = (record: typeof before.cases[number]) =>
    Object.assign(record, { status: "skipped", reason: "no room", samples: [], digest: undefined });
  const fewer = replayed(({ cases }) => {
    skip(cases[0]);
    const lighthouse = cases.filter((record) => record.options);
    lighthouse[0].digest!.selection = "5".repeat(64);
  });
  assert.equal(fewer.code, 0);
  assert.match(fewer.text, /1 of the 4 cases that ran then did not run now/);
  assert.match(fewer.text, /from the device's scores: 1 of 2 have the same digest/);
  assert.match(fewer.text, /from seeded scores: 2 of 2 have the same digest/);
  const wrong = replayed(({ cases }) => {
    cases.find(({ options }) => options)!.digest!.seededSelection = "2".repeat(64);
  });
  assert.equal(wrong.code, 1);
  const nothing = replayed(({ cases }) => cases.forEach(skip));
  assert.equal(nothing.code, 5);
  assert.match(nothing.text, /^Nothing to compare/);
});

Deno.test("a replay that was stopped compares what it finished", () => {
  const before = sampleResult({ contexts: [8192, 16_384] });
  const now = structuredClone(before);
  now.startedAt = "2027-01-01T00:00:00Z";
  now.cases = now.cases.slice(0, 2);
  now.ratios = now.ratios.slice(0, 1);
  assert.equal(replayExit(compareResults(before, now), countRuns(before, now)), 1);
  const part = onlyCasesOf(before, now);
  assert.deepEqual([part.cases, part.ratios], [now.cases, now.ratios]);
  assert.equal(replayExit(compareResults(part, now), countRuns(part, now)), 0);
});
