import assert from "node:assert/strict";
import { render } from "preact-render-to-string";
import { sampleExperimentResult } from "../_sample_experiment.ts";
import { experimentSection } from "./experiment_section.tsx";

Deno.test("needles have a block and columns where models were asked for them, and only there", () => {
  const arms = [{ arm: "dense", loss: 0, share: 0.7 }, { arm: "norm", loss: 0.1, share: 0.5 }];
  const result = sampleExperimentResult({ arms, seeds: [1, 2], steps: 40 });
  const htmlOf = () =>
    render(experimentSection(result, "")!.content as Parameters<typeof render>[0]);
  const asked = htmlOf();
  assert.match(asked, /Where trained models find needles/);
  assert.match(asked, /One needle at the end/);
  for (const { evaluations } of result.experiment!.units) {
    for (const evaluation of evaluations) evaluation.needles = [];
  }
  const lossAlone = htmlOf();
  assert.doesNotMatch(lossAlone, /Where trained models find needles|One needle at the end/);
  assert.match(lossAlone, /Loss at the end/);
});
