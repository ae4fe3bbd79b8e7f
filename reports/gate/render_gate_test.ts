import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { compareResults } from "./compare_results.ts";
import { renderBmf } from "./render_bmf.ts";
import { renderGateJson, renderGateText } from "./render_gate.ts";
import { renderAnnotations, renderGateMarkdown } from "./render_github.ts";

const HOSTILE =
  "x\n::error::pwned ##[add-mask]x <img src=x onerror=alert(1)> @team | `a` \u001b[31m";

function report(cases = 2, hostile = false) {
  const contexts = Array.from({ length: cases }, (_, i) => 8192 * (i + 1));
  const [baseline, candidate] = [sampleResult({ contexts }), sampleResult({ contexts })];
  candidate.startedAt = "2027-01-01T00:00:00Z";
  candidate.hashes.wgsl = "f".repeat(64);
  for (const sample of candidate.cases[0].samples) sample.seconds *= 1.5;
  candidate.cases[1].digest!.output = hostile ? HOSTILE : "f".repeat(32);
  if (hostile) {
    for (const result of [baseline, candidate]) {
      result.cases[1].id = HOSTILE;
      result.tool.commit = HOSTILE;
      result.startedAt += HOSTILE;
      result.environment.adapter.description = HOSTILE;
    }
  }
  return { found: compareResults(baseline, candidate), candidate };
}

Deno.test("markdown leads with the verdict, names failures, and folds the rest", () => {
  const markdown = renderGateMarkdown(report().found);
  const [title, sentence] = markdown.split("\n\n");
  assert.match(title, /^### ❌ Failed: 1 case slower, 1 case with a different result/);
  assert.match(sentence, /digest\.output was 0011/);
  assert.match(sentence, /slower: 1\.50× the baseline's time/);
  assert.ok(markdown.indexOf("<details>") < markdown.indexOf("| Verdict"));
  assert.match(markdown, /<\/details>\n$/);
});

Deno.test("markdown of a large report fits a comment", () => {
  const markdown = renderGateMarkdown(report(120).found);
  assert.ok(markdown.length < 65_536, String(markdown.length));
  assert.match(markdown, /90 more cases in the JSON/);
});

Deno.test("annotations: errors for failures, at most ten of a kind, one notice", () => {
  const lines = renderAnnotations(report().found).trim().split("\n");
  assert.equal(lines.filter((line) => line.startsWith("::error title=")).length, 2);
  assert.match(lines.at(-1)!, /^::notice title=gate::Failed/);
  const { found } = report(30);
  const failing = found.cases.map((one) => ({ ...one, verdict: "missing" as const, fails: true }));
  const many = renderAnnotations({ ...found, cases: failing }).trim().split("\n");
  assert.equal(many.filter((line) => line.startsWith("::error")).length, 10);
});

Deno.test("hostile text from a file is harmless in every format", () => {
  const { found, candidate } = report(2, true);
  const texts = [
    renderGateText(found),
    renderGateMarkdown(found),
    renderAnnotations(found),
    renderGateJson(found),
    renderBmf(candidate, found),
  ];
  for (const text of texts) {
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(text, /\u001b|\r/);
    assert.doesNotMatch(text, /^\s*::error::/m);
  }
  for (const text of texts.slice(0, 3)) assert.ok(!text.includes("##["));
  assert.ok(!/<img|[^\u200b]@team/.test(texts[1].replace(/@\u200b/g, "")));
  assert.equal(texts[2].trim().split("\n").every((line) => line.startsWith("::")), true);
  JSON.parse(texts[3]);
});

Deno.test("Bencher metrics: nanoseconds and tokens per second with their bounds, and the ratio", () => {
  const { candidate, found } = report();
  const metrics = JSON.parse(renderBmf(candidate, found));
  const { id, statistic, throughput } = candidate.cases[0];
  assert.deepEqual(metrics[id].latency, {
    value: statistic!.median * 1e9,
    lower_value: statistic!.low * 1e9,
    upper_value: statistic!.high * 1e9,
  });
  assert.equal(metrics[id].throughput.value, throughput!.median);
  assert.equal(Object.keys(metrics).length, candidate.cases.length);
  const time = found.cases.find((one) => one.id === id)!.time!;
  assert.deepEqual(metrics[id]["baseline-latency"], { value: time.baselineSeconds * 1e9 });
  const { ratio: value, low: lower_value, high: upper_value } = time;
  assert.deepEqual(metrics[id]["time-ratio"], { value, lower_value, upper_value });
  assert.deepEqual(Object.keys(JSON.parse(renderBmf(candidate))[id]), ["latency", "throughput"]);
});

Deno.test("Bencher metrics of paired rounds: both sides and the throughput, over all rounds", () => {
  const { candidate, found } = report();
  const { id, statistic, throughput } = candidate.cases[0];
  const intervals = { baseline: [1, 2] as const, candidate: [2, 8] as const };
  const cases = found.cases.map((one) =>
    one.id === id
      ? { ...one, time: { ...one.time!, baselineSeconds: 1.5, candidateSeconds: 4, intervals } }
      : one
  );
  const metrics = JSON.parse(renderBmf(candidate, { cases }))[id];
  assert.deepEqual(metrics.latency, { value: 4e9, lower_value: 2e9, upper_value: 8e9 });
  assert.deepEqual(metrics["baseline-latency"], {
    value: 1.5e9,
    lower_value: 1e9,
    upper_value: 2e9,
  });
  const tokens = throughput!.median * statistic!.median;
  assert.deepEqual(metrics.throughput, {
    value: tokens / 4,
    lower_value: tokens / 8,
    upper_value: tokens / 2,
  });
});

Deno.test("text of runs on different adapters is short, even if one lacks many cases", () => {
  const baseline = sampleResult({ variants: true, sweeps: true });
  const candidate = sampleResult({ contexts: [8192], software: true, description: "llvmpipe" });
  candidate.startedAt = "2027-01-01T00:00:00Z";
  candidate.configuration = baseline.configuration;
  const found = compareResults(baseline, candidate);
  assert.equal(found.exitCode, 4);
  assert.ok(found.cases.filter(({ verdict }) => verdict === "missing").length > 30);
  const text = renderGateText(found, { width: 80 });
  assert.match(text, /^Not comparable: different adapters: /);
  const lines = text.split("\n");
  assert.ok(lines.length < 20, text);
  assert.ok(lines.every((line) => line.length <= 80 || !line.trim().includes(" ")), text);
});

Deno.test("text fits a terminal's width, and colours only known words", () => {
  const { found } = report();
  for (const width of [80, 120, 160]) {
    const table = renderGateText(found, { width }).split("\n").filter((line) => /^[│┌]/.test(line));
    assert.ok(table.every((line) => line.length <= width), table[0]);
    assert.match(table[1], /Verdict .* Case .* Time ratio .* Interval/);
  }
  const colored = renderGateText(found, { color: true });
  assert.ok(colored.startsWith("\u001b[31mFailed\u001b[0m: "));
  assert.ok(colored.includes("\u001b[31mslower (fails)\u001b[0m"));
  // deno-lint-ignore no-control-regex
  assert.equal(colored.replace(/\u001b\[\d+m/g, ""), renderGateText(found));
});
