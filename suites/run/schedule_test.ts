import assert from "node:assert/strict";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { Session } from "../measure/session.ts";
import { Budget } from "../plan/budget.ts";
import { caseRecord } from "../plan/case_record.ts";
import { planShares } from "./_planned.ts";
import { planIdentity } from "./plan_run.ts";
import { ClockWatch } from "../device/clock.ts";
import type { CaseRecord, RatioRecord, Sample } from "../result/result_schema.ts";
import { type DeviceModel, type ModelledRun, runOnModel, type Speed } from "./_device_model.ts";
import {
  H100_DAWN,
  H100_DAWN_LATE,
  H100_DENO,
  LAPTOP,
  SOFTWARE,
  withWorkers,
} from "./_device_models.ts";
import { runSchedule } from "./schedule.ts";
import type { Measurer } from "../suite.ts";

/** Options of a run by default, from `deno task bench`. */
const DEFAULTS = { profile: "standard" };

/** Seconds of a run outside its budget: starting, calibrating, writing the report. */
const OUTSIDE_SECONDS = 15;

/** What the default run may take. */
const MOST_SECONDS = 150;

/** The clock of an H100 on which only Vulkan was active: 345 instead of 1,980 MHz. */
const DOWN = 345 / 1980;

const run = (model: DeviceModel, clock: { speed?: Speed; calibratedAt?: number } = {}) =>
  runOnModel(model, { ...DEFAULTS, ...clock });

const idOf = (name: string, direction: string, context: number) =>
  `latency/${name}/${direction}/N${context}-H8-d128-f16` +
  (name === "dense" ? "" : `-L3-p4-k${Math.max(128, context / 64)}`);

function find({ cases }: ModelledRun, id: string): CaseRecord {
  const record = cases.find((one) => one.id === id);
  assert.ok(record, id);
  return record;
}

/** Samples of dense attention at a context, 0 without a ratio to Lighthouse there. */
function pairedSamples(result: ModelledRun, direction: string, context: number): number {
  const [a, b] = ["dense", "lighthouse-norm"].map((name) => idOf(name, direction, context));
  const ratio = result.ratios.find(({ numerator, denominator }) =>
    numerator === a && denominator === b
  );
  return ratio === undefined ? 0 : find(result, a).statistic!.count;
}

const withStatus = ({ cases }: ModelledRun, ...statuses: CaseRecord["status"][]) =>
  cases.filter(({ status }) => statuses.includes(status));

/** Every case of some contexts was measured. */
function assertMeasured(result: ModelledRun, direction: string, contexts: readonly number[]) {
  const missing = result.cases.filter(({ suite, status, shape, direction: own }) =>
    suite === "latency" && own === direction && contexts.includes(shape.context) && status !== "ok"
  );
  assert.deepEqual(missing.map(({ id, status, reason }) => ({ id, status, reason })), []);
}

/** The run is within its time, every case is present, and each unmeasured case has a reason. */
function assertComplete(result: ModelledRun) {
  const total = result.seconds + OUTSIDE_SECONDS;
  assert.ok(total <= MOST_SECONDS, `${total} s`);
  assert.deepEqual(withStatus(result, "failed"), []);
  for (const { id, reason } of withStatus(result, "skipped")) {
    assert.match(reason!, /budget|of device memory/, id);
  }
}

const SHORT = [4096, 8192, 16384, 32768];

Deno.test("the default run on matrix units measures the headline in both directions, and everything else", async () => {
  const result = await run(withWorkers(H100_DAWN));
  assertComplete(result);
  assert.deepEqual(withStatus(result, "skipped", "inconclusive"), []);
  for (const direction of ["forward", "forward-backward"]) {
    for (const context of [131072, 524288]) {
      const samples = pairedSamples(result, direction, context);
      assert.ok(samples >= 4, `${direction} ${context}: ${samples} samples`);
    }
  }
  // Short contexts are cheap: they get all samples.
  for (const context of SHORT.slice(0, 3)) {
    assert.equal(pairedSamples(result, "forward", context), 20);
    assert.equal(pairedSamples(result, "forward-backward", context), 20);
  }
});

Deno.test("the default run on matrix units: slow checks cost samples and cuts, no context", async () => {
  const result = await run(H100_DAWN);
  assertComplete(result);
  for (const { suite, id } of withStatus(result, "skipped")) {
    assert.equal(suite, "context-parallel", id);
  }
  assert.ok(pairedSamples(result, "forward", 524288) >= 4);
  assert.ok(pairedSamples(result, "forward-backward", 524288) >= 2);
});

Deno.test("the default run on matrix units: a host that learns late that long work has ended", async () => {
  const result = await run(H100_DAWN_LATE);
  assertComplete(result);
  assertMeasured(result, "forward", [...SHORT, 65536, 131072, 524288]);
  assertMeasured(result, "forward-backward", [...SHORT, 131072]);
  assert.ok(pairedSamples(result, "forward", 524288) >= 4);
});

