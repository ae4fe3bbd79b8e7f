import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { DeviceError, type Gpu } from "../../kernels/gpu/device.ts";
import { DeviceLostError } from "../../kernels/gpu/timing.ts";
import type { Implementation } from "../../kernels/implementation.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { NotComparableError, UsageError } from "../errors.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { type Result, resultSchema } from "../result/result_schema.ts";
import { sampleStatistic } from "../result/_sample_result.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { RESULT_FILE } from "../result/result_store.ts";
import { slow } from "../../tools/_cases.ts";
import { mergeResults } from "./merge.ts";
import { STOPPED_NOTE } from "./resume.ts";
import {
  exitCodeOf,
  runCalibrated,
  runSuite,
  type SuiteHooks,
  type SuiteOptions,
} from "./runner.ts";
import "../check/_shared_workers.ts";

/** The smallest layers that the kernels compute, so that a run takes a few seconds. */
const TINY: SuiteOptions = {
  profile: "smoke",
  contexts: [512, 1024],
  headDims: [32],
  options: { pooling: [2], k: [128] },
  samples: 2,
  seed: 3,
};

/** Without throughput, which takes seconds per case at any size. */
const SHORT: SuiteOptions = { ...TINY, suites: ["correctness", "latency"] };

/** Without calibrating the device, which takes seconds. The schema must know each field. */
async function run(options: SuiteOptions, hooks?: SuiteHooks): Promise<Result> {
  const result = await runCalibrated(options, { hooks, calibration: CALIBRATION });
  assert.deepEqual(unknownFields(result), []);
  return result;
}

async function withFolder(
  t: Deno.TestContext,
  use: (gpu: Gpu, out: string) => Promise<void>,
): Promise<void> {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const out = await Deno.makeTempDir();
  try {
    await use(gpu, out);
  } finally {
    await Deno.remove(out, { recursive: true });
    gpu.destroy();
  }
}

async function readOut(out: string): Promise<Result> {
  return resultSchema.parse(JSON.parse(await Deno.readTextFile(`${out}/${RESULT_FILE}`)));
}

/** The registry with one implementation changed. */
function tamper(name: string, change: (original: Implementation) => Partial<Implementation>) {
  return IMPLEMENTATIONS.map((entry) =>
    entry.name === name ? { ...entry, ...change(entry) } : entry
  );
}

Deno.test("runSuite measures, writes after every case, and its result is complete", async (t) => {
  await withFolder(t, async (gpu, out) => {
    const seen: number[] = [];
    const result = await runSuite({ ...SHORT, out, gpu }, {
      onProgress: (event) => {
        if (event.kind !== "case") return;
        const file = JSON.parse(Deno.readTextFileSync(`${out}/${RESULT_FILE}`));
        seen.push(resultSchema.parse(file).cases.length);
      },
    });
    assert.equal(exitCodeOf(result), 0, JSON.stringify(result.cases.map((c) => c.reason)));
    assert.deepEqual(await readOut(out), result);
    assert.deepEqual(unknownFields(result), []);
    assert.equal(seen.at(-1), result.cases.length);
    assert.ok(new Set(seen).size === result.cases.length);
    const timed = result.cases.filter(({ suite }) => suite === "latency");
    assert.equal(timed.length, 4);
    for (const record of timed) {
      assert.equal(record.samples.length, 2);
      assert.ok(record.statistic!.median > 0 && record.check!.passed);
      assert.ok(record.samples.every(({ canary }) => canary! > 0));
      // Besides the planned buffers there are uniforms and the timer's buffers.
      const unplanned = record.measuredPeakBytes! - record.peakBytes;
      assert.ok(unplanned >= 0 && unplanned < 2 ** 17, `${record.id}: ${unplanned} bytes`);
      assert.ok(record.leastBytes! < record.peakBytes);
    }
    const lighthouse = timed.filter((record) => record.options);
    assert.ok(lighthouse.every(({ zeroRows, digest }) => zeroRows! >= 0 && digest!.selection));
    // Only timestamps separate the stages.
    const staged = result.calibration!.clock === "gpu" ? 2 : 0;
    assert.ok(lighthouse[0].stages.every(({ samples }) => samples.length === staged));
    assert.deepEqual(result.ratios.map(({ rounds }) => rounds), [1, 1]);
    // Samples of a pair are taken in the order A, B, B, A.
    const [a, b] = ["dense", "lighthouse-norm"].map((name) =>
      timed.find((record) => record.implementation === name)!.samples.map(({ place }) => place)
    );
    assert.deepEqual([a, b], [[0, 3], [1, 2]]);
  });
});

