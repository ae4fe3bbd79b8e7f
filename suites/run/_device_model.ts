/**
 * A simulated device and host with their own clock: it schedules a whole run in milliseconds.
 * Kernels take as long as they did on a real device; nothing is computed.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import type { Calibration, Canary } from "../device/calibrate.ts";
import { ClockWatch, inconclusiveReason } from "../device/clock.ts";
import type { DeviceAccess, Session } from "../measure/session.ts";
import { Budget } from "../plan/budget.ts";
import { caseRecord, withSamples } from "../plan/case_record.ts";
import type { Layer, Measurable } from "../plan/measurable.ts";
import { memoryLimit } from "../plan/memory_limit.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { SUBMISSION_SECONDS } from "../plan/durations.ts";
import { membersOf, type PlannedCase, type PlannedDevice } from "../plan/planned_case.ts";
import type {
  CalibrationRecord,
  CaseRecord,
  CheckRecord,
  RatioRecord,
} from "../result/result_schema.ts";
import { isApart, type Measurer } from "../suite.ts";
import { SUITES } from "../suites.ts";
import { firstCases, loadSuites, planRun } from "./plan_run.ts";
import { rejudgeLive, rejudgeResult } from "./rejudge.ts";
import { runSchedule } from "./schedule.ts";

/** A device and its host, as far as a schedule depends on them. */
export interface DeviceModel {
  readonly device: PlannedDevice;
  /** At the full clock. */
  readonly calibration: CalibrationRecord;
  /** Seconds of one execution at the full clock. */
  readonly seconds: (implementation: string, problem: Problem) => number;
  readonly host: HostModel;
}

/** Seconds that the host adds. */
export interface HostModel {
  /** From the end of a submission until the host learns of it. */
  readonly wait: number;
  /** The same for an execution of several submissions. */
  readonly waitOfSeveral: number;
  /** Compiling and allocating a layer; inputs take half of it. */
  readonly prepare: number;
  /** A check of sampled rows: the minimum, and the time per element of K. */
  readonly check: { readonly least: number; readonly forward: number; readonly gradients: number };
  /** A check of all rows of a small layer. */
  readonly wholeCheck: number;
  readonly digest: number;
  /** A context-parallel case, besides its executions. */
  readonly cut: number;
}

/**
 * Speed of the device, 1 at its full clock. `idle`: seconds since it last worked; `busy`: seconds
 * of work without a gap until then.
 */
export type Speed = (now: number, work: { idle: number; busy: number }) => number;

/** The outcome of a run on a model. */
export interface ModelledRun {
  readonly cases: readonly CaseRecord[];
  readonly ratios: readonly RatioRecord[];
  readonly notes: readonly string[];
  /** Order in which cases were first recorded, by id, with the clock's time in seconds. */
  readonly recordedAt: ReadonlyMap<string, number>;
  /** Contexts for which inputs were allocated. */
  readonly allocated: ReadonlySet<number>;
  /** Full checks on the host. */
  readonly checks: number;
  /** Seconds of the whole schedule. */
  readonly seconds: number;
}

const SEED = 1;

/** Seconds of the canary at the full clock, and of an exercise. */
const CANARY_SECONDS = 1e-4;
const EXERCISE_SECONDS = 0.1;

/** Gaps up to this many seconds do not count. */
const GAP_SECONDS = 0.03;

const CHECK: CheckRecord = { passed: true, method: "modelled", maxError: 0, tolerance: 1 };
const DIGEST = { output: "the same bits" };

/**
 * Runs a plan on a model.
 *
 * @param options those of the plan; `speed` of the device (default: always the full clock);
 * `calibratedAt`: its speed during calibration (default 1); `spent`: seconds of the budget that are
 * over when the kernels are compiled (default 0); `leastGroups` as of a run.
 */
