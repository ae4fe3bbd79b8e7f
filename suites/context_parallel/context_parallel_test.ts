import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { showBytes } from "../../kernels/gpu/bytes.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { ClockWatch } from "../device/clock.ts";
import type { Session } from "../measure/session.ts";
import { rejudgeLive } from "../run/rejudge.ts";
import { takeRounds } from "./context_parallel.ts";
import { contextParallelSection, planCuts, planRunCuts } from "./plan_cuts.ts";
import { UsageError } from "../errors.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { loadProfile, PROFILE_NAMES, sectionOf } from "../plan/profile.ts";
import { resultSchema } from "../result/result_schema.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { runCalibrated } from "../run/runner.ts";

const planned = (name: string, options: Partial<PlanOptions> = {}, suites?: string[]) => {
  const profile = loadProfile(name);
  return planRunCuts({
    profile: { ...profile, ...(suites && { suites }) },
    dtype: "f16",
    options: { profile: name, ...options },
    device: ASSUMED_DEVICE,
  });
};

Deno.test("planRunCuts: every cut of every profile can select", () => {
  for (const name of PROFILE_NAMES) {
    const section = sectionOf(loadProfile(name), "context-parallel", contextParallelSection);
    if (!section) continue;
    const { shards } = section;
    const cuts = planned(name);
    assert.ok(cuts.length >= 2 * shards.length, name);
    assert.deepEqual(cuts.flatMap(({ entry }) => entry.skip ?? []), [], name);
    assert.equal(new Set(cuts.map(({ entry }) => entry.id)).size, cuts.length);
  }
});

Deno.test("planRunCuts: a user-defined grid leaves the suite out, unless it is requested by name", () => {
  assert.deepEqual(planned("paper", { contexts: [8192] }), []);
  const suites = ["context-parallel"];
  const asked = planned("paper", {
    suites,
    contexts: [8192, 16384],
    options: { k: [1024], dilation: [8] },
  });
  assert.ok(asked.every(({ entry }) => entry.problem.shape.context === 16384));
  assert.ok(asked.every(({ entry }) => entry.problem.options!.k === 1024));
  const dilations = asked.map(({ entry }) => entry.problem.options!.dilation);
  assert.deepEqual([...new Set(dilations)], [undefined, 8]);
  assert.deepEqual(planned("paper", {}, ["latency"]), []);
  // At 2,048 no part keeps 128 coarsest entries, for any cut.
  assert.throws(
    () => planned("paper", { suites, contexts: [2048], options: { k: [128] } }),
    (error) =>
      error instanceof UsageError &&
      error.message === "plan context parallel: k 128 is not a multiple of 128 for each of 2 parts",
  );
});

Deno.test("planCuts: a cut that exceeds memory is skipped, one that exceeds a binding is split into blocks", () => {
  const setting = { context: 2 ** 20, levels: 3, pooling: 4, k: 2 ** 14, shards: [8] };
  const options = { setting, heads: 8, headDim: 128, dtype: "f16" } as const;
  const cuts = (deviceMemoryBytes: number) =>
    planCuts({
      ...options,
      implementations: ["lighthouse-dilated"],
      device: { ...ASSUMED_DEVICE, deviceMemoryBytes },
    });
  const [{ entry: { plan, skip } }] = cuts(2 ** 36);
  assert.equal(skip, undefined);
  // Eight heads are 2^31 bytes, a binding holds 2^31 - 4.
  assert.equal(plan!.headsPerBlock, 7);
  const small = cuts(2 ** 33);
  assert.ok(small.every(({ cut }) => cut === undefined));
  assert.equal(
    small[0].entry.skip,
    `needs ${showBytes(plan!.peakBytes)} of device memory; the limit is 7.2 GiB`,
  );
});

