import assert from "node:assert/strict";
import type { Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { compareResults } from "./compare_results.ts";
import { GateInputError, matchesPattern, parseGateConfig } from "./gate_config.ts";
import type { GateCase, GateReport } from "./gate_report.ts";

const CONTEXTS = [8192, 16_384, 32_768];

function run(startedAt: string, change: (result: Result) => void = () => {}): Result {
  const result = sampleResult({ contexts: CONTEXTS, samples: 12 });
  result.startedAt = startedAt;
  // Other code, so that the shortcut for identical code stays out of the way.
  result.hashes.wgsl = startedAt.replace(/\D/g, "").padEnd(64, "0").slice(0, 64);
  change(result);
  return result;
}

const BASELINE = run("2026-01-01T00:00:00Z");

function compare(change: (result: Result) => void, config?: string): GateReport {
  return compareResults(BASELINE, run("2026-01-02T00:00:00Z", change), {
    config: config === undefined ? undefined : parseGateConfig(config, "config.json"),
  });
}

function slow(result: Result, factor: number, pattern = "*") {
  for (const record of result.cases) {
    if (!matchesPattern(record.id, pattern)) continue;
    for (const sample of record.samples) sample.seconds *= factor;
  }
}

function caseOf(report: GateReport, part: string): GateCase {
  return report.cases.find(({ id }) => id.includes(part))!;
}

const DENSE = "latency/dense/forward/N8192";

Deno.test("compareResults: a clock that was down is inconclusive and no difference of the code", () => {
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

Deno.test("compareResults: a case for which time ran out is inconclusive, one that was dropped fails", () => {
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
  // A suite with seconds of its own, whose cases have no samples: not measured is not the same.
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

Deno.test("compareResults: a peer's time, bits and absence fail nothing, its check does", () => {
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
  // Its bits decide which row is closest to its tolerance, and so which tolerance is told.
  const wider = judge((record) => record.check!.tolerance! *= 1.1);
  assert.equal(wider.exitCode, 0);
  assert.match(caseOf(wider, "peer:torch").differences[0].reason!, /another of a peer's rows/);
  assert.equal(judge((_, result) => void result.cases.pop()).exitCode, 1);
  // Our code is the same, the peer's is not: its time is no noise by definition.
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

Deno.test("compareResults: what is selected from seeded scores is the same on every adapter", () => {
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

/** A run whose cases have these samples, all alike. */
function still(startedAt: string, seconds: number, change: (result: Result) => void = () => {}) {
  return run(startedAt, (result) => {
    for (const record of result.cases) {
      record.samples = Array.from({ length: 6 }, (_, i) => ({
        seconds,
        wallSeconds: seconds,
        round: i >> 1,
        place: i % 2,
        canary: 1,
      }));
    }
    change(result);
  });
}

Deno.test("compareResults: one step of the clock is noise, however alike the samples are", () => {
  const step = 1e-4;
  for (const clock of ["gpu", "wall"] as const) {
    const coarse = (result: Result) => {
      result.calibration!.clock = clock;
      if (clock === "gpu") result.calibration!.timestampGranularity = step;
      // A wall clock's step is seen in samples that repeat.
      else result.cases[0].samples[0].seconds += step;
    };
    // Earlier runs without any spread leave nothing else to be unsure of.
    const history = [1, 2, 3, 4, 5].map((day) =>
      still(`2025-01-0${day}T00:00:00Z`, 3 * step, coarse)
    );
    const baseline = still("2026-01-01T00:00:00Z", 3 * step, coarse);
    const against = (seconds: number) =>
      compareResults(baseline, still("2026-01-02T00:00:00Z", seconds, coarse), { history });
    for (const steps of [2, 4]) {
      const report = against(steps * step);
      assert.ok(Math.abs(report.noise.clockStep - step) < 1e-12);
      for (const { verdict, time } of report.cases) {
        assert.equal(verdict, "inconclusive", `${clock} ${steps}`);
        assert.ok(time!.threshold > 0.333 && time!.low < 1 && time!.high > 1);
      }
    }
    assert.ok(against(9 * step).cases.every(({ verdict }) => verdict === "slower"), clock);
  }
  // A fine clock hides nothing: 10 % between samples that are all alike.
  const fine = [still("2026-01-01T00:00:00Z", 1e-3), still("2026-01-02T00:00:00Z", 1.2e-3)];
  assert.equal(compareResults(fine[0], fine[1]).exitCode, 1);
});

Deno.test("compareResults: what the canary shows, of a run or within one, is no change of the code", () => {
  const clock = (factor: (share: number) => number, follows: number) => (result: Result) => {
    for (const [at, { samples }] of result.cases.entries()) {
      samples.forEach((sample, i) => {
        sample.canary = factor((at + i / samples.length) / result.cases.length);
        sample.seconds *= sample.canary ** follows;
      });
    }
  };
  const shapes = [() => 1.14, () => 0.86, (share: number) => 0.95 + 0.1 * share];
  for (const shape of shapes) {
    for (const follows of [0, 0.5, 1]) {
      for (const history of [[], [1, 2, 3, 4].map((day) => run(`2025-01-0${day}T00:00:00Z`))]) {
        const candidate = run("2026-01-02T00:00:00Z", clock(shape, follows));
        const { cases } = compareResults(BASELINE, candidate, { history });
        const moved = cases.filter(({ verdict }) =>
          verdict !== "same" && verdict !== "inconclusive"
        );
        assert.deepEqual(moved, [], `${shape} ${follows}`);
      }
    }
  }
});

Deno.test("compareResults: two contexts and no earlier runs: quiet runs pass, 20 % is found", () => {
  const two = (startedAt: string, change: (result: Result) => void = () => {}) =>
    run(startedAt, (result) => {
      result.cases = result.cases.filter(({ shape }) => shape.context < CONTEXTS[2]);
      change(result);
    });
  const baseline = two("2026-01-01T00:00:00Z");
  const judge = (change: (result: Result) => void) =>
    compareResults(baseline, two("2026-01-02T00:00:00Z", change));
  assert.deepEqual(judge(() => {}).exitCode, 0);
  // Shifts of single cases that only the spread between runs could tell from a change.
  const shifted = judge((result) => {
    result.cases.forEach(({ samples }, i) =>
      samples.forEach((sample) => sample.seconds *= i % 2 ? 1.05 : 0.95)
    );
  });
  assert.ok(shifted.cases.every(({ verdict }) => verdict === "inconclusive"));
  assert.match(shifted.sentence, /--history or --against shows less noise/);
  const slower = judge((result) => slow(result, 1.2, `${DENSE}*`));
  assert.deepEqual(slower.cases.filter(({ fails }) => fails).length, 1);
});

Deno.test("compareResults: earlier runs count once, and neither of the compared runs among them", () => {
  const candidate = run("2026-01-02T00:00:00Z", (result) => slow(result, 1.3, `${DENSE}*`));
  const earlier = [0.99, 1.01, 1.005].map((factor, i) =>
    run(`2025-01-0${i + 1}T00:00:00Z`, (result) => slow(result, factor))
  );
  const clean = compareResults(BASELINE, candidate, { history: earlier });
  const given = [...earlier, ...earlier, BASELINE, candidate, structuredClone(BASELINE)];
  const report = compareResults(BASELINE, candidate, { history: given });
  assert.deepEqual(report.noise, clean.noise);
  assert.equal(report.noise.historyRuns, 4);
  assert.match(
    report.notes.join(),
    /6 earlier runs left out of the noise: given twice, or compared/,
  );
  const elsewhere = run("2025-01-07T00:00:00Z", (result) => result.stack = "dawn");
  const few = compareResults(BASELINE, candidate, { history: [earlier[0], elsewhere] });
  assert.match(few.notes.join(), /1 earlier run of another device, stack or clock left out/);
  assert.match(few.notes.join(), /1 earlier run to learn the noise from, 2 are needed/);
  assert.equal(few.noise.historySpread, null);
});

Deno.test("compareResults: the more cases, the wider each interval, so that none is wrong by number", () => {
  const widths = [2, 20, 200].map((count) => {
    const many = (startedAt: string) =>
      run(startedAt, (result) => {
        const [record] = result.cases;
        result.cases = Array.from({ length: count }, (_, i) => ({
          ...structuredClone(record),
          id: `${record.id}-${i}`,
          implementation: `dense-${i}`,
        }));
      });
    const [baseline, candidate] = [many("2026-01-01T00:00:00Z"), many("2026-01-02T00:00:00Z")];
    const ignore = parseGateConfig('{"cases": [{"match": "*-1", "times": "ignore"}]}', "c.json");
    const [all, fewer] = [undefined, ignore].map((config) =>
      compareResults(baseline, candidate, { config }).cases[0].time!.threshold
    );
    assert.ok(fewer < all, "cases whose times fail nothing raise no alarm");
    return all;
  });
  assert.deepEqual(widths.toSorted((a, b) => a - b), widths);
});

Deno.test("compareResults: a case of another machine of a merged run has no time to compare", () => {
  const merged = (machine: string) => (result: Result) => {
    for (const record of result.cases) Object.assign(record, { machine: "one" });
    Object.assign(result.cases[0], { machine });
    slow(result, machine === "one" ? 1 : 2, result.cases[0].id);
  };
  const baseline = run("2026-01-01T00:00:00Z", merged("one"));
  const report = compareResults(baseline, run("2026-01-02T00:00:00Z", merged("two")));
  assert.equal(report.exitCode, 0);
  assert.match(report.cases[0].reason!, /measured on another machine/);
  assert.ok(report.cases.slice(1).every(({ time }) => time !== undefined));
});

Deno.test("compareResults: history of the baseline replaces the guess of run-to-run noise", () => {
  const candidate = run("2026-01-02T00:00:00Z", (result) => slow(result, 1.06));
  const shaky = [0.95, 1.06, 1.02, 0.97].map((factor, i) =>
    run(`2025-01-0${i + 1}T00:00:00Z`, (result) => slow(result, factor))
  );
  assert.equal(compareResults(BASELINE, candidate).exitCode, 1);
  const report = compareResults(BASELINE, candidate, { history: shaky });
  assert.equal(report.noise.historyRuns, 5);
  assert.equal(report.exitCode, 3);
  const steady = [1, 1.001, 0.999].map((factor, i) =>
    run(`2025-01-0${i + 1}T00:00:00Z`, (result) => slow(result, factor))
  );
  assert.equal(compareResults(BASELINE, candidate, { history: steady }).exitCode, 1);
});

Deno.test("compareResults: few samples do not make a verdict by luck", () => {
  const few = (result: Result) => {
    for (const record of result.cases) record.samples = record.samples.slice(0, 2);
  };
  const baseline = run("2026-01-01T00:00:00Z", few);
  const candidate = run("2026-01-02T00:00:00Z", (result) => {
    few(result);
    slow(result, 1.02);
  });
  const report = compareResults(baseline, candidate);
  assert.ok(report.cases.every(({ verdict }) => verdict !== "slower"));
});

Deno.test("compareResults: the configuration decides per case, and its changes are shown", () => {
  const change = (result: Result) => {
    slow(result, 1.3, "latency/dense/*");
    result.cases[0].digest!.output = "f".repeat(32);
    result.cases.splice(1, 1);
  };
  assert.equal(compare(change).exitCode, 1);
  const missing = BASELINE.cases[1].id;
  const report = compare(
    change,
    JSON.stringify({
      cases: [
        { match: "latency/dense/*", times: "ignore", accept: ["digest"] },
        { match: missing, mayVanish: true },
      ],
    }),
  );
  assert.deepEqual([report.outcome, report.exitCode], ["passed", 0]);
  assert.equal(caseOf(report, DENSE).verdict, "slower");
  assert.match(caseOf(report, DENSE).differences[0].reason!, /accepts/);
  const noisy = compare((result) => slow(result, 1.3), '{"noise": 0.5}');
  assert.equal(noisy.exitCode, 3);
  const coarse = compare((result) => slow(result, 1.06), '{"minimum": 0.1}');
  assert.equal(coarse.exitCode, 0);
});

Deno.test("compareResults: unusable pairs are refused in one line", () => {
  const refused: [() => unknown, RegExp][] = [
    [() => compareResults({ ...BASELINE, cases: [] }, BASELINE), /baseline .* has no cases/],
    [() => compareResults(BASELINE, structuredClone(BASELINE)), /are the same run/],
    [
      () => {
        const dead = structuredClone(BASELINE);
        for (const record of dead.cases) {
          Object.assign(record, { status: "failed", reason: "x\ny" });
        }
        return compareResults(dead, run("2026-01-02T00:00:00Z"));
      },
      /baseline .* has no case that ran: .* failed: x/,
    ],
    [
      () => compare((result) => result.cases.push(structuredClone(result.cases[0]))),
      /names case .* twice/,
    ],
  ];
  for (const [attempt, message] of refused) {
    assert.throws(attempt, (error) => {
      assert.ok(error instanceof GateInputError && error.exitCode === 2);
      assert.match(error.message, message);
      return !/\n/.test(error.message);
    });
  }
});

Deno.test("compareResults: zero and flagged samples are no time, never a crash", () => {
  const report = compare((result) => {
    result.cases[0].samples.forEach((sample) => sample.seconds = 0);
    result.cases[1].samples.forEach((sample) => sample.flag = "clock");
  });
  assert.deepEqual(report.cases.slice(0, 2).map(({ verdict }) => verdict), [
    "inconclusive",
    "inconclusive",
  ]);
  assert.equal(report.exitCode, 3);
});

Deno.test("parseGateConfig names what is wrong in one line", () => {
  const bad: [string, RegExp][] = [
    ["{", /not JSON/],
    ['{"tolerence": 1}', /tolerence/],
    ['{"cases": [{"match": "*", "accept": ["everything"]}]}', /cases\.0\.accept/],
    ['{"noise": -1}', /noise/],
  ];
  for (const [text, message] of bad) {
    assert.throws(
      () => parseGateConfig(text, "c.json"),
      (error) =>
        error instanceof GateInputError && message.test(error.message) &&
        !/\n/.test(error.message),
    );
  }
  assert.ok(matchesPattern("a/b/c", "*b*"));
  assert.ok(!matchesPattern("a/b/c", "*b"));
  // A pattern that backtracks exponentially in a regular expression.
  assert.ok(!matchesPattern("a".repeat(2000), `${"*a".repeat(200)}b`));
});
