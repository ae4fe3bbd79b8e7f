import assert from "node:assert/strict";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { renderReport } from "../../reports/render_report.ts";
import { renderTerminal } from "../../reports/text/terminal.ts";
import { parseBench } from "../cli/bench.ts";
import { countRuns, replayExit } from "../cli/replay.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { UsageError } from "../errors.ts";
import { type Result, resultSchema } from "../result/result_schema.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import type { SuiteEntry } from "../suite.ts";
import { SUITES } from "../suites.ts";
import {
  DICE_RECORD,
  diceEntry,
  diceOf,
  type DicePart,
  madeUpHost,
  NO_GPU,
} from "./_made_up_suite.ts";
import { DENO_HOST } from "./deno_host.ts";
import { mergeResults } from "./merge.ts";
import { fileFlags, replayArguments } from "./replay.ts";
import { exitCodeOf, runCalibrated, type SuiteOptions } from "./runner.ts";

/** The made-up device has no timestamps. */
const WALL_CLOCK = { ...CALIBRATION, record: { clock: "wall" as const } };

const RECORDS = [...SUITE_RECORDS, DICE_RECORD];

const DICE: SuiteOptions = {
  profile: "smoke",
  suites: [DICE_RECORD.name],
  settings: { [DICE_RECORD.name]: { count: 5 } },
  seed: 3,
  gpu: NO_GPU,
};

const registryOf = (entry: SuiteEntry) => [...SUITES, entry];

function run(
  entry: SuiteEntry,
  options: SuiteOptions = {},
  extras: Parameters<typeof runCalibrated>[1] = {},
) {
  return runCalibrated({ ...DICE, ...options }, {
    calibration: WALL_CLOCK,
    host: madeUpHost(),
    suites: registryOf(entry),
    ...extras,
  });
}

const facesOf = (result: Result) =>
  (result.diceFaces as DicePart).faces.map((one) => JSON.stringify(one)).sort();

/** The same result, as another run would produce it. */
function later(result: Result, change: (result: Result) => void = () => {}): Result {
  const other = structuredClone(result);
  other.startedAt = "2030-01-01T00:00:00.000Z";
  change(other);
  return other;
}

