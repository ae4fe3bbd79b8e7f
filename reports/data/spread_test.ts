import assert from "node:assert/strict";
import { sampleCase, sampleResult } from "../../suites/result/_sample_result.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { summarize } from "../../suites/statistics/statistics.ts";
import { formatMeasured, formatRatio, formatSpread } from "../text/format.ts";
import { isMeasured } from "./cases.ts";
import { achievedBy, unitCeilingOf, usesMatrixUnits } from "./ceilings.ts";
import { clampOf, contextSeries } from "./context_series.ts";
import { missingGroups, reasonText } from "./reasons.ts";
import { fastestDenseOf, speedupPoints } from "./speedups.ts";
import { LEAST_FOR_INTERVAL, ratioSpread, spreadOf } from "./spread.ts";

Deno.test("spreadOf: below six samples the range, from six on the interval", () => {
  for (let count = 1; count <= 12; count++) {
    const statistic = summarize(Array.from({ length: count }, (_, i) => 1 + i / 10));
    const spread = spreadOf(statistic);
    assert.equal(spread.count, count);
    assert.equal(spread.kind, count < LEAST_FOR_INTERVAL ? "range" : "interval");
    if (spread.kind === "range") {
      assert.deepEqual([spread.low, spread.high], [statistic.min, statistic.max]);
    }
    // The basis of the constant: the range covers the median with 1 - 2^(1 - n).
    assert.equal(1 - 2 ** (1 - count) >= 0.95, spread.kind === "interval");
  }
});

Deno.test("ratioSpread: a ratio counts its rounds and the side with fewer samples", () => {
  const pair = (samples: [number[], number[]], rounds: number) => {
    const [numerator, denominator] = samples.map((seconds) => {
      const record = sampleCase(8192);
      record.samples = seconds.map((one, i) => ({
        seconds: one,
        wallSeconds: one,
        round: i >> 1,
        place: i,
      }));
      record.statistic = summarize(seconds);
      return record;
    });
    return ratioSpread({ low: 1.9, high: 2.1, rounds }, { numerator, denominator });
  };
  assert.deepEqual(pair([[4, 5], [2, 2.5]], 1), { low: 1.6, high: 2.5, count: 2, kind: "range" });
  const many = Array.from({ length: 10 }, (_, i) => 1 + i / 100);
  assert.deepEqual(pair([many, many], 5), { low: 1.9, high: 2.1, count: 10, kind: "interval" });
  // Ten samples of dense attention, of which one round was this pair's: 5 would be another's.
  assert.equal(pair([many, [1, 1.5]], 1).count, 2);
  assert.equal(pair([many, many], 2).kind, "range");
});

Deno.test("formatSpread: n for a range, and no interval of a single value", () => {
  const spread = { low: 31.96, high: 32.1, count: 2, kind: "range" } as const;
  assert.equal(formatMeasured(32, spread, formatRatio), "32.0× (n = 2, range 32.0–32.1×)");
  assert.equal(
    formatMeasured(28.6, { low: 28.59, high: 28.61, count: 9, kind: "interval" }, formatRatio),
    "28.6× (within rounding)",
  );
  assert.equal(formatSpread({ low: 3, high: 3, count: 1, kind: "range" }, formatRatio), "n = 1");
});

Deno.test("clampOf: where k exceeds its rule, up to which context, and whether everywhere", () => {
  const at = (context: number, k: number, rule: string | number = "N/64") =>
    ({
      ...sampleCase(context, { lighthouse: { levels: 3, pooling: 4, k, scorer: "norm" } }),
      rules: { k: rule },
    }) as CaseRecord;
  const cases = [at(2048, 128), at(4096, 128), at(8192, 128), at(16_384, 256)];
  assert.deepEqual(clampOf(cases), { k: 128, upTo: 4096, whole: false });
  assert.deepEqual(clampOf(cases.slice(0, 2)), { k: 128, upTo: 4096, whole: true });
  assert.equal(clampOf(cases.slice(2)), null);
  assert.equal(clampOf([at(2048, 128, 128), at(4096, 128, 128)]), null);
  const result = { ...sampleResult({ contexts: [] }), cases };
  assert.deepEqual(contextSeries(result).map(({ k, clamp }) => [k, clamp?.upTo]), [["N/64", 4096]]);
});

