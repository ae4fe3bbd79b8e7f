import assert from "node:assert/strict";
import { sampleResult, sampleStatistic } from "../../suites/result/_sample_result.ts";
import * as analysis from "./analysis.ts";
import { qualityCases } from "./selection_data.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual / expected - 1) < 1e-9, `${actual} is not ${expected}`);

Deno.test("fitPowerLaw finds the exponent of noise-free points and the slope of noisy ones", () => {
  const fit = analysis.fitPowerLaw([[1, 5], [10, 500], [100, 50_000]])!;
  near(fit.exponent, 2);
  near(fit.coefficient, 5);
  // Residuals of +e, -2e, +e in log y leave the slope alone.
  const noisy = analysis.fitPowerLaw([[1, 5 * 1.1], [10, 500 / 1.21], [100, 50_000 * 1.1]])!;
  near(noisy.exponent, 2);
  assert.equal(analysis.fitPowerLaw([[8, 1]]), null);
  assert.equal(analysis.fitPowerLaw([[8, 1], [8, 2]]), null);
});

Deno.test("interpolateLogLog hits points, interpolates between them, and does not extrapolate", () => {
  const curve: [number, number][] = [[10, 1], [100, 100], [1000, 10_000]];
  near(analysis.interpolateLogLog(curve, 10)!, 10 ** 1.5);
  assert.equal(analysis.interpolateLogLog(curve, 100), 100);
  assert.equal(analysis.interpolateLogLog(curve, 0.5), null);
  assert.equal(analysis.interpolateLogLog(curve, 20_000), null);
});

Deno.test("findCrossover distinguishes at, below and above", () => {
  const points = (...ratios: number[]) =>
    ratios.map((ratio, i) => ({ context: 2 ** (13 + i), ratio }));
  const at = analysis.findCrossover(points(0.5, 2, 4))!;
  assert.equal(at.kind, "at");
  near(at.context, 2 ** 13.5);
  assert.deepEqual(analysis.findCrossover(points(1.2, 2)), { kind: "below", context: 8192 });
  assert.deepEqual(analysis.findCrossover(points(0.2, 0.9)), { kind: "above", context: 16_384 });
  assert.equal(analysis.findCrossover([]), null);
});

Deno.test("localFit gives the slope where a curve ends, and none where it bends there", () => {
  const contexts = [4, 8, 16, 32, 64, 128, 256].map((k) => 1024 * k);
  const of = (value: (n: number) => number) =>
    analysis.localFit(contexts.map((context) => [context, value(context)] as const));
  // A constant cost hides the square at short contexts only.
  const late = of((n) => 1e-4 + 1e-12 * n ** 2)!;
  assert.ok(late.exponent > 1.9, `${late.exponent}`);
  assert.deepEqual([late.from, late.to], [65_536, 262_144]);
  // A step inside the last factor of two is no power law.
  const kinked = [[65_536, 1], [98_304, 1], [131_072, 1.7]] as const;
  assert.equal(analysis.localFit(kinked), null);
  assert.equal(analysis.localFit([[8192, 1]]), null);
});

Deno.test("a series leaves the contexts out at which k is held when it says how it grows", () => {
  const result = sampleResult({ contexts: [4096, 8192, 16_384] });
  for (const record of result.cases) {
    if (!record.options) continue;
    record.rules = { k: "N/64" };
    record.options.k = Math.max(128, record.shape.context / 64);
  }
  const [, lighthouse] = analysis.contextSeries(result);
  assert.deepEqual([lighthouse.fit!.from, lighthouse.fit!.to], [8192, 16_384]);
});

Deno.test("contextSeries groups by implementation and leaves sweeps and failures out", () => {
  const result = sampleResult({ sweeps: true, extras: true });
  const series = analysis.contextSeries(result);
  assert.deepEqual(series.map(({ implementation }) => implementation), [
    "dense",
    "lighthouse-norm",
    "peer:onnxruntime-web",
  ]);
  const lighthouse = series[1];
  assert.equal(lighthouse.k, "N/64");
  assert.deepEqual(lighthouse.points.map(({ context }) => context), [
    8192,
    16_384,
    32_768,
    65_536,
    131_072,
    262_144,
    524_288,
  ]);
  assert.ok(series[0].fit!.exponent > 1.95 && series[0].fit!.exponent < 2.01);
});

Deno.test("contextSeries keeps one rule for k in one series where k is rounded up", () => {
  const result = sampleResult({ contexts: [2048, 4096, 8192] });
  for (const record of result.cases) {
    if (!record.options) continue;
    record.options.k = 128;
    record.rules = { k: "N/64" };
  }
  const series = analysis.contextSeries(result);
  assert.deepEqual(series.map(({ k, points }) => [k, points.length]), [[null, 3], ["N/64", 3]]);
});

