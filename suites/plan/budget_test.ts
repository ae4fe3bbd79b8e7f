import assert from "node:assert/strict";
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { learnTime } from "../measure/start_case.ts";
import { Budget } from "./budget.ts";
import type { PlannedCase, PlannedGroup } from "./planned_case.ts";
import { summarize } from "../statistics/statistics.ts";

/** A case that takes this many seconds by the unscaled prediction at 1 TFLOP/s. */
function fakeCase(id: string, seconds: number): PlannedCase {
  const flops = seconds * 0.15e12;
  const plan: ImplementationPlan = {
    stages: [{ name: "attention", flops, bytes: 0 }],
    flops,
    bytes: 0,
    buffers: [],
    peakBytes: 0,
    headsPerBlock: 1,
  };
  return {
    id,
    suite: "latency",
    implementation: "dense",
    family: "dense",
    direction: "forward",
    problem: { shape: { heads: 1, context: 1, headDim: 32, dtype: "f32" } },
    sweeps: [],
    plan,
  };
}

const group = (id: string, seconds: number): PlannedGroup => ({
  baseline: fakeCase(id, seconds),
  candidates: [],
});

function createBudget(
  seconds: number,
  more: { spent?: number; always?: ReadonlySet<string> } = {},
) {
  let time = 0;
  const budget = new Budget({
    calibration: { clock: "gpu", fmaF32: summarize([1e12]) },
    samples: { minimum: 2, maximum: 20 },
    seconds,
    ...more,
    now: () => time,
  });
  return { budget, pass: (seconds: number) => time += seconds };
}

const about = (have: number, want: number) =>
  assert.ok(Math.abs(have - want) < 1e-3 * want, `${have} is not about ${want}`);

Deno.test("Budget: a light group gets all its samples, a heavy later one keeps its least", () => {
  const { budget } = createBudget(100);
  const [light, heavy] = [group("light", 0.1), group("heavy", 20)];
  // 20 samples; the heavy group needs 2 executions, which warm themselves up.
  about(budget.allowance(light, [heavy]), 2);
  about(budget.allowance(heavy, []), 100);
});

Deno.test("Budget: seconds that no case is charged for are added", () => {
  const { budget, pass } = createBudget(100);
  pass(30);
  budget.postpone(25);
  about(budget.left, 95);
});

Deno.test("Budget: a group that no longer fits reserves nothing", () => {
  const { budget, pass } = createBudget(100);
  pass(50);
  about(budget.left, 50);
  const [middle, heavy] = [group("middle", 4), group("heavy", 25)];
  // 2 predicted executions of 25 s do not fit into the time left; the prediction may be wrong.
  about(budget.allowance(middle, [heavy]), 8 + (50 - 8) / 5);
  budget.learn(fakeCase("seen", 1), { seconds: 1 });
  about(budget.allowance(middle, [heavy]), 50);
  // A smaller group fits; it gets a fifth of the rest.
  about(budget.allowance(middle, [group("next", 5)]), 8 + (50 - 8 - 10) / 5);
  about(budget.allowance(middle, [group("next", 5)], 20), 8 + (30 - 8 - 10) / 5);
});

Deno.test("Budget learns what executions take", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("a", 1);
  about(budget.predict(entry), 1);
  budget.learn(entry, { seconds: 0.25, wallSeconds: 0.25 });
  about(budget.predict(fakeCase("b", 8)), 2);
  about(budget.flopsPerSecond(entry)!, 0.6e12);
});

Deno.test("Budget: candidates share the baseline's rounds", () => {
  const { budget } = createBudget(100);
  const shared = { ...group("dense", 1), candidates: [fakeCase("b", 0.5), fakeCase("c", 0.5)] };
  // Warm-up and four samples each: the baseline is not measured again for every candidate.
  about(budget.groupSeconds(shared, 2), 5 + 2.5 + 2.5);
});

Deno.test("Budget: an unseen direction is predicted from a seen one", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("a", 1);
  const other: PlannedCase = { ...entry, direction: "forward-backward" };
  budget.learn(entry, { seconds: 0.5, wallSeconds: 0.5 });
  about(budget.predict(other), 0.5);
  budget.learn(other, { seconds: 0.8, wallSeconds: 0.8 });
  about(budget.predict(other), 0.8);
  about(budget.predict(entry), 0.5);
});

