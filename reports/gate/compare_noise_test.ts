import assert from "node:assert/strict";
import type { Result } from "../../suites/result/result_schema.ts";
import { BASELINE, caseOf, compare, CONTEXTS, DENSE, run, slow } from "./_compared_runs.ts";
import { compareResults } from "./compare_results.ts";
import { GateInputError, matchesPattern, parseGateConfig } from "./gate_config.ts";

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

Deno.test("compareResults: one step of the clock is noise, even if the samples are equal", () => {
  const step = 1e-4;
  for (const clock of ["gpu", "wall"] as const) {
    const coarse = (result: Result) => {
      result.calibration!.clock = clock;
      if (clock === "gpu") result.calibration!.timestampGranularity = step;
      // A wall clock's step shows in repeated sample values.
      else result.cases[0].samples[0].seconds += step;
    };
    // Earlier runs without any spread leave the step as the only uncertainty.
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
  // A fine clock hides nothing: 10 % between samples that are all equal.
  const fine = [still("2026-01-01T00:00:00Z", 1e-3), still("2026-01-02T00:00:00Z", 1.2e-3)];
  assert.equal(compareResults(fine[0], fine[1]).exitCode, 1);
});

Deno.test("compareResults: a shift that the canary shows, between or within runs, is not a change of the code", () => {
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
  // Shifts of single cases that only the spread between runs could distinguish from a change.
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

Deno.test("compareResults: earlier runs count once, and the compared runs are not among them", () => {
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

Deno.test("compareResults: more cases widen each interval, so that their number causes no false alarm", () => {
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
    assert.ok(fewer < all, "cases whose times are ignored raise no alarm");
    return all;
  });
  assert.deepEqual(widths.toSorted((a, b) => a - b), widths);
});

Deno.test("compareResults: the time of a case from another machine of a merged run is not compared", () => {
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

Deno.test("compareResults: history of the baseline replaces the assumed run-to-run noise", () => {
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

Deno.test("compareResults: a few samples do not give a verdict by chance", () => {
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

Deno.test("compareResults: zero and flagged samples do not count, and never crash", () => {
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
    ['{"cases": [{"match": "*", "accept": ["everything"]}]}', /cases\[0\]\.accept/],
    ['{"noise": -1}', /noise/],
    ['{"tolerance": 0.1, "tolerance": 5}', /it names tolerance twice$/],
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