Deno.test({
  ...slow("runSuite: a run of all suites measures throughput after the rest"),
  fn: async (t) => {
    await withFolder(t, async (gpu) => {
      let [inFlight, most] = [0, 0];
      const registry = tamper("dense", (original) => ({
        prepare: async (...given) => {
          const prepared = await original.prepare(...given);
          const execute: typeof prepared.execute = async (options) => {
            most = Math.max(most, ++inFlight);
            try {
              return await prepared.execute(options);
            } finally {
              inFlight--;
            }
          };
          return { ...prepared, execute };
        },
      }));
      const result = await run({ ...TINY, contexts: [512], gpu, registry });
      assert.equal(exitCodeOf(result), 0, JSON.stringify(result.cases.map((c) => c.reason)));
      // All executions of a sample are submitted before the host waits for one.
      const dense = result.cases.find(({ id }) => id.startsWith("throughput/dense"))!;
      const [executions] = new Set(dense.samples.map((sample) => sample.executions as number));
      assert.ok(
        executions > 1 && most >= executions,
        `${executions} executions, ${most} in flight`,
      );
      const throughput = result.cases.filter(({ suite }) => suite === "throughput");
      assert.deepEqual(throughput, result.cases.slice(-2));
      assert.ok(throughput.every((record) => record.throughput!.median > 0));
    });
  },
});

Deno.test({
  ...slow("runSuite: settings at one context share the rounds of one baseline"),
  fn: async (t) => {
    await withFolder(t, async (gpu) => {
      const options = {
        ...TINY,
        suites: ["latency" as const],
        contexts: [1024],
        options: { ...TINY.options, levels: [2, 3] },
      };
      const result = await run({ ...options, gpu });
      assert.equal(exitCodeOf(result), 0, JSON.stringify(result.cases.map((c) => c.reason)));
      const places = result.cases.filter(({ suite }) => suite === "latency")
        .map(({ samples }) => samples.map(({ round, place }) => [round, place]));
      assert.deepEqual(places.map((place) => place.join(" ")).sort(), [
        "0,0 0,5",
        "0,1 0,4",
        "0,2 0,3",
      ]);
      assert.equal(result.ratios.length, 2);
    });
  },
});

Deno.test("runSuite: an abort keeps finished cases, and resume completes the run", async (t) => {
  await withFolder(t, async (gpu, out) => {
    const stop = new AbortController();
    const partial = await run({ ...SHORT, out, gpu }, {
      signal: stop.signal,
      onProgress: ({ kind, case: record }) => {
        if (kind === "case" && record!.suite === "latency") stop.abort();
      },
    });
    assert.equal(partial.finishedAt, null);
    assert.equal(exitCodeOf(partial), 3);
    const kept = (await readOut(out)).cases;
    assert.ok(kept.length >= 2 && kept.length < 7);
    assert.ok(partial.notes.includes(STOPPED_NOTE));
    const file = await Deno.readTextFile(`${out}/${RESULT_FILE}`);
    const wall = { ...CALIBRATION, record: { clock: "wall" as const } };
    await assert.rejects(
      runCalibrated({ ...SHORT, out, gpu, resume: true }, { calibration: wall }),
      (error) =>
        error instanceof NotComparableError &&
        /its times are GPU timestamps, those of this run would be wall clock$/.test(error.message),
    );
    await Deno.writeTextFile(`${out}/${RESULT_FILE}`, `\ufeff${file}`);
    const whole = await run({ ...SHORT, out, gpu, resume: true });
    assert.equal(exitCodeOf(whole), 0);
    assert.ok(!whole.notes.includes(STOPPED_NOTE));
    assert.equal(whole.notes.filter((note) => note.startsWith("resumed at 20")).length, 1);
    assert.equal(whole.startedAt, partial.startedAt);
    for (const record of kept.filter(({ implementation }) => implementation !== "dense")) {
      assert.deepEqual(whole.cases.find(({ id }) => id === record.id), record);
    }
    assert.equal(new Set(whole.cases.map(({ id }) => id)).size, whole.cases.length);
    assert.equal(whole.ratios.length, 2);
    // Nothing is left to do, so it stays as it is.
    assert.deepEqual(await run({ ...SHORT, out, gpu, resume: true }), whole);
    await assert.rejects(
      run({ ...SHORT, out, gpu, resume: true, seed: 4 }),
      (error) => error instanceof NotComparableError && /another .*seed/.test(error.message),
    );
    await Deno.writeTextFile(`${out}/${RESULT_FILE}`, "{");
    await assert.rejects(run({ ...SHORT, out, gpu, resume: true }), UsageError);
    await assert.rejects(run({ ...SHORT, out, gpu }), /exists|there already/);
    assert.equal(await Deno.readTextFile(`${out}/${RESULT_FILE}`), "{");
  });
});

