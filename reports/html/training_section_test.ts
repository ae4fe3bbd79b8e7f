import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { sampleStatistic } from "../../suites/result/_sample_statistic.ts";
import { withTraining } from "../../suites/result/_sample_training.ts";
import { unknownFields } from "../../suites/result/_strict_schema.ts";
import { resultSchema } from "../../suites/result/result_schema.ts";
import { trainingCases } from "../data/training_data.ts";
import { renderReport } from "../render_report.ts";
import { renderTerminal } from "../text/terminal.ts";

const STEPS = [
  { seconds: 10 },
  { scorer: "norm", seconds: 4 },
  { peer: "torch-training", seconds: 5 },
];
const RESULT = withTraining(sampleResult(), STEPS);

Deno.test("made-up training steps match the schema, field by field", () => {
  assert.deepEqual(resultSchema.parse(RESULT), RESULT);
  assert.deepEqual(unknownFields(RESULT), []);
});

Deno.test("a report shows training steps: rates, shares of the time, memory, ceiling and loss", () => {
  const page = renderReport(RESULT);
  const section = page.slice(page.indexOf('id="training"'));
  assert.ok(page.includes('id="training"'));
  const text = section.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
  for (
    const said of [
      "trains 2.50× as fast as dense attention",
      "A step of 98,304 tokens takes 4.00 s",
      "in the time of one dense step it does 2.50 steps. The 4 outer layers are dense in both.",
      "24.6 ktok/s",
      "torch-training",
      "24.5 GiB (25.0 GiB)",
      "143 TFLOP/s",
      "6.050–6.010",
      "norms and elementwise",
      "2.50× (2.48–2.52×) 1.25× (1.24–1.26×) (torch-training)",
    ]
  ) assert.ok(text.includes(said), `${said} in ${text.slice(0, 4000)}`);
});

Deno.test("the terminal and the summary have the steps as a table", () => {
  const summary = renderReport(RESULT, { format: "markdown" });
  const line = summary.split("\n").find((one) =>
    one.startsWith("| lighthouse-norm, L = 3") && one.includes("ktok")
  )!;
  assert.match(
    line,
    /\| 96K \| 256 \| light \| 24\.6 ktok\/s .* \| 2\.50× .*, 1\.25× .*torch-training.* \| 24\.5 GiB \|/,
  );
  assert.match(renderTerminal(RESULT, {}), /Training steps/);
});

Deno.test("a report without training steps has no section, and one of a single step has no ratio", () => {
  assert.ok(!renderReport(sampleResult()).includes('id="training"'));
  const alone = renderReport(withTraining(sampleResult(), [{ seconds: 10 }]));
  assert.match(alone, /dense trains at/);
});

Deno.test("classes of work are shares of a step, and products are held against their unit", () => {
  const [dense, , peer] = trainingCases(RESULT);
  assert.ok(Math.abs(dense.classes.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
  assert.equal(dense.products!.unit, "matrix units");
  assert.ok(Math.abs(dense.products!.flopsPerSecond - 2e14 / 3.5) < 1e6);
  assert.equal(dense.products!.share, null, "the ceiling of matrix units was not measured");
  const config = "f16→f32 16×16×16";
  const calibration = {
    ...RESULT.calibration!,
    matrix: [{ config, flopsPerSecond: sampleStatistic(2e14) }],
  };
  const [held] = trainingCases({ ...RESULT, calibration });
  assert.ok(Math.abs(held.products!.share! - 1 / 3.5) < 1e-9);
  assert.equal(dense.tokensPerSecond, 9830.4);
  assert.deepEqual([peer.classes, peer.products], [[], null]);
});

Deno.test("ratios of training steps are no speed-ups of a layer", () => {
  const page = (result: typeof RESULT) => renderReport(result, { format: "markdown" }).split("\n");
  const before = page(sampleResult());
  const speedups = (lines: string[]) => lines.filter((line) => /faster than SDPA/.test(line));
  assert.deepEqual(speedups(page(RESULT)), speedups(before));
});