Deno.test("planCuts: a cut that cannot select is a case with a reason, and the others are kept", () => {
  const cuts = planCuts({
    setting: { context: 4096, levels: 3, pooling: 2, k: 512, shards: [2, 4] },
    heads: 2,
    headDim: 32,
    dtype: "f32",
    implementations: ["dense", "lighthouse-norm"],
    device: ASSUMED_DEVICE,
  });
  assert.deepEqual(cuts.map(({ entry }) => entry.skip), [
    undefined,
    undefined,
    undefined,
    "plan context parallel: k 512 is not a multiple of 128 for each of 8 parts",
  ]);
  const [{ entry: { plan } }] = cuts;
  const { gathered } = plan!;
  assert.equal(plan!.flops, 2 * gathered! ** 2 * 32 * 2, "the steps add up to causal attention");
  assert.equal(plan!.stages.length, 2);
});

Deno.test({
  ...slow("the suite checks, times and describes every cut"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    try {
      const result = resultSchema.parse(
        await runCalibrated({
          profile: "smoke",
          suites: ["context-parallel"],
          contexts: [1024],
          headDims: [32],
          options: { levels: [2], pooling: [2], k: [512] },
          scorers: ["norm"],
          seed: 11,
          gpu,
        }, { calibration: CALIBRATION }),
      );
      assert.deepEqual(unknownFields(result), []);
      assert.deepEqual(
        result.cases.map(({ contextParallel }) => contextParallel?.partition),
        ["contiguous", "head-tail"],
      );
      for (const record of result.cases) {
        assert.equal(record.status, "ok", record.reason);
        const { steps, selection, uncoveredRows, unshardedUncoveredRows } = record.contextParallel!;
        const pairs = steps.flatMap(({ shardPairs }) => shardPairs).reduce((sum, n) => sum + n);
        assert.equal(pairs, record.gathered! ** 2 / 2 * record.shape.heads);
        // Tiles never see each other, so the norm scorer selects the same for every cut.
        assert.equal(selection.jaccard, 1);
        assert.ok(uncoveredRows >= unshardedUncoveredRows);
        assert.deepEqual(steps.map(({ bytes }) => bytes > 0), [true, false]);
        assert.ok(record.statistic!.median > 0 && record.check!.passed);
        // Buffers created outside the plan: uniforms and the timestamp buffers.
        const unplanned = record.measuredPeakBytes! - record.peakBytes;
        assert.ok(unplanned >= 0 && unplanned < 2 ** 16, `${unplanned} bytes beside the plan`);
        assert.deepEqual(record.check!.parts!.map(({ name }) => name), [
          "output",
          "log-sum-exp",
          "in one piece",
          "finite",
          "determinism",
        ]);
      }
    } finally {
      gpu.destroy();
    }
  },
});

Deno.test("takeRounds: samples under way are judged again when the canary's reference proves wrong", async () => {
  const earlier = [{ seconds: 1, wallSeconds: 1, round: 4, place: 0, canary: 1 }];
  const live: Session["live"] = new Set();
  let probed = 0;
  const clock = new ClockWatch({
    referenceSeconds: 1e-4,
    // The clock was down in the calibration, and until the first round was over.
    probe: () => Promise.resolve(probed++ < 6 ? 1 : 0.5),
    destroy: () => {},
  }, { judged: true, onRebase: (factor) => rejudgeLive(live, factor) });
  const attend = () => Promise.resolve({ gpuSeconds: 1, wallSeconds: 1, stages: null });
  const { ring, piece } = await takeRounds(
    { calibration: { ...CALIBRATION, secondsOf: () => 1 }, clock, live },
    { attend, attendWhole: attend },
    { earlier },
  );
  assert.equal(live.size, 0);
  assert.deepEqual(ring[0], { ...earlier[0], canary: 2, flag: "clock" });
  for (const { canary, flag } of [...ring, ...piece]) {
    assert.equal(flag, canary === 2 ? "clock" : undefined);
  }
  assert.ok([ring, piece].every((taken) => taken.filter(({ canary }) => canary === 2).length >= 2));
  assert.deepEqual([...new Set(ring.map(({ round }) => round))].slice(0, 2), [4, 5]);
});
