import assert from "node:assert/strict";
import quality from "../../../fixtures/gate/paired_quality.json" with { type: "json" };
import turns from "../../../fixtures/gate/paired_turns.json" with { type: "json" };
import absolute from "../../../fixtures/gate/quality.json" with { type: "json" };
import { LOOKS } from "./judge_paired.ts";
import { REPEATED } from "./measure_quality.ts";
import { allPairedRows } from "./paired_quality.ts";

const ROWS = quality.rows;

Deno.test("the committed quality of turns meets its bounds: false alarms, and slowdowns found", () => {
  assert.ok(turns.blocks.length >= LOOKS[2]);
  for (const { noise, comparisons, falseAlarmRate } of ROWS) {
    assert.ok(comparisons >= 200 && falseAlarmRate <= 0.01, noise);
  }
  const last = (noise: string) => ROWS.filter((row) => row.noise.includes(noise)).at(-1)!.detection;
  assert.ok(last("quiet GPU")["5 %"] === 1);
  assert.ok(last("desktop GPU")["5 %"] >= 0.8 && last("desktop GPU")["10 %"] === 1);
  assert.ok(last("recorded")["20 %"] >= 0.95);
});

Deno.test("the committed quality of turns is what the gate finds today", () => {
  assert.deepEqual(allPairedRows(turns, REPEATED), quality.repeated);
});

Deno.test("GATE.md shows the committed quality", async () => {
  const page = await Deno.readTextFile(new URL("../../../reports/gate/GATE.md", import.meta.url));
  const shown = page.split("\n").filter((line) => /^\| (synthetic|recorded)/.test(line)).map(
    (line) => line.split("|").slice(1, -1).map((cell) => cell.trim()),
  );
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const alarms = (row: { falseAlarms: number; falseAlarmRate: number }) =>
    `${row.falseAlarms} (${percent(row.falseAlarmRate)})`;
  const found = (rates: readonly number[]) => rates.map(percent);
  assert.deepEqual(shown, [
    ...absolute.map((row) => [
      row.noise,
      String(row.history),
      String(row.comparisons),
      alarms(row),
      String(row.inconclusive),
      `±${percent(row.medianThreshold)}`,
      ...found(Object.values(row.detection).map(({ rate }) => rate)),
    ]),
    ...ROWS.map((row) => [
      row.noise,
      String(row.blocks),
      String(row.comparisons),
      alarms(row),
      String(row.inconclusive),
      ...found(Object.values(row.detection)),
    ]),
  ]);
});