Deno.test("Budget: a stalled host changes neither the rate nor later costs", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("stalled", 1);
  budget.learn(entry, { seconds: 0.5, wallSeconds: 0.51 });
  budget.learn(entry, { seconds: 0.5, wallSeconds: 15 });
  about(budget.predict(entry), 0.5);
  // Warm-up and two samples, each with at most twice the measured 10 ms per submission.
  about(budget.caseSeconds(entry, 2), 3 * 0.52);
  // Executions that waited together do not show the cost of submitting one.
  budget.learn(entry, { seconds: 0.4 });
  about(budget.caseSeconds(entry, 2), 3 * 0.42);
});

Deno.test("Budget: every group has a minimum time for samples, less near the end", () => {
  about(createBudget(100).budget.minimumGroupSeconds, 1);
  const { budget, pass } = createBudget(400);
  about(budget.minimumGroupSeconds, 2);
  pass(399.6);
  about(budget.minimumGroupSeconds, 0.4);
  pass(1);
  assert.equal(budget.minimumGroupSeconds, 0);
});

Deno.test("Budget: a case of a peer may take half of what is left, one of ours all of it", () => {
  const { budget, pass } = createBudget(100);
  const entry = fakeCase("a", 20);
  const affords = (peer: boolean, reserve = 0) => budget.affords(entry, { reserve, peer });
  // Two executions of 20 s, which warm themselves up.
  assert.deepEqual([affords(false), affords(true)], [true, true]);
  pass(30);
  assert.deepEqual([affords(false), affords(true)], [true, false]);
  assert.deepEqual([affords(false, 29), affords(false, 31)], [true, false]);
});

/** Both members of a group are promised four samples. */
const promised = (id: string, seconds: number): PlannedGroup => ({
  baseline: { ...fakeCase(id, seconds), promisedSamples: 4 },
  candidates: [],
});

Deno.test("Budget: promised samples come before further samples of others", () => {
  const { budget, pass } = createBudget(100);
  budget.learn(fakeCase("seen", 1), { seconds: 1 });
  const [light, long] = [group("light", 1), promised("long", 8)];
  assert.equal(budget.promisedRounds(long), 2);
  // Its own minimum, and a fifth of what the four executions of the long case leave.
  about(budget.allowance(light, [long]), 2 + (100 - 2 - 32) / 5);
  // Four samples take at most half of the budget; the long case then needs its two.
  const longer = promised("longer", 15);
  about(budget.allowance(light, [longer]), 2 + (100 - 2 - 30) / 5);
  about(budget.allowance(longer, [light]), 60 + (100 - 60 - 3) / 5);
  pass(45);
  about(budget.allowance(longer, []), 55);
});

Deno.test("Budget: a promised case may take half of the budget, and light groups keep theirs", () => {
  const { budget } = createBudget(100);
  const entry = promised("long", 24).baseline!;
  const affords = (seconds: number, reserve = 0) =>
    budget.affords({ ...fakeCase("other", seconds), promisedSamples: 4 }, { reserve, peer: false });
  assert.deepEqual([affords(24), affords(26)], [true, false]);
  assert.ok(budget.affords(fakeCase("not promised", 26), { reserve: 0, peer: false }));
  const [light, middle] = [group("light", 1), group("middle", 10)];
  const after = [{
    ...fakeCase("after", 1),
    course: { executions: 7, leastSeconds: 3.5, inFlight: true },
  }];
  const reserve = (of: PlannedCase) => budget.reserveFor(of, { later: [light, middle], after });
  // Five seconds are light, and reserve nothing; a promised case leaves the light groups their
  // time.
  assert.equal(reserve(fakeCase("light too", 1)), 0);
  about(reserve(entry), 3);
  // Any other case leaves all lighter groups their time, and the reserve for the end.
  about(reserve(fakeCase("heavy", 24)), 3 + 20 + 7);
  about(reserve(fakeCase("middle", 5)), 3 + 7);
});

Deno.test("Budget: a time at a low clock is an upper bound of an execution", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("a", 1);
  budget.learnAtMost(entry, 0.5);
  about(budget.predict(entry), 0.5);
  budget.learn(entry, { seconds: 0.1 });
  budget.learnAtMost(entry, 0.5);
  about(budget.predict(entry), 0.1);
});

Deno.test("Budget: a calibration at a low clock lengthens predictions, not measured times", () => {
  const { budget } = createBudget(100);
  const [seen, other] = [fakeCase("seen", 1), { ...fakeCase("b", 1), implementation: "other" }];
  budget.rebase(5);
  about(budget.predict(other), 0.2);
  budget.learn(seen, { seconds: 0.3 });
  about(budget.predict(seen), 0.3);
});

