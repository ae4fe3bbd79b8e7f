import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { type SampleStep, withTraining } from "../../suites/result/_sample_training.ts";
import { trainingPairs, wholeRunSpeedup } from "../data/training_data.ts";
import { judgeClaims } from "./claims.ts";
import { trainingRows } from "./paper.ts";
import { trainingSentence } from "./training_finding.ts";
import { joinVerdicts } from "./training_rows.ts";

const row = (result: Parameters<typeof judgeClaims>[0], id: string) =>
  judgeClaims(result).find((one) => one.id === id)!;

/** The row of the paper's largest value, 2.76×, and one of 2.18×. */
const NORM = { scorer: "norm", levels: 3, pooling: 4, k: 1536 };
const DILATED = { scorer: "dilated", levels: 3, pooling: 4, k: 1536 };

const steps = (dense: number, norm: number, dilated: number): SampleStep[] => [
  { seconds: dense },
  { ...NORM, seconds: norm },
  { ...DILATED, seconds: dilated },
];

Deno.test("training claims without training steps are not run, with the command that runs them", () => {
  for (const id of ["training-throughput", "end-to-end"]) {
    const claim = row(sampleResult(), id);
    assert.deepEqual([claim.verdict, claim.ours, claim.extent], ["not run", null, null]);
    assert.match(claim.why, /No training step was part of this run/);
    assert.match(
      claim.command!,
      /^deno task bench training --profile paper --stack \w+ --seed \d+$/,
    );
    assert.ok(claim.details.every(({ measured }) => measured === undefined));
  }
  assert.equal(row(sampleResult(), "training-throughput").paper.text, "1.64–2.76×");
  assert.equal(row(sampleResult(), "end-to-end").paper.text, "1.40–1.69×");
});

Deno.test("training throughput is judged row by row, and the row of the largest value leads", () => {
  const claim = row(withTraining(sampleResult(), steps(10, 4, 5)), "training-throughput");
  assert.equal(claim.ours!.value, 2.5);
  assert.ok(Math.abs(claim.ratio! - 2.5 / (126 / 45.6)) < 1e-12);
  // 2.5 of 2.76 and 2 of 2.18 are more than 0.8.
  assert.equal(claim.verdict, "reproduced");
  assert.deepEqual(claim.extent, { points: 2, whole: false });
  assert.match(claim.why, /V = 256; 2 of 17 rows/);
  const norm = claim.details.find(({ label }) =>
    label.startsWith("norm, L = 3, p = 4, k = 1,536")
  )!;
  assert.deepEqual(norm.measured!.map(({ over, verdict }) => [over, verdict]), [
    ["this suite’s own dense step, V = 256", "reproduced"],
  ]);
  assert.equal(claim.details.filter(({ measured }) => measured).length, 2);
});

Deno.test("rows that differ make a claim partly reproduced, and slow ones are not reproduced", () => {
  const mixed = row(withTraining(sampleResult(), steps(10, 4, 9)), "training-throughput");
  assert.equal(mixed.verdict, "partly");
  const slow = row(withTraining(sampleResult(), steps(10, 10, 20)), "training-throughput");
  assert.equal(slow.verdict, "not reproduced");
  assert.equal(joinVerdicts([]), "not run");
  assert.equal(joinVerdicts(["partly", "partly"]), "partly");
});

Deno.test("a peer's dense step gets a verdict of its own beside ours", () => {
  const result = withTraining(sampleResult(), [
    ...steps(10, 4, 5),
    { peer: "torch-training", seconds: 4.2 },
  ]);
  const claim = row(result, "training-throughput");
  assert.equal(claim.ours!.value, 2.5);
  assert.match(claim.beside!, /^over torch-training: 1\.05× .*, not reproduced$/);
  const norm = claim.details.find(({ label }) =>
    label.startsWith("norm, L = 3, p = 4, k = 1,536")
  )!;
  assert.deepEqual(norm.measured!.map(({ verdict }) => verdict), ["reproduced", "not reproduced"]);
});

