import assert from "node:assert/strict";
import { retrievalSchema } from "../../suites/retrieval/record.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { renderHtml } from "../html/render_html.tsx";
import { rateColor } from "../charts/rate_map.tsx";
import { heatMaps, survivalPoints, sweepCurves } from "./retrieval_data.ts";

/** A cell from a formula: nothing in it was measured. */
function cell(parts: Record<string, unknown>) {
  return {
    sweep: "grid",
    arm: "dense",
    context: 2048,
    depth: 50,
    margin: 4,
    attended: 2048,
    needles: 1,
    trials: 100,
    correct: 50,
    low: 0.4,
    high: 0.6,
    needleSelected: 100,
    querySelected: 100,
    lost: { needle: 0, query: 0, diluted: 50 },
    largest: 10,
    mass: 0.1,
    norm: 1,
    outputError: 0,
    paired: [],
    ...parts,
  };
}

const norm = { levels: 3, pooling: 2, k: 128, scorer: "norm" };

const RECORD = retrievalSchema.parse({
  profile: "synthetic",
  headDim: 32,
  dtype: "f32",
  seed: 1,
  trials: 100,
  confidence: 0.99,
  cells: [
    cell({ context: 4096, depth: 0, correct: 80 }),
    cell({ context: 2048, depth: 0, correct: 60 }),
    cell({ context: 2048, depth: 100, correct: 100 }),
    cell({ arm: "random", depth: 0, correct: 10 }),
    ...[[1, 10], [1.2, 40], [1.4, 80]].map(([salience, needleSelected]) =>
      cell({
        sweep: "salience",
        arm: "lighthouse-norm",
        lighthouse: norm,
        salience,
        needleSelected,
      })
    ),
    cell({
      sweep: "salience",
      arm: "lighthouse-gla",
      lighthouse: { ...norm, scorer: "gla" },
      salience: 1,
      needleSelected: 7,
    }),
    ...[5, 2].map((margin) => cell({ sweep: "transition", margin, correct: 10 * margin })),
  ],
  instrument: [{
    quantity: "mass",
    context: 2048,
    margin: 5,
    trials: 100,
    measured: 0.101,
    law: 0.1,
    low: 0.09,
    high: 0.11,
    passed: true,
  }],
  laws: [2, 5].map((margin) => ({
    context: 2048,
    margin,
    largest: 0.1,
    mass: 0.1,
    accuracy: 0.3,
  })),
  survivalLaws: [{ context: 2048, k: 128, salience: 1.31 }],
  skipped: ["gla at <script>: too long"],
  seconds: 1,
});

Deno.test("heatMaps: one axis for all arms, null where nothing was measured, the mean of the rest", () => {
  const [dense, random] = heatMaps(RECORD);
  assert.deepEqual([dense.contexts, dense.depths], [[2048, 4096], [0, 100]]);
  assert.deepEqual(dense.cells.map((row) => row.map((one) => one?.correct)), [[60, 80], [
    100,
    undefined,
  ]]);
  assert.ok(Math.abs(dense.mean - 0.8) < 1e-12);
  assert.deepEqual([random.arm, random.contexts, random.mean], ["random", [2048, 4096], 0.1]);
});

Deno.test("sweepCurves orders each arm by the varied quantity", () => {
  const [curve] = sweepCurves(RECORD, { sweep: "transition" });
  assert.deepEqual(curve.cells.map(({ margin }) => margin), [2, 5]);
});

Deno.test("survivalPoints interpolates the crossing of one half, or gives the side on which it lies", () => {
  const points = survivalPoints(RECORD);
  const [own, gla] = ["norm", "gla"].map((name) => points.find(({ scorer }) => scorer === name)!);
  assert.ok(Math.abs(own.salience! - 1.25) < 1e-12);
  assert.deepEqual([own.ratio, own.law, own.beyond], [1 / 16, 1.31, null]);
  assert.deepEqual([gla.salience, gla.beyond], [null, "above"]);
});

Deno.test("rateColor: lightness grows with the rate, and text stays readable on it", () => {
  const lightness = (rate: number) => {
    const [r, g, b] = rateColor(rate).fill.match(/[0-9a-f]{2}/g)!.map((part) => parseInt(part, 16));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (let i = 0; i < 20; i++) assert.ok(lightness((i + 1) / 20) > lightness(i / 20));
  assert.deepEqual([rateColor(0).light, rateColor(1).light], [true, false]);
});

Deno.test("the retrieval section: maps, laws beside measurements, sentences from the numbers", () => {
  const html = renderHtml([{ ...sampleResult({ contexts: [2048] }), retrieval: RECORD }]);
  const section = /<section id="retrieval">[^]*?<\/section>/.exec(html)![0];
  assert.match(section, /dense: mean 80\.0 %|Dense: mean 80\.0 %/);
  assert.match(section, /law of dense attention/);
  assert.match(section, /1 of 1 measurement lie|1 of 1 measurement/);
  assert.match(section, /at most 1\.0\s% off its expectation/);
  assert.match(section, /1\.25 times the other keys’ norm at K\/N\s=\s1\/16/);
  assert.match(section, /not run: no trained model/);
  assert.match(section, /gla at &lt;script>/);
  for (const figure of section.match(/<figure [^]*?<\/figure>/g)!) {
    assert.match(figure, /<figcaption/);
    assert.match(figure, /<table[ >]/);
  }
  assert.doesNotMatch(section, /NaN|undefined|Infinity/);
  assert.ok(!renderHtml([sampleResult({ contexts: [2048] })]).includes('id="retrieval"'));
});
