import assert from "node:assert/strict";
import type { Result } from "../../suites/result/result_schema.ts";
import { BASELINE, caseOf, compare, DENSE, run, slow } from "./_compared_runs.ts";
import { compareResults } from "./compare_results.ts";
import { renderGateText } from "./render_gate.ts";

Deno.test("compareResults: a low clock is inconclusive and not a difference of the code", () => {
  const report = compare((result) => {
    const record = result.cases.find(({ id }) => id.startsWith(DENSE))!;
    record.status = "inconclusive";
    record.samples.forEach((sample) => sample.flag = "clock");
    delete record.statistic;
  });
  const found = caseOf(report, DENSE);
  assert.equal(found.verdict, "inconclusive");
  assert.deepEqual(found.differences.map(({ severity }) => severity), ["note"]);
  assert.equal(report.outcome, "inconclusive");
});

Deno.test("compareResults: a case that ran out of time is inconclusive, a dropped one fails", () => {
  const skip = (reason: string) =>
    compare((result) => {
      const record = result.cases.find(({ id }) => id.startsWith(DENSE))!;
      Object.assign(record, { status: "skipped", reason, predictedSeconds: 3, samples: [] });
      delete record.statistic;
    });
  const late = skip("predicted 3 s for one execution; 1 s of the budget are left");
  assert.deepEqual([late.exitCode, caseOf(late, DENSE).verdict], [3, "inconclusive"]);
  assert.equal(skip("d=96 is not supported").exitCode, 1);
  assert.equal(skip("k 1536 is beyond the selection budget").exitCode, 1);
  // A suite with its own seconds, whose cases have no samples: not measured is not the same verdict.
  const untimed = (result: Result) => {
    const record = result.cases.find(({ id }) => id.startsWith(DENSE))!;
    return Object.assign(record, { suite: "retrieval", samples: [], statistic: undefined });
  };
  const baseline = run("2026-01-01T00:00:00Z", untimed);
  for (
    const reason of ["not reached within the budget of 50 s", "left out: the budget was spent"]
  ) {
    const report = compareResults(
      baseline,
      run("2026-01-02T00:00:00Z", (result) => {
        Object.assign(untimed(result), { status: "skipped", reason });
      }),
    );
    assert.deepEqual([report.exitCode, caseOf(report, DENSE).verdict], [3, "inconclusive"]);
  }
});

