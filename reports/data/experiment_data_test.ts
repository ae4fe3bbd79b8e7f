import assert from "node:assert/strict";
import { sampleExperiment, sampleExperimentResult } from "../_sample_experiment.ts";
import { experimentLine, sizeOf, smallScaleFinding } from "../claims/experiment_finding.ts";
import { judgeClaims } from "../claims/claims.ts";
import { paperShares, paperTrials } from "../claims/paper_power.ts";
import { findingLine, renderExperiment } from "../text/experiment_text.ts";
import { aboveDense, armTimes, blockMeans, switchEffects } from "./experiment_curves.ts";
import { controlHolds, judgeHypotheses, summarizeArms, tokenRates } from "./experiment_data.ts";

const ARMS = [
  { arm: "dense", loss: 0, share: 0.7 },
  { arm: "norm", loss: -0.02, share: 0.7 },
  { arm: "dilated", loss: 0.05, share: 0.3 },
  { arm: "random", loss: 0, share: 0.2 },
];
const record = sampleExperiment({ arms: ARMS, seeds: [1, 2, 3, 4, 5] });

Deno.test("hypotheses are reproduced, reversed or undecided by margin and interval", () => {
  const verdicts = new Map(judgeHypotheses(record).map(({ id, verdict }) => [id, verdict]));
  assert.deepEqual(Object.fromEntries(verdicts), {
    A1: "reversed", // dilated answers 40 points fewer
    A2: "reproduced",
    A3: "reproduced", // random answers 50 points fewer than norm
    A4: "reproduced",
    A5: "reproduced",
    A6: "reproduced",
    A7: "reversed", // 0.05 nats above
    A8: "reproduced",
  });
  assert.equal(controlHolds(record), true);
  const a7 = judgeHypotheses(record).find(({ id }) => id === "A7")!;
  assert.ok(Math.abs(a7.worse!.estimate - 0.05) < 0.002 && a7.worse!.low > 0.04);
  const weak = sampleExperiment({ arms: ARMS.with(3, { ...ARMS[3], share: 0.7 }), seeds: [1, 2] });
  assert.equal(controlHolds(weak), false);
});

Deno.test("one seed decides nothing, and an arm without its rival is not judged", () => {
  for (const { verdict, worse } of judgeHypotheses(sampleExperiment({ arms: ARMS, seeds: [1] }))) {
    assert.equal(verdict, "undecided");
    assert.equal(worse!.high, Infinity);
  }
  const alone = judgeHypotheses(sampleExperiment({ arms: ARMS.slice(1), seeds: [1, 2] }));
  assert.deepEqual(alone.filter(({ worse }) => worse).map(({ id }) => id), ["A3", "A8"]);
});

Deno.test("nothing is decided against an arm that has not learnt the task", () => {
  const chance = sampleExperiment({
    arms: ARMS.map((one) => ({ ...one, share: 0.1 })),
    seeds: [1, 2, 3],
  });
  for (const { id, measure, verdict, below } of judgeHypotheses(chance)) {
    if (measure !== "one-needle") continue;
    assert.deepEqual([id, verdict, below], [id, "undecided", 0.1]);
  }
  assert.equal(controlHolds(chance), false);
});

Deno.test("a hypothesis about the switch is judged by the evaluation there", () => {
  const level = structuredClone(record);
  for (const { arm, evaluations: [switched] } of level.units) {
    if (arm !== "random") continue;
    switched.needles = level.units.find((one) => one.arm === "norm")!.evaluations[0].needles;
  }
  const found = new Map(judgeHypotheses(level).map((one) => [one.id, one]));
  assert.deepEqual([found.get("A3")!.verdict, found.get("A8")!.verdict], [
    "reproduced",
    "reversed",
  ]);
  assert.match(
    findingLine(found.get("A8")!),
    /^A8: random against norm, one needle at the switch:/,
  );
});

