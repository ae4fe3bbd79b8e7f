import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { planShares } from "../run/_planned.ts";
import { ASSUMED_DEVICE } from "./memory_plan.ts";
import type { PlanOptions } from "./plan_options.ts";
import type { PlannedDevice } from "./planned_case.ts";

const h100: PlannedDevice = { ...ASSUMED_DEVICE, deviceMemoryBytes: 80 * 2 ** 30 };

const plan = (options: PlanOptions, device = h100) => planShares(options, { device });

Deno.test("a case that cannot fit is skipped with the bytes, a pair that cannot is split", () => {
  const small = { ...h100, deviceMemoryBytes: 5 * 2 ** 30 };
  const directions = ["forward" as const];
  const options = { profile: "paper", contexts: [8192, 524288], scorers: ["norm"], directions };
  const { groups, notes } = plan(options, { ...small, deviceMemoryBytes: 2 * 2 ** 30 });
  const last = groups.find((group) => group.baseline?.problem.shape.context === 524288)!;
  assert.match(last.baseline!.skip!, /^needs 4.02 GiB of device memory; the limit is 1.8 GiB$/);
  assert.equal(groups[0].baseline!.skip, undefined);
  assert.deepEqual(notes, []);
  const dense = last.baseline!.plan!.peakBytes;
  const lighthouse = last.candidates[0].plan!.peakBytes;
  const both = Math.max(dense, lighthouse) / 0.9 + 2 ** 20;
  const split = plan(options, { ...small, deviceMemoryBytes: both });
  assert.equal(split.notes.length, 1);
  assert.equal(split.groups.filter((group) => group.baseline === undefined).length, 1);
});

Deno.test("if the device reports none, a case may take half of the machine's", () => {
  const directions = ["forward" as const];
  const options = { profile: "paper", contexts: [8192, 524288], scorers: ["norm"], directions };
  const skips = (systemMemoryBytes?: number) =>
    plan(options, { ...h100, deviceMemoryBytes: null, systemMemoryBytes })
      .groups.flatMap(({ baseline, candidates }) => [baseline!, ...candidates])
      .filter(({ problem }) => problem.shape.context === 524288)
      .map(({ skip }) => skip);
  assert.deepEqual(skips(16 * 2 ** 30), [undefined, undefined]);
  assert.deepEqual(skips(), [undefined, undefined]);
  const [dense, lighthouse] = skips(10 * 2 ** 30);
  assert.equal(dense, undefined);
  assert.match(
    lighthouse!,
    /^needs [\d.]+ GiB of device memory; the limit is 5 GiB, half of the machine's: /,
  );
  // The device's own report comes first.
  const told = { ...h100, deviceMemoryBytes: 80 * 2 ** 30, systemMemoryBytes: 2 ** 30 };
  assert.ok(plan(options, told).groups.every(({ baseline }) => baseline?.skip === undefined));
});

Deno.test("if the only requested shape does not fit, that is a usage error", () => {
  const small = { ...h100, deviceMemoryBytes: 2 ** 30 };
  assert.throws(
    () => plan({ profile: "paper", contexts: [524288] }, small),
    (error) =>
      error instanceof UsageError &&
      /^dense\/forward\/N524288.* needs [\d.]+ GiB of device memory; the limit is 922 MiB$/
        .test(error.message),
  );
});