export async function runOnModel(
  model: DeviceModel,
  options: PlanOptions & {
    speed?: Speed;
    calibratedAt?: number;
    spent?: number;
    leastGroups?: number;
  },
): Promise<ModelledRun> {
  const { speed = () => 1, calibratedAt = 1, spent, leastGroups = 0, ...planOptions } = options;
  const profiles = [planOptions.profile];
  const suites = await loadSuites(SUITES, { options: planOptions, profiles });
  const plan = planRun(planOptions, model.device, { registry: IMPLEMENTATIONS, suites });
  const time = new ModelTime(speed);
  const calibration = calibrationOf(model, { time, calibratedAt });
  const found = new Findings(time);
  const budget = new Budget({
    calibration: calibration.record,
    samples: plan.profile.samples,
    seconds: plan.profile.budgetSeconds,
    spent,
    always: firstCases(plan, leastGroups),
    now: () => time.now,
  });
  const live: Session["live"] = new Set();
  const session: Session = {
    gpu: {
      ...model.device,
      stack: "deno",
      device: { createBuffer: () => {} } as unknown as GPUDevice,
      features: [],
      limits: {},
      lost: () => undefined,
      destroy: () => {},
    },
    access: accessOf(model, { time, found }),
    registry: IMPLEMENTATIONS.map((known) => modelled(known, { model, time })),
    calibration,
    clock: new ClockWatch(calibration.canary, {
      judged: !model.device.adapter.software,
      onRebase: (factor) => {
        budget.rebase(factor);
        rejudgeLive(live, factor);
        Object.assign(found, rejudgeResult(found, { factor, seed: SEED }));
      },
      now: () => time.now,
    }),
    live,
    budget,
    seed: SEED,
    memoryBytes: memoryLimit(model.device.deviceMemoryBytes),
    record: (record) => found.record(record),
    recordRatio: (ratio) => found.recordRatio(ratio),
    finished: (id) => found.cases.find((record) => record.id === id),
    note: (line) => void found.notes.push(line),
    step: () => {},
  };
  /** Everything that takes the host's or the device's time, replaced by its duration. */
  const standIns: Record<string, Measurer["measure"]> = {
    "correctness": async ({ candidates: [entry] }) => {
      if (entry.skip || session.finished(entry.id)) return;
      time.rest(model.host.prepare + model.host.wholeCheck);
      await session.record({ ...caseRecord(entry, { status: "ok" }), check: CHECK });
    },
    "context-parallel": async (group, { again }) => {
      for (const entry of membersOf(group)) {
        const due = again?.has(entry.id) || !session.finished(entry.id);
        if (due) await measureCut(session, entry, { model, time });
      }
    },
  };
  await runSchedule(session, {
    suites: plan.suites.flatMap(({ suite, plan }) => {
      if (isApart(suite)) return [];
      const run = { plan, options: planOptions, opened: undefined, patient: false };
      const part = () => assert.fail("no suite on a model has a part of a result");
      const measure = standIns[suite.record.name] ?? suite.begin(session, { ...run, part }).measure;
      return [{ groups: plan.groups, measure }];
    }),
    ratios: () => found.ratios,
    pending: () => {},
  });
  return { ...found, seconds: time.now };
}

/** A clock that advances as the device works and the host waits. */
class ModelTime {
  now = 0;
  readonly #speed: Speed;
  #idleSince = 0;
  #busySince = 0;

  constructor(speed: Speed) {
    this.#speed = speed;
  }

  /** The device works for this many seconds at the full clock; returns the seconds that it took. */
  work(seconds: number): number {
    const idle = this.now - this.#idleSince;
    if (idle > GAP_SECONDS) this.#busySince = this.now;
    const busy = this.#idleSince - this.#busySince;
    const took = seconds / this.#speed(this.now, { idle, busy: Math.max(0, busy) });
    this.now += took;
    this.#idleSince = this.now;
    return took;
  }

  /** The host works or waits while the device is idle. */
  rest(seconds: number): void {
    this.now += seconds;
  }
}

/** What was recorded. */
class Findings {
  cases: CaseRecord[] = [];
  ratios: RatioRecord[] = [];
  readonly notes: string[] = [];
  readonly recordedAt = new Map<string, number>();
  readonly allocated = new Set<number>();
  checks = 0;
  readonly #time: ModelTime;

  constructor(time: ModelTime) {
    this.#time = time;
  }

  record(record: CaseRecord): Promise<void> {
    if (!this.recordedAt.has(record.id)) this.recordedAt.set(record.id, this.#time.now);
    this.cases = [...this.cases.filter(({ id }) => id !== record.id), record];
    return Promise.resolve();
  }