Deno.test("fastestDenseOf: a peer that is faster than our dense attention, at the same shape only", () => {
  const result = sampleResult({ contexts: [8192, 16_384], extras: true });
  const peers = result.cases.filter(({ id }) => id.startsWith("latency/peer:"));
  const points = () => speedupPoints(result).map(fastestDenseOf(result));
  assert.deepEqual(points(), [null, null], "it is slower");
  const own = result.cases.find(({ id }) => id.startsWith("latency/dense/forward/N16384"))!;
  const faster = peers.find(({ shape }) => shape.context === 16_384)!;
  faster.statistic = { ...own.statistic!, median: own.statistic!.median / 2 };
  const [short, long] = points();
  assert.equal(short, null);
  const [, point] = speedupPoints(result);
  assert.equal(long!.implementation, "peer:onnxruntime-web");
  assert.ok(Math.abs(long!.ratio - point.ratio / 2) < 1e-9);
  faster.check!.passed = false;
  assert.deepEqual(points(), [null, null], "a case that failed its check does not count");
});

Deno.test("unitCeilingOf: a case is compared with the unit that ran", () => {
  const rate = (flopsPerSecond: number) => summarize(new Array(6).fill(flopsPerSecond));
  const base = sampleResult({ contexts: [8192] });
  const result: Result = {
    ...base,
    stack: "dawn",
    calibration: {
      ...base.calibration!,
      fmaF32: rate(60e12),
      fmaF16: rate(65e12),
      matrix: [{ config: "f16", flopsPerSecond: rate(640e12) }],
    },
  };
  const dense = result.cases.filter(isMeasured).find(({ implementation }) =>
    implementation === "dense"
  )!;
  const running = (variant: string | undefined, flopsPerSecond: number, name = "dense") => ({
    ...dense,
    implementation: name,
    stages: dense.stages.map((stage) => ({ ...stage, variant })),
    statistic: { ...dense.statistic, median: dense.flops / flopsPerSecond },
  });
  const fast = running("matrix units 8/32/2/2", 360e12);
  assert.equal(usesMatrixUnits(fast), true);
  assert.equal(unitCeilingOf(fast, result)!.unit, "matrix units");
  assert.equal(Math.round(100 * achievedBy(fast, result).ofUnit!), 56);
  // Slow on matrix units is still on matrix units.
  assert.equal(unitCeilingOf(running("matrix units 4/32", 30e12), result)!.unit, "matrix units");
  assert.equal(unitCeilingOf(running("portable 128", 30e12), result)!.unit, "f32 FMA");
  // For a peer only the speed is known; above every measured ceiling there is no share.
  assert.equal(unitCeilingOf(running(undefined, 350e12, "peer:x"), result)!.unit, "matrix units");
  assert.equal(unitCeilingOf(running(undefined, 900e12, "peer:x"), result), null);
  const portable = { ...result, stack: "deno" as const };
  assert.equal(unitCeilingOf(running(undefined, 30e12), portable)!.unit, "f32 FMA");
});

Deno.test("missingGroups: one for each reason, with the range of its numbers, failures first", () => {
  const missing = (reason: string, status: CaseRecord["status"] = "skipped") => ({
    ...sampleCase(8192),
    status,
    reason,
  });
  const cases = [
    missing("predicted 3 s; 0.00 s of the budget are left"),
    missing("predicted 9 s; 1.5 s of the budget are left"),
    missing("k 768 leaves 96 entries"),
    missing("device lost", "failed"),
    sampleCase(8192),
  ];
  const groups = missingGroups({ cases });
  assert.deepEqual(groups.map(({ state, reason, cases }) => [state, reason, cases.length]), [
    ["failed", "device lost", 1],
    ["skipped", "predicted 3–9 s; 0–1.50 s of the budget are left", 2],
    ["skipped", "k 768 leaves 96 entries", 1],
  ]);
  assert.equal(reasonText(cases[0]), "predicted 3 s; nothing of the budget was left");
});

Deno.test("missingGroups gives small fractions of a second in their own unit", () => {
  const result = sampleResult({ contexts: [8192, 16_384] });
  const seconds = ["0.00164", "0.0297"];
  result.cases.slice(0, 2).forEach((record, i) =>
    Object.assign(record, {
      status: "skipped",
      reason: `predicted ${seconds[i]} s; the budget of 20 s is spent`,
    })
  );
  const [{ reason }] = missingGroups(result);
  assert.match(reason, /^predicted 1\.64–29\.7 ms; the budget of 20 s is spent$/);
  assert.equal(
    reasonText({
      reason:
        "k 256 leaves 64 coarsest entries a tile, at least 128 are needed (k at most 128 here)",
    }),
    "k 256 gives each tile 64 entries of the pyramid's coarsest level, at least 128 are needed (k at most 128 here)",
  );
});
