import assert from "node:assert/strict";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { twoSidedNormal, twoSidedStudent } from "../../suites/statistics/quantiles.ts";
import {
  ASSUMED_CASE_SPREAD,
  ASSUMED_RUN_SPREAD,
  type Evidence,
  halfWidth,
  type Shift,
  spreadOfCases,
  spreadsAmongCases,
  spreadsAmongRuns,
} from "./run_noise.ts";
import { timesOf } from "./timed_case.ts";

const ASSUMED = Math.SQRT2 * ASSUMED_CASE_SPREAD;
const TOGETHER = Math.SQRT2 * ASSUMED_RUN_SPREAD;

const NOTHING: Evidence = {
  error: 0,
  freedom: 20,
  sampled: 0,
  assumed: ASSUMED,
  others: null,
  earlier: null,
};

function near(actual: number, expected: number) {
  assert.ok(Math.abs(actual / expected - 1) < 1e-9, `${actual} is not ${expected}`);
}

function shift(kind: string, log: number, sampled = 0): Shift {
  return { kind, log, error: 0, freedom: 20, sampled };
}

Deno.test("halfWidth: with nothing known, the assumed noise of a case and of a run, at the whole level", () => {
  const { half, source } = halfWidth(NOTHING, 0.01);
  near(half, twoSidedNormal(0.01) * Math.hypot(ASSUMED, TOGETHER));
  assert.equal(source, "assumed");
  // Without spread between runs, samples still count.
  const noisy = halfWidth({ ...NOTHING, error: 0.05 }, 0.01).half;
  near(noisy, Math.hypot(half, twoSidedStudent(0.01, 20) * 0.05));
});

Deno.test("halfWidth: quiet cases narrow it, noisy ones do not widen it, each at half the level", () => {
  const quiet = halfWidth({ ...NOTHING, others: { spread: 0.004, freedom: 12 } }, 0.01);
  assert.equal(quiet.source, "cases");
  near(
    quiet.half,
    Math.hypot(twoSidedStudent(0.005, 12) * 0.004, twoSidedNormal(0.005) * TOGETHER),
  );
  const loud = halfWidth({ ...NOTHING, others: { spread: 0.3, freedom: 12 } }, 0.01);
  assert.equal(loud.source, "assumed");
  near(loud.half, twoSidedNormal(0.005) * Math.hypot(ASSUMED, TOGETHER));
  // A case whose own samples scatter is not as quiet as the others.
  const own = halfWidth(
    { ...NOTHING, sampled: 0.02, others: { spread: 0.001, freedom: 12 } },
    0.01,
  );
  assert.ok(own.half > twoSidedNormal(0.005) * 0.02);
});

Deno.test("halfWidth: earlier runs replace the cases, and the assumption if they shift by more", () => {
  const others = { spread: 0.001, freedom: 50 };
  const quiet = halfWidth({ ...NOTHING, others, earlier: { spread: 0.01, freedom: 10 } }, 0.01);
  assert.equal(quiet.source, "earlier runs");
  near(quiet.half, twoSidedStudent(0.005, 10) * 0.01);
  const loud = halfWidth({ ...NOTHING, others, earlier: { spread: 0.1, freedom: 10 } }, 0.01);
  assert.equal(loud.source, "earlier runs");
  // Nothing else is left to share the level with.
  near(loud.half, twoSidedStudent(0.01, 10) * 0.1);
});

Deno.test("spreadsAmongCases leaves the case out and takes ratios about the mean of their kind", () => {
  const shifts = [
    // All of a kind moved by the same factor: no spread.
    ...[0.2, 0.2, 0.2, 0.2].map((log) => shift("dense", log)),
    ...[0, 0.001, -0.001, 0.5].map((log) => shift("lighthouse", log)),
  ];
  const spreads = spreadsAmongCases(shifts);
  const moved = spreads.at(-1)!.others!;
  assert.equal(moved.freedom, 5);
  assert.ok(moved.spread < 0.002, "its own change does not hide it");
  assert.ok(spreads[0].others!.spread > 0.1, "it counts for the others");
  near(spreadOfCases(shifts.slice(0, 4).concat(shift("lighthouse", 7)))! + 1, 1);
});

