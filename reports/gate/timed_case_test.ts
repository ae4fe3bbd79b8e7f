import assert from "node:assert/strict";
import type { Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { compareResults } from "./compare_results.ts";
import { canarySeconds, clockStep, timesOf, timesOfRun } from "./timed_case.ts";

Deno.test("timesOf: counted samples, as measured and relative to the canary around each", () => {
  const [record] = sampleResult({ contexts: [8192], samples: 4 }).cases;
  record.samples.forEach((sample, i) => {
    sample.canary = 1 + 0.1 * i;
    sample.seconds = 2 * sample.canary;
    delete sample.flag;
  });
  record.samples[3].flag = "clock";
  const times = timesOf(record, { canarySeconds: 0.5 })!;
  assert.deepEqual([times.count, times.kind], [3, "latency/dense/forward"]);
  assert.ok(Math.abs(times.measured.log - Math.log(2.2)) < 1e-12);
  assert.ok(times.measured.deviation > 0.05);
  // Samples that follow the canary do not scatter relative to it.
  assert.ok(Math.abs(times.byCanary!.log - Math.log(4)) < 1e-12);
  assert.ok(times.byCanary!.deviation < 1e-12);
});

Deno.test("timesOf: without a canary no reading by it; without counted samples no times", () => {
  const [record] = sampleResult({ contexts: [8192] }).cases;
  assert.equal(timesOf(record)!.byCanary, null);
  delete record.samples[0].canary;
  assert.equal(timesOf(record, { canarySeconds: 1 })!.byCanary, null);
  for (const sample of record.samples) sample.flag = "clock";
  assert.equal(timesOf(record), undefined);
  record.samples = [];
  assert.equal(timesOf(record), undefined);
});

Deno.test("clockStep: as recorded, else the smallest step between repeated sample values", () => {
  const result = sampleResult({ contexts: [8192, 16_384], samples: 6 });
  assert.equal(clockStep(result), result.calibration!.timestampGranularity);
  result.calibration!.clock = "wall";
  assert.equal(clockStep(result), 0, "no two samples are alike");
  result.cases[0].samples.forEach((sample, i) => sample.seconds = 0.02 + (i % 2) * 1e-4);
  assert.ok(Math.abs(clockStep(result) - 1e-4) < 1e-12);
});

Deno.test("canarySeconds and timesOfRun take a whole run", () => {
  const result = sampleResult({ contexts: [8192] });
  assert.equal(canarySeconds(result), 1e-3);
  assert.equal(timesOfRun(result).length, result.cases.length);
  result.calibration = null;
  assert.equal(canarySeconds(result), null);
  assert.equal(timesOfRun(result)[0].byCanary, null);
});

Deno.test("canaries of different lengths are compared per trip, and only if both record it", () => {
  const run = (calibration: { canaryTrips?: number; seconds: number }, seconds: number) => {
    const result = structuredClone(sampleResult());
    result.calibration!.canary!.median = calibration.seconds;
    result.calibration!.canaryTrips = calibration.canaryTrips;
    for (const { samples } of result.cases) {
      samples.forEach((sample) => Object.assign(sample, { seconds, canary: 1, flag: undefined }));
    }
    return result;
  };
  const byCanary = (result: Result, options?: { perTrip?: boolean }) =>
    timesOfRun(result, options)[0].byCanary?.log;
  const near = (a: number | undefined, b: number) =>
    assert.ok(Math.abs(a! - b) < 1e-12, `${a}, ${b}`);
  const baseline = run({ canaryTrips: 1000, seconds: 1e-3 }, 0.5);
  const before = byCanary(baseline)!;
  // The same clock, a canary of twice the length: the same time.
  const longer = run({ canaryTrips: 2000, seconds: 2e-3 }, 0.5);
  near(byCanary(longer), before);
  near(canarySeconds(longer)! / canarySeconds(baseline)!, 1);
  // Half the clock, for which a canary of half the trips was chosen: the clock cancels.
  const slow = run({ canaryTrips: 500, seconds: 1e-3 }, 1);
  near(byCanary(slow), before);
  near(canarySeconds(slow)! / canarySeconds(baseline)!, 2);
  // A run from before trips were recorded cannot be compared with one that has them.
  const old = run({ seconds: 1e-3 }, 0.5);
  assert.equal(byCanary(old, { perTrip: true }), undefined);
  assert.equal(canarySeconds(old, { perTrip: true }), null);
  assert.equal(canarySeconds(old), 1e-3);
  const { noise } = compareResults(old, longer);
  assert.equal(noise.canaryShift, null);
  near(compareResults(baseline, slow).noise.canaryShift!, Math.log(2));
});

Deno.test("timesOf: a sample at its own power limit is divided by the canary before it alone", () => {
  const [record] = sampleResult({ contexts: [8192], samples: 4 }).cases;
  const marked = (canaryBefore?: number) => {
    for (const sample of record.samples) {
      Object.assign(sample, { seconds: 2, canary: 1.3, atPowerLimit: true, canaryBefore });
      delete sample.flag;
    }
    return timesOf(record, { canarySeconds: 1 })!;
  };
  assert.ok(Math.abs(marked(1.1).byCanary!.log - Math.log(2 / 1.1)) < 1e-12);
  assert.ok(marked(1.1).atPowerLimit);
  assert.equal(marked().byCanary, null, "nothing tells what others did to the clock");
});