for (const kind of ["budgeted", "apart"] as const) {
  Deno.test(`a made-up suite (${kind}) runs, and its result describes it`, async () => {
    const measured: string[] = [];
    const entry = diceEntry(kind, { onMeasure: (id) => measured.push(id) });
    const result = await run(entry);
    assert.equal(exitCodeOf(result), 0);
    assert.deepEqual(resultSchema.parse(result), result);
    assert.deepEqual(result.cases.map(({ id }) => id), measured);
    assert.equal(measured.length, 5);
    assert.deepEqual(result.configuration.suites, [DICE_RECORD.name]);
    assert.deepEqual(result.configuration.madeUpDice, { count: 5 });
    assert.equal(result.configuration.retrieval, undefined, "other suites' sections are left out");
    assert.equal(facesOf(result).length, 10);
    assert.ok(result.notes.includes("thrown with a fair die"));
    // A report without a section for it shows the rest, and every reader accepts it.
    assert.match(renderReport(result, { format: "markdown" }), /^# /);
    assert.ok(renderReport(result).startsWith("<!doctype html>"));
    assert.ok(renderTerminal(result).length > 0);
    // A suite that keeps its own time needs no calibration.
    assert.equal(result.calibration === null, kind === "apart");
  });

  Deno.test(`a made-up suite (${kind}) is stopped and resumed, and keeps what it had`, async () => {
    const out = await Deno.makeTempDir();
    try {
      const { openStore } = DENO_HOST;
      const host = madeUpHost({ openStore });
      const stop = new AbortController();
      const measured: string[] = [];
      const entry = diceEntry(kind, { onMeasure: (id) => measured.push(id) });
      const part = await run(entry, { out }, {
        host,
        hooks: {
          signal: stop.signal,
          onProgress: ({ kind, done }) => kind === "case" && done === 2 && stop.abort(),
        },
      });
      assert.deepEqual([part.cases.length, part.finishedAt, exitCodeOf(part)], [2, null, 3]);
      const whole = await run(entry, { out, resume: true }, { host });
      assert.equal(exitCodeOf(whole), 0);
      assert.deepEqual(whole.cases.slice(0, 2), part.cases);
      assert.equal(new Set(measured).size, measured.length, "nothing was measured twice");
      assert.deepEqual(facesOf(whole), facesOf(await run(diceEntry(kind))));
      await assert.rejects(
        run(entry, { out, resume: true, settings: { [DICE_RECORD.name]: { count: 6 } } }, { host }),
        /another plan/,
      );
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  });

  Deno.test(`shards of a made-up suite (${kind}) merge into the whole`, async () => {
    const entry = diceEntry(kind);
    const whole = await run(entry);
    const shards = [];
    for (const index of [1, 2, 3]) {
      const result = await run(entry, { shard: { index, count: 3 } });
      assert.deepEqual(result.shard!.cases, whole.cases.map(({ id }) => id));
      shards.push({ name: `${index}.json`, result });
    }
    // The heaviest first, to the least loaded shard: by weight 5, 4, 3 + 1, 2.
    assert.deepEqual(shards.map(({ result }) => result.cases.map(({ id }) => id.at(-1)).join("")), [
      "4",
      "03",
      "12",
    ]);
    const { result, missing } = await mergeResults(shards, { records: RECORDS });
    assert.deepEqual(missing, []);
    assert.deepEqual(result.cases, whole.cases);
    assert.deepEqual(facesOf(result), facesOf(whole));
    const report = compareResults(whole, later(result), { records: RECORDS });
    assert.equal(report.exitCode, 0, report.sentence);
  });
}

Deno.test("a made-up suite is replayed with its options, and no file that a result names is opened", async () => {
  const entry = diceEntry("budgeted");
  const suites = registryOf(entry);
  const line = [
    DICE_RECORD.name,
    "--profile",
    "smoke",
    "--dice",
    "5",
    "--loaded-die",
    "/etc/passwd",
  ];
  const asked = parseBench(line, suites)!.suite;
  assert.deepEqual(asked.settings, {
    [DICE_RECORD.name]: { count: 5, loaded: "/etc/passwd" },
  });
  const before = await run(entry, { ...asked, command: ["deno", "task", "bench", ...line] });
  assert.ok(before.notes.includes("thrown with /etc/passwd"));
  assert.deepEqual(fileFlags(suites), [...fileFlags(), "--loaded-die"]);
  const args = replayArguments(before, { suites });
  assert.ok(!args.join(" ").includes("loaded"));
  const again = parseBench(args, suites)!.suite;
  assert.deepEqual(again.settings, { [DICE_RECORD.name]: { count: 5 } });
  const now = later(await run(entry, again));
  const report = compareResults(before, now, { records: RECORDS });
  assert.ok(report.exactFields > 5 * 4);
  assert.equal(replayExit(report, countRuns(before, now)), 0);
});

Deno.test("the gate judges a made-up suite by its declarations", async () => {
  const entry = diceEntry("budgeted");
  const before = await run(entry);
  const gate = (candidate: Result) => compareResults(before, candidate, { records: RECORDS });
  const same = gate(later(before));
  assert.deepEqual([same.outcome, same.cases.map(({ verdict }) => verdict)], [
    "passed",
    before.cases.map(() => "same"),
  ]);
  // Its own times, which are not samples of a layer.
  const slow = gate(later(await run(diceEntry("budgeted", { seconds: 1.5 }))));
  assert.deepEqual([slow.outcome, slow.cases[0].verdict], ["failed", "slower"]);
  assert.ok(Math.abs(slow.cases[0].time!.ratio - 1.5) < 1e-6);
  // Its own exact fields.
  const other = gate(later(before, ({ cases }) => {
    cases[1].dice = { ...diceOf(cases[1]), sum: 99 };
  }));
  const [{ differences: [difference] }] = other.cases.filter(({ fails }) => fails);
  assert.deepEqual([difference.field, difference.candidate], ["sum", "99"]);
  // The values behind a differing digest.
  const findings = gate(later(before, (result) => {
    const [{ id, digest }] = result.cases;
    digest!.output = "other faces";
    const { faces } = result.diceFaces as DicePart;
    const at = faces.findIndex((one) => one.case === id);
    result.diceFaces = { faces: faces.with(at, { case: id, face: 7 }) };
  }));
  const fields = findings.cases[0].differences.map(({ field, candidate }) => [field, candidate]);
  assert.deepEqual(fields, [["digest.output", "other faces"], ["die 1: face", "face 7"]]);
  // A case is missing only from a run that was to measure it.
  const fewer = await run(entry, { settings: { [DICE_RECORD.name]: { count: 3 } } });
  assert.equal(gate(later(fewer)).leftOut.baseline, 2);
  const missing = gate(later(before, ({ cases }) => cases.pop()));
  assert.deepEqual([missing.exitCode, missing.cases[4].verdict], [1, "missing"]);
});

Deno.test("an unregistered suite, and options that no suite of the run has, are refused", async () => {
  const refuses = (options: SuiteOptions, message: RegExp) =>
    assert.rejects(
      run(diceEntry("apart"), options),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  await refuses({ suites: ["nope"] }, /^suite nope is not one of correctness, .*, made-up-dice$/);
  await refuses(
    { suites: ["latency"] },
    /^count \(--dice\) is for the suite made-up-dice, which this run/,
  );
  assert.throws(() => parseBench(["nope"]), /suite nope is not one of correctness, latency/);
});

Deno.test("the registry and the records list the same suites, and no option appears twice", () => {
  const ofBench = SUITE_RECORDS.filter(({ command = "bench" }) => command === "bench");
  assert.deepEqual(SUITES.map(({ record }) => record), ofBench);
  assert.equal(SUITE_RECORDS.filter(({ checks }) => checks).length, 1);
  const flags = SUITES.flatMap(({ flags = [] }) => flags).map(({ flag }) => flag);
  assert.equal(new Set(flags).size, flags.length);
});

Deno.test("a run loads only its own suites", async () => {
  const loaded: string[] = [];
  const suites = registryOf(diceEntry("apart")).map((entry): SuiteEntry => ({
    ...entry,
    load: () => {
      loaded.push(entry.record.name);
      return entry.load();
    },
  }));
  await run(diceEntry("apart"), {}, { suites });
  assert.deepEqual(loaded, ["correctness", DICE_RECORD.name]);
});