Deno.test("the default run without matrix units: the headline forward, and short contexts", async () => {
  for (const model of [H100_DENO, withWorkers(H100_DENO)]) {
    const result = await run(model);
    assertComplete(result);
    assert.ok(pairedSamples(result, "forward", 524288) >= 2);
    assert.ok(pairedSamples(result, "forward", 131072) >= 4);
    assertMeasured(result, "forward", [...SHORT, 65536]);
    assertMeasured(result, "forward-backward", SHORT.slice(0, 3));
    // 99 s an execution.
    assert.equal(find(result, idOf("dense", "forward-backward", 524288)).status, "skipped");
  }
});

Deno.test("the default run on a laptop gets as far as it can, and allocates nothing for the rest", async () => {
  const result = await run(LAPTOP);
  assertComplete(result);
  assertMeasured(result, "forward", SHORT);
  assertMeasured(result, "forward-backward", SHORT.slice(0, 2));
  const dense = find(result, idOf("dense", "forward", 524288));
  assert.match(dense.reason!, /^predicted .* s of the budget are left/);
  assert.ok(dense.predictedSeconds! > 1000);
  assert.ok(!result.allocated.has(524288));
});

Deno.test("a software adapter runs the default's short contexts and none of the long ones", async () => {
  const result = await run(SOFTWARE);
  assertComplete(result);
  assertMeasured(result, "forward", [4096, 8192]);
  for (const context of [131072, 524288]) {
    assert.equal(pairedSamples(result, "forward", context), 0);
    assert.ok(!result.allocated.has(context));
  }
});

Deno.test("the plan of the default run does not depend on how fast a device is", () => {
  const identities = [H100_DAWN, H100_DENO, LAPTOP, SOFTWARE].map(({ device }) =>
    JSON.stringify(planIdentity(planShares(DEFAULTS, { device })))
  );
  assert.equal(new Set(identities).size, 1);
});

Deno.test("the default plan reports what does not fit a card, and leaves out nothing else", () => {
  const skippedAt = (gibibytes: number) => {
    const device = { ...ASSUMED_DEVICE, deviceMemoryBytes: gibibytes * 2 ** 30 };
    const { groups } = planShares(DEFAULTS, { device });
    const all = groups.flatMap(({ baseline, candidates }) => [
      ...baseline ? [baseline] : [],
      ...candidates,
    ]);
    const skipped = all.filter(({ skip }) => skip !== undefined);
    for (const { skip } of skipped) {
      assert.match(skip!, /^needs \S+ GiB of device memory; the limit is \S+ GiB$/);
    }
    return skipped.map(({ implementation, direction, problem: { shape } }) =>
      `${implementation} ${direction} ${shape.context}`
    ).sort();
  };
  const both = ["dense forward-backward 524288", "lighthouse-norm forward-backward 524288"];
  assert.deepEqual(skippedAt(16), []);
  assert.deepEqual(skippedAt(10), both.slice(1));
  assert.deepEqual(skippedAt(8), both);
  assert.deepEqual(skippedAt(6), [...both, "lighthouse-norm forward 524288"].sort());
});

/** Runs with an unstable clock; flagged samples are kept. */
async function runWithClock(speed: Speed, calibratedAt?: number) {
  const result = await run(withWorkers(H100_DAWN), { speed, calibratedAt });
  assertComplete(result);
  const flagged = result.cases.filter(({ samples }) => samples.some(({ flag }) => flag));
  for (const { id, status, samples, statistic } of flagged) {
    const clean = samples.filter(({ flag }) => flag === undefined);
    if (status === "ok") assert.equal(statistic!.count, clean.length, id);
    // No round is taken twice under one number.
    const places = samples.map(({ round, place }) => `${round}/${place}`);
    assert.equal(new Set(places).size, places.length, id);
  }
  return { result, flagged };
}

function assertConclusive(result: ModelledRun) {
  assert.deepEqual(withStatus(result, "inconclusive").map(({ id }) => id), []);
  assertMeasured(result, "forward", [...SHORT, 65536, 131072, 524288]);
  assertMeasured(result, "forward-backward", [...SHORT, 131072]);
  const timed = result.cases.filter(({ suite, status }) => suite === "latency" && status === "ok");
  for (const { id, implementation, direction, shape: { context } } of timed) {
    if (implementation === "dense") continue;
    const numerator = idOf("dense", direction, context);
    assert.ok(
      result.ratios.some((ratio) => ratio.numerator === numerator && ratio.denominator === id),
      `no ratio of ${id}`,
    );
  }
}

Deno.test("a clock that is low at the start: those cases are repeated at the end", async () => {
  const { result, flagged } = await runWithClock((now) => now < 45 ? DOWN : 1);
  assertConclusive(result);
  assert.ok(flagged.length >= 15, `${flagged.length} cases had flagged samples`);
  assert.ok(flagged.every(({ samples }) => samples.some(({ flag }) => flag === undefined)));
  // Their checks stand: one check for each latency and throughput case.
  const checked = result.cases.filter(({ suite, status }) =>
    (suite === "latency" || suite === "throughput") && status === "ok"
  );
  assert.equal(result.checks, checked.length);
});

