import assert from "node:assert/strict";
import fc from "fast-check";
import { invertStatistic, summarize } from "../../../suites/statistics/statistics.ts";
import { makeLean, makeWhole } from "./lean_result.ts";

type Lean = Parameters<typeof makeLean>[0];

/** A result of one case with a stage, with its statistics as a run makes them. */
function resultOf(seconds: readonly number[], flagged: readonly number[]): Lean {
  const samples = [
    ...seconds.map((seconds) => ({ seconds })),
    ...flagged.map((seconds) => ({ seconds, flag: "clock" })),
  ];
  return {
    cases: [{
      samples,
      statistic: { ...summarize(seconds) },
      throughput: { ...invertStatistic(seconds, { scale: 8192 }) },
      shape: { context: 8192 },
      stages: [{ samples: seconds, statistic: { ...summarize(seconds) } }],
    }],
  };
}

const times = fc.array(fc.integer({ min: 1, max: 10_000 }).map((ticks) => ticks * 32e-9), {
  minLength: 1,
  maxLength: 60,
});

Deno.test("makeWhole gives back every digit that makeLean took", () => {
  fc.assert(
    fc.property(times, times, fc.double({ noNaN: true }), (seconds, flagged, other) => {
      const result = resultOf(seconds, flagged);
      // A value that follows from nothing stays.
      Object.assign(result.cases[0].statistic!, { high: other });
      const before = JSON.stringify(result);
      makeLean(result);
      makeWhole(result);
      assert.equal(JSON.stringify(result), before);
    }),
    { numRuns: 100, seed: 1 },
  );
});

Deno.test("makeLean leaves no number of a statistic that its samples give", () => {
  const result = resultOf([4e-6, 1e-6, 3e-6, 2e-6, 9e-6], [5e-6]);
  makeLean(result);
  const { statistic, throughput, stages } = result.cases[0];
  for (const one of [statistic, throughput, stages![0].statistic]) {
    const { median, min, max, mean } = one!;
    assert.deepEqual({ median, min, max, mean }, { median: "2", min: "0", max: "4", mean: "*" });
  }
});
