import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import paired from "../../../fixtures/gate/paired_quality.json" with { type: "json" };
import turns from "../../../fixtures/gate/paired_turns.json" with { type: "json" };
import quality from "../../../fixtures/gate/quality.json" with { type: "json" };
import { rateOf } from "../../../reports/gate/quality_table.ts";
import { exactRateInterval } from "../../statistics/quantiles.ts";
import { LOOKS } from "./judge_paired.ts";
import { withTables } from "./measure_quality.ts";
import {
  measurePairedSetting,
  measureRecordedTurns,
  MOST_BLOCKS,
  PAIRED_GRID,
  type PairedSetting,
} from "./paired_quality.ts";

/** What the gate promises. */
const BOUND = 0.01;

const keyOf = ({ contexts, turn, process, drift }: PairedSetting) =>
  JSON.stringify([contexts, turn, process, drift]);

const LAST = paired.grid.filter(({ blocks }) => blocks === MOST_BLOCKS);

Deno.test("the committed quality of turns keeps the bound at every number of contexts", () => {
  assert.ok(turns.blocks.length >= LOOKS[2]);
  assert.deepEqual(LAST.map(keyOf), PAIRED_GRID.map(keyOf));
  for (const contexts of [2, 3, 4, 7]) {
    const rows = LAST.filter((row) => row.contexts === contexts);
    const counts = rows.map(({ studies, falseAlarms }) => ({ runs: studies, alarms: falseAlarms }));
    assert.ok(rateOf(counts).limit <= BOUND, `${contexts} contexts`);
  }
  for (const row of paired.recorded) {
    const [low] = exactRateInterval(row.falseAlarms, row.studies, { confidence: 0.98 });
    assert.ok(low <= BOUND, `${row.blocks} recorded blocks`);
  }
});

Deno.test("the committed quality of turns finds slowdowns", () => {
  for (const row of LAST) {
    assert.ok(row.detection.one["20 %"] === 1 && row.detection.one["10 %"] >= 0.95, keyOf(row));
    if (row.process < 0.01 && row.turn < 0.02) assert.ok(row.detection.one["5 %"] >= 0.99);
  }
  const { detection } = paired.recorded.at(-1)!;
  assert.ok(detection.one["20 %"] >= 0.95 && detection.all["10 %"] >= 0.8);
});

Deno.test({
  ...slow("other seeds of turns: no more false alarms, and no slowdown less often found"),
  fn: () => {
    const counts: { runs: number; alarms: number }[] = [];
    for (const published of LAST.filter(({ contexts, drift }) => contexts < 4 && drift > 0)) {
      const { contexts, turn, process, drift } = published;
      const setting = { contexts, turn, process, drift };
      const row = measurePairedSetting(setting, { studies: 25, first: 10_000 }).at(-1)!;
      counts.push({ runs: row.studies, alarms: row.falseAlarms });
      for (const target of ["one", "all"] as const) {
        for (const [size, rate] of Object.entries(published.detection[target])) {
          const found = Math.round(row.detection[target][size] * row.studies);
          const [, high] = exactRateInterval(found, row.studies, { confidence: 0.998 });
          const count = Math.round(rate * published.studies);
          const [low] = exactRateInterval(count, published.studies, { confidence: 0.98 });
          assert.ok(low <= high, `${keyOf(setting)} ${target} ${size}: ${found}`);
        }
      }
    }
    const { runs, alarms } = rateOf(counts);
    const [low] = exactRateInterval(alarms, runs, { confidence: 0.998 });
    assert.ok(runs >= 200 && low <= BOUND, `${alarms} of ${runs} runs with a false alarm`);
  },
});

Deno.test({
  ...slow("the same seeds give the committed rows of turns"),
  fn: () => {
    const { studies } = paired.recorded[0];
    assert.deepEqual(measureRecordedTurns(turns, { studies }), paired.recorded);
    const [setting] = PAIRED_GRID;
    const rows = measurePairedSetting(setting, { studies: LAST[0].studies });
    assert.deepEqual(
      rows.map((row) => ({ ...setting, ...row })),
      paired.grid.slice(0, rows.length),
    );
  },
});

Deno.test("GATE.md states the bounds and the contexts of the committed quality, and its tables", async () => {
  const page = await Deno.readTextFile(new URL("../../../reports/gate/GATE.md", import.meta.url));
  // The formatter pads tables and wraps lines.
  const plain = (text: string) => text.replace(/-{2,}/g, "-").replace(/\s+/g, " ");
  assert.equal(plain(withTables(page, { quality, paired })), plain(page));
  assert.match(
    plain(page),
    /At most 0\.\d+ % of comparisons have a false alarm\*\* in any case, at 2, 3, 4 and 7 contexts/,
  );
  assert.match(
    plain(page),
    /At most 0\.\d+ % of gate runs have a false alarm\*\* in any case, at 2, 3, 4 and 7 contexts/,
  );
});