Deno.test("Lighthouse of a peer is held against the peer's dense step, and is no claim of ours", () => {
  const peer = "published";
  const result = withTraining(sampleResult(), [
    { seconds: 10 },
    { peer, seconds: 6 },
    { ...NORM, peer, seconds: 3 },
  ]);
  const pairs = trainingPairs(result).map(({ lighthouse, dense, ratio }) => [
    lighthouse.record.implementation,
    dense.record.implementation,
    ratio,
  ]);
  assert.deepEqual(pairs, [["peer:published", "peer:published", 2]]);
  assert.equal(row(result, "training-throughput").verdict, "not run");
  assert.match(trainingSentence(result)!, /^At 96K, a training step with dense does 9\.83 ktok\/s/);
});

Deno.test("the paper's vocabulary is judged where it was measured, and the other one is said too", () => {
  const small = withTraining(sampleResult(), steps(10, 4, 5));
  const both = withTraining(small, steps(12, 6, 8), { vocabulary: 128_256 });
  const claim = row(both, "training-throughput");
  assert.equal(claim.ours!.value, 2);
  assert.match(claim.why, /V = 128,256/);
  const norm = claim.details.find(({ label }) =>
    label.startsWith("norm, L = 3, p = 4, k = 1,536")
  )!;
  assert.deepEqual(norm.measured!.map(({ over }) => over.replace(/^.*V = /, "")), [
    "128,256",
    "256",
  ]);
});

Deno.test("steps of another model, context or recompute mode are not the paper's rows", () => {
  for (
    const model of [{ layers: 6 }, { context: 8192 }] as const
  ) {
    const claim = row(withTraining(sampleResult(), steps(10, 4, 5), model), "training-throughput");
    assert.equal(claim.verdict, "not run");
    assert.match(
      claim.why,
      /no Lighthouse step beside a dense one of the paper’s model at its context/,
    );
  }
  // Dense and Lighthouse have to recompute alike.
  const dense = withTraining(sampleResult(), [{ seconds: 10 }], { recompute: "none" });
  const apart = withTraining(dense, [{ ...NORM, seconds: 4 }], { recompute: "light" });
  assert.equal(trainingPairs(apart).length, 0);
});

Deno.test("medians that were not interleaved are compared, and said to be", () => {
  const result = withTraining(sampleResult(), steps(10, 4, 5), {}, { interleaved: false });
  const [pair] = trainingPairs(result);
  assert.deepEqual([pair.ratio, pair.rounds, pair.low], [2.5, 0, undefined]);
  const claim = row(result, "training-throughput");
  assert.match(claim.why, /not interleaved/);
  assert.equal(claim.ours!.low, null);
});

Deno.test("a whole run is computed from a step's ratio and the paper's schedule", () => {
  // 10,000 of 16,000 steps at 2.5×: 16 / (10 / 2.5 + 6).
  assert.equal(wholeRunSpeedup(2.5, { sparse: 10_000, total: 16_000 }), 1.6);
  assert.equal(wholeRunSpeedup(1, { sparse: 10_000, total: 16_000 }), 1);
  const claim = row(withTraining(sampleResult(), steps(10, 4, 5)), "end-to-end");
  assert.equal(claim.ours!.value, 1.6);
  assert.match(claim.claim, /computed/);
  assert.match(claim.why, /^Computed from measured steps/);
  assert.equal(claim.verdict, "reproduced");
  assert.ok(Math.abs(claim.ratio! - 1.6 / (303.2 / 179.6)) < 1e-12);
});

Deno.test("the paper's own step ratios give its own whole runs within five per cent", () => {
  const rows = trainingRows().filter(({ alone, group }) => alone && group !== "recoverability");
  assert.equal(rows.length, 14);
  for (const { label, relative, wholeRun, sparseSteps, totalSteps } of rows) {
    const computed = wholeRunSpeedup(relative, { sparse: sparseSteps, total: totalSteps });
    assert.ok(Math.abs(computed / wholeRun - 1) < 0.05, `${label}: ${computed} and ${wholeRun}`);
  }
});