Deno.test("compareResults: a peer's time, bits and absence fail nothing, but its check does", () => {
  const withPeer = (result: Result, versions: Record<string, string> = { torch: "2.11.0" }) => {
    const record = structuredClone(result.cases[0]);
    result.cases.push(
      Object.assign(record, {
        id: record.id.replace("/dense/", "/peer:torch/"),
        implementation: "peer:torch",
      }),
    );
    const own = { implementation: "peer:torch", asked: "torch", computes: "dense", versions };
    result.peers = [{ ...own, device: null, timing: "host clock" }] as Result["peers"];
    return record;
  };
  const baseline = run("2026-01-01T00:00:00Z", (result) => void withPeer(result));
  const judge = (change: (record: Result["cases"][number], result: Result) => void) =>
    compareResults(
      baseline,
      run("2026-01-02T00:00:00Z", (result) => change(withPeer(result), result)),
    );
  const other = judge((record) => {
    record.digest!.output = "f".repeat(32);
    for (const sample of record.samples) sample.seconds *= 3;
  });
  assert.deepEqual([other.exitCode, caseOf(other, "peer:torch").verdict], [0, "slower"]);
  const gone = judge((record) => Object.assign(record, { status: "skipped", reason: "no torch" }));
  assert.equal(gone.exitCode, 0);
  assert.equal(judge((record) => record.check!.passed = false).exitCode, 1);
  // Its bits decide which row is closest to its tolerance, and so which tolerance is recorded.
  const wider = judge((record) => record.check!.tolerance! *= 1.1);
  assert.equal(wider.exitCode, 0);
  assert.match(caseOf(wider, "peer:torch").differences[0].reason!, /another of a peer's rows/);
  assert.equal(judge((_, result) => void result.cases.pop()).exitCode, 1);
  // Our code is the same, the peer's is not: its time differences are not noise by definition.
  const updated = run("2026-01-02T00:00:00Z", (result) => {
    result.hashes.wgsl = baseline.hashes.wgsl;
    for (const sample of withPeer(result, { torch: "9" }).samples) sample.seconds *= 3;
    slow(result, 2, "latency/dense/*");
  });
  const report = compareResults(baseline, updated);
  assert.equal(caseOf(report, "peer:torch").verdict, "slower");
  assert.equal(caseOf(report, DENSE).verdict, "same");
  assert.equal(report.exitCode, 0);
  assert.match(report.notes.join(), /peers or their versions differ/);
});

Deno.test("compareResults: the selection from seeded scores is the same on every adapter", () => {
  const baseline = run("2026-01-01T00:00:00Z", ({ cases }) => {
    for (const { digest, options } of cases) {
      if (options) digest!.seededSelection = "1".repeat(64);
    }
  });
  const elsewhere = (digest: string) =>
    compareResults(
      baseline,
      run("2026-01-02T00:00:00Z", (result) => {
        result.environment.fingerprint = "other";
        result.environment.adapter.description = "Another adapter";
        for (const record of result.cases) {
          if (record.options) record.digest!.seededSelection = digest;
        }
      }),
    ).exitCode;
  assert.equal(elsewhere("1".repeat(64)), 4);
  assert.equal(elsewhere("2".repeat(64)), 1);
});

Deno.test("compareResults: the same times pass, with thresholds shown", () => {
  const report = compare(() => {});
  assert.deepEqual([report.outcome, report.exitCode], ["passed", 0]);
  assert.ok(report.exactFields > 30);
  for (const { verdict, time } of report.cases) {
    assert.equal(verdict, "same");
    assert.ok(time!.threshold > 0 && time!.threshold < 0.05, String(time!.threshold));
    assert.ok(time!.low <= 1 && time!.high >= 1);
  }
});

Deno.test("compareResults: slower fails, faster passes, and the interval holds the ratio", () => {
  const slower = compare((result) => slow(result, 1.2, `${DENSE}*`));
  assert.deepEqual([slower.outcome, slower.exitCode], ["failed", 1]);
  const one = caseOf(slower, DENSE);
  assert.deepEqual([one.verdict, one.fails], ["slower", true]);
  assert.ok(Math.abs(one.time!.ratio - 1.2) < 1e-9 && one.time!.low > 1);
  assert.equal(slower.cases.filter(({ verdict }) => verdict === "slower").length, 1);
  const faster = compare((result) => slow(result, 0.7));
  assert.ok(faster.cases.every(({ verdict }) => verdict === "faster"));
  assert.equal(faster.exitCode, 0);
});

Deno.test("compareResults: too much noise is inconclusive, not a pass", () => {
  const report = compare((result) => {
    for (const { samples } of result.cases) {
      samples.forEach((sample, i) => sample.seconds *= i % 2 ? 1.5 : 0.7);
    }
  });
  assert.deepEqual([report.outcome, report.exitCode], ["inconclusive", 3]);
  assert.match(report.sentence, /^Inconclusive: noise of up to [\d.]+ % hides/);
});

Deno.test("compareResults: a disturbed canary widens every threshold", () => {
  const disturbed = compare((result) => {
    for (const { samples } of result.cases) samples.forEach((sample) => sample.canary = 1.3);
    slow(result, 1.25);
  });
  assert.ok(disturbed.cases.every(({ verdict }) => verdict === "inconclusive"));
  assert.ok(Math.abs(disturbed.noise.canaryShift! - Math.log(1.3)) < 1e-9);
});

Deno.test("compareResults: each exact difference fails and is named", () => {
  const changes: [string, (result: Result) => void, string][] = [
    ["selection", (r) => r.cases.find((c) => c.options)!.digest!.selection = "5".repeat(64), ""],
    ["output", (r) => r.cases[0].digest!.output = "f".repeat(32), "digest.output"],
    ["S", (r) => r.cases.find((c) => c.gathered)!.gathered! += 1, "S"],
    ["flops", (r) => r.cases[0].flops += 1, "flops"],
    ["bytes", (r) => r.cases[0].bytes += 1, "bytes"],
    ["zeroRows", (r) => r.cases.find((c) => c.options)!.zeroRows = 3, "zeroRows"],
    ["passed", (r) => r.cases[0].check!.passed = false, "check"],
    ["unchecked", (r) => delete r.cases[0].check, "check"],
    ["error", (r) => r.cases[0].check!.maxError = 1, "check.maxError"],
    ["looser", (r) => r.cases[0].check!.tolerance! *= 2, "check.tolerance"],
    ["part", (r) => r.cases[0].check!.parts![1].maxError = 1, "check.lse.maxError"],
    ["status", (r) => Object.assign(r.cases[0], { status: "failed", reason: "x" }), "status"],
  ];
  for (const [name, change, field] of changes) {
    const report = compare(change);
    assert.deepEqual([report.outcome, report.exitCode], ["failed", 1], name);
    const found = report.cases.flatMap(({ differences }) => differences);
    assert.ok(found.length >= 1, name);
    assert.ok(found.every(({ severity }) => severity === "failure"), name);
    if (field) assert.ok(found.some((one) => one.field === field), name);
  }
});

Deno.test("compareResults: a vanished case fails, a new one does not", () => {
  const vanished = compare((result) => result.cases.splice(0, 1));
  assert.deepEqual([vanished.exitCode, caseOf(vanished, DENSE).verdict], [1, "missing"]);
  const added = compare((result) =>
    result.cases.push({ ...structuredClone(result.cases[0]), id: "latency/dense/forward/N1" })
  );
  assert.deepEqual([added.exitCode, added.cases.at(-1)!.verdict], [0, "new"]);
});

Deno.test("compareResults: other machines compare exactly and not by time, exit 4", () => {
  const elsewhere = (result: Result) => {
    result.environment.fingerprint = "other";
    result.environment.adapter.description = "Another adapter";
    result.cases[0].digest!.output = "f".repeat(32);
    slow(result, 3);
  };
  const report = compare(elsewhere);
  assert.deepEqual([report.outcome, report.exitCode], ["not comparable", 4]);
  assert.ok(report.cases.every(({ time }) => time === undefined));
  assert.ok(report.exactFields > 20);
  const wrong = compare((result) => {
    elsewhere(result);
    result.cases[0].flops++;
  });
  assert.equal(wrong.exitCode, 1);
  const selection = compare((result) => {
    elsewhere(result);
    result.cases.find((record) => record.options)!.digest!.selection = "5".repeat(64);
  });
  assert.equal(selection.exitCode, 4);
  const [note] = selection.cases.flatMap(({ differences }) => differences);
  assert.deepEqual([note.field, note.severity], ["digest.selection", "note"]);
});

Deno.test("compareResults: with other tilings bits may differ, selections by norms may not", () => {
  const tuned = (result: Result) => {
    result.tuning = { digest: "a".repeat(64), measuredAt: "2026-01-01T00:00:00Z", tilings: [] };
    for (const { digest } of result.cases) digest!.output = "0".repeat(32);
  };
  const report = compare(tuned);
  assert.equal(report.exitCode, 0);
  assert.ok(report.notes.includes("tunings differ: digests of outputs were not compared"));
  const selected = compare((result) => {
    tuned(result);
    const norm = result.cases.find(({ scorer }) => scorer === "norm")!;
    norm.digest!.selection = "5".repeat(64);
  });
  assert.equal(selected.exitCode, 1);
});

Deno.test("compareResults: another seed leaves digests out and says so", () => {
  const report = compare((result) => {
    result.seed++;
    for (const { digest } of result.cases) digest!.output = "f".repeat(32);
  });
  assert.equal(report.exitCode, 0);
  assert.match(report.notes.join(), /seeds differ/);
});

Deno.test("compareResults: identical code makes every difference in time noise", () => {
  const candidate = run("2026-01-02T00:00:00Z", (result) => slow(result, 2));
  candidate.hashes.wgsl = BASELINE.hashes.wgsl;
  const report = compareResults(BASELINE, candidate);
  assert.ok(report.identicalCode);
  assert.equal(report.exitCode, 0);
  assert.match(report.sentence, /the code is identical/);
  candidate.environment.packages.zod = "0.0.0";
  assert.equal(compareResults(BASELINE, candidate).identicalCode, false);
  candidate.environment.packages.zod = BASELINE.environment.packages.zod;
  const unknown = [BASELINE, candidate].map((result) => ({
    ...result,
    hashes: { ...result.hashes, wgsl: "unknown" },
  }));
  assert.equal(compareResults(unknown[0], unknown[1]).identicalCode, false);
});

/** A run whose cases all have these samples. */

Deno.test("compareResults: what a case's own power does to the clock is its own time", () => {
  const atLimit = (factor: number, how: { before?: number; limit?: number } = {}) =>
    compare((result) => {
      const dense = result.cases.find(({ id }) => id.includes(DENSE))!;
      for (const sample of dense.samples) {
        sample.seconds *= factor;
        Object.assign(sample, { canary: 1.3, atPowerLimit: true, canaryBefore: how.before ?? 1 });
        delete sample.flag;
      }
      const readings = { count: 1, median: 690, highest: 690, limit: how.limit ?? 700, atLimit: 1 };
      result.keepWarm = { means: ["polled"], powerWatts: readings };
    });
  // By a canary that the case itself slowed down it would look as fast as ever.
  const slower = caseOf(atLimit(1.3), DENSE);
  assert.equal(slower.verdict, "slower");
  assert.deepEqual(slower.time!.atPowerLimit, ["candidate"]);
  assert.equal(caseOf(atLimit(1), DENSE).verdict, "same");
  // Others had slowed the clock before it began.
  assert.equal(caseOf(atLimit(1.12, { before: 1.12 }), DENSE).verdict, "inconclusive");
  assert.match(renderGateText(atLimit(1)), /ms, at the device’s power limit/);
});

Deno.test("compareResults: other power limits of the two runs are named", () => {
  const limited = (limit: number | null) => ({
    means: ["polled"],
    powerWatts: { count: 1, median: 400, highest: 400, limit, atLimit: 0 },
  });
  const notes = (was: number | null, is: number | null) => {
    const [before, after] = [was, is].map((limit, i) =>
      run(`2026-01-0${i + 1}T00:00:00Z`, (result) => result.keepWarm = limited(limit))
    );
    return compareResults(before, after).notes.filter((note) => note.includes("power limits"));
  };
  assert.deepEqual(notes(700, 500), [
    "power limits differ (700 W and 500 W): at a limit the clock follows it",
  ]);
  assert.deepEqual([notes(700, 700), notes(700, null)], [[], []]);
});
