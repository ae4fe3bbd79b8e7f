import assert from "node:assert/strict";
import fc from "fast-check";
import { sampleResult } from "../suites/result/_sample_result.ts";
import type { CaseRecord, RatioRecord, Result } from "../suites/result/result_schema.ts";
import { ALL_CASES, LONG_CASES, slow } from "../tools/_cases.ts";
import { spoiledResult } from "./_spoil_result.ts";
import { saveAll } from "./html/_page_script.ts";
import { renderReport } from "./render_report.ts";

const LATER = "2026-01-01T00:00:00.000Z";

Deno.test("renderReport: every valid result has a page, exports, a summary and a comparison", async () => {
  await fc.assert(
    fc.asyncProperty(spoiledResult(), async (result) => {
      const page = renderReport(result);
      await saveAll(page);
      const text = page.replace(/<script[^]*?<\/script>/g, "");
      assert.doesNotMatch(text, /\bundefined\b|\[object Object\]/);
      renderReport(result, { format: "markdown" });
      renderReport(result, { format: "terminal" });
      renderReport([result, { ...result, startedAt: LATER }]);
    }),
    { numRuns: LONG_CASES ? 400 : ALL_CASES ? 100 : 12, seed: 1 },
  );
});

Deno.test("renderReport: stages that only shorter contexts separate are shown for those", () => {
  const result = sampleResult({ contexts: [8192, 16_384, 32_768] });
  for (const record of result.cases.filter(({ shape }) => shape.context > 16_000)) {
    record.stages.forEach((stage) => {
      stage.samples = [];
      delete stage.statistic;
    });
  }
  assert.match(renderReport(result), /<h2>At 8K, attention takes [\d.]+\s%/);
  for (const record of result.cases) record.stages = [];
  assert.doesNotMatch(renderReport(result), /id="stages"/);
});

/** Results with the requested number of cases, each kind growing in another direction. */
const SHAPES: Record<string, (count: number) => Result> = {
  contexts: (count) =>
    sampleResult({ contexts: Array.from({ length: count / 2 }, (_, i) => 512 * (i + 1)) }),
  settings: (count) => manyOf(count, (record, i) => record.options && (record.options.k += i)),
  implementations: (count) => manyOf(count, (record, i) => record.implementation = `other-${i}`),
  peers: (count) =>
    manyOf(count, (record, i) => {
      record.implementation = `peer:other-${i}`;
      record.family = "dense";
      delete record.options;
      delete record.scorer;
    }),
  "selection quality": (count) =>
    manyOf(count, (record, i) => record.shape.heads = i + 1, { variants: true }),
};

/** Copies of one Lighthouse case with its dense one, each changed by its number. */
function manyOf(
  count: number,
  change: (record: CaseRecord, i: number) => unknown,
  options: { variants?: boolean } = {},
): Result {
  const result = sampleResult({ contexts: [8192], samples: 2, ...options });
  const dense = result.cases.find(({ implementation }) => implementation === "dense")!;
  const layer = result.cases.find(({ scorer, direction }) =>
    scorer === "norm" && direction === "forward"
  )!;
  const [ratio] = result.ratios;
  const cases: CaseRecord[] = [dense];
  const ratios: RatioRecord[] = [];
  for (let i = 0; i < count; i++) {
    const record = structuredClone(layer);
    change(record, i);
    record.id = `${layer.id}-${i}`;
    cases.push(record);
    ratios.push({ ...ratio, numerator: dense.id, denominator: record.id });
  }
  return { ...result, cases, ratios };
}

for (const [name, make] of Object.entries(SHAPES)) {
  const title = `renderReport: its time grows with the number of ${name}, not with the square`;
  const fn = () => {
    const seconds = (result: Result) => {
      const started = performance.now();
      for (const format of ["html", "markdown", "terminal"] as const) {
        renderReport(result, { format });
      }
      return performance.now() - started;
    };
    const [few, many] = [make(250), make(1500)];
    // The first one compiles.
    seconds(few);
    // Both sides of a ratio are measured under the same load, which a busy machine changes at any time.
    // Linear growth is a factor of six, quadratic thirty-six.
    let ratio = Infinity;
    for (let i = 0; i < 8 && ratio > 15; i++) {
      const base = seconds(few);
      ratio = Math.min(ratio, seconds(many) / base);
    }
    assert.ok(ratio <= 15, `six times the cases take ${ratio.toFixed(1)} times as long`);
  };
  Deno.test({ ...slow(title), fn });
}
