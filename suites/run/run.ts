/**
 * One run on an open device: plan, calibrate, measure suite by suite, and keep the result up to date.
 * What it takes from the machine comes from its host, so that a page can run it too.
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
import type { PlannedGroup } from "../plan/planned_case.ts";
import { notesOnPortableKernels } from "../plan/portable_notes.ts";
import type { OpenPeers } from "../peers/peers.ts";
import { hashJson } from "../result/digest.ts";
import type {
  CaseRecord,
  RatioRecord,
  Result,
  StackChoiceRecord,
  TuningRecord,
} from "../result/result_schema.ts";
import { scaleStatistic } from "../statistics/statistics.ts";
import { isApart, type Suite, type SuiteRun } from "../suite.ts";
import { compileAhead } from "./compile_ahead.ts";
import type { Host, Store } from "./host.ts";
import { emptyResult } from "./new_result.ts";
import {
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
import type { ProgressEvent, SuiteHooks } from "./progress.ts";
import { rejudgeLive, rejudgeResult } from "./rejudge.ts";
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
  /** Those that the run may have, in order. */
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
  readonly #live: Session["live"] = new Set();
  #result!: Result;
  #plan!: RunPlan;
  #budget?: Budget;
  #total = 0;
  #pending: readonly PlannedGroup[] = [];

  constructor(options: SuiteOptions & { seed: number }, parts: RunParts) {
    this.#options = options;
    this.#parts = parts;
    this.#gpu = parts.gpu;
    this.#registry = parts.registry;
  }

  /** Runs it; finished cases are kept whatever happens. */
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
    this.#result = this.#options.resume ? await this.#takeUp(fresh) : fresh;
    this.#total = plannedCases(this.#plan).length;
    if (this.#result.finishedAt !== null) {
      this.#say({ kind: "note", text: "the run is at its end: there is nothing to go on with" });
      return this.#result;
    }
    const layers = plannedLayers(this.#plan);
    for (const line of [...tuned.lines, ...notesOnPortableKernels(gpu, layers)]) this.#note(line);
    await this.#save();
    const timer = new Timer(gpu);
    let calibration: Calibration | undefined;
    const { budgeted, apart } = partSuites(this.#plan);
    try {
      // Suites that keep their own time need no ceilings.
      if (plannedCases({ suites: budgeted }).length > 0) {
        const compiled = compileAhead(gpu, this.#registry, layers);
        calibration = await this.#calibrate(timer);
        this.#step("compiling the kernels");
        await compiled;
        await this.#measure(budgeted, calibration);
      }
      for (const planned of apart) await this.#measureApart(planned);
      this.#result.finishedAt = new Date().toISOString();
      await this.#save();
    } catch (error) {
      await this.#cutShort(error);
    } finally {
      if (!this.#parts.calibration) calibration?.canary.destroy();
      timer.destroy();
    }
    return this.#result;
  }

  #planWhole({ deviceMemoryBytes, memoryBytes }: Result["environment"]): RunPlan {
    const { capabilities, adapter } = this.#gpu;
    const profile = this.#options.profile ?? (adapter.software ? "smoke" : "standard");
    const peerNames = this.#peers?.implementations.map(({ name }) => name);
    const options = { ...this.#options, profile, peerNames };
    const device = { capabilities, adapter, deviceMemoryBytes, systemMemoryBytes: memoryBytes };
    const { suites } = this.#parts;
    const plan = planRun(options, device, { registry: this.#registry, suites });
    refuseUnusedSettings(plan, options);
    return plan;
  }

  async #calibrate(timer: Timer): Promise<Calibration> {
    this.#step("calibrating the device");
    const { calibration: earlier, environment } = this.#result;
    const calibration = this.#parts.calibration ?? await calibrate(this.#gpu, timer, {
      deviceMemoryBytes: environment.deviceMemoryBytes,
      seed: this.#options.seed,
      earlier: earlier ?? undefined,
      signal: this.#parts.hooks.signal,
    });
    this.#result.calibration = earlier
      ? joinCalibrations(earlier, calibration.record)
      : calibration.record;
    if (earlier && !earlier.canaryTrips) {
      this.#note("resumed: the clock's canary was measured anew");
    }
    return calibration;
  }

  /** What every suite gets. */
  get #session(): RunSession {
    return {
      gpu: this.#gpu,
      seed: this.#options.seed,
      signal: this.#parts.hooks.signal,
      record: (record) => this.#record(record),
      finished: (id) => this.#result.cases.find((record) => record.id === id),
      note: (line) => this.#note(line),
      step: (text) => this.#step(text),
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
        return (this.#result[key] ??= make()) as T;
      },
    };
  }

  async #measure(suites: readonly PlannedSuite[], calibration: Calibration): Promise<void> {
    const { profile } = this.#plan;
    this.#budget = new Budget({
      calibration: calibration.record,
      samples: profile.samples,
      seconds: profile.budgetSeconds,
    });
    const session: Session = {
      ...this.#session,
      registry: this.#registry,
      calibration,
      clock: new ClockWatch(calibration.canary, {
        judged: !this.#gpu.adapter.software,
        onRebase: (factor) => this.#rejudge(factor),
      }),
      live: this.#live,
      budget: this.#budget,
      memoryBytes: memoryLimit(this.#result.environment.deviceMemoryBytes),
      recordRatio: (ratio) => this.#recordRatio(ratio),
    };
    const measurers = suites.flatMap((planned) => {
      const { suite, plan: { groups } } = planned;
      if (isApart(suite)) return [];
      const measurer = suite.begin(session, this.#suiteRun(planned));
      return [{ groups, measurer }];
    });
    await runSchedule(session, {
      suites: measurers.map(({ groups, measurer }) => ({
        groups,
        measure: (group, options) => measurer.measure(group, options),
      })),
      ratios: () => this.#result.ratios,
      pending: (groups) => this.#pending = groups,
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

  /** Keeps what there is after a stop, a lost device or a fault. */
  async #cutShort(error: unknown): Promise<void> {
    const lost = this.#gpu.lost();
    if (lost !== undefined || error instanceof DeviceLostError) {
      const reason = lost ?? errorLine(error);
      const done = new Set(this.#result.cases.map((record) => record.id));
      for (const entry of plannedCases(this.#plan).filter(({ id }) => !done.has(id))) {
        this.#result.cases.push(caseRecord(entry, { status: "failed", reason }));
      }
      this.#note(lostNote(reason));
      await this.#save();
      return;
    }
    if (this.#parts.hooks.signal?.aborted) {
      this.#note(STOPPED_NOTE);
      await this.#save();
      return;
    }
    throw error;
  }

  /** The partial result in the folder, if this run can go on with it. */
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

  async #record(record: CaseRecord): Promise<void> {
    const { cases } = this.#result;
    const at = cases.findIndex((other) => other.id === record.id);
    if (at < 0) cases.push(record);
    else cases[at] = record;
    await this.#save();
    this.#say({ kind: "case", text: record.id, case: record });
  }

  async #recordRatio(ratio: RatioRecord): Promise<void> {
    const { ratios } = this.#result;
    const same = (other: RatioRecord) =>
      other.numerator === ratio.numerator && other.denominator === ratio.denominator;
    const at = ratios.findIndex(same);
    if (at < 0) ratios.push(ratio);
    else ratios[at] = ratio;
    await this.#save();
  }

  /** The calibration saw a slow clock: what was measured since is judged by the right one. */
  #rejudge(factor: number): void {
    const result = this.#result;
    this.#budget?.rebase(factor);
    rejudgeLive(this.#live, factor);
    this.#note(
      `the clock was down during calibration: the canary's time is ${
        factor.toPrecision(3)
      } times ` +
        "shorter than that, and earlier samples were judged again",
    );
    const { canary } = result.calibration ?? {};
    if (canary) result.calibration!.canary = scaleStatistic(canary, 1 / factor);
    Object.assign(result, rejudgeResult(result, { factor, seed: this.#options.seed }));
  }

  #note(line: string): void {
    if (!this.#result.notes.includes(line)) this.#result.notes.push(line);
    this.#say({ kind: "note", text: line });
  }

  #step(text: string): void {
    this.#say({ kind: "step", text });
  }

  #say(event: Pick<ProgressEvent, "kind" | "text" | "case">): void {
    this.#parts.hooks.onProgress?.({
      ...event,
      done: this.#result.cases.length,
      total: this.#total,
      remainingSeconds: this.#remainingSeconds(),
    });
  }

  /** What the groups still to come would take with all their samples, within the budget. */
  #remainingSeconds(): number | null {
    const budget = this.#budget;
    if (!budget) return null;
    let seconds = 0;
    for (const group of this.#pending) seconds += budget.groupSeconds(group, budget.rounds.most);
    return Math.max(0, Math.min(seconds, budget.left));
  }

  async #save(): Promise<void> {
    const warm = this.#keepWarm?.record();
    if (warm) this.#result.keepWarm = warm;
    await this.#parts.store?.save(this.#result);
  }

  /** Cuts the plan down to the shard asked for; its result says what the whole plan is. */
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
