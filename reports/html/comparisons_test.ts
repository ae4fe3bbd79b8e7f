import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { renderHtml } from "./render_html.tsx";

/** The page without its embedded results and scripts, so that the rest can be searched. */

Deno.test("several results start with a comparison and keep their sections apart", () => {
  const html = renderHtml([
    sampleResult(),
    sampleResult({ contexts: [4096, 8192], software: true, description: "llvmpipe" }),
  ]);
  assert.match(html, /<h1 class="verdict">At 8K, the longest context that the runs have in common/);
  assert.match(html, /compare the ratios and the slopes, not the times/);
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length, "ids are unique");
  assert.ok(ids.includes("run-1-latency") && ids.includes("run-2-latency"));
  assert.match(
    renderHtml([sampleResult(), sampleResult({ seed: 7 })]),
    /their times can be compared/,
  );
});

Deno.test("a peer's interleaved ratio reads as peer time over dense time in either order", () => {
  const result = sampleResult({ contexts: [8192], extras: true });
  const dense = result.cases.find(({ id }) => id.startsWith("latency/dense/"))!.id;
  const peer = result.cases.find(({ id }) => id.startsWith("latency/peer:"))!.id;
  const base = { method: "abba" as const, rounds: 4 };
  assert.match(renderHtml([result]), /1\.60× \(medians, not interleaved\)/);
  result.ratios.push({ ...base, numerator: peer, denominator: dense, ratio: 4, low: 2, high: 5 });
  assert.match(renderHtml([result]), /4\.00× \(2\.00–5\.00×\)/);
  result.ratios.pop();
  result.ratios.push({
    ...base,
    numerator: dense,
    denominator: peer,
    ratio: 0.25,
    low: 0.2,
    high: 0.5,
  });
  assert.match(renderHtml([result]), /4\.00× \(2\.00–5\.00×\)/);
});

Deno.test("memory: a peer's is what it used, never our plan", () => {
  const result = sampleResult({ extras: true });
  const peers = result.cases.filter(({ id }) => id.startsWith("latency/peer:"));
  const section = () => {
    const html = renderHtml([result]);
    const from = html.indexOf('id="memory"');
    return html.slice(from, html.indexOf("<section", from));
  };
  for (const record of peers) delete record.measuredPeakBytes;
  assert.ok(!section().includes("peer:"));
  for (const record of peers) record.measuredPeakBytes = 1000 * record.peakBytes;
  assert.ok(section().includes("peer:onnxruntime-web"));
  assert.ok(section().includes("The largest case of ours that ran holds"));
  assert.ok(!section().includes("differs from the plan"));
});

Deno.test("peers: a figure against context, versions, and why one could not run", () => {
  const result = sampleResult({ contexts: [8192, 16_384, 32_768], extras: true });
  result.peers = [
    {
      asked: "ort-web",
      implementation: "peer:onnxruntime-web",
      computes: "dense",
      versions: { "onnxruntime-web": "9.8.7" },
      device: null,
      timing: "GPU timestamps",
    },
    {
      asked: "python:<x>.py",
      implementation: "peer:x",
      computes: "dense",
      versions: {},
      device: null,
      timing: "none",
      unavailable: "there is no <python3>",
    },
  ];
  assert.match(renderHtml([result]), /<dt>Stack<\/dt><dd>deno<\/dd>/);
  result.stackChoice = { asked: "auto", reason: "a <software> adapter" };
  assert.match(renderHtml([result]), /<dt>Stack<\/dt><dd>deno \(a &lt;software(>|&gt;) adapter\)</);
  result.keepWarm = { means: ["nothing was done"] };
  const html = renderHtml([result]);
  assert.match(html, /onnxruntime-web \(onnxruntime-web 9\.8\.7\)/);
  assert.match(html, /Forward: their time over ours against context/);
  assert.match(html, /there is no &lt;python3>|there is no &lt;python3&gt;/);
  assert.match(html, /Keeping the clock up[^]*Nothing was done\./);
  result.keepWarm = {
    means: ["a context"],
    clockMHz: { count: 9, lowest: 1200, median: 1980, highest: 1980, limit: 1980 },
    powerWatts: { count: 9, median: 321.4, highest: 709.2, limit: 700, atLimit: 4 },
  };
  assert.match(
    renderHtml([result]),
    /A context\. 9 readings of the clock[^]*up to 709 W of at most 700 W; at the limit in 4 of 9/,
  );
});
