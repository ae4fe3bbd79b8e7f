import assert from "node:assert/strict";
import quality from "../../fixtures/gate/quality.json" with { type: "json" };
import recorded from "../../fixtures/gate/software_runs.json" with { type: "json" };
import { measureQuality, MODELS, pairUp, recordedRuns, synthesizePairs } from "./_quality.ts";

Deno.test("the committed quality meets its bounds: false alarms, and slowdowns found", () => {
  assert.equal(quality.length, 8);
  for (const { noise, comparisons, falseAlarmRate } of quality) {
    assert.ok(comparisons >= 200 && falseAlarmRate <= 0.01, noise);
  }
  const quiet = quality.filter(({ noise }) => noise.includes("quiet"));
  for (const { detection } of quiet) {
    assert.ok(detection["5 %"].rate >= 0.95 && detection["20 %"].rate === 1);
  }
  const desktop = quality.find(({ noise }) => noise.includes("desktop"))!;
  assert.ok(desktop.detection["10 %"].rate >= 0.8 && desktop.detection["20 %"].rate === 1);
});

Deno.test("the committed quality of the recorded runs is what the gate finds today", () => {
  const row = quality.find((one) => one.noise.startsWith("recorded") && one.history === 0)!;
  const { noise: _, history: __, ...expected } = row;
  const pairs = pairUp(recordedRuns(recorded), { history: false });
  assert.deepEqual(measureQuality(pairs, { slowed: "dense" }), expected);
});

Deno.test("a few synthetic pairs find what the committed quality says", () => {
  const pairs = synthesizePairs(MODELS["quiet GPU"], { pairs: 6, history: 0 });
  const { falseAlarms, detection } = measureQuality(pairs, { slowed: "dense" });
  assert.equal(falseAlarms, 0);
  assert.equal(detection["20 %"].rate, 1);
  assert.ok(detection["5 %"].rate > 0.8);
});
