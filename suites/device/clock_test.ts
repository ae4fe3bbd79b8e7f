import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { Budget } from "../plan/budget.ts";
import type { Canary } from "./calibrate.ts";
import { ClockWatch, inconclusiveReason, rejudge } from "./clock.ts";
import type { DeviceReading } from "./keep_warm.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { measureGroup } from "../latency/latency.ts";
import { pairedRatio } from "../measure/paired_ratio.ts";
import type { Session } from "../measure/session.ts";
import { planShares } from "../run/_planned.ts";
import type { CaseRecord, RatioRecord, Sample } from "../result/result_schema.ts";

/** A canary with given readings; the last one repeats. */
function scripted(readings: readonly number[]): Canary & { exercised: number } {
  let at = 0;
  const canary = {
    referenceSeconds: 1e-4,
    exercised: 0,
    probe: () => Promise.resolve(readings[Math.min(at++, readings.length - 1)]),
    exercise: () => Promise.resolve(canary.exercised++),
    destroy: () => {},
  };
  return canary;
}

const sample = (canary: number, more: Partial<Sample> = {}): Sample => ({
  seconds: 1,
  wallSeconds: 1,
  round: 0,
  place: 0,
  canary,
  ...more,
});

Deno.test("ClockWatch notices a clock that fell during an execution and recovered", async () => {
  let time = 0;
  const clock = new ClockWatch(scripted([1.01, 5.74, 1.02]), { judged: true, now: () => time });
  const before = await clock.read();
  const { canary, after } = await clock.around(before, async (between) => {
    time += 0.6;
    await between();
    // Readings cost time: they are not taken between every two submissions.
    time += 0.1;
    await between();
  });
  assert.deepEqual([canary, after], [5.74, 1.02]);
  assert.ok(clock.isOff(canary) && !clock.isOff(after));
});

Deno.test("ClockWatch judges long work by the mean of its readings: a short dip is not a low clock", async () => {
  /** Readings during work, one every 0.6 s, then one after it. */
  const around = async (readings: readonly number[]) => {
    let time = 0;
    const clock = new ClockWatch(scripted(readings), { judged: true, now: () => time });
    const { canary, after } = await clock.around(1, async (between) => {
      for (let i = 1; i < readings.length; i++) {
        time += 0.6;
        await between();
      }
    });
    assert.equal(after, readings.at(-1));
    return { canary, off: clock.isOff(canary) };
  };
  const dip = await around([1.2, 1, 1, 1]);
  assert.ok(Math.abs(dip.canary - 1.04) < 1e-12 && !dip.off);
  assert.deepEqual(await around([1.2, 1]), { canary: 1.2, off: true });
  // A fall to a sixth of the clock is noticed however short it was.
  assert.ok((await around([5.74, 1, 1, 1, 1, 1, 1, 1])).off);
  assert.ok((await around([1.2, 1.2, 1.2, 1.2])).off);
});

Deno.test("ClockWatch: patience is given, or halves", async () => {
  let time = 0;
  const canary = scripted([5.74]);
  const clock = new ClockWatch(canary, { judged: true, now: () => time++ });
  await clock.settle();
  const first = canary.exercised;
  await clock.settle({ patience: 20 });
  const asked = canary.exercised - first;
  await clock.settle();
  const halved = canary.exercised - first - asked;
  assert.ok(first <= 3 && asked >= 18 && halved <= first, `${first}, ${asked}, ${halved} times`);
});

Deno.test("ClockWatch waits with work for a clock to recover, for a limited time", async () => {
  const back = scripted([3, 2, 1.1]);
  const clock = new ClockWatch(back, { judged: true });
  assert.equal(await clock.settle(), 1.1);
  assert.equal(back.exercised, 2);
  let time = 0;
  const down = scripted([5.74]);
  const hopeless = new ClockWatch(down, { judged: true, now: () => time++ });
  assert.equal(await hopeless.settle(), 5.74);
  assert.ok(down.exercised < 10);
});

Deno.test("ClockWatch: readings far below 1 prove that calibration ran at a low clock", async () => {
  const factors: number[] = [];
  const watch = (readings: number[]) =>
    new ClockWatch(scripted(readings), {
      judged: true,
      onRebase: (factor) => factors.push(factor),
    });
  const slow = watch([0.2, 0.21, 0.2, 0.19, 0.2, 1]);
  assert.ok(Math.abs(await slow.read() - 0.2 / 0.21) < 1e-12);
  assert.ok(Math.abs(factors[0] - 1 / 0.21) < 1e-12);
  // The clock at calibration now counts as low.
  assert.ok(slow.isOff(await slow.read()));
  // One fast reading among slower ones is chance.
  assert.equal(await watch([0.5, 1, 1, 1, 1]).read(), 0.5);
  assert.equal(factors.length, 1);
  const again = rejudge([sample(1), sample(0.22), sample(1, { flag: "clock" })], factors[0]);
  assert.deepEqual(again.map(({ flag }) => flag), ["clock", undefined, "clock"]);
});

