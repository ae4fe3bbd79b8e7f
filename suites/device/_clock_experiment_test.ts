import assert from "node:assert/strict";
import { type MeansReport, readIdleTimes, renderTable } from "./_clock_experiment.ts";

/** A device that is four times slower after an idle time, until it has worked three times. */
function sleepyCanary() {
  let awake = 0;
  return {
    fallAsleep: () => awake = 0,
    canary: {
      referenceSeconds: 1e-4,
      flops: 1e9,
      probe: () => Promise.resolve(awake >= 3 ? 1 : 4),
      exercise: () => Promise.resolve(awake++),
      destroy: () => {},
    },
  };
}

Deno.test("readIdleTimes measures how slow a device is after idling and its recovery", async () => {
  for (const sleeps of [true, false]) {
    const { canary, fallAsleep } = sleepyCanary();
    const waited: number[] = [];
    const { fastest, readings } = await readIdleTimes({
      canary,
      idles: [0.01, 0.02],
      rounds: 2,
      workSeconds: 0.01,
      wait: (seconds) => {
        waited.push(seconds);
        if (sleeps) fallAsleep();
        return Promise.resolve();
      },
      readClock: () => Promise.resolve(sleeps ? 345 : 1980),
    });
    assert.deepEqual(waited, [0.01, 0.02, 0.01, 0.02]);
    assert.equal(Math.round(fastest), 1e13);
    assert.equal(readings.length, 4);
    for (const { rate, backSeconds } of readings) {
      assert.equal(Math.round(fastest / rate), sleeps ? 4 : 1);
      assert.ok(backSeconds! >= 0 && backSeconds! < 1);
    }
  }
});

Deno.test("renderTable compares all methods with the fastest canary", () => {
  const report = (
    means: MeansReport["means"],
    rates: [number, number],
    other: Partial<MeansReport> = {},
  ): MeansReport => ({
    means,
    device: "NVIDIA H200",
    missing: [],
    fastest: Math.max(...rates),
    readings: rates.map((rate, i) => ({
      idleSeconds: [1, 8][i],
      rate,
      clockMHz: means === "nothing" ? 345 : 1980,
      backSeconds: means === "nothing" ? null : 0.125,
    })),
    ...other,
  });
  assert.deepEqual(
    renderTable([
      report("nothing", [10, 5]),
      report("context", [20, 20], { missing: ["no CUDA context: why"] }),
    ]).split("\n"),
    [
      "| kept up by | canary after 1 s | canary after 8 s | SM clock after 8 s, MHz | back after |",
      "| --- | --: | --: | --: | --: |",
      "| nothing | 2.00 | 4.00 | 345 | more than 5 s |",
      "| idle CUDA context (no CUDA context: why) | 1.00 | 1.00 | 1980 | 0.13 s |",
    ],
  );
});
