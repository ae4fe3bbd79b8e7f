import assert from "node:assert/strict";
import { type DeviceModel, type ModelledRun, runOnModel } from "../suites/run/_device_model.ts";
import { H100_DAWN, LAPTOP, SOFTWARE, withWorkers } from "../suites/run/_device_models.ts";
import { budgetOf, LEAST_GROUPS, modeOf, secondsOf } from "./modes.ts";

const QUICK = modeOf("quick");

/** A quick run on a model whose kernels are compiled after some seconds; nothing waits for a clock. */
function quickRun(model: DeviceModel, spent: number): Promise<ModelledRun> {
  const { adapter } = model.device;
  const { profile, ...options } = QUICK.options(adapter);
  const budgetSeconds = budgetOf(QUICK, adapter);
  const leastGroups = LEAST_GROUPS;
  return runOnModel(model, { ...options, profile: profile!, budgetSeconds, spent, leastGroups });
}

/** Samples of dense attention at each context that has a ratio, the shortest first. */
function pairedSamples({ ratios, cases }: ModelledRun): number[] {
  return ratios.map(({ numerator }) => cases.find(({ id }) => id === numerator)!)
    .sort((a, b) => a.shape.context - b.shape.context)
    .map(({ samples }) => samples.length);
}

/** No check was left out, and what was not measured says that the budget was over. */
function assertChecked({ cases }: ModelledRun): void {
  const checks = cases.filter(({ suite }) => suite === "correctness");
  assert.deepEqual(checks.map(({ implementation, status }) => [implementation, status]), [
    ["dense", "ok"],
    ["lighthouse-norm", "ok"],
  ]);
  for (const { status, reason } of cases) {
    if (status !== "ok") {
      assert.match(`${status}: ${reason}`, /^skipped: .* of the budget are left/);
    }
  }
}

for (
  const [name, model, spents] of [
    ["a fast GPU", H100_DAWN, [3, 8, 13]],
    ["a fast GPU whose host checks in threads", withWorkers(H100_DAWN), [3, 8, 13]],
    ["a laptop's GPU", LAPTOP, [3, 8, 11]],
    // Two idle cores compile for nine seconds before the checks.
    ["a software adapter", SOFTWARE, [3, 8, 12]],
  ] as const
) {
  Deno.test(`a quick run ends within its 20 s on ${name}, with a ratio and all checks`, async () => {
    assert.equal(secondsOf(QUICK, model.device.adapter), 20);
    const found: number[] = [];
    for (const spent of spents) {
      const result = await quickRun(model, spent);
      const total = spent + result.seconds;
      assert.ok(total <= 20, `${total} s of which ${spent} s passed before the checks`);
      assertChecked(result);
      const samples = pairedSamples(result);
      assert.ok(samples.length >= 1, `${spent}`);
      found.push(samples.reduce((sum, count) => sum + count));
    }
    // Less time costs samples.
    assert.deepEqual(found, found.toSorted((a, b) => b - a));
  });
}

Deno.test("a quick run whose time is over before the checks still checks and measures the shortest context", async () => {
  for (const model of [H100_DAWN, LAPTOP, SOFTWARE]) {
    const result = await quickRun(model, 40);
    assertChecked(result);
    // The profile's minimum.
    assert.deepEqual(pairedSamples(result), [2]);
    const contexts = result.cases.filter(({ suite, status }) =>
      suite === "latency" && status === "ok"
    )
      .map(({ shape }) => shape.context);
    assert.equal(new Set(contexts).size, 1);
  }
});
