import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { hashJson } from "../result/digest.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { type Result, resultSchema } from "../result/result_schema.ts";
import { mergeResults } from "../run/merge.ts";
import { tinyExperiment } from "./_tiny_experiment.ts";
import {
  type ExperimentHost,
  type ExperimentRunOptions,
  planExperiment,
  runExperiment,
} from "./run_experiment.ts";
import { type CheckpointStore, unitOfCheckpoint } from "./train_unit.ts";

/** A store in memory. */
function memoryStore() {
  let saved: Blob | undefined;
  const store: CheckpointStore = {
    async save(pieces) {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      for await (const piece of pieces) parts.push(piece.slice());
      saved = new Blob(parts);
    },
    load: async (id) => saved && await unitOfCheckpoint(saved) === id ? saved : undefined,
    remove: () => Promise.resolve(void (saved = undefined)),
  };
  return { store, has: () => saved !== undefined };
}

/** What must not depend on the clock. */
function bits({ experiment }: Result) {
  return experiment!.units.map(({ losses, skippedSteps, evaluations, arm, seed }) => ({
    arm,
    seed,
    losses,
    skippedSteps,
    evaluations: evaluations.map(({ when, step, heldOut, needles }) => ({
      when,
      step,
      heldOut,
      needles,
    })),
  }));
}

Deno.test({
  ...slow("an experiment: trained, evaluated, stopped and resumed with the same bits, in shards"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const experiment = { ...tinyExperiment(), seeds: [1] };
    const hash = await hashJson(experiment);
    const options: ExperimentRunOptions = {
      loaded: { experiment, hash, registered: true },
      command: ["deno", "task", "train", "tiny"],
    };
    const { tool, environment } = sampleResult();
    const host: ExperimentHost = { gpu, tool, environment, wgsl: "0" };
    const planned = await planExperiment(options, host);
    const whole = await runExperiment(planned, options, { host });
    const record = whole.experiment!;

    await t.step("every unit has a falling loss, two evaluations, and a checked one", () => {
      resultSchema.parse(whole);
      assert.notEqual(whole.finishedAt, null);
      assert.deepEqual(whole.cases.map(({ status }) => status), ["ok", "ok"]);
      assert.ok(record.check!.passed && record.check!.maxError > 0);
      for (const unit of record.units) {
        const { losses, evaluations, firstSteps, resumeSteps, tokensPerStep } = unit;
        assert.equal(losses.length, 5);
        assert.deepEqual([firstSteps, resumeSteps, tokensPerStep], [3, 2, 512]);
        assert.ok(losses[4] < losses[0] - 0.3);
        assert.deepEqual(evaluations.map(({ when, step }) => [when, step]), [
          ["base", 0],
          ["switch", 3],
          ["end", 5],
        ]);
        assert.ok(evaluations[2].heldOut.every((loss) => loss > 0 && loss < losses[0]));
        assert.deepEqual(evaluations[2].needles.map(({ trials }) => trials), [10, 10]);
        const { seconds, loss, ...base } = unit.base!;
        assert.deepEqual(base, { context: 128, steps: 2, tokensPerStep: 256 });
        assert.ok(seconds > 0 && loss > 4 && loss < 7);
      }
      // All arms of a seed go on from the same base, which had learnt something.
      const [first, second] = record.units.map(({ evaluations }) => evaluations[0].heldOut);
      assert.deepEqual(first, second);
      // Arms of a seed begin with the same weights and data.
      const [dense, norm] = record.units.map(({ losses }) => losses[0]);
      assert.ok(dense !== norm && Math.abs(dense - norm) < 0.05);
    });

    await t.step("a run stopped in a unit goes on with the same bits", async () => {
      // The first unit is there already.
      const begun = structuredClone(whole);
      begun.cases.pop();
      begun.experiment!.units.pop();
      for (const stopAt of [1, 4]) {
        const { store, has } = memoryStore();
        const stop = new AbortController();
        const cut = await runExperiment(
          { ...planned, result: { ...begun, finishedAt: null } },
          options,
          {
            host,
            hooks: {
              checkpoints: store,
              signal: stop.signal,
              onProgress: ({ unit, training }) => {
                if (unit.id.endsWith("norm/seed-1") && (training?.step ?? 0) >= stopAt) {
                  stop.abort();
                }
              },
            },
          },
        );
        assert.equal(cut.finishedAt, null);
        assert.deepEqual(cut.cases.map(({ id }) => id), [whole.cases[0].id]);
        assert.ok(has());
        const resumed = await runExperiment({ ...planned, result: cut }, options, {
          host,
          hooks: { checkpoints: store },
        });
        assert.deepEqual(bits(resumed), bits(whole));
        assert.ok(!has() && resumed.finishedAt !== null);
      }
    });

    await t.step("shards give the same bits, joined by merge", async () => {
      const shards = [];
      for (const index of [1, 2]) {
        const own = { ...options, shard: { index, count: 2 } };
        const part = await planExperiment(own, host);
        shards.push({ name: `shard ${index}`, result: await runExperiment(part, own, { host }) });
      }
      const { result, missing } = await mergeResults(shards);
      assert.deepEqual(missing, []);
      assert.deepEqual(bits(result), bits(whole));
    });

    await t.step("what does not fit the budget is skipped, and that is a deviation", async () => {
      const own = { ...options, budgetSeconds: 1e-9 };
      const result = await runExperiment(planned, own, { host });
      assert.deepEqual(result.cases.map(({ status }) => status), ["skipped", "skipped"]);
      assert.deepEqual(result.experiment!.registration.deviations, [
        "2 of 2 units were left out: the budget of 1e-9 s",
      ]);
      const again = await runExperiment({ ...planned, result }, own, { host });
      assert.deepEqual(again.experiment!.registration, result.experiment!.registration);
      // Resumed once more, now to the end.
      const { registration } = result.experiment!;
      const complete = { ...whole, experiment: { ...record, registration } };
      const ended = await runExperiment({ ...planned, result: complete }, options, { host });
      assert.deepEqual(ended.experiment!.registration.deviations, []);
    });
    gpu.destroy();
  },
});