Deno.test("a clock that falls in the middle costs no case", async () => {
  const { result, flagged } = await runWithClock((now) => now > 20 && now < 60 ? DOWN : 1);
  assertConclusive(result);
  assert.ok(flagged.length > 0);
});

Deno.test("a clock that stays low: inconclusive with the reason, and the run ends in time", async () => {
  const { result } = await runWithClock((now) => now > 20 ? DOWN : 1);
  const inconclusive = withStatus(result, "inconclusive");
  assert.ok(inconclusive.length > 10);
  for (const { id, reason, samples, statistic } of inconclusive) {
    assert.match(reason!, /^the clock was down in \d+ of \d+ samples/, id);
    assert.ok(samples.length > 0 && statistic === undefined, id);
  }
  assert.ok(result.notes.some((line) => /^the clock stayed down through .* s of work$/.test(line)));
  // Measurements before the drop are unchanged.
  assert.ok(pairedSamples(result, "forward", 4096) > 0);
});

Deno.test("a calibration at a low clock is noticed when the clock rises, and corrected", async () => {
  const { result, flagged } = await runWithClock((now) => now < 25 ? DOWN : 1, DOWN);
  assertConclusive(result);
  assert.ok(flagged.length > 0);
  assert.ok(pairedSamples(result, "forward", 524288) >= 4);
});

/** A card without a held clock: it falls when the card idles, and rises after work. */
function fallsWhenIdle(): Speed {
  let down = false;
  return (_now, { idle, busy }) => {
    if (idle > 0.5) down = true;
    else if (busy >= 1.6) down = false;
    return down ? DOWN : 1;
  };
}

Deno.test("a clock that falls whenever the host works costs time, but no headline case", async () => {
  const { result } = await runWithClock(fallsWhenIdle());
  assertConclusive(result);
  assert.ok(pairedSamples(result, "forward", 524288) >= 4);
});

Deno.test("a canary that is slowed down for a fifth of every second", async () => {
  const { result } = await runWithClock((now) => now % 1 < 0.2 ? 1 / 1.2 : 1);
  assertConclusive(result);
  assert.ok(pairedSamples(result, "forward", 524288) >= 4);
  assert.ok(pairedSamples(result, "forward-backward", 524288) >= 2);
});

Deno.test("a baseline with samples at a low clock is repeated with the cases that lack its ratio", async () => {
  const plan = planShares({
    ...DEFAULTS,
    suites: ["latency"],
    contexts: [4096],
    scorers: ["norm", "dilated"],
  });
  const group = plan.groups.find(({ baseline }) => baseline!.direction === "forward")!;
  const [dense, norm, dilated] = [group.baseline!, ...group.candidates];
  const records = new Map<string, CaseRecord>();
  const ratios: RatioRecord[] = [];
  const turns: string[][] = [];
  const canary = { referenceSeconds: 1e-4, probe: () => Promise.resolve(1), destroy: () => {} };
  const session = {
    clock: new ClockWatch(canary, { judged: true }),
    budget: new Budget({
      calibration: { clock: "gpu" },
      samples: plan.profile.samples,
      seconds: 100,
    }),
    finished: (id: string) => records.get(id),
    record: (record: CaseRecord) => Promise.resolve(void records.set(record.id, record)),
    note: () => {},
    step: () => {},
  } as unknown as Session;
  const sample = (canary: number): Sample => ({
    seconds: 1,
    wallSeconds: 1,
    round: 0,
    place: 0,
    canary,
    ...(canary > 1.15 && { flag: "clock" as const }),
  });
  const put = (entry: typeof dense, status: CaseRecord["status"], canaries: number[]) =>
    session.record({ ...caseRecord(entry, { status }), samples: canaries.map(sample) });
  const ratio = (denominator: string): RatioRecord => ({
    numerator: dense.id,
    denominator,
    method: "abba",
    rounds: 1,
    ratio: 2,
    low: 2,
    high: 2,
  });
  const measure: Measurer["measure"] = async (_group, { again }) => {
    turns.push([...again ?? []]);
    if (turns.length > 1) {
      await put(dense, "ok", [5.7, 1, 1, 1]);
      ratios.push(ratio(norm.id));
    } else {
      // One case has its ratio, one has clean samples and no ratio, the baseline has one clean
      // sample.
      await put(dense, "inconclusive", [1, 5.7]);
      await put(norm, "ok", [1, 1]);
      await put(dilated, "ok", [1, 1]);
      ratios.push(ratio(dilated.id));
    }
  };
  await runSchedule(session, {
    suites: [{
      groups: [{
        ...group,
        baseline: { ...dense, gate: undefined },
        candidates: [
          { ...norm, gate: undefined },
          { ...dilated, gate: undefined },
        ],
      }],
      measure,
    }],
    ratios: () => ratios,
    pending: () => {},
  });
  assert.deepEqual(turns, [[], [dense.id, norm.id]]);
});
