import assert from "node:assert/strict";
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import { Budget } from "./budget.ts";
import type { PlannedCase, PlannedGroup } from "./plan.ts";
import { summarize } from "../statistics/statistics.ts";

/** A case of so many seconds by the unscaled prediction at 1 TFLOP/s. */
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

function createBudget(seconds: number) {
  let time = 0;
  const budget = new Budget({
    calibration: { clock: "gpu", fmaF32: summarize([1e12]) },
    samples: { minimum: 2, maximum: 20 },
    seconds,
    now: () => time,
  });
  return { budget, pass: (seconds: number) => time += seconds };
}

const about = (have: number, want: number) =>
  assert.ok(Math.abs(have - want) < 1e-3 * want, `${have} is not about ${want}`);

Deno.test("Budget: a light group gets all its samples, a heavy later one keeps its least", () => {
  const { budget } = createBudget(100);
  const [light, heavy] = [group("light", 0.1), group("heavy", 20)];
  // One execution to warm up and 20 samples; the heavy one needs 2 executions, its own warm-up.
  about(budget.allowance(light, [heavy]), 2.1);
  about(budget.allowance(heavy, []), 100);
});

Deno.test("Budget: a group that no longer fits reserves nothing", () => {
  const { budget, pass } = createBudget(100);
  pass(50);
  about(budget.left, 50);
  // 2 executions of 20 s do not fit into what is left besides the least of the first.
  about(budget.allowance(group("middle", 4), [group("heavy", 20)]), 50);
  // A smaller one does; a fifth of the rest is shared out.
  about(budget.allowance(group("middle", 4), [group("next", 5)]), 12 + (50 - 12 - 10) / 5);
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

Deno.test("Budget: a direction that was not seen is expected to run like one that was", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("a", 1);
  const other: PlannedCase = { ...entry, direction: "forward-backward" };
  budget.learn(entry, { seconds: 0.5, wallSeconds: 0.5 });
  about(budget.predict(other), 0.5);
  budget.learn(other, { seconds: 0.8, wallSeconds: 0.8 });
  about(budget.predict(other), 0.8);
  about(budget.predict(entry), 0.5);
});

Deno.test("Budget: a stalled host neither sets the rate nor the cost of what follows", () => {
  const { budget } = createBudget(100);
  const entry = fakeCase("stalled", 1);
  budget.learn(entry, { seconds: 0.5, wallSeconds: 0.51 });
  budget.learn(entry, { seconds: 0.5, wallSeconds: 15 });
  about(budget.predict(entry), 0.5);
  // Warm-up and two samples, each with at most twice the 10 ms that submitting was seen to cost.
  about(budget.caseSeconds(entry, 2), 3 * 0.52);
  // Executions that waited together say nothing of what submitting one costs.
  budget.learn(entry, { seconds: 0.4 });
  about(budget.caseSeconds(entry, 2), 3 * 0.42);
});

Deno.test("Budget: a trifle is there for every group, and less near the end", () => {
  const { budget, pass } = createBudget(200);
  about(budget.trifle, 1);
  pass(199.6);
  about(budget.trifle, 0.4);
  pass(1);
  assert.equal(budget.trifle, 0);
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
