import assert from "node:assert/strict";
import { readResult } from "../../suites/result/read_result.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { summarizeRun } from "./run_summary.ts";

const of = async (name: string) =>
  summarizeRun(
    await readResult(new URL(`../../fixtures/baselines/${name}.json`, import.meta.url).pathname),
  );

Deno.test("summarizeRun: the claim that a run has a value for, with its verdict", async () => {
  const forward = await of("h100-dawn-512k");
  assert.match(
    forward.found,
    /^28\.6× \([\d.]+–[\d.]+×, n = \d+\) over dense at 512K, forward$/,
  );
  assert.equal(forward.verdict, "reproduced");
  const few = await of("h200-default");
  assert.match(
    few.found,
    /^[\d.]+× \(n = [2-5], range [\d.]+–[\d.]+×\) over dense at 512K, forward$/,
  );
  const backward = await of("h100-deno-512k-backward");
  assert.match(
    backward.found,
    /^35\.6× \(n = \d, range .*\) over dense at 512K, forward and backward$/,
  );
  assert.equal(backward.verdict, "reproduced");
});

Deno.test("summarizeRun: else the longest context, a peer, needles, or a time", async () => {
  const cases: [string, RegExp][] = [
    ["h100-dawn-peers", /^22\.6× \(n = 4, range [\d.]+–[\d.]+×\) over dense at 128K, forward$/],
    [
      "h100-dawn-fa2",
      /^No difference in speed shows between torch-fa2 and our dense at \d+K \(n = \d+\)$/,
    ],
    ["h100-deno-retrieval", /^463,793 needle trials in 2,310 cells$/],
    ["h100-deno-1m", /^Lighthouse norm, .*, forward: 2\.44 s$/],
  ];
  for (const [name, found] of cases) {
    const summary = await of(name);
    assert.match(summary.found, found);
    assert.equal(summary.verdict, null);
    assert.doesNotMatch(summary.found + summary.measured, /not run/);
  }
});

Deno.test("summarizeRun: what was measured, in a line", async () => {
  assert.equal(
    (await of("h100-dawn-512k")).measured,
    "latency · 512K · Lighthouse norm, Dense, 1 peer",
  );
  const checks = sampleResult({ contexts: [8192], extras: true });
  checks.cases = checks.cases.filter(({ suite }) => suite === "correctness");
  checks.ratios = [];
  assert.deepEqual(summarizeRun(checks), {
    found: "3 checks passed, nothing timed",
    verdict: null,
    measured: "checks",
  });
});