Deno.test("Budget: the cost of each of several submissions is learned separately", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("a", 1);
  budget.learn(entry, { seconds: 0.1, wallSeconds: 0.11 });
  about(budget.executionSeconds(fakeCase("b", 10)), 1 + 4 * 0.01);
  // Four submissions, each of which was seen to end 0.4 s late.
  budget.learn(fakeCase("b", 10), { seconds: 1, wallSeconds: 2.6 });
  about(budget.executionSeconds(fakeCase("b", 10)), 1 + 4 * 0.4);
  about(budget.executionSeconds(entry), 0.11);
});

Deno.test("Budget: preparing and checking has a fixed cost and one per element", () => {
  const { budget } = createBudget(100);
  const at = (context: number, implementation = "dense"): PlannedCase => {
    const entry = { ...fakeCase("a", 1), implementation };
    return { ...entry, problem: { shape: { ...entry.problem.shape, context, headDim: 100 } } };
  };
  about(budget.setupSeconds(at(1e4)), 0.04);
  budget.learnSetup(at(1e4), 1);
  // Until two were seen, elements cost the expected time; other kinds have the fixed cost too.
  about(budget.setupSeconds(at(2e4)), 1.04);
  about(budget.setupSeconds(at(1e4, "other")), 1.04);
  budget.learnSetup(at(2e4), 1.1);
  about(budget.setupSeconds(at(4e4)), 1.3);
  about(budget.setupSeconds(at(1e4)), 1);
  // A host that stalled once makes long contexts expensive, not impossible.
  budget.learnSetup(at(2e4), 10);
  about(budget.setupSeconds(at(1e6)), 10 + 4 * 4e-8 * 98e6);
});

Deno.test("Budget: a case whose first execution shows that it does not fit is dropped, without the host's overhead", () => {
  const { budget, pass } = createBudget(100);
  const entry = fakeCase("a", 1);
  budget.learn(entry, { seconds: 30, wallSeconds: 90 });
  assert.ok(budget.canFinish(entry));
  pass(50);
  assert.ok(!budget.canFinish(entry));
});

Deno.test("Budget: a case with its own executions takes those, however many samples are requested", () => {
  const { budget } = createBudget(100);
  const seconds = (course: PlannedCase["course"]) =>
    budget.caseSeconds({ ...fakeCase("a", 0.1), course }, 20);
  about(seconds({ executions: 17 }), 1.7);
  about(seconds({ executions: 17, leastSeconds: 3 }), 3);
  budget.learn(fakeCase("a", 0.1), { seconds: 0.1, wallSeconds: 0.2 });
  // Each execution waits for its submission, unless they are in flight together.
  about(seconds({ executions: 17 }), 3.4);
  about(seconds({ executions: 17, inFlight: true }), 1.7);
});

Deno.test("Budget: a guess holds until something was seen, and for no other rate", () => {
  const { budget } = createBudget(1000);
  const step = { ...fakeCase("step", 10), rate: "steps/dense" };
  const layer = fakeCase("layer", 10);
  assert.ok(!budget.knows(step));
  budget.assume(step, 2);
  about(budget.predict(step), 2);
  about(budget.predict({ ...step, plan: fakeCase("", 20).plan }), 4);
  about(budget.predict(layer), 10);
  // What is seen replaces a guess at once, whatever it was; a later guess replaces nothing.
  budget.learn(step, { seconds: 50 });
  about(budget.predict(step), 50);
  budget.assume(step, 1);
  about(budget.predict(step), 50);
  assert.ok(!budget.knows(layer));
});

Deno.test("Budget: what was spent before is not there, and cases that always run get their least", () => {
  const { budget } = createBudget(20, { spent: 25, always: new Set(["first"]) });
  assert.ok(budget.left < 0);
  const [first, second] = [fakeCase("first", 3), fakeCase("second", 0.01)];
  const plain = { reserve: 0, peer: false };
  assert.deepEqual([first, second].map((entry) => budget.affords(entry, plain)), [true, false]);
  assert.deepEqual([first, second].map((entry) => budget.canFinish(entry)), [true, false]);
  // Nothing beyond the least.
  about(budget.allowance({ baseline: first, candidates: [] }, []), 6);
  assert.equal(budget.minimumGroupSeconds, 0);
});

Deno.test("learnTime: work at its own power limit is its time, work at a low clock an upper bound", () => {
  const [entry] = [fakeCase("one", 1)];
  const predicted = (off: boolean) => {
    const { budget } = createBudget(100);
    const timing = { gpuSeconds: 3, wallSeconds: 3, stages: null };
    learnTime({ budget, calibration: { ...CALIBRATION, secondsOf: () => 3 } }, entry, {
      timing,
      off,
    });
    return budget.predict(entry);
  };
  about(predicted(false), 3);
  about(predicted(true), 1);
});
