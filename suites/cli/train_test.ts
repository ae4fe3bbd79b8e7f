import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { loadExperiment } from "../experiments/experiment.ts";
import { sampleExperimentResult } from "../../reports/_sample_experiment.ts";
import { train } from "./train.ts";
import { describeProgress, describeUnit, TrainingDisplay } from "./training_display.ts";

Deno.test("train refuses what cannot be used in one line with code 2, before a device is opened", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/short.txt`, "too short");
  const out = `${folder}/out`;
  const refused: [string, RegExp][] = [
    [
      `--out ${out}`,
      /^name an experiment: smoke, needle, two-stage, two-stage-small, k-pair, or a file$/,
    ],
    [
      `neadle --out ${out}`,
      /^experiment neadle is not one of smoke, needle, two-stage, two-stage-small, k-pair$/,
    ],
    [`${folder}/none.json --out ${out}`, /none\.json: /],
    [`smoke --out ${out} --arms gla`, /^arm gla is not one of dense, norm$/],
    [`needle --out ${out} --seeds 4-7`, /^seed 6 is not one of 1, 2, 3, 4, 5$/],
    [`needle --out ${out} --seeds 3-1`, /"3-1" is not from a seed to a later one, like 1-3/],
    [`needle --out ${out} --seeds 2-99999999999`, /^seed 6 is not one of 1, 2, 3, 4, 5$/],
    [`needle --out ${out} --seeds x`, /"x" is not a positive whole number/],
    [`smoke --out ${out} --shard 3/2`, /shard "3\/2": 3 is above 2/],
    [`smoke --out ${out} --budget 0`, /"0" is not a positive number of seconds/],
    [`smoke --out ${out} --corpus ${folder}/short.txt`, /9 bytes of 1 files; contexts of 512 need/],
    [`--resume --out ${out}`, /^resume .*: there is no such file$/],
    [`smoke needle --out ${out}`, /^too many arguments/],
  ];
  try {
    for (const [line, words] of refused) {
      await assert.rejects(train(line.split(" ")), (error) => {
        assert.ok(error instanceof UsageError, `${line}: ${error}`);
        assert.equal(error.exitCode, 2);
        assert.match(error.message, words);
        return !error.message.includes("\n");
      });
    }
    // Nothing was left behind.
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["short.txt"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a running unit in one line, rewritten on a terminal, seldom elsewhere", async () => {
  const { experiment } = await loadExperiment("needle");
  const unit = { id: "experiments/needle/norm/seed-2", arm: experiment.arms[1], seed: 2 };
  const training = { step: 450, loss: 3.2141, secondsPerStep: 0.012 };
  const progress = { unit, done: 2, total: 20, steps: 1600, training };
  const line = "[3/20] norm, seed 2: step 450 of 1600, loss 3.214, 12.0 ms a step, 14 s left";
  assert.equal(describeProgress(progress), line);
  let [said, now] = ["", 0];
  const stream = { columns: 100, write: (text: string) => void (said += text) };
  const piped = new TrainingDisplay({ ...stream, isTerminal: false }, { now: () => now });
  for (now = 0; now < 25_000; now += 1000) piped.show(progress);
  assert.equal(said, `${line}\n`.repeat(3));
  said = "";
  const terminal = new TrainingDisplay({ ...stream, isTerminal: true });
  terminal.show(progress);
  terminal.show({ ...progress, training: undefined, text: "evaluation at the end" });
  terminal.end();
  assert.equal(said.split("\r")[1].trimEnd(), line);
  assert.match(said, /\r\[3\/20\] norm, seed 2: evaluation at the end +\r +\r$/);
});

Deno.test("a finished unit in one line", () => {
  const arms = [{ arm: "dense", loss: 0, share: 0.7 }];
  const result = sampleExperimentResult({ arms, seeds: [1], steps: 40 });
  assert.match(
    describeUnit(result.cases[0], result),
    /^ok experiments\/needle\/dense\/seed-1: held-out loss 1\.85\d\d, answered 70\.0 % and 30\.0 %, 20\.0 s$/,
  );
  const lossAlone = structuredClone(result);
  for (const evaluation of lossAlone.experiment!.units[0].evaluations) evaluation.needles = [];
  assert.match(
    describeUnit(lossAlone.cases[0], lossAlone),
    /dense\/seed-1: held-out loss 1\.85\d\d, 20\.0 s$/,
  );
  const failed = { ...result.cases[0], id: "x", status: "failed" as const, reason: "it is lost" };
  assert.equal(describeUnit(failed, result), "failed x: it is lost");
});