Deno.test("series of several dilations are kept apart, the paper's first", () => {
  const result = sampleResult({ variants: true, contexts: [8192, 16_384] });
  const others = result.cases.filter(({ scorer }) => scorer === "dilated")
    .map((record) => structuredClone(record));
  for (const record of others) {
    record.options!.dilation = 2;
    record.id += "-δ2";
  }
  result.cases.push(...others);
  const series = analysis.contextSeries(result).filter(({ direction, implementation }) =>
    direction === "forward" && implementation !== "lighthouse-gla"
  );
  assert.deepEqual(series.map(({ dilation, points }) => [dilation, points.length]), [
    [null, 2],
    [null, 2],
    [4, 2],
    [2, 2],
  ]);
  const { names, shared } = shortSeriesNames(series);
  assert.deepEqual(names.slice(2), ["lighthouse-dilated, δ = 4", "lighthouse-dilated, δ = 2"]);
  assert.match(shared, /k = N\/64$/);
  assert.match(shortSeriesNames(series.slice(0, 3)).shared, /k = N\/64, δ = 4$/);
  const selections = qualityCases(result).filter(({ context, implementation }) =>
    context === 8192 && implementation === "lighthouse-dilated"
  );
  assert.deepEqual(new Set(selections.map((one) => one.distinction)), new Set(["δ = 4", "δ = 2"]));
  assert.ok(qualityCases(sampleResult({ variants: true })).every((one) => one.distinction === ""));
});

Deno.test("series of a sparse attention are told apart by their settings, those of a rule by the rule", () => {
  const result = sampleResult({ contexts: [8192, 16_384] });
  const sparse = (window: number | string) =>
    result.cases.filter(({ implementation, suite, direction }) =>
      implementation === "dense" && suite === "latency" && direction === "forward"
    ).map((record) => {
      const copy = structuredClone(record);
      const { context } = record.shape;
      const value = typeof window === "number" ? window : 9 * context / 512;
      Object.assign(copy, {
        id: `latency/sliding-window/forward/N${context}-w${value}-s4`,
        implementation: "sliding-window",
        family: "sparse",
        options: { window: value, sinks: 4 },
        ...typeof window === "string" && { rules: { window } },
      });
      return copy;
    });
  result.cases.push(...sparse(512), ...sparse("9N/512"));
  const series = analysis.contextSeries(result).filter(({ direction }) => direction === "forward");
  const own = series.filter(({ implementation }) => implementation === "sliding-window");
  assert.deepEqual(own.map(({ points, k, levels }) => [points.length, k, levels]), [
    [2, null, null],
    [2, null, null],
  ]);
  const { names, shared } = shortSeriesNames(series);
  assert.deepEqual(names.filter((name) => name.startsWith("sliding")), [
    "sliding-window, window = 512",
    "sliding-window, window = 9N/512",
  ]);
  assert.match(shared, /sliding-window with sinks = 4/);
});

Deno.test("a case whose check failed is never a point, whatever its status says", () => {
  const result = sampleResult();
  const record = result.cases.find(({ id }) => id.startsWith("latency/dense/forward/N524288"))!;
  record.check!.passed = false;
  assert.ok(!analysis.isMeasured(record));
  assert.ok(!analysis.speedupPoints(result).some(({ context }) => context === 524_288));
});

Deno.test("speedupPoints drops ratios of unknown cases and of different shapes", () => {
  const result = sampleResult({ contexts: [8192, 16_384] });
  const [first, second] = result.ratios;
  result.ratios.push(
    { ...first, denominator: second.denominator },
    { ...first, numerator: "latency/none" },
  );
  assert.equal(analysis.speedupPoints(result).length, 2);
});

Deno.test("achievedOf takes the lower of the two roofs", () => {
  const ceilings = { fmaF32: 100, fmaF16: null, matrix: null, copy: 10 };
  const memory = analysis.achievedOf({ flops: 20, bytes: 10, seconds: 2 }, ceilings);
  assert.equal(memory.bound, "memory");
  assert.equal(memory.ofRoof, 10 / 20);
  assert.equal(memory.ofCopy, 0.5);
  const compute = analysis.achievedOf({ flops: 2000, bytes: 10, seconds: 40 }, ceilings);
  assert.equal(compute.bound, "compute");
  assert.equal(compute.ofRoof, 0.5);
  assert.equal(
    analysis.achievedOf({ flops: 1, bytes: 1, seconds: 1 }, { ...ceilings, copy: null }).ofRoof,
    null,
  );
});

Deno.test("ceilingsOf takes the best matrix configuration and null if nothing was measured", () => {
  const matrix = [1e12, 3e12].map((rate, i) => ({
    config: `c${i}`,
    flopsPerSecond: sampleStatistic(rate),
  }));
  assert.equal(analysis.ceilingsOf({ clock: "gpu", matrix }).matrix, 3e12);
  assert.deepEqual(analysis.ceilingsOf(null), {
    fmaF32: null,
    fmaF16: null,
    matrix: null,
    copy: null,
  });
});

Deno.test("copyFloors divides by the copy of the minimum bytes, and sums", () => {
  const record = sampleResult({ contexts: [131_072] }).cases[1];
  for (const stage of record.stages) {
    stage.bytes = stage.name === "select" ? 0 : 1e9;
    stage.statistic = sampleStatistic(2e-3);
  }
  const floors = analysis.copyFloors(record, 1e12);
  assert.deepEqual(floors.map(({ stage }) => stage), [
    "score-and-pool",
    "gather",
    "scatter",
    "all",
  ]);
  near(floors[0].multiple, 2);
  near(floors[3].multiple, 8 / 3);
  assert.deepEqual(analysis.copyFloors(record, null), []);
});

Deno.test("stageSeconds falls back to the median of the samples", () => {
  const stage = { name: "x", flops: 0, bytes: 0 };
  assert.equal(analysis.stageSeconds({ ...stage, samples: [3, 1, 2] }), 2);
  assert.equal(analysis.stageSeconds({ ...stage, samples: [1, 2] }), 1.5);
  assert.equal(analysis.stageSeconds({ ...stage, samples: [] }), null);
});