  recordRatio(ratio: RatioRecord): Promise<void> {
    const others = this.ratios.filter(({ numerator, denominator }) =>
      numerator !== ratio.numerator || denominator !== ratio.denominator
    );
    this.ratios = [...others, ratio];
    return Promise.resolve();
  }
}

interface Parts {
  readonly model: DeviceModel;
  readonly time: ModelTime;
}

function calibrationOf(
  { calibration, host }: DeviceModel,
  { time, calibratedAt }: { time: ModelTime; calibratedAt: number },
): Calibration {
  const referenceSeconds = CANARY_SECONDS / calibratedAt;
  const timed = (seconds: number) => {
    const took = time.work(seconds);
    // One wait for the end, one for the timestamps.
    time.rest(2 * host.wait);
    return took;
  };
  const canary: Canary = {
    referenceSeconds,
    probe: () => Promise.resolve(timed(CANARY_SECONDS) / referenceSeconds),
    exercise: () => Promise.resolve(timed(EXERCISE_SECONDS)),
    destroy: () => {},
  };
  const { fmaF32, ...rest } = calibration;
  return {
    record: {
      ...rest,
      ...(fmaF32 && { fmaF32: { ...fmaF32, median: fmaF32.median * calibratedAt } }),
    },
    canary,
    secondsOf: ({ gpuSeconds, wallSeconds }) => gpuSeconds ?? wallSeconds,
  };
}

function accessOf(
  { host }: DeviceModel,
  { time, found }: { time: ModelTime; found: Findings },
): DeviceAccess {
  return {
    createInputs: (_session, [{ problem: { shape } }]) => {
      time.rest(host.prepare / 2);
      found.allocated.add(shape.context);
      const { heads, context, headDim, dtype } = shape;
      const bytes = heads * context * headDim * (dtype === "f16" ? 2 : 4);
      const tensors = { q: { bytes }, k: { bytes }, v: { bytes } } as unknown as LayerInputs;
      return Promise.resolve({ ...tensors, destroy: () => {} });
    },
    checkOutputs: (_gpu, _layer, { problem: { shape, direction = "forward" } }) => {
      const { least, forward, gradients } = host.check;
      const each = direction === "forward" ? forward : gradients;
      time.rest(least + each * shape.context * shape.headDim);
      found.checks++;
      return Promise.resolve({ check: CHECK, digest: DIGEST });
    },
    digestOutputs: () => {
      time.rest(host.digest);
      return Promise.resolve(DIGEST);
    },
    probeLists: () => Promise.resolve(undefined),
    probeSelection: () => Promise.resolve(undefined),
  };
}

/** An implementation whose layers only take time. */
function modelled(implementation: Measurable, { model, time }: Parts): Measurable {
  const { host } = model;
  const prepare: Measurable["prepare"] = (gpu, problem) => {
    time.rest(host.prepare);
    const plan = implementation.plan(gpu, problem);
    const seconds = model.seconds(implementation.name, problem);
    const { timestamps } = gpu.capabilities;
    const execute: Layer["execute"] = async ({ flopsPerSecond, between, stages } = {}) => {
      const predicted = flopsPerSecond ? plan.flops / flopsPerSecond : 0;
      const submissions = Math.max(1, Math.ceil(predicted / SUBMISSION_SECONDS));
      const wait = submissions > 1 ? host.waitOfSeveral : timestamps ? host.wait : 0;
      let gpuSeconds = 0;
      for (let i = 0; i < submissions; i++) {
        if (i > 0) await between?.();
        gpuSeconds += time.work(seconds / submissions);
        time.rest(wait);
      }
      if (timestamps) time.rest(host.wait);
      return {
        gpuSeconds,
        wallSeconds: gpuSeconds + submissions * wait,
        stages: stages ? plan.stages.map(() => gpuSeconds / plan.stages.length) : null,
      };
    };
    return Promise.resolve({
      stages: plan.stages.map(({ name }) => name),
      execute,
      outputs: {} as Layer["outputs"],
      destroy: () => {},
    });
  };
  return { ...implementation, prepare };
}

/** A context-parallel case: as long as the real one, and judged by the same clock. */
async function measureCut(
  session: Session,
  entry: PlannedCase,
  { model, time }: Parts,
): Promise<void> {
  const { budget, clock } = session;
  const { executions } = entry.course!;
  const predictedSeconds = budget.predict(entry);
  if (executions * predictedSeconds > budget.left) {
    const skipped = caseRecord(entry, { status: "skipped", reason: "over the budget" });
    return await session.record({ ...skipped, predictedSeconds });
  }
  time.rest(model.host.cut);
  const before = await clock.settle();
  const { result: seconds, canary, off } = await clock.around(before, () => {
    const all = executions * model.seconds(entry.implementation, entry.problem);
    return Promise.resolve(time.work(all) / executions);
  });
  const flag = off && { flag: "clock" as const };
  const earlier = session.finished(entry.id)?.samples ?? [];
  const samples = [
    ...earlier,
    ...[0, 1].map((place) => (
      { seconds, wallSeconds: seconds, round: earlier.length, place, canary, ...flag }
    )),
  ];
  const reason = inconclusiveReason(samples);
  const status = reason === undefined ? "ok" : "inconclusive";
  await session.record(
    withSamples(caseRecord(entry, { status, reason }), { samples, seed: SEED }),
  );
}
