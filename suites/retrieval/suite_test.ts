import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { UsageError } from "../errors.ts";
import { mergeResults } from "../run/merge.ts";
import { loadProfile } from "../plan/profile.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { replayArguments } from "../run/replay.ts";
import type { Result } from "../result/result_schema.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { exitCodeOf, runSuite, type SuiteOptions } from "../run/runner.ts";
import type { NeedleOptions } from "./options.ts";
import { startPlanning } from "../plan/grid.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import { checkRetrievalOptions, planRunRetrieval } from "./plan_needles.ts";

const QUICK: SuiteOptions = {
  suites: ["retrieval"],
  profile: "smoke",
  contexts: [2048],
  settings: { retrieval: { depths: [50], margins: [5], trials: 10 } },
  scorers: ["norm"],
  headDims: [16],
};

const needles = (retrieval: NeedleOptions) => ({ settings: { retrieval: { ...retrieval } } });

Deno.test("checkRetrievalOptions: each bad input is one line that names it, with exit code 2", () => {
  const cases: [SuiteOptions, RegExp][] = [
    [needles({ depths: [120] }), /depth 120 is not a percentage from 0 to 100/],
    [needles({ depths: [NaN] }), /depth NaN is not/],
    [needles({ margins: [Infinity] }), /margin Infinity is not a finite number from -40 to 40/],
    [{ contexts: [5000] }, /context 5000: .*not a multiple of/],
    [{ contexts: [1024] }, /context 1024: .*at least 128/],
    [{ options: { k: [200] } }, /k 200 is not a multiple of 128/],
    [{ profile: "huge" }, /profile huge is not one of smoke/],
    [{ seed: 2 ** 32 - 5 }, /seed 4294967291 is above/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => checkRetrievalOptions({ suites: ["retrieval"], ...options }),
      (error) =>
        error instanceof UsageError && error.exitCode === 2 && message.test(error.message) &&
        !/\n/.test(error.message),
      JSON.stringify(options),
    );
  }
});

Deno.test("bad options are refused before a device is opened, for any profile", async () => {
  for (const profile of [undefined, "paper"]) {
    const options = { suites: ["retrieval"], profile, stack: "dawn" as const };
    await assert.rejects(
      runSuite({ ...options, ...needles({ depths: [120] }) }),
      /depth 120 is not/,
    );
  }
});

Deno.test("an option of the suite is refused in a run without the suite, however it was chosen", async () => {
  for (const options of [{ suites: ["latency"] }, { profile: "smoke" }]) {
    await assert.rejects(
      runSuite({ ...options, ...needles({ depths: [4] }) }),
      (error) =>
        error instanceof UsageError &&
        error.message ===
          "depths (--depth) is for the suite retrieval, which this run does not have",
    );
  }
});

Deno.test("planRunRetrieval: a profile may name the suite; options of other suites do not add it", () => {
  const planned = (suites: string[], options: Partial<PlanOptions> = {}) =>
    planRunRetrieval({
      ...startPlanning({ profile: "smoke" }, ASSUMED_DEVICE, IMPLEMENTATIONS),
      profile: { ...loadProfile("smoke"), suites },
      options: { profile: "smoke", ...options },
    });
  assert.equal(planned(["latency"]), undefined);
  const suites = ["latency", "retrieval"];
  assert.ok(planned(suites)!.groups.length > 3);
  assert.equal(planned(suites, { contexts: [1024] }), undefined);
  const { profile } = planned(suites, { suites, budgetSeconds: 90 })!;
  assert.ok(profile.budgetSeconds > 0 && profile.budgetSeconds < 90, "each suite has its share");
  const alone = planned(["retrieval"], { suites: ["retrieval"], budgetSeconds: 90 })!;
  assert.equal(alone.profile.budgetSeconds, 90);
});

Deno.test("a malformed checkpoint is refused before a device is opened", async () => {
  const checkpoint = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(checkpoint, '{"format": "other"}');
    await assert.rejects(
      runSuite({ suites: ["retrieval"], ...needles({ checkpoint }), stack: "dawn" }),
      (error) => error instanceof UsageError && /checkpoint .*: format: /.test(error.message),
    );
  } finally {
    await Deno.remove(checkpoint);
  }
});

Deno.test("a checkpoint that a result names is not opened by a replay, which says so", () => {
  for (const given of [["--checkpoint", "/etc/passwd"], ["--checkpoint=/etc/passwd"]]) {
    const result = {
      command: ["deno", "task", "bench", "retrieval", ...given, "--depth", "4"],
      profile: "smoke",
      seed: 7,
      stack: "deno",
      configuration: { dtype: "f32" },
    } as const;
    const read = () => replayArguments({ ...result, command: [...result.command] });
    assert.throws(
      read,
      /^UsageError: replay: the run took a file, --checkpoint, .* deno task gate$/,
    );
  }
});

Deno.test({
  ...slow("retrieval in a run: resumed, in shards, merged and gated, with the same cells"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const out = await Deno.makeTempDir();
    try {
      const whole = await runSuite({ ...QUICK, gpu });
      assert.equal(exitCodeOf(whole), 0);
      assert.equal(whole.calibration, null);
      assert.deepEqual(unknownFields(whole), []);
      const digests = ({ cases }: Result) => cases.map(({ id, digest }) => [id, digest?.output]);
      assert.ok(digests(whole).every(([, digest]) => /^[0-9a-f]{64}$/.test(digest!)));
      const { cells } = whole.retrieval!;
      assert.ok(cells.every((cell) => whole.cases.some(({ id }) => id === cell.case)));

      const stop = new AbortController();
      const part = await runSuite({ ...QUICK, gpu, out }, {
        signal: stop.signal,
        onProgress: ({ kind }) => kind === "case" && stop.abort(),
      });
      assert.deepEqual([part.cases.length, part.finishedAt, exitCodeOf(part)], [1, null, 3]);
      const resumed = await runSuite({ ...QUICK, gpu, out, resume: true });
      assert.deepEqual(digests(resumed), digests(whole));
      assert.deepEqual(resumed.retrieval!.cells, cells);

      const shards = [];
      for (const index of [1, 2]) {
        const result = await runSuite({ ...QUICK, gpu, shard: { index, count: 2 } });
        assert.ok(result.cases.length > 0 && result.cases.length < whole.cases.length);
        shards.push({ name: `shard ${index}`, result });
      }
      const { result: merged, missing } = await mergeResults(shards);
      assert.deepEqual(missing, []);
      assert.deepEqual(digests(merged), digests(whole));
      const sorted = (all: typeof cells) => all.map((cell) => JSON.stringify(cell)).sort();
      assert.deepEqual(sorted(merged.retrieval!.cells), sorted(cells));

      const report = compareResults(whole, { ...merged, startedAt: "2026-01-01T00:00:00.000Z" });
      assert.equal(report.exitCode, 0);
      const other = structuredClone(merged);
      const changed = other.retrieval!.cells[3];
      changed.correct -= 1;
      other.cases.find(({ id }) => id === changed.case)!.digest!.output = "0".repeat(64);
      const failed = compareResults(whole, { ...other, startedAt: "2026-01-01T00:00:00.000Z" });
      assert.equal(failed.exitCode, 1);
      const [first] = failed.cases.filter(({ fails }) => fails);
      assert.equal(first.id, changed.case);
      assert.ok(first.differences.some(({ field }) => /correct/.test(field)), "the cell is named");
    } finally {
      gpu.destroy();
      await Deno.remove(out, { recursive: true });
    }
  },
});