Deno.test("runSuite: shards of a run merge into a result with only the schema's fields", async (t) => {
  await withFolder(t, async (gpu) => {
    const shards = [];
    for (const index of [1, 2]) {
      const result = await run({ ...SHORT, gpu, shard: { index, count: 2 } });
      assert.equal(result.shard!.index, index);
      shards.push({ name: `${index}.json`, result });
    }
    const merged = await mergeResults(shards);
    assert.deepEqual(merged.missing, []);
    assert.deepEqual(unknownFields(merged.result), []);
    shards[1].result.environment.fingerprint = "another machine";
    const { result } = await mergeResults(shards, { mixedMachines: true });
    assert.deepEqual(result.environment.machines!.map(({ shard }) => shard), [1, 2]);
    assert.ok(result.cases.every(({ machine }) => machine !== undefined));
    assert.deepEqual(unknownFields(result), []);
  });
});

Deno.test("runSuite chooses a stack and records why, and a resumed run keeps its stack", async (t) => {
  await withFolder(t, async ({ adapter }, out) => {
    const said: string[] = [];
    const options: SuiteOptions = { ...TINY, suites: ["correctness"], contexts: [512], out };
    const result = await runSuite(options, { onProgress: ({ text }) => said.push(text) });
    assert.equal(result.stackChoice!.asked, "auto");
    assert.ok(said.includes(`stack ${result.stack}: ${result.stackChoice!.reason}`));
    if (adapter.software) {
      assert.equal(result.stack, "deno");
      assert.match(result.stackChoice!.reason, /is a software adapter$/);
    }
    // A run that started on the other stack needs that one.
    const other = result.stack === "deno" ? "dawn" : "deno";
    await Deno.writeTextFile(`${out}/${RESULT_FILE}`, JSON.stringify({ ...result, stack: other }));
    await assert.rejects(
      runSuite({ ...options, resume: true }),
      (error) =>
        error instanceof DeviceError && /dawn/i.test(error.message) ||
        error instanceof NotComparableError,
    );
  });
});

Deno.test("runSuite: a wrong output is a failure without a time", async (t) => {
  await withFolder(t, async (gpu, out) => {
    // Computes attention whose keys are the queries.
    const registry = tamper("lighthouse-norm", (original) => ({
      prepare: (device, problem, { inputs, ...rest }) =>
        original.prepare(device, problem, { ...rest, inputs: { ...inputs, k: inputs.q } }),
    }));
    const result = await run({ ...SHORT, contexts: [512], out, gpu, registry });
    assert.equal(exitCodeOf(result), 1);
    for (const record of result.cases.filter((c) => c.implementation === "lighthouse-norm")) {
      assert.equal(record.status, "failed");
      assert.deepEqual([record.samples, record.statistic], [[], undefined]);
      assert.match(record.reason!, /check of|did not pass/);
    }
    assert.ok(result.cases.some((c) => c.suite === "latency" && c.status === "ok"));
    assert.deepEqual(result.ratios, []);
  });
});

Deno.test("runSuite: a lost device fails the remaining cases in one line and keeps the others", async (t) => {
  await withFolder(t, async (gpu, out) => {
    const registry = tamper("lighthouse-norm", (original) => ({
      prepare: async (device, problem, options) => {
        const prepared = await original.prepare(device, problem, options);
        if (problem.shape.context < 1024) return prepared;
        return {
          ...prepared,
          execute: () => Promise.reject(new DeviceLostError("device lost: unplugged")),
        };
      },
    }));
    const result = await run({ ...SHORT, out, gpu, registry });
    assert.equal(exitCodeOf(result), 1);
    const finished = result.cases.filter(({ status }) => status === "ok");
    const failed = result.cases.filter(({ status }) => status === "failed");
    assert.ok(finished.length >= 4 && failed.length >= 2);
    assert.ok(failed.every(({ reason }) => reason === "device lost: unplugged"));
    assert.deepEqual(await readOut(out), result);
    // Once the device is back, the remaining cases are measured.
    const again = await run({ ...SHORT, out, gpu, resume: true });
    assert.equal(exitCodeOf(again), 0, JSON.stringify(again.cases.map((c) => c.reason)));
    assert.ok(!again.notes.some((note) => note.includes("unplugged")));
    for (const record of finished.filter(({ implementation }) => implementation !== "dense")) {
      assert.deepEqual(again.cases.find(({ id }) => id === record.id), record);
    }
  });
});

