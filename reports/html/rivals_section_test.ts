import assert from "node:assert/strict";
import { tokenSelectionSection } from "./block_selection_section.tsx";
import { render } from "preact-render-to-string";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { sampleRetrieval } from "../../suites/result/_sample_retrieval.ts";
import { addRivals } from "../../suites/result/_sample_rivals.ts";
import { resultSchema } from "../../suites/result/result_schema.ts";
import { pairsOf, rivalComparisons, rivalNeedles } from "../data/rivals_data.ts";
import { renderHtml } from "./render_html.tsx";
import { rivalsSection } from "./rivals_section.tsx";

function sample() {
  const result = sampleResult({ contexts: [16_384, 65_536], variants: true });
  result.retrieval = sampleRetrieval();
  return addRivals(result);
}

Deno.test("rivals: published and matched settings apart, one series for each preset and number of key heads", () => {
  const result = sample();
  resultSchema.parse(result);
  const found = rivalComparisons(result);
  assert.deepEqual(found.map(({ direction, group }) => [direction, group]), [
    ["forward", "published"],
    ["forward", "matched"],
    ["forward-backward", "published"],
    ["forward-backward", "matched"],
  ]);
  for (const { series, group } of found) {
    const labels = series.map(({ label }) => label);
    assert.equal(new Set(labels).size, labels.length, labels.join("; "));
    assert.deepEqual(labels.slice(0, 2), ["dense", "Lighthouse norm"]);
    // NSA cannot be matched.
    assert.equal(labels.some((label) => label.startsWith("nsa")), group === "published");
    assert.ok(labels.includes("dsa, 1 key head") && labels.includes("dsa, 8 key heads"));
    for (const { points, implementation } of series) {
      assert.ok(points.length > 0);
      for (const { share, pairs, case: { shape } } of points) {
        assert.equal(share, pairs / (shape.context ** 2 / 2));
        if (implementation === "dense") assert.equal(share, 1);
        // As many as Lighthouse has, up to whole blocks, which short contexts have few of.
        if (group === "matched" && implementation !== "dense" && shape.context > 20_000) {
          assert.ok(Math.abs(share / (9 / 256) - 1) < 0.35, `${implementation} ${share}`);
        }
      }
    }
  }
  // At 65,536 blocks of 1,024 and three of them have 2.5 blocks for most queries.
  const moba = result.cases.find(({ id }) => id.includes("moba/forward/N65536-H8-d128-f16-b1024"))!;
  assert.ok(Math.abs(pairsOf(moba)! / (65536 * 1024 * 2.5) - 1) < 0.05);
});

Deno.test("rivals: the section has figures, pairs at each point, reasons and needles; without rivals there is none", () => {
  const result = sample();
  result.cases.push({
    ...result.cases.find(({ implementation }) => implementation === "nsa")!,
    id: "latency/nsa/forward/too-long",
    status: "skipped",
    reason: "it has no room",
    statistic: undefined,
  });
  const html = renderHtml([result]);
  for (const direction of ["forward", "forward-backward"]) {
    for (const group of ["published", "matched"]) {
      assert.ok(html.includes(`id="rivals-figure-${direction}-${group}"`));
    }
  }
  const section = render(rivalsSection(result, "")!.content);
  assert.match(section, /"64K, 3\.\d %\s?of dense pairs"/);
  assert.ok(html.includes("it has no room"));
  assert.ok(html.includes("NSA cannot be matched"));
  const tokens = render(tokenSelectionSection(result, "")!.content);
  for (const share of ["5.0 %", "2.6 %", "15.0 %"]) assert.ok(tokens.includes(share), share);
  assert.ok(
    html.includes('id="rival-needles-context"') && html.includes('id="rival-needles-depth"'),
  );
  const { rates, arms, margin } = rivalNeedles(result)!;
  assert.equal(margin, 4);
  assert.deepEqual(arms.map(({ arm }) => arm), [
    "dense",
    "lighthouse-norm",
    "random",
    ...["sliding-window", "bigbird", "moba", "nsa", "dsa", "hisa"],
  ]);
  assert.ok(rates.every(({ selected, trials }) => selected <= trials));
  // Rivals' needles are not drawn among those of Lighthouse.
  const plain = sampleResult({ contexts: [16_384], variants: true });
  plain.retrieval = sampleRetrieval();
  const maps = (text: string) => text.match(/id="[^"]*map[^"]*"/g)?.length ?? 0;
  const without = renderHtml([plain]);
  assert.equal(maps(html), maps(without));
  assert.ok(!without.includes("rivals-figure"));
  assert.equal(rivalNeedles(plain), null);
});
