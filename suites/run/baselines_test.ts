import assert from "node:assert/strict";
import { chooseCases } from "../../tools/_cases.ts";
import { compareResults, isPeer } from "../../reports/gate/compare_results.ts";
import { renderReport } from "../../reports/render_report.ts";
import { loadExperiment } from "../experiments/experiment.ts";
import { chooseUnits } from "../experiments/units.ts";
import { parseBench } from "../cli/bench.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import { readResult } from "../result/read_result.ts";
import type { Result } from "../result/result_schema.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import { planShares } from "./_planned.ts";
import { plannedCases } from "./plan_run.ts";
import { replayArguments, withoutPeers } from "./replay.ts";

const FOLDER = new URL("../../fixtures/baselines/", import.meta.url);

async function baselines(): Promise<[name: string, result: Result][]> {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
    .filter((name) => name.endsWith(".json"));
  assert.ok(names.length >= 14);
  return await Promise.all(
    names.map(async (name): Promise<[string, Result]> => [
      name,
      await readResult(new URL(name, FOLDER).pathname),
    ]),
  );
}

/** A file of every suite and stack; the others have the same fields with other numbers. */
const EVERY_DAY = /^h(100-(deno-(retrieval|context-parallel)|dawn-peers)|200-default)\.json$/;
const CHOSEN = chooseCases(await baselines(), ([name]) => EVERY_DAY.test(name));

for (const [name, result] of CHOSEN.cases) {
  const later = (change: (result: Result) => void = () => {}): Result => {
    const other = structuredClone(result);
    other.startedAt = "2040-01-01T00:00:00.000Z";
    change(other);
    return other;
  };

  Deno.test(`${name} renders, and every case belongs to a known suite${CHOSEN.note}`, () => {
    assert.match(renderReport(result, { format: "markdown" }), /^# /);
    const page = renderReport(result);
    assert.ok(page.startsWith("<!doctype html>") && page.length > 50_000);
    const known = SUITE_RECORDS.map(({ name }) => name);
    for (const { suite } of result.cases) assert.ok(known.includes(suite), suite);
  });

  Deno.test(`${name} passes the gate against itself, and fails with another digest`, () => {
    const report = compareResults(result, later());
    assert.deepEqual([report.outcome, report.exitCode], ["passed", 0], report.sentence);
    assert.deepEqual(report.leftOut, { baseline: 0, candidate: 0 });
    assert.ok(report.cases.every(({ verdict }) => verdict === "same"));
    for (const suite of new Set(result.cases.map((record) => record.suite))) {
      const at = result.cases.findIndex((record) =>
        record.suite === suite && record.digest?.output !== undefined && !isPeer(record)
      );
      if (at < 0) continue;
      const changed = later(({ cases }) => cases[at].digest!.output = "other bits");
      const failing = compareResults(result, changed).cases.filter(({ fails }) => fails);
      assert.deepEqual(failing.map(({ id }) => id), [result.cases[at].id], suite);
    }
    const gone = later(({ cases }) => cases.shift());
    assert.equal(compareResults(result, gone).exitCode, 1, "a requested case is missing");
  });

  if (result.experiment) {
    Deno.test(`${name} is of an experiment that is as it was registered`, async () => {
      const { registration, units } = result.experiment!;
      const { experiment, hash } = await loadExperiment(result.profile);
      assert.deepEqual([registration.registered, registration.hash], [true, hash]);
      const ids = new Set(chooseUnits(experiment, {}).map(({ id }) => id));
      assert.ok(units.length > 0 && units.every((unit) => ids.has(unit.case)));
    });
    continue;
  }

  Deno.test(`${name} can be replayed: its command parses, and its plan has its cases`, () => {
    const own = withoutPeers(result);
    const { suite } = parseBench(replayArguments(own))!;
    const plan = planShares({ ...suite, profile: result.profile, ignoreUnused: true }, {
      device: { ...ASSUMED_DEVICE, deviceMemoryBytes: result.environment.deviceMemoryBytes },
    });
    const planned = new Set(plannedCases(plan).map(({ id }) => id));
    const timed = own.cases.filter((record) => !findRecord(SUITE_RECORDS, record.suite).checks);
    const missing = timed.filter(({ id }) => !planned.has(id)).map(({ id }) => id);
    assert.ok(timed.length > 0);
    assert.deepEqual(missing, [], "a replay would no longer measure these");
  });
}
