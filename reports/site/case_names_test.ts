import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { caseSetting, caseTitle } from "../text/case_title.ts";
import { CaseNames } from "./case_names.ts";
import { planSite } from "./runs.ts";

Deno.test("CaseNames: a title contains only what distinguishes a case from others of its name", () => {
  const result = sampleResult({ contexts: [8192], sweeps: true });
  const names = new CaseNames(planSite([{ name: "a", result }]));
  const titles = result.cases.map(({ id }) => names.title(id));
  assert.ok(titles.includes("Dense, 8K, forward"));
  assert.ok(titles.includes("Lighthouse norm, 8K, forward"));
  assert.ok(titles.some((title) => /^Lighthouse norm, 96K, forward, .*k = 2,048$/.test(title)));
  assert.equal(new Set(titles).size, titles.length, "no two cases have one title");
  assert.equal(names.title("latency/unknown"), "latency/unknown");
});

Deno.test("caseTitle and caseSetting: other suites are named, peers keep their names", () => {
  const [record] = sampleResult({ contexts: [98_304] }).cases;
  const peer = { ...record, suite: "throughput" as const, implementation: "peer:torch-fa2" };
  assert.equal(caseTitle(peer), "torch-fa2, 96K, forward · throughput");
  assert.equal(caseSetting(record), "H = 8, d = 128, f16");
});
