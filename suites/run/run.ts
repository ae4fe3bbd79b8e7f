/**
 * One run on an open device: plans, calibrates, measures suite by suite, and keeps the result up to
 * date. Its host provides the machine, so that a page can run it too.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { DeviceLostError, Timer } from "../../kernels/gpu/timing.ts";
import { calibrate, type Calibration } from "../device/calibrate.ts";
import { ClockWatch } from "../device/clock.ts";
import type { KeepWarm } from "../device/keep_warm.ts";
import { errorLine } from "../errors.ts";
import type { RunSession, Session } from "../measure/session.ts";
import { Budget } from "../plan/budget.ts";
import { caseRecord } from "../plan/case_record.ts";
import type { Measurable } from "../plan/measurable.ts";
import { memoryLimit } from "../plan/memory_limit.ts";
import { notesOnPortableKernels } from "../plan/portable_notes.ts";
import type { OpenPeers } from "../peers/peers.ts";
import { hashJson } from "../result/digest.ts";
import type { Result, StackChoiceRecord, TuningRecord } from "../result/result_schema.ts";
import { isApart, type Suite, type SuiteRun } from "../suite.ts";
import { compileAhead } from "./compile_ahead.ts";
import type { Host, Store } from "./host.ts";
import { emptyResult } from "./new_result.ts";
import {
  firstCases,
  partSuites,
  planIdentity,
  plannedCases,
  plannedLayers,
  type PlannedSuite,
  planRun,
  refuseUnusedSettings,
  type RunPlan,
  shardPlan,
} from "./plan_run.ts";
import type { SuiteHooks } from "./progress.ts";
import { ResultKeeper } from "./result_keeper.ts";
import { joinCalibrations, lostNote, STOPPED_NOTE, takeUp } from "./resume.ts";
import type { SuiteOptions } from "./run_options.ts";
import { runSchedule } from "./schedule.ts";

/** What a run works with. */
export interface RunParts {
  readonly host: Host;
  readonly hooks: SuiteHooks;
  readonly gpu: Gpu;
  /** All implementations but peers. */
  readonly registry: readonly Measurable[];
  /** Suites that the run may have, in order. */
  readonly suites: readonly Suite[];
  /** What their `open` returned, by name. */
  readonly opened: ReadonlyMap<string, unknown>;
  readonly stackChoice?: StackChoiceRecord;
  readonly store?: Store;
  /** Default: the device is calibrated. */
  readonly calibration?: Calibration;
}

/** Of a run that has not planned anything yet. */
const NOTHING_DONE = { done: 0, total: 0, remainingSeconds: null } as const;

/** One run. */
export class Run {
  readonly #options: SuiteOptions & { seed: number };
  readonly #parts: RunParts;
  #gpu: Gpu;
  #registry: readonly Measurable[];
  #tuning?: TuningRecord;
  #peers?: OpenPeers;
  #keepWarm?: KeepWarm;
  #plan!: RunPlan;
  #keeper!: ResultKeeper;

  constructor(options: SuiteOptions & { seed: number }, parts: RunParts) {
    this.#options = options;
    this.#parts = parts;
    this.#gpu = parts.gpu;
    this.#registry = parts.registry;
  }

  /** Runs it; finished cases are kept in every case. */
  async execute(): Promise<Result> {
    const { peers, keepWarm } = this.#options;
    const { host, hooks } = this.#parts;
    try {
      this.#keepWarm = await host.keepWarm(this.#gpu.adapter, { asked: keepWarm });
      for (const text of this.#keepWarm?.lines ?? []) {
        hooks.onProgress?.({ kind: "note", text, ...NOTHING_DONE });
      }
      if (peers?.length) {
        this.#peers = await host.openPeers(peers, { gpu: this.#gpu, signal: hooks.signal });
        this.#registry = [...this.#registry, ...this.#peers.implementations];
      }
      return await this.#run();
    } finally {
      await this.#peers?.close();
      await this.#keepWarm?.stop();
    }
  }

