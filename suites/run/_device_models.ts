/**
 * Models of devices: some with the times of this repository's baselines, some from rates alone.
 *
 * @module
 */
import type { Problem } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { findImplementation } from "../plan/measurable.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { PlannedDevice } from "../plan/planned_case.ts";
import { parseResult } from "../result/read_result.ts";
import type { Result } from "../result/result_schema.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import { summarize } from "../statistics/statistics.ts";
import type { DeviceModel, HostModel } from "./_device_model.ts";

type Seconds = DeviceModel["seconds"];

function baseline(name: string): Result {
  const url = new URL(`../../fixtures/baselines/h100-${name}.json`, import.meta.url);
  return parseResult(Deno.readTextFileSync(url), name);
}

/** The setting of the paper's figure, whose times the baselines hold at every context. */
function paperSetting(context: number) {
  return { levels: 3, pooling: 4, k: Math.max(128, context / 64) };
}

/**
 * Seconds from the medians of results, interpolated and extrapolated over contexts by power laws.
 * Other settings than the paper's take longer in proportion to their FLOP; an implementation
 * without a result runs at half of dense attention's rate.
 */
function secondsOf(results: readonly Result[], device: PlannedDevice): Seconds {
  const points = new Map<string, [context: number, seconds: number][]>();
  for (const record of results.flatMap(({ cases }) => cases)) {
    const { suite, implementation, direction, shape: { context }, options, statistic } = record;
    const paper = Object.entries(options ? paperSetting(context) : {})
      .every(([name, value]) => options![name] === value);
    if (!findRecord(SUITE_RECORDS, suite).grid || !paper || !statistic) continue;
    const key = `${implementation}/${direction}`;
    const others = (points.get(key) ?? []).filter(([n]) => n !== context);
    points.set(key, [...others, [context, statistic.median]]);
  }
  points.forEach((list) => list.sort(([a], [b]) => a - b));
  const flops = (name: string, problem: Problem) =>
    findImplementation(IMPLEMENTATIONS, name).plan(device, problem).flops;
  const seconds: Seconds = (name, problem) => {
    const { direction = "forward", shape: { context }, options, ...rest } = problem;
    const list = points.get(`${name}/${direction}`);
    const bare = { ...rest, direction, shape: problem.shape };
    if (!list) {
      return 2 * seconds("dense", bare) * flops(name, problem) / flops("dense", bare);
    }
    const measured = powerLaw(list, context);
    // The shortest contexts lack this setting; they are only tried.
    if (!options || context < 2048) return measured;
    const paper = { ...problem, options: { ...options, ...paperSetting(context) } };
    return measured * flops(name, problem) / flops(name, paper);
  };
  return seconds;
}

function powerLaw(points: readonly (readonly [number, number])[], at: number): number {
  const next = points.findIndex(([x]) => x >= at);
  const i = Math.max(1, next < 0 ? points.length - 1 : next);
  const [[x, y], [u, v]] = [points[i - 1], points[i]];
  return y * (at / x) ** (Math.log(v / y) / Math.log(u / x));
}

/** Waits of 12 ms, as on Deno's stack, and checks in one thread. */
const DENO_HOST: HostModel = {
  wait: 0.0117,
  waitOfSeveral: 0.0117,
  prepare: 0.3,
  check: { least: 0.6, forward: 3e-8, gradients: 1.1e-7 },
  wholeCheck: 1.5,
  digest: 0.06,
  cut: 1.2,
};

/** Dawn reports the end of work at once, and compiles longer. */
const DAWN_HOST: HostModel = {
  ...DENO_HOST,
  wait: 2e-4,
  waitOfSeveral: 2e-3,
  prepare: 0.3,
  check: { ...DENO_HOST.check, least: 0.3 },
  digest: 0.02,
  cut: 0.8,
};

const MATRIX_UNITS: PlannedDevice = {
  ...ASSUMED_DEVICE,
  capabilities: {
    ...ASSUMED_DEVICE.capabilities,
    subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  },
};

const denoPaper = baseline("deno-paper");
const dawnPeers = baseline("dawn-peers");
const deno = ["deno-short", "deno-long-backward", "deno-512k-backward"].map(baseline);
const onDeno = secondsOf([...deno, denoPaper], ASSUMED_DEVICE);
const onDawn = secondsOf([dawnPeers, baseline("dawn-512k")], MATRIX_UNITS);

/** H100 on Deno's stack. */
export const H100_DENO: DeviceModel = {
  device: ASSUMED_DEVICE,
  calibration: denoPaper.calibration!,
  seconds: onDeno,
  host: DENO_HOST,
};

/** H100 on Dawn, with matrix units; an H200 takes the same time within a few hundredths. */
export const H100_DAWN: DeviceModel = {
  device: MATRIX_UNITS,
  calibration: dawnPeers.calibration!,
  seconds: (name, problem) => {
    if (name !== "lighthouse-gla") return onDawn(name, problem);
    // No baseline has it on Dawn. Its scoring is the portable kernel on either stack.
    const { dilation: _, ...options } = problem.options!;
    const norm = { ...problem, options };
    const scoring = onDeno(name, problem) - onDeno("lighthouse-norm", norm);
    return onDawn("lighthouse-norm", norm) + scoring;
  },
  host: DAWN_HOST,
};

/**
 * The same with a host that learns late that one of several submissions has ended, as in a
 * baseline.
 */
export const H100_DAWN_LATE: DeviceModel = {
  ...H100_DAWN,
  host: { ...DAWN_HOST, waitOfSeveral: 0.4 },
};

/** The same device with a host that checks in several threads. */
export function withWorkers(model: DeviceModel): DeviceModel {
  const { check, wholeCheck, ...host } = model.host;
  const [least, forward, gradients] = [check.least, check.forward, check.gradients]
    .map((seconds) => seconds / 3);
  return {
    ...model,
    host: { ...host, check: { least, forward, gradients }, wholeCheck: wholeCheck / 3 },
  };
}

/** A device given by its arithmetic and copy rates alone; kernels reach half of them. */
function byRates(
  options: { flops: number; bytes: number; device: PlannedDevice; host: HostModel },
): DeviceModel {
  const { flops, bytes, device, host } = options;
  return {
    device,
    host,
    calibration: {
      clock: "gpu",
      fmaF32: summarize([flops]),
      copy: summarize([bytes]),
      emptyPass: summarize([1e-5]),
    },
    seconds: (name, problem) => {
      return findImplementation(IMPLEMENTATIONS, name).plan(device, problem).stages.reduce(
        (sum, stage) => sum + Math.max(2 * stage.flops / flops, 2 * stage.bytes / bytes) + 1e-5,
        0,
      );
    },
  };
}

/** A processor's graphics unit: 1 TFLOP/s, 50 GB/s, 16 GB of memory shared with the machine. */
export const LAPTOP: DeviceModel = byRates({
  flops: 1e12,
  bytes: 5e10,
  device: { ...ASSUMED_DEVICE, deviceMemoryBytes: null, systemMemoryBytes: 16 * 2 ** 30 },
  host: DENO_HOST,
});

/** A software adapter on two cores. */
export const SOFTWARE: DeviceModel = byRates({
  flops: 6e10,
  bytes: 1e10,
  device: {
    ...ASSUMED_DEVICE,
    adapter: { ...ASSUMED_DEVICE.adapter, software: true },
    deviceMemoryBytes: 16 * 2 ** 30,
  },
  host: { ...DENO_HOST, wait: 1e-3, waitOfSeveral: 1e-3 },
});