Deno.test("runSuite: a canary that was slow at first is recorded with its right time", async (t) => {
  await withFolder(t, async (gpu) => {
    let readings = 0;
    const calibration = {
      ...CALIBRATION,
      record: { clock: "gpu" as const, canary: sampleStatistic(1e-3), canaryTrips: 100 },
      // The clock rises after some readings: the same work takes half the time.
      canary: { ...CALIBRATION.canary, probe: () => Promise.resolve(readings++ < 4 ? 1 : 0.5) },
    };
    // A processor's canary is not judged.
    const hardware = { ...gpu, adapter: { ...gpu.adapter, software: false } };
    const options = { ...SHORT, contexts: [512], gpu: hardware };
    const result = await runCalibrated(options, { calibration });
    assert.match(result.notes.join(), /the clock was down during calibration/);
    assert.equal(result.calibration!.canary!.median, 5e-4);
    const samples = result.cases.flatMap(({ samples }) => samples);
    assert.ok(samples.length > 0 && samples.every(({ canary }) => canary! >= 1));
  });
});

Deno.test("runSuite: cases that do not fit the budget are skipped with the prediction", async (t) => {
  await withFolder(t, async (gpu) => {
    const result = await run({ ...TINY, suites: ["latency"], budgetSeconds: 1e-6, gpu });
    assert.equal(exitCodeOf(result), 5);
    const timed = result.cases.filter(({ suite }) => suite === "latency");
    assert.ok(timed.every(({ reason }) => /^predicted .* of the budget are left$/.test(reason!)));
  });
});

Deno.test("runSuite refuses bad options before anything is measured", async (t) => {
  await withFolder(t, async (gpu, out) => {
    const rejects = (options: SuiteOptions, message: RegExp) =>
      assert.rejects(
        runSuite({ ...TINY, gpu, ...options }),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    await rejects({ seed: -1 }, /seed -1 is not a whole number/);
    await rejects({ resume: true }, /resume needs an output folder/);
    await rejects({ out, resume: true }, /result.json: there is no such file/);
    await Deno.writeTextFile(`${out}/file`, "");
    await rejects({ out: `${out}/file` }, /^write to .*file: it is not a folder$/);
    await rejects({ out, options: { k: [100] } }, /k 100 is not/);
    assert.deepEqual([...Deno.readDirSync(out)].map(({ name }) => name), ["file"]);
  });
});

// schedule_test.ts has the same on a device model, every day.
Deno.test({
  ...slow(
    "runSuite: samples at a low clock are taken again before the end, and the flagged ones are kept",
  ),
  fn: async (t) => {
    await withFolder(t, async (gpu, out) => {
      let down = true;
      let [probes, falls] = [0, 0];
      // The full clock before every sample, a low one after it, until the run brings the clock up.
      const probe = () => Promise.resolve(down && probes++ % 2 === 1 ? 5.7 : 1);
      const calibration = { ...CALIBRATION, canary: { ...CALIBRATION.canary, probe } };
      const statuses: string[] = [];
      const result = await runCalibrated({
        ...TINY,
        suites: ["latency", "context-parallel"],
        contexts: [1024],
        options: { levels: [2], pooling: [2], k: [512] },
        // A processor's canary is not judged.
        gpu: { ...gpu, adapter: { ...gpu.adapter, software: false } },
        out,
      }, {
        calibration,
        hooks: {
          onProgress: ({ kind, text, case: record }) => {
            if (kind === "step" && text.startsWith("bringing the clock up")) down = false;
            // It falls again for the cases after all groups.
            if (kind === "step" && /context-parallel.*selecting/.test(text)) down = ++falls === 1;
            if (record && record.suite !== "correctness") statuses.push(record.status);
          },
        },
      });
      const timed = result.cases.filter(({ suite }) => suite !== "correctness");
      assert.ok(timed.length >= 4);
      assert.ok(statuses.filter((status) => status === "inconclusive").length >= timed.length);
      assert.equal(exitCodeOf(result), 0, JSON.stringify(result.cases.map((c) => c.reason)));
      for (const { id, status, samples, statistic } of timed) {
        assert.equal(status, "ok", id);
        const flagged = samples.filter(({ flag }) => flag === "clock");
        assert.ok(flagged.length > 0 && flagged.every(({ canary }) => canary === 5.7), id);
        assert.equal(statistic!.count, samples.length - flagged.length);
        const places = samples.map(({ round, place }) => `${round}/${place}`);
        assert.equal(new Set(places).size, places.length, id);
      }
      assert.equal(result.ratios.length, 1);
      assert.deepEqual(await readOut(out), result);
    });
  },
});