Deno.test("ClockWatch reads the canary of a processor but does not judge it", async () => {
  const clock = new ClockWatch(scripted([9, 0.1]), { judged: false });
  assert.equal(await clock.settle(), 9);
  assert.ok(!clock.isOff(9));
  assert.equal(await clock.read(), 0.1);
});

Deno.test("inconclusiveReason requires two samples at the full clock if any was flagged", () => {
  const off = sample(5.74, { flag: "clock" });
  assert.equal(inconclusiveReason([]), undefined);
  assert.equal(inconclusiveReason([sample(1)]), undefined);
  assert.equal(inconclusiveReason([sample(1), sample(1), off]), undefined);
  assert.match(inconclusiveReason([sample(1), off])!, /1 of 2 samples.*5\.74 times/);
  assert.match(inconclusiveReason([off, sample(2, { flag: "clock" })])!, /2\.00 to 5\.74/);
});

Deno.test("pairedRatio omits rounds in which either clock was low", () => {
  const a = [sample(1, { seconds: 4 }), sample(1, { seconds: 40, round: 1 })];
  const b = [sample(1, { seconds: 2 }), sample(5, { seconds: 2, round: 1, flag: "clock" })];
  const found = pairedRatio({ a: { id: "a", samples: a }, b: { id: "b", samples: b } }, {
    seed: 1,
  });
  assert.deepEqual([found?.ratio, found?.rounds], [2, 1]);
  const none = pairedRatio({ a: { id: "a", samples: a }, b: { id: "b", samples: [b[1]] } }, {
    seed: 1,
  });
  assert.equal(none, undefined);
});

/** Measures one group of two cases with a canary of given readings, and again if requested. */
async function measure(gpu: Gpu, canary: Canary, now?: () => number) {
  const plan = planShares(
    {
      profile: "smoke",
      suites: ["latency"],
      contexts: [512],
      headDims: [32],
      options: { pooling: [2], k: [128] },
      samples: 2,
    },
    { device: { ...gpu, deviceMemoryBytes: null } },
  );
  const records = new Map<string, CaseRecord>();
  const ratios: RatioRecord[] = [];
  const steps: string[] = [];
  const calibration = {
    record: { clock: "gpu" as const },
    canary,
    secondsOf: ({ wallSeconds }: { wallSeconds: number }) => wallSeconds,
  };
  const session: Session = {
    gpu,
    registry: IMPLEMENTATIONS,
    calibration,
    clock: new ClockWatch(canary, { judged: true, ...(now && { now }) }),
    live: new Set(),
    budget: new Budget({
      calibration: calibration.record,
      samples: plan.profile.samples,
      // Half a percent of it is reserved for repeated rounds, however slow the host is.
      seconds: 1000,
    }),
    seed: 1,
    memoryBytes: null,
    record: (record) => Promise.resolve(void records.set(record.id, record)),
    recordRatio: (ratio) => Promise.resolve(void ratios.push(ratio)),
    finished: (id) => records.get(id),
    note: () => {},
    step: (text) => void steps.push(text),
  };
  const again = async () => {
    const ids = new Set(records.keys());
    steps.length = 0;
    await measureGroup(session, plan.groups[0], { again: ids });
    assert.equal(session.live.size, 0);
    return { records: [...records.values()], ratios, steps };
  };
  await measureGroup(session, plan.groups[0]);
  assert.equal(session.live.size, 0);
  return { records: [...records.values()], ratios, again };
}

Deno.test("measureGroup: a clock that drops midway costs a round, not the result", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    // The first runs, then the second sample of the first round falls into the drop.
    const drop = await measure(gpu, scripted([1, 1, 1, 1, 1, 1, 5.74, 1]));
    for (const record of drop.records) {
      assert.equal(record.status, "ok");
      const flagged = record.samples.filter(({ flag }) => flag === "clock");
      assert.equal(record.statistic!.count, record.samples.length - flagged.length);
      assert.ok(flagged.every(({ canary }) => canary === 5.74));
    }
    const flags = drop.records.flatMap(({ samples }) => samples).filter(({ flag }) => flag);
    assert.ok(flags.length > 0 && flags.length <= 2, `${flags.length} flags`);
    assert.deepEqual(drop.ratios.map(({ rounds }) => rounds), [1]);
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: a clock that stays low makes a case inconclusive and keeps its samples", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    let time = 0;
    const { records, ratios } = await measure(gpu, scripted([5.74]), () => time += 2);
    assert.equal(records.length, 2);
    for (const record of records) {
      assert.equal(record.status, "inconclusive");
      assert.match(record.reason!, /the clock was down in \d+ of \d+ samples.*5\.74/);
      assert.ok(record.samples.length > 0 && record.statistic === undefined);
      assert.equal(record.check!.passed, true);
    }
    assert.deepEqual(ratios, []);
  } finally {
    gpu.destroy();
  }
});