  async #run(): Promise<Result> {
    const { host } = this.#parts;
    const environment = await host.describeEnvironment(this.#gpu);
    const { driver } = environment;
    const tuned = await host.applyTuning(this.#gpu, { tuning: this.#options.tuning, driver });
    const { gpu } = tuned;
    this.#gpu = gpu;
    this.#tuning = tuned.record;
    this.#plan = this.#planWhole(environment);
    const fresh = await this.#applyShard(environment);
    const result = this.#options.resume ? await this.#takeUp(fresh) : fresh;
    const keeper = this.#keeper = new ResultKeeper(result, {
      total: plannedCases(this.#plan).length,
      hooks: this.#parts.hooks,
      store: this.#parts.store,
      keepWarm: this.#keepWarm,
    });
    if (result.finishedAt !== null) {
      keeper.say({ kind: "note", text: "the run is complete: nothing is left to resume" });
      return result;
    }
    const layers = plannedLayers(this.#plan);
    for (const line of [...tuned.lines, ...notesOnPortableKernels(gpu, layers)]) keeper.note(line);
    await keeper.save();
    const timer = new Timer(gpu);
    let calibration: Calibration | undefined;
    const { budgeted, apart } = partSuites(this.#plan);
    try {
      // Suites that keep their own time need no ceilings.
      if (plannedCases({ suites: budgeted }).length > 0) {
        const compiled = compileAhead(gpu, this.#registry, layers);
        calibration = await this.#calibrate(timer);
        await this.#measure(budgeted, { calibration, compiled });
      }
      for (const planned of apart) await this.#measureApart(planned);
      result.finishedAt = new Date().toISOString();
      await keeper.save();
    } catch (error) {
      await this.#cutShort(error);
    } finally {
      if (!this.#parts.calibration) calibration?.canary.destroy();
      timer.destroy();
    }
    return result;
  }

  #planWhole({ deviceMemoryBytes, memoryBytes }: Result["environment"]): RunPlan {
    const { capabilities, adapter } = this.#gpu;
    const profile = this.#options.profile ?? (adapter.software ? "smoke" : "standard");
    const peerNames = this.#peers?.implementations.map(({ name }) => name);
    const options = { ...this.#options, profile, peerNames };
    const device = { capabilities, adapter, deviceMemoryBytes, systemMemoryBytes: memoryBytes };
    const { suites, opened } = this.#parts;
    const plan = planRun(options, device, { registry: this.#registry, suites, opened });
    refuseUnusedSettings(plan, options);
    return plan;
  }

  async #calibrate(timer: Timer): Promise<Calibration> {
    const { result } = this.#keeper;
    this.#keeper.step("calibrating the device");
    const { calibration: earlier, environment } = result;
    const calibration = this.#parts.calibration ?? await calibrate(this.#gpu, timer, {
      deviceMemoryBytes: environment.deviceMemoryBytes,
      seed: this.#options.seed,
      earlier: earlier ?? undefined,
      signal: this.#parts.hooks.signal,
    });
    result.calibration = earlier
      ? joinCalibrations(earlier, calibration.record)
      : calibration.record;
    if (earlier && !earlier.canaryTrips) {
      this.#keeper.note("resumed: the clock's canary was measured anew");
    }
    return calibration;
  }

  /** What every suite receives. */
  get #session(): RunSession {
    return {
      gpu: this.#gpu,
      seed: this.#options.seed,
      signal: this.#parts.hooks.signal,
      record: (record) => this.#keeper.record(record),
      finished: (id) => this.#keeper.finished(id),
      note: (line) => this.#keeper.note(line),
      step: (text) => this.#keeper.step(text),
      found: this.#parts.hooks.onFound,
    };
  }

  #suiteRun({ suite: { record }, plan }: PlannedSuite): SuiteRun {
    const { shard, patient = false } = this.#options;
    return {
      plan,
      options: { ...this.#options, profile: this.#plan.profile.name },
      opened: this.#parts.opened.get(record.name),
      shard,
      patient,
      part: <T>(make: () => T) => {
        const key = record.part?.key;
        if (key === undefined) throw new TypeError(`suite ${record.name} has no part of a result`);
        return (this.#keeper.result[key] ??= make()) as T;
      },
    };
  }

  async #measure(
    suites: readonly PlannedSuite[],
    { calibration, compiled }: {
      readonly calibration: Calibration;
      /** When no kernel is compiled any more: nothing is timed before. */
      readonly compiled: Promise<void>;
    },
  ): Promise<void> {
    const { profile } = this.#plan;
    const keeper = this.#keeper;
    const { budgetBegan, leastGroups = 0 } = this.#options;
    const budget = keeper.budget = new Budget({
      calibration: calibration.record,
      samples: profile.samples,
      seconds: profile.budgetSeconds,
      spent: budgetBegan === undefined ? 0 : (performance.now() - budgetBegan) / 1e3,
      always: firstCases({ suites }, leastGroups),
    });
    const session: Session = {
      ...this.#session,
      registry: this.#registry,
      calibration,
      clock: new ClockWatch(calibration.canary, {
        judged: !this.#gpu.adapter.software,
        onRebase: (factor) => keeper.rejudge(factor),
        meter: this.#keepWarm?.during,
      }),
      live: keeper.live,
      budget,
      memoryBytes: memoryLimit(keeper.result.environment.deviceMemoryBytes),
      recordRatio: (ratio) => keeper.recordRatio(ratio),
    };
    const measurers = suites.flatMap((planned) => {
      const { suite, plan: { groups } } = planned;
      if (isApart(suite)) return [];
      const measurer = suite.begin(session, this.#suiteRun(planned));
      return [{ groups, measurer, times: !suite.record.checks }];
    });
    let compiling = true;
    const awaitKernels = async () => {
      if (!compiling) return;
      keeper.step("compiling the kernels");
      const from = budget.now();
      await compiled;
      // A budget that began before includes the compiler.
      if (budgetBegan === undefined) budget.postpone(budget.now() - from);
      compiling = false;
    };
    await runSchedule(session, {
      suites: measurers.map(({ groups, measurer, times }) => ({
        groups,
        measure: async (group, options) => {
          if (times) await awaitKernels();
          await measurer.measure(group, options);
        },
      })),
      ratios: () => keeper.result.ratios,
      pending: (groups) => keeper.pending = groups,
    });
    for (const { measurer } of measurers) await measurer.finish?.();
  }

  async #measureApart(planned: PlannedSuite): Promise<void> {
    const { suite, plan: { groups } } = planned;
    if (!isApart(suite)) return;
    const measurer = suite.beginApart(this.#session, this.#suiteRun(planned));
    for (const [i, group] of groups.entries()) {
      this.#parts.hooks.signal?.throwIfAborted();
      await measurer.measure(group, { later: groups.slice(i + 1), after: [] });
    }
    await measurer.finish?.();
  }

  /** Keeps finished work after a stop, a lost device or a fault. */
  async #cutShort(error: unknown): Promise<void> {
    const { result } = this.#keeper;
    const lost = this.#gpu.lost();
    if (lost !== undefined || error instanceof DeviceLostError) {
      const reason = lost ?? errorLine(error);
      const done = new Set(result.cases.map((record) => record.id));
      for (const entry of plannedCases(this.#plan).filter(({ id }) => !done.has(id))) {
        result.cases.push(caseRecord(entry, { status: "failed", reason }));
      }
      this.#keeper.note(lostNote(reason));
      await this.#keeper.save();
      return;
    }
    if (this.#parts.hooks.signal?.aborted) {
      this.#keeper.note(STOPPED_NOTE);
      await this.#keeper.save();
      return;
    }
    throw error;
  }

  /** The partial result in the folder, if this run can continue it. */
  async #takeUp(fresh: Result): Promise<Result> {
    const store = this.#parts.store!;
    const result = await store.resume({
      plan: fresh.hashes.plan,
      wgsl: fresh.hashes.wgsl,
      fingerprint: fresh.environment.fingerprint,
      seed: fresh.seed,
      tuning: fresh.tuning?.digest,
    });
    if (result.finishedAt !== null) return result;
    const keepsWarm = this.#keepWarm !== undefined;
    return takeUp(result, { fresh, gpu: this.#gpu, keepsWarm, name: store.path });
  }

  /** Reduces the plan to the requested shard; the result describes the whole plan. */
  async #applyShard(environment: Result["environment"]): Promise<Result> {
    const { shard } = this.#options;
    if (!shard) return await this.#emptyResult(environment);
    const whole = {
      plan: await hashJson(planIdentity(this.#plan)),
      cases: plannedCases(this.#plan).map(({ id }) => id),
    };
    this.#plan = shardPlan(this.#plan, shard);
    return { ...await this.#emptyResult(environment), shard: { ...shard, ...whole } };
  }

  #emptyResult(environment: Result["environment"]): Promise<Result> {
    const { host, stackChoice } = this.#parts;
    return emptyResult(this.#plan, {
      host,
      environment,
      gpu: this.#gpu,
      registry: this.#registry,
      seed: this.#options.seed,
      command: this.#options.command,
      stackChoice,
      peers: this.#peers,
      tuning: this.#tuning,
    });
  }
}