Deno.test("seeds that wander widen the interval to undecided", () => {
  const wild = structuredClone(record);
  for (const unit of wild.units) {
    if (unit.arm !== "norm") continue;
    const shift = [0.1, -0.1, 0.05, -0.08, 0][unit.seed - 1];
    const end = unit.evaluations[1];
    end.heldOut = end.heldOut.map((loss) => loss + 0.02 + shift);
  }
  assert.equal(judgeHypotheses(wild).find(({ id }) => id === "A6")!.verdict, "undecided");
});

Deno.test("curves: blocks keep the sides of the switch apart, the dense loss is taken away", () => {
  const points = blockMeans(Array.from({ length: 250 }, (_, i) => i < 100 ? 0 : 1), {
    switchStep: 100,
    most: 33,
  });
  assert.ok(points.every(({ value }) => value === 0 || value === 1));
  assert.ok(points.length <= 34);
  const norm = record.units.find(({ arm }) => arm === "norm")!;
  const above = aboveDense(record, norm)!;
  assert.ok(above.slice(0, norm.switchStep).every((value) => Math.abs(value + 0.02) < 1e-9));
  for (const { arm, before, spike, recovery, end } of switchEffects(record)) {
    assert.notEqual(arm, "dense");
    const loss = ARMS.find((one) => one.arm === arm)!.loss;
    assert.ok(Math.abs(before - loss) < 1e-9);
    // The mean of five steps from the top of a spike of half a nat.
    assert.ok(spike - before > 0.44 && spike - before < 0.5);
    // Half a nat that falls by e in 20 steps is a hundredth after 78 steps; the mean is over 8.
    assert.ok(recovery! > 74 && recovery! < 90, `${recovery}`);
    assert.ok(end > before && end < before + 0.01);
  }
});

Deno.test("rates and times of arms, and shares with intervals", () => {
  assert.equal(tokenRates(record, "dense").first, 250 * 16384 / 10);
  const { arms, target } = armTimes(record);
  assert.deepEqual(arms.map(({ seconds }) => seconds), [20, 18, 16, 14]);
  assert.ok(arms.every(({ toTarget, seconds }) => toTarget! > 0 && toTarget! <= seconds));
  assert.ok(target > 2.5 && target < 2.7);
  const [dense] = summarizeArms(record, "end");
  assert.ok(Math.abs(dense.answers["one-needle"]!.rate - 0.7) < 1e-9);
  assert.ok(dense.answers["one-needle"]!.high < 0.73);
});

Deno.test("claims stay not run, with what was found at this size beside them", () => {
  const result = sampleExperimentResult({ arms: ARMS, seeds: [1, 2, 3, 4, 5] });
  assert.equal(sizeOf(record), "1/80");
  assert.equal(
    smallScaleFinding(result, "one-needle"),
    "at 1/80 of the size: dilated reversed (5 seeds), norm reproduced (5 seeds)",
  );
  for (const id of ["final-loss", "retrieval"]) {
    const row = judgeClaims(result).find((one) => one.id === id)!;
    assert.equal(row.verdict, "not run");
    assert.match(row.nearest!, /^at 1\/80 of the size: /);
  }
  assert.equal(
    experimentLine(record),
    "20 models trained at 1/80 of the paper's size: of 8 hypotheses 6 reproduced, 2 reversed at " +
      "that scale.",
  );
  assert.match(renderExperiment(result), /A1: dilated against dense, one needle: reversed at this/);
});

Deno.test("the paper's own shares: 420 prompts tell only norm at k = 1536 from dense", () => {
  assert.equal(paperTrials(), 420);
  const rounded = paperShares().map(({ low, high }) => [low.toFixed(2), high.toFixed(2)].join("–"));
  assert.deepEqual(rounded, ["0.72–0.80", "0.69–0.77", "0.67–0.76", "0.60–0.69", "0.67–0.76"]);
  assert.deepEqual(
    paperShares().filter(({ separable }) => separable).map(({ scorer, k }) => `${scorer} ${k}`),
    ["norm 1536"],
  );
});
