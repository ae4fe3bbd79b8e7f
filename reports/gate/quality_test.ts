import assert from "node:assert/strict";
import quality from "../../fixtures/gate/quality.json" with { type: "json" };
import recorded from "../../fixtures/gate/software_runs.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { exactRateInterval } from "../../suites/statistics/quantiles.ts";
import {
  CONTEXTS,
  GRID,
  MACHINES,
  measureQuality,
  measureSetting,
  recordedPairs,
  type Setting,
  slow,
  SLOWDOWNS,
  synthesizeRun,
} from "./_quality.ts";
import { compareResults } from "./compare_results.ts";
import { judgePair, levelsOf, pairTimes, weighNoise } from "./compare_times.ts";
import { DEFAULTS } from "./gate_config.ts";
import { rateOf } from "./quality_table.ts";
import { timesOfRun } from "./timed_case.ts";
import { slow as slowTest } from "../../tools/_cases.ts";

/** The bound that the gate promises. */
const BOUND = 0.01;

const keyOf = ({ contexts, kinds, history, within, between, drift, unseen }: Setting) =>
  JSON.stringify([contexts, kinds, history, within, between, drift, unseen]);

Deno.test("the committed quality covers the grid and keeps the bound at every number of contexts", () => {
  assert.deepEqual(quality.grid.map(keyOf), GRID.map(keyOf));
  assert.deepEqual([...new Set(GRID.map(({ contexts }) => contexts))], [...CONTEXTS]);
  for (const row of quality.grid) {
    assert.ok(row.runs >= 400);
    // A single setting may be unlucky, but not beyond chance.
    const [low] = exactRateInterval(row.falseAlarms, row.runs, { confidence: 0.98 });
    assert.ok(low <= BOUND, keyOf(row));
  }
  for (const contexts of CONTEXTS) {
    for (const between of [0, 0.005, 0.02]) {
      const rows = quality.grid.filter((row) =>
        row.contexts === contexts && row.between === between
      );
      const counts = rows.map(({ runs, falseAlarms }) => ({ runs, alarms: falseAlarms }));
      assert.ok(rateOf(counts).limit <= BOUND, `${contexts} contexts, ${between} between`);
    }
  }
});

Deno.test("the committed quality keeps the bound with one kind of cases, where only the assumption is known", () => {
  assert.deepEqual([...new Set(quality.oneKind.map((row) => row.contexts))], [...CONTEXTS]);
  for (const row of quality.oneKind) {
    assert.ok(row.kinds === 1 && row.runs >= 1600 && row.falseAlarms / row.runs <= BOUND);
    assert.ok(row.detection.one["20 %"] >= 0.9, keyOf(row));
  }
});

Deno.test("the committed quality finds slowdowns: of all cases, of one, with and without history", () => {
  for (const row of quality.grid) {
    const name = keyOf(row);
    assert.ok(row.detection.one["50 %"] >= 0.9, name);
    if (row.drift > 0) continue;
    assert.ok(row.detection.all["20 %"] >= 0.99, name);
    assert.ok(row.detection.one["20 %"] >= 0.6, name);
    if (row.between > 0.005 || row.within > 0.005) continue;
    assert.ok(row.detection.all["10 %"] >= 0.8 && row.detection.one["20 %"] === 1, name);
    if (row.history > 0) assert.ok(row.detection.one["10 %"] >= 0.98, name);
  }
});

/** Whether a slowdown was found as often as published, up to chance in both. */
function agrees(found: number, runs: number, published: { rate: number; runs: number }): boolean {
  const [, high] = exactRateInterval(Math.round(found * runs), runs, { confidence: 0.9998 });
  const count = Math.round(published.rate * published.runs);
  return exactRateInterval(count, published.runs, { confidence: 0.998 })[0] <= high;
}

/** A sub-grid: the fewest and the most contexts, the noisiest cases, with and without drift. */
const PART = quality.grid.filter(({ contexts, between, within, drift }) =>
  (contexts === 2 || contexts === 7) && between === 0.02 && (within === 0.005 || drift > 0)
);

/** Comparisons with other seeds than the committed quality. */
const AFRESH = { runs: 40, first: 10_000 };

Deno.test({
  ...slowTest(
    "other seeds on a part of the grid: no more false alarms, and slowdowns found as often",
  ),
  fn: () => {
    const counts: { runs: number; alarms: number }[] = [];
    for (const published of PART) {
      const { contexts, kinds, history, within, between, drift, unseen } = published;
      const setting = { contexts, kinds, history, within, between, drift, unseen };
      const row = measureSetting(setting, AFRESH);
      counts.push({ runs: row.runs, alarms: row.falseAlarms });
      for (const target of ["one", "all"] as const) {
        for (const [size, rate] of Object.entries(published.detection[target])) {
          const found = row.detection[target][size];
          assert.ok(
            agrees(found, row.runs, { rate, runs: published.runs }),
            `${keyOf(setting)} ${target} ${size}: ${found}`,
          );
        }
      }
    }
    const { runs, alarms } = rateOf(counts);
    const [low] = exactRateInterval(alarms, runs, { confidence: 0.998 });
    assert.ok(runs >= 400 && low <= BOUND, `${alarms} of ${runs} comparisons with a false alarm`);
  },
});

Deno.test("the same seeds give the committed row", () => {
  const [published] = quality.grid;
  const { contexts, kinds, history, within, between, drift, unseen } = published;
  const setting = { contexts, kinds, history, within, between, drift, unseen };
  assert.deepEqual({ ...setting, ...measureSetting(setting, { runs: published.runs }) }, published);
});

Deno.test("the committed quality of the recorded runs matches the gate's current findings", () => {
  for (const { history, ...published } of quality.recorded) {
    const pairs = recordedPairs(recorded, { history: history > 0 });
    assert.deepEqual(measureQuality(pairs), published);
    assert.equal(published.falseAlarms, 0);
  }
});

Deno.test("the study's verdicts equal those of compareResults on whole results", () => {
  const baseline = synthesizeRun(MACHINES.quiet, 1);
  const history = [3, 4, 5].map((seed) => synthesizeRun(MACHINES.quiet, seed));
  for (const slowdown of [0, ...SLOWDOWNS]) {
    const candidate = synthesizeRun(MACHINES.quiet, 2);
    const slowed = structuredClone(candidate) as Result;
    for (const sample of slowed.cases[0].samples) sample.seconds *= 1 + slowdown;
    for (const earlier of [[], history]) {
      const report = compareResults(baseline, slowed, { history: earlier });
      const after = new Map(timesOfRun(candidate).map((times) => [times.id, times]));
      const pairs = pairTimes(
        timesOfRun(baseline).map((times) => ({ baseline: times, candidate: after.get(times.id)! })),
      ).map((pair) => pair.id === slowed.cases[0].id ? slow(pair, 1 + slowdown) : pair);
      const evidence = weighNoise(pairs, {
        earlier: [baseline, ...earlier].map((run) => timesOfRun(run)),
      });
      const settings = { ...DEFAULTS, times: "gate" as const, accept: [], mayVanish: false };
      const levels = levelsOf(DEFAULTS.confidence, pairs.length);
      const step = baseline.calibration!.timestampGranularity!;
      const verdicts = new Map(pairs.map((pair, i) => [
        pair.id,
        judgePair(pair, { evidence: evidence[i], settings, levels, step }).verdict,
      ]));
      for (const { id, verdict } of report.cases) assert.equal(verdict, verdicts.get(id), id);
    }
  }
});