Deno.test("spreadsAmongCases: too few cases give no estimate", () => {
  const two = [shift("dense", 0), shift("dense", 0.1), shift("norm", 0), shift("norm", 0.1)];
  for (const { others, assumed } of spreadsAmongCases(two)) {
    assert.equal(others, null);
    near(assumed, ASSUMED);
  }
});

Deno.test("spreadsAmongCases: one case that moved does not widen the assumption, scattered kinds do", () => {
  const quiet = [0, 0.001, -0.001, 0.002, -0.002];
  const kind = (name: string, logs: readonly number[]) => logs.map((log) => shift(name, log));
  const assumed = (of: readonly Shift[], name: string) =>
    spreadsAmongCases(of)[of.findIndex((one) => one.kind === name)].assumed;
  const single = [...kind("a", quiet), ...kind("b", [...quiet.slice(1), 0.5])];
  near(assumed(single, "a"), ASSUMED);
  const scattered = [...kind("a", quiet), ...kind("b", [-0.3, -0.1, 0, 0.1, 0.3])];
  assert.ok(assumed(scattered, "a") > 2 * ASSUMED);
  near(assumed(scattered, "b"), ASSUMED);
  // Of several other kinds the typical one counts: a scattering peer does not represent the machine.
  const peer = [...scattered, ...kind("c", quiet), ...kind("d", quiet)];
  near(assumed(peer, "a"), ASSUMED);
});

Deno.test("spreadsAmongCases: cases are compared with the spread that their own samples suggest", () => {
  const loud = [-0.2, 0.2, -0.1, 0.1].map((log) => shift("peer", log, 0.2));
  const quiet = [0.001, -0.001, 0, 0.002].map((log) => shift("dense", log));
  const spreads = spreadsAmongCases([...loud, ...quiet]);
  assert.ok(spreads.at(-1)!.others!.spread < ASSUMED, "a noisy peer does not hide a quiet kernel");
  assert.ok(spreads[0].others!.spread > 0.02, "nor does a quiet kernel narrow a noisy peer");
});

function run(medians: Record<string, number>, { canary = 1 } = {}) {
  return Object.entries(medians).map(([id, seconds]) =>
    timesOf({
      id,
      suite: "latency",
      implementation: "dense",
      direction: "forward",
      status: "ok",
      samples: [{ seconds, wallSeconds: seconds, round: 0, place: 0, canary }],
    } as unknown as CaseRecord, { canarySeconds: 1e-3 })!
  );
}

Deno.test("spreadsAmongRuns: a case's own variance and that of all, from three runs on", () => {
  const runs = [run({ a: 1, b: 1 }), run({ a: 1, b: Math.E }), run({ a: 1, b: Math.E ** 2 })];
  assert.equal(spreadsAmongRuns(runs.slice(0, 2), { byCanary: false }), null);
  const spreads = spreadsAmongRuns(runs, { byCanary: false })!;
  near(spreads.pooled, Math.sqrt(0.5));
  near(spreads.of("a").spread, Math.sqrt(2 * 0.25));
  near(spreads.of("b").spread, Math.sqrt(2));
  assert.deepEqual([spreads.of("a").freedom, spreads.of("unknown").freedom], [6, 2]);
  near(spreads.of("unknown").spread, 1);
});

Deno.test("spreadsAmongRuns by the canary: a low clock in one run is not a spread", () => {
  const runs = [run({ a: 1 }), run({ a: 1.1 }, { canary: 1.1 }), run({ a: 1 })];
  assert.ok(spreadsAmongRuns(runs, { byCanary: false })!.pooled > 0.05);
  assert.ok(spreadsAmongRuns(runs, { byCanary: true })!.pooled < 1e-9);
});
