import assert from "node:assert/strict";
import { DESK } from "../../kernels/gpu/_desk_device.ts";
import { planTraining } from "../../kernels/training/model/model_plan.ts";
import { fillStream } from "../../kernels/training/stream/stream_options.ts";
import { baseModelOf, baseStreamOf } from "./base_model.ts";
import { tinyExperiment } from "./_tiny_experiment.ts";
import {
  attentionOf,
  EXPERIMENT_NAMES,
  loadExperiment,
  modelOf,
  parseExperiment,
  streamOf,
} from "./experiment.ts";

Deno.test("committed experiments can be planned, every arm of them", async () => {
  for (const name of EXPERIMENT_NAMES) {
    const { experiment, registered } = await loadExperiment(name);
    assert.equal(experiment.name, name);
    assert.ok(registered);
    const { context } = experiment.model;
    fillStream(streamOf(experiment, 1), { context });
    const { base } = experiment;
    if (base) {
      fillStream(baseStreamOf(experiment, base, { seed: 1 }), { context: base.context });
      planTraining(DESK, baseModelOf(experiment, base, "f16"));
    }
    for (const arm of experiment.arms) {
      for (const dense of [true, false]) {
        const plan = planTraining(DESK, modelOf(experiment, { arm, dense, dtype: "f16" }));
        const kinds = plan.attention.map(({ name }) => name === "dense");
        const ends = arm.placement === "ends-dense"
          ? [0, 1, kinds.length - 2, kinds.length - 1]
          : [];
        for (const [layer, isDense] of kinds.entries()) {
          assert.equal(isDense, dense || arm.scorer === undefined || ends.includes(layer));
        }
      }
    }
  }
});

Deno.test("needle and two-stage keep the paper's share of the context", async () => {
  for (const name of ["needle", "two-stage", "two-stage-small"]) {
    const { experiment } = await loadExperiment(name);
    const norm = experiment.arms.find(({ name }) => name === "norm")!;
    const plan = planTraining(DESK, modelOf(experiment, { arm: norm, dense: false, dtype: "f16" }));
    const { gathered, context } = plan.attention.find(({ geometry }) => geometry)!.geometry!;
    // 6,144 coarsest entries and 2 · 4 · 1,536 others of 98,304 rows.
    assert.equal(gathered / context, (6144 + 2 * 4 * 1536) / 98304);
    const { first, resume } = experiment.steps;
    assert.equal(first / (first + resume), 10 / 16);
  }
});

Deno.test("a file of the same form is read, and only the committed ones are registered", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  const smoke = JSON.parse(
    await Deno.readTextFile(new URL("../../fixtures/experiments/smoke.json", import.meta.url)),
  );
  try {
    await Deno.writeTextFile(file, JSON.stringify(smoke));
    const same = await loadExperiment(file);
    assert.deepEqual([same.registered, same.hash], [true, (await loadExperiment("smoke")).hash]);
    await Deno.writeTextFile(file, JSON.stringify({ ...smoke, seeds: [7] }));
    assert.equal((await loadExperiment(file)).registered, false);
    await Deno.writeTextFile(file, "{");
    await assert.rejects(loadExperiment(file), { message: `experiment ${file}: it is not JSON` });
  } finally {
    await Deno.remove(file);
  }
  await assert.rejects(loadExperiment("nedle"), {
    message: "experiment nedle is not one of smoke, needle, two-stage, two-stage-small, k-pair",
  });
});

Deno.test("an experiment that cannot be is refused in one line that names the field", () => {
  const tiny = tinyExperiment();
  const refuse = (change: object, message: RegExp) =>
    assert.throws(() => parseExperiment({ ...tiny, ...change }, "x.json"), (error: Error) => {
      assert.match(error.message, message);
      return !error.message.includes("\n");
    });
  refuse({ seeds: [1, 1] }, /^experiment x.json: seeds has one twice$/);
  refuse({ seeds: [] }, /^experiment x.json: seeds: /);
  refuse({ arms: [{ name: "a", primary: false }] }, /no arm is primary$/);
  refuse({ arms: [{ name: "a", primary: true, scorer: "norm" }] }, /needs options and placement$/);
  refuse({ unknown: 1 }, /^experiment x.json: the whole file: /);
  refuse(
    { hypotheses: [{ ...tiny.hypotheses[0], arm: "gla" }] },
    /^experiment x.json: hypotheses T1: gla is not one of dense, norm, other$/,
  );
  refuse(
    { evaluation: { ...tiny.evaluation, needles: { contexts: [512], depths: [0], prompts: 1 } } },
    /context 512 is not from 64 to the model's 256$/,
  );
  refuse({ base: { ...tiny.base, context: 512 } }, /base: context 512 is above the model's 256$/);
  refuse({ base: { ...tiny.base, steps: 0 } }, /^experiment x.json: base.steps: /);
  assert.equal(attentionOf(tiny, tiny.arms[1]).length, 2);
});