Deno.test("measureGroup: measured again, samples are added to the flagged ones and the check is kept", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    let [time, reading] = [0, 5.74];
    const canary = { ...scripted([1]), probe: () => Promise.resolve(reading) };
    const first = await measure(gpu, canary, () => time += 2);
    assert.ok(first.records.every(({ status }) => status === "inconclusive"));
    reading = 1;
    const { records, ratios, steps } = await first.again();
    assert.ok(!steps.some((text) => text.endsWith(": checking")), steps.join("\n"));
    for (const record of records) {
      const before = first.records.find(({ id }) => id === record.id)!;
      assert.deepEqual([record.status, record.reason], ["ok", undefined]);
      const flagged = record.samples.filter(({ flag }) => flag === "clock");
      assert.deepEqual(flagged, before.samples);
      assert.deepEqual(record.samples.slice(0, flagged.length), flagged);
      assert.equal(record.statistic!.count, record.samples.length - flagged.length);
      const rounds = new Set(flagged.map(({ round }) => round));
      assert.ok(record.samples.slice(flagged.length).every(({ round }) => !rounds.has(round)));
      assert.deepEqual([record.check, record.digest], [before.check, before.digest]);
      // They do not include stages timed at a low clock. On a busy machine an execution may take so long
      // that its stages are timed with it, and the next one not.
      const [stage] = record.stages;
      assert.ok(stage.samples.length <= record.statistic!.count);
    }
    assert.equal(ratios.length, 1);
  } finally {
    gpu.destroy();
  }
});

Deno.test("around: device readings cover the time of the work, without the canary", async () => {
  let seconds = 0;
  const asked: [number, number][] = [];
  const canary = {
    referenceSeconds: 1e-4,
    probe: () => Promise.resolve((seconds += 0.25, 1)),
    destroy: () => {},
  };
  const clock = new ClockWatch(canary, {
    judged: true,
    now: () => seconds,
    meter: (from, to) => (asked.push([from, to]), { clockMHz: 1980 }),
  });
  const before = await clock.read();
  const { device } = await clock.around(before, () => Promise.resolve(seconds += 3));
  assert.deepEqual(device, { clockMHz: 1980 });
  assert.deepEqual(asked, [[0.25, 3.25]]);
  const alone = new ClockWatch(canary, { judged: true, now: () => seconds });
  assert.deepEqual((await alone.around(1, () => Promise.resolve(0))).device, {});
});

Deno.test("around: work that lowers the clock by its own power is not off, else it is", async () => {
  const off = async ({ before, after, device }: {
    before: number;
    after: number;
    device: DeviceReading;
  }) => {
    const canary = {
      referenceSeconds: 1e-4,
      probe: () => Promise.resolve(after),
      destroy: () => {},
    };
    const clock = new ClockWatch(canary, { judged: true, meter: () => device });
    const around = await clock.around(before, () => Promise.resolve(0));
    assert.equal(around.canary, Math.max(before, after));
    return around.off;
  };
  const atLimit = { powerWatts: 699, atPowerLimit: true } as const;
  assert.ok(!await off({ before: 1.01, after: 1.17, device: atLimit }));
  assert.ok(!await off({ before: 1.01, after: 1.02, device: atLimit }));
  // Something before it had lowered the clock.
  assert.ok(await off({ before: 1.17, after: 1.17, device: atLimit }));
  assert.ok(await off({ before: 1.01, after: 1.17, device: { powerWatts: 400 } }));
  assert.ok(await off({ before: 1.01, after: 1.17, device: {} }));
});

Deno.test("around: a reference that proves wrong meanwhile corrects the readings before it", async () => {
  let seconds = 0;
  let probe = 0;
  const canary = { referenceSeconds: 1e-4, probe: () => Promise.resolve(probe), destroy: () => {} };
  const clock = new ClockWatch(canary, {
    judged: true,
    now: () => seconds,
    meter: () => ({ atPowerLimit: true }),
  });
  probe = 1;
  const before = await clock.read();
  const { canary: reading, after, device, off } = await clock.around(before, async (between) => {
    seconds += 1;
    probe = 0.25;
    await between();
  });
  assert.deepEqual([reading, after], [4, 1]);
  // The clock was down before the work began, so its power did not lower it.
  assert.equal(device.canaryBefore, 4);
  assert.ok(off);
});

Deno.test("rejudge: a sample that lowered the clock itself is judged by the reading before it", () => {
  const common = { seconds: 1, wallSeconds: 1, round: 0, place: 0, atPowerLimit: true } as const;
  const judged = (sample: object) => rejudge([{ ...common, ...sample }], 1.2)[0];
  assert.deepEqual(judged({ canary: 1.1, canaryBefore: 0.875 }), {
    ...common,
    canary: 1.1 * 1.2,
    canaryBefore: 0.875 * 1.2,
  });
  assert.equal(judged({ canary: 1.1, canaryBefore: 1 }).flag, "clock");
  assert.equal(judged({ canary: 1.1 }).flag, "clock", "nothing says that the clock was full");
  assert.equal(judged({ canary: 0.9, canaryBefore: 0.9, flag: "clock" }).flag, "clock");
  assert.equal(judged({ canary: 1.1, flag: "interrupted" }).flag, "interrupted");
});
