import assert from "node:assert/strict";
import { MODELS, synthesizeRun } from "../../reports/gate/_quality.ts";
import type { Result } from "../result_schema.ts";
import { judgePaired, LEAST_BLOCKS, ratioOfBlocks } from "./judge_paired.ts";
import { runPaired } from "./run_paired.ts";

const NAMES = { baseline: "main", candidate: "the working tree" };

/** Runs with the noise of a desktop GPU; `slow` slows dense attention of the candidate. */
function createMeasure(options: { slow?: number; disturbed?: number; change?: boolean } = {}) {
  let seed = 1;
  const calls: string[] = [];
  const measure = (side: "baseline" | "candidate", kind: "bench" | "control") => {
    calls.push(`${side} ${kind}`);
    const result: Result = synthesizeRun(MODELS["quiet GPU"], seed++);
    if (kind === "control") result.cases = result.cases.slice(0, 1);
    for (const record of result.cases) {
      let factor = side === "candidate" ? options.disturbed ?? 1 : 1;
      const mine = side === "candidate" && kind === "bench" && record.implementation === "dense";
      if (mine) factor *= options.slow ?? 1;
      record.samples.forEach((sample) => sample.seconds *= factor);
      if (mine && options.change) record.digest!.output = "f".repeat(32);
    }
    return Promise.resolve(result);
  };
  return { measure, calls };
}

Deno.test("runPaired: A, B, B, A with the control after each, until no case is open", async () => {
  const { measure, calls } = createMeasure();
  const { report } = await runPaired({ names: NAMES, budgetSeconds: 60, measure });
  assert.deepEqual([report.outcome, report.method], ["passed", "paired"]);
  assert.deepEqual(calls.slice(0, 8), [
    "baseline bench",
    "baseline control",
    "candidate bench",
    "candidate control",
    "candidate bench",
    "candidate control",
    "baseline bench",
    "baseline control",
  ]);
  assert.ok(calls.length >= 8 * LEAST_BLOCKS);
});

Deno.test("runPaired finds a slowdown of dense attention and of nothing else", async () => {
  const { measure } = createMeasure({ slow: 1.1 });
  const { report } = await runPaired({ names: NAMES, budgetSeconds: 60, measure });
  assert.deepEqual([report.outcome, report.exitCode], ["failed", 1]);
  for (const { id, verdict } of report.cases) {
    assert.equal(verdict === "slower", id.includes("/dense/"), id);
  }
});

Deno.test("runPaired: a control that moved makes every verdict inconclusive", async () => {
  const { measure } = createMeasure({ slow: 1.3, disturbed: 1.3 });
  let clock = 0;
  const now = () => clock++;
  const { report } = await runPaired({ names: NAMES, budgetSeconds: 12, measure, now });
  assert.deepEqual([report.outcome, report.exitCode], ["inconclusive", 3]);
  assert.match(report.cases[0].reason!, /control case moved/);
});

Deno.test("runPaired stops at its budget, inconclusive, and at once for an exact difference", async () => {
  let clock = 0;
  const now = () => clock += 40;
  const slow = createMeasure();
  const { report } = await runPaired({ names: NAMES, budgetSeconds: 60, now, ...slow });
  assert.equal(report.exitCode, 3);
  assert.match(report.cases[0].reason!, /1 block, 3 needed/);
  const wrong = createMeasure({ change: true });
  const changed = await runPaired({ names: NAMES, budgetSeconds: 60, ...wrong });
  assert.equal(changed.report.exitCode, 1);
  assert.equal(wrong.calls.length, 8);
});

Deno.test("ratioOfBlocks: linear drift over a block cancels", () => {
  const blocks = [0, 1, 2, 3].map((block) => {
    const at = (place: number) => 1 + 0.05 * (4 * block + place);
    return { baseline: [at(0), at(3)], candidate: [at(1), at(2)] };
  });
  const { estimate, low, high } = ratioOfBlocks(blocks, { confidence: 0.99 });
  assert.ok(Math.abs(estimate) < 1e-12);
  assert.ok(low <= 0 && high >= 0);
  assert.throws(() => ratioOfBlocks([], { confidence: 0.99 }), RangeError);
});

Deno.test("judgePaired: false alarms between the same code stay below 1 %", () => {
  let [alarms, comparisons] = [0, 0];
  for (let study = 0; study < 18; study++) {
    let seed = 10_000 * (study + 1);
    const runs = (count: number) =>
      Array.from({ length: count }, () => synthesizeRun(MODELS["desktop GPU"], seed++));
    const control = (count: number) =>
      runs(count).map((result) => ({ ...result, cases: result.cases.slice(0, 1) }));
    const blocks = Array.from({ length: 4 }, () => ({
      baseline: runs(2),
      candidate: runs(2),
      baselineControl: control(2),
      candidateControl: control(2),
    }));
    const { cases } = judgePaired(blocks, { names: NAMES });
    comparisons += cases.length;
    alarms += cases.filter(({ verdict }) => verdict === "slower" || verdict === "faster").length;
  }
  assert.ok(comparisons >= 200);
  assert.ok(alarms / comparisons <= 0.01, `${alarms} of ${comparisons}`);
});
