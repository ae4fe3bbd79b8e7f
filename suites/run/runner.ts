/**
 * A whole run: open the device, plan, calibrate, check, measure, and keep the result file up to date
 * on the way. This is the entry for programs; the command line is a thin layer above it.
 *
 * @module
 */
import { DeviceError, type Gpu } from "../../kernels/gpu/device.ts";
import { DeviceLostError, Timer } from "../../kernels/gpu/timing.ts";
import { hasName } from "../device/adapter_name.ts";
import { Budget } from "../plan/budget.ts";
import { compileAhead } from "./compile_ahead.ts";
import { calibrate, type Calibration } from "../device/calibrate.ts";
import { caseRecord } from "../plan/case_record.ts";
import { withDeterminism } from "../check/check.ts";
import { checkOutputs, digestOutputs, failureOf } from "../check/check.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { ClockWatch } from "../device/clock.ts";
import { openStack } from "../device/open_stack.ts";
import { describeEnvironment, describeTool, hashKernels } from "../device/environment.ts";
import { hashJson } from "../result/digest.ts";
import { errorLine, EXIT, UsageError } from "../errors.ts";
import {
  measureContextParallel,
  type PlannedCut,
  planRunCuts,
} from "../context_parallel/context_parallel.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { findImplementation, type Measurable } from "../plan/measurable.ts";
import { type KeepWarm, startKeepWarm } from "../device/keep_warm.ts";
import { measureGroup } from "../latency/latency.ts";
import { createInputs } from "../measure/start_case.ts";
import { outcomeOf, rethrowFatal, type Session } from "../measure/session.ts";
import { type OpenPeers, openPeers } from "../peers/peers.ts";
import {
  memoryLimit,
  planIdentity,
  type PlannedCase,
  type PlannedGroup,
  type PlanOptions,
  planRun,
  type RunPlan,
} from "../plan/plan.ts";
import {
  type CaseRecord,
  type RatioRecord,
  type Result,
  SCHEMA_VERSION,
  type StackChoiceRecord,
  type TuningRecord,
} from "../result/result_schema.ts";
import { loadCheckpoint } from "../retrieval/checkpoint.ts";
import {
  checkRetrievalOptions,
  measureRetrieval,
  type NeedleOptions,
  type PlannedRetrieval,
  planRunRetrieval,
  retrievalIdentity,
  shardRetrieval,
} from "../retrieval/measure_retrieval.ts";
import type { NeedleModel } from "../retrieval/needle_model.ts";
import { notesOnPortableKernels } from "../plan/portable_notes.ts";
import { implementationRecords } from "../result/implementation_record.ts";
import { RESULT_FILE, ResultStore } from "../result/result_store.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { digestSeededSelection } from "../check/seeded_selection.ts";
import { rejudgeLive, rejudgeResult } from "./rejudge.ts";
import { joinCalibrations, lostNote, STOPPED_NOTE, takeUp } from "./resume.ts";
import { plannedCases, runSchedule } from "./schedule.ts";
import { caseIds, type Shard, shardCuts, shardPlan } from "../plan/shard.ts";
import { scaleStatistic } from "../statistics/statistics.ts";
import { measureThroughput } from "../throughput/throughput.ts";
import { applyTuning } from "../device/tuning_file.ts";
import { type FolderClaim, refuseOverwrite } from "../result/write_output.ts";

/** Options of {@linkcode runSuite}. Whatever is left out comes from the profile. */
export interface SuiteOptions extends Omit<PlanOptions, "profile" | "peerNames">, NeedleOptions {
  /** Default: `smoke` on a software adapter, else `standard`. */
  profile?: string;
  /**
   * The WebGPU implementation. `auto` is Dawn on a real GPU where it works, else Deno's own; a resumed
   * run goes on with the one that it began on. Default `auto`.
   */
  stack?: "auto" | Result["stack"];
  /** Seed of the inputs and of every bootstrap; at most {@linkcode MAX_SEED}. Default 1010. */
  seed?: number;
  /** Folder for `result.json`. Default: nothing is written. */
  out?: string;
  /** Continue the partial result in `out`. */
  resume?: boolean;
  /** Replace a result that is in `out` already. Default false: it is refused. */
  force?: boolean;
  /** The command line that the result names. */
  command?: readonly string[];
  /** An open device, for example one for tests; it stays open. */
  gpu?: Gpu;
  /** Default: all implementations. */
  registry?: readonly Measurable[];
  /** Runs only this part of the plan. */
  shard?: Shard;
  /** Other people's implementations to measure beside ours: `torch-fa2`, `python:FILE`, … */
  peers?: readonly string[];
  /**
   * Keeps the device's clock up while the run goes on, without changing a setting: true, by whatever
   * means there are; false, by none. Default: on NVIDIA's devices.
   */
  keepWarm?: boolean;
  /**
   * Measured tilings of dense attention that plans prefer: `auto` takes the cached ones of this
   * device, if `tune` was run on it; `none`; the name of a file that `tune` wrote; or what an earlier
   * result recorded. Default `none`.
   */
  tuning?: string | TuningRecord;
}

/** What a run says while it goes on. */
export interface ProgressEvent {
  /** `step`: something began. `case`: a case is finished. `note`: something to know. */
  readonly kind: "step" | "case" | "note";
  /** What is under way, or what was found. */
  readonly text: string;
  /** Cases finished. */
  readonly done: number;
  /** Cases planned. */
  readonly total: number;
  /** Estimate of the seconds still to go; null before anything is known. */
  readonly remainingSeconds: number | null;
  /** The finished case. */
  readonly case?: CaseRecord;
}

/** Hooks of {@linkcode runSuite}. */
export interface SuiteHooks {
  /** Called as the run goes on. */
  onProgress?: (event: ProgressEvent) => void;
  /** Stops the run; what is finished is kept and returned. */
  signal?: AbortSignal;
}

/** Q, K, V and dO take the seed and the three after it. */
export const MAX_SEED = 2 ** 32 - 4;

/** Default seed of the inputs. */
export const DEFAULT_SEED = 1010;

/**
 * Runs the suites.
 *
 * A lost device and an aborted signal do not throw: finished cases are kept, the rest is recorded
 * as failed (lost device) or left out (`finishedAt` stays null).
 *
 * @throws {UsageError} when the options cannot be used, or a tuning file that was named; nothing was
 * measured then.
 * @throws {OutputError} when the output folder cannot be written, or has a result that is neither
 * resumed nor replaced by force; nothing was measured then.
 * @throws {NotComparableError} when `resume` finds a result of another plan or machine.
 * @throws {DeviceError} without an adapter, or without a feature that was asked for.
 */
export function runSuite(options: SuiteOptions = {}, hooks: SuiteHooks = {}): Promise<Result> {
  return runCalibrated(options, { hooks });
}

/**
 * {@linkcode runSuite} on a device that may be calibrated already, whose canary stays, and into a
 * folder that the caller may have claimed already.
 */
export async function runCalibrated(
  options: SuiteOptions,
  { hooks = {}, calibration, claimed }: {
    hooks?: SuiteHooks;
    calibration?: Calibration;
    claimed?: FolderClaim;
  } = {},
): Promise<Result> {
  const seed = options.seed ?? DEFAULT_SEED;
  if (!Number.isInteger(seed) || seed < 0 || seed > MAX_SEED) {
    throw new UsageError(`seed ${seed} is not a whole number from 0 to ${MAX_SEED}`);
  }
  if (options.resume && !options.out) throw new UsageError("resume needs an output folder");
  const { out, resume, force = false } = options;
  const check = async () => {
    if (out !== undefined && !resume) await refuseOverwrite([`${out}/${RESULT_FILE}`], force);
  };
  await check();
  checkRetrievalOptions({ ...options, seed });
  const model = options.checkpoint === undefined
    ? undefined
    : await loadCheckpoint(options.checkpoint);
  const store = out === undefined ? undefined : await ResultStore.open(out, { claimed, check });
  let gpu = options.gpu;
  using _workers = holdWorkers();
  try {
    provideRuntimeDir();
    const opened = gpu ? undefined : await openStack({
      stack: (options.stack ?? "auto") === "auto" && resume
        ? await store!.recordedStack()
        : options.stack,
      require: options.dtype === "f16" ? ["shader-f16"] : [],
      say: (text) => hooks.onProgress?.({ kind: "step", text, ...NOTHING_DONE }),
    });
    if (opened?.line) hooks.onProgress?.({ kind: "note", text: opened.line, ...NOTHING_DONE });
    gpu ??= opened!.gpu;
    if (options.dtype === "f16" && !gpu.capabilities.f16) {
      throw new DeviceError("feature", "dtype f16: the device does not grant shader-f16");
    }
    return await new Run({ ...options, seed }, {
      hooks,
      gpu,
      stackChoice: opened?.choice,
      store,
      model,
      calibration,
    }).execute();
  } finally {
    if (!options.gpu) gpu?.destroy();
    await store?.close();
  }
}

/** The exit code that a result stands for. */
export function exitCodeOf(result: Result): number {
  const has = (status: CaseRecord["status"]) =>
    result.cases.some((record) => record.status === status);
  if (has("failed")) return EXIT.failed;
  const timed = result.cases.filter((record) => record.suite !== "correctness");
  const relevant = timed.length > 0 ? timed : result.cases;
  const found = relevant.some((record) => record.status === "ok") ||
    (result.retrieval?.cells.length ?? 0) > 0;
  // Of more shards than pieces some have nothing to do: the plan is measured all the same.
  const idle = result.shard !== undefined && result.cases.length === 0 &&
    result.finishedAt !== null;
  if (!found) return idle ? EXIT.fine : EXIT.nothingMeasured;
  return result.finishedAt === null || has("inconclusive") ? EXIT.inconclusive : EXIT.fine;
}

/** Of a run that has not planned anything yet. */
const NOTHING_DONE = { done: 0, total: 0, remainingSeconds: null } as const;

class Run {
  readonly #options: SuiteOptions & { seed: number };
  readonly #hooks: SuiteHooks;
  readonly #calibration?: Calibration;
  #gpu: Gpu;
  readonly #stackChoice?: StackChoiceRecord;
  #tuning?: TuningRecord;
  readonly #store?: ResultStore;
  #registry: readonly Measurable[];
  #peers?: OpenPeers;
  #keepWarm?: KeepWarm;
  readonly #live: Session["live"] = new Set();
  #result!: Result;
  #plan!: RunPlan;
  #budget?: Budget;
  /** Cases that this run measured again or for the first time, by id. */
  #total = 0;
  #cuts: readonly PlannedCut[] = [];
  #retrieval?: PlannedRetrieval;
  readonly #model?: NeedleModel;
  #pending: readonly PlannedGroup[] = [];

  constructor(
    options: SuiteOptions & { seed: number },
    parts: {
      hooks: SuiteHooks;
      gpu: Gpu;
      stackChoice?: StackChoiceRecord;
      store?: ResultStore;
      model?: NeedleModel;
      calibration?: Calibration;
    },
  ) {
    this.#options = options;
    this.#hooks = parts.hooks;
    this.#calibration = parts.calibration;
    this.#gpu = parts.gpu;
    this.#stackChoice = parts.stackChoice;
    this.#store = parts.store;
    this.#model = parts.model;
    this.#registry = options.registry ?? IMPLEMENTATIONS;
  }

  async execute(): Promise<Result> {
    const { peers, keepWarm } = this.#options;
    try {
      this.#keepWarm = await startKeepWarm(this.#gpu.adapter, { asked: keepWarm });
      for (const text of this.#keepWarm?.lines ?? []) {
        this.#hooks.onProgress?.({ kind: "note", text, ...NOTHING_DONE });
      }
      if (peers?.length) {
        const { signal } = this.#hooks;
        this.#peers = await openPeers(peers, { gpu: this.#gpu, signal });
        this.#registry = [...this.#registry, ...this.#peers.implementations];
      }
      return await this.#run();
    } finally {
      await this.#peers?.close();
      await this.#keepWarm?.stop();
    }
  }

  async #run(): Promise<Result> {
    const environment = await describeEnvironment(this.#gpu);
    const { tuning } = this.#options;
    const tuned = await applyTuning(this.#gpu, { tuning, driver: environment.driver });
    const { gpu } = tuned;
    this.#gpu = gpu;
    this.#tuning = tuned.record;
    const profile = this.#options.profile ?? (gpu.adapter.software ? "smoke" : "standard");
    const peerNames = this.#peers?.implementations.map(({ name }) => name);
    const { capabilities, adapter } = gpu;
    const device = {
      capabilities,
      adapter,
      deviceMemoryBytes: environment.deviceMemoryBytes,
      systemMemoryBytes: environment.memoryBytes,
    };
    this.#plan = planRun({ ...this.#options, profile, peerNames }, device, this.#registry);
    this.#retrieval = planRunRetrieval(this.#plan, this.#options);
    this.#cuts = planRunCuts(this.#plan, this.#options, device);
    const fresh = await this.#applyShard(environment);
    this.#result = this.#options.resume ? await this.#takeUp(fresh) : fresh;
    const planned = plannedCases(this.#plan);
    this.#total = planned.length + this.#cuts.length + (this.#retrieval?.parts.length ?? 0);
    const lines = [...tuned.lines, ...notesOnPortableKernels(gpu, planned)];
    if (this.#result.finishedAt !== null) {
      this.#say({ kind: "note", text: "the run is at its end: there is nothing to go on with" });
      return this.#result;
    }
    for (const line of lines) this.#note(line);
    await this.#save();
    const timer = new Timer(gpu);
    let calibration: Calibration | undefined;
    try {
      // Needles alone need no ceilings.
      if (planned.length + this.#cuts.length > 0) {
        const compiled = compileAhead(this.#gpu, this.#registry, planned);
        this.#step("calibrating the device");
        calibration = this.#calibration ?? await calibrate(gpu, timer, {
          deviceMemoryBytes: environment.deviceMemoryBytes,
          seed: this.#options.seed,
          earlier: this.#result.calibration ?? undefined,
          signal: this.#hooks.signal,
        });
        const { calibration: earlier } = this.#result;
        this.#result.calibration = earlier
          ? joinCalibrations(earlier, calibration.record)
          : calibration.record;
        if (earlier && !earlier.canaryTrips) {
          this.#note("resumed: the clock's canary was measured anew");
        }
        this.#step("compiling the kernels");
        await compiled;
        await this.#measure(calibration);
      }
      await this.#plantNeedles();
      this.#result.finishedAt = new Date().toISOString();
      await this.#save();
    } catch (error) {
      await this.#cutShort(error);
    } finally {
      if (!this.#calibration) calibration?.canary.destroy();
      timer.destroy();
    }
    return this.#result;
  }

  async #measure(calibration: Calibration): Promise<void> {
    const { profile, checks, groups, throughput } = this.#plan;
    this.#budget = new Budget({
      calibration: calibration.record,
      samples: profile.samples,
      seconds: profile.budgetSeconds,
    });
    const session: Session = {
      gpu: this.#gpu,
      registry: this.#registry,
      calibration,
      clock: new ClockWatch(calibration.canary, {
        judged: !this.#gpu.adapter.software,
        onRebase: (factor) => this.#rejudge(factor),
      }),
      live: this.#live,
      budget: this.#budget,
      seed: this.#options.seed,
      memoryBytes: memoryLimit(this.#result.environment.deviceMemoryBytes),
      signal: this.#hooks.signal,
      record: (record) => this.#record(record),
      recordRatio: (ratio) => this.#recordRatio(ratio),
      finished: (id) => this.#result.cases.find((record) => record.id === id),
      note: (line) => this.#note(line),
      step: (text) => this.#step(text),
    };
    await runSchedule(session, {
      plan: { checks, groups, throughput },
      cuts: this.#cuts.map(({ entry }) => entry),
      check: (entry) => this.#check(session, entry),
      measureGroup: (group, options) => measureGroup(session, group, options),
      measureThroughput: (entry, options) => measureThroughput(session, entry, options),
      measureCuts: (again) => measureContextParallel(session, this.#cuts, { again }),
      ratios: () => this.#result.ratios,
      pending: (groups) => this.#pending = groups,
    });
  }

  async #plantNeedles(): Promise<void> {
    const planned = this.#retrieval;
    if (!planned) return;
    const { shard, seed } = this.#options;
    await measureRetrieval(
      {
        gpu: this.#gpu,
        seed,
        signal: this.#hooks.signal,
        record: (record) => this.#record(record),
        finished: (id) => this.#result.cases.find((record) => record.id === id),
        note: (line) => this.#note(line),
        step: (text) => this.#step(text),
      },
      planned,
      {
        result: this.#result,
        // Of several shards the first one asks the model.
        model: (shard?.index ?? 1) === 1 ? this.#model : undefined,
        needles: this.#options,
      },
    );
  }

  /** One correctness case: all rows of a head at a small size, and two executions alike. */
  async #check(session: Session, entry: PlannedCase): Promise<void> {
    if (entry.skip || session.finished(entry.id)) return;
    const { gpu, signal } = session;
    const implementation = findImplementation(this.#registry, entry.implementation);
    session.step(`${entry.id}: checking against float64`);
    try {
      const inputs = await createInputs(session, [entry]);
      try {
        const { seed } = session;
        const prepared = await implementation.prepare(gpu, entry.problem, {
          inputs,
          seed,
          signal,
        });
        try {
          await prepared.execute({ signal });
          const first = await digestOutputs(gpu, prepared);
          await prepared.execute({ signal });
          const { problem } = entry;
          const found = await checkOutputs(gpu, prepared, {
            problem,
            implementation,
            inputs,
            seed,
            extent: "whole",
            signal,
          });
          const check = withDeterminism(found.check, {
            first,
            last: found.digest,
            required: prepared.peer === undefined,
          });
          const reason = failureOf(check);
          await session.record({
            ...caseRecord(entry, { status: reason === undefined ? "ok" : "failed", reason }),
            check,
            digest: {
              ...found.digest,
              ...(implementation.scorer && {
                seededSelection: await digestSeededSelection(gpu, entry.problem, {
                  seed: session.seed,
                }),
              }),
            },
            ...(found.zeroRows !== undefined && { zeroRows: found.zeroRows }),
          });
        } finally {
          await prepared.destroy();
        }
      } finally {
        inputs.destroy();
      }
    } catch (error) {
      rethrowFatal(session, error);
      await session.record(caseRecord(entry, outcomeOf(error)));
    }
  }

  /** Keeps what there is after a stop, a lost device or a fault. */
  async #cutShort(error: unknown): Promise<void> {
    const lost = this.#gpu.lost();
    if (lost !== undefined || error instanceof DeviceLostError) {
      const reason = lost ?? errorLine(error);
      const done = new Set(this.#result.cases.map((record) => record.id));
      const needles = this.#retrieval?.parts.map(({ entry }) => entry) ?? [];
      const all = [...plannedCases(this.#plan), ...needles];
      for (const entry of all.filter(({ id }) => !done.has(id))) {
        this.#result.cases.push(caseRecord(entry, { status: "failed", reason }));
      }
      this.#note(lostNote(reason));
      await this.#save();
      return;
    }
    if (this.#hooks.signal?.aborted) {
      this.#note(STOPPED_NOTE);
      await this.#save();
      return;
    }
    throw error;
  }

  /** The partial result in the folder, if this run can go on with it. */
  async #takeUp(fresh: Result): Promise<Result> {
    const store = this.#store!;
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
    this.#hooks.onProgress?.({
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
    await this.#store?.save(this.#result);
  }

  /** Cuts the plan down to the shard asked for; its result says what the whole plan is. */
  async #applyShard(environment: Result["environment"]): Promise<Result> {
    const { shard } = this.#options;
    if (!shard) return await this.#emptyResult(environment);
    const needles = this.#retrieval?.parts.map(({ entry }) => entry.id) ?? [];
    const whole = {
      plan: await hashJson(this.#identity()),
      cases: [...caseIds(this.#plan), ...this.#cuts.map(({ entry }) => entry.id), ...needles],
    };
    this.#plan = shardPlan(this.#plan, shard);
    this.#cuts = shardCuts(this.#cuts, shard);
    this.#retrieval = this.#retrieval && shardRetrieval(this.#retrieval, shard);
    return { ...await this.#emptyResult(environment), shard: { ...shard, ...whole } };
  }

  #identity(): unknown {
    const needles = this.#retrieval;
    const run = planIdentity(this.#plan);
    if (!needles && this.#cuts.length === 0) return run;
    const cuts = this.#cuts.map(({ entry }) => entry.id);
    const parts = needles?.parts.map(({ entry }) => entry.id);
    return { run, needles: needles && retrievalIdentity(needles), parts, cuts };
  }

  async #emptyResult(environment: Result["environment"]): Promise<Result> {
    const { profile, dtype, notes } = this.#plan;
    const { stack } = this.#gpu;
    if (stack === "browser") throw new UsageError("run suites: stack browser is not deno or dawn");
    const configuration = {
      ...profile,
      dtype,
      seed: this.#options.seed,
      stack,
      ...(this.#retrieval && { retrieval: this.#retrieval.profile }),
      ...(this.#tuning && { tuning: this.#tuning.digest }),
    };
    return {
      schemaVersion: SCHEMA_VERSION,
      tool: await describeTool(),
      startedAt: new Date().toISOString(),
      finishedAt: null,
      command: [...this.#options.command ?? ["deno", "task", "bench"]],
      profile: profile.name,
      stack,
      ...(this.#stackChoice && { stackChoice: this.#stackChoice }),
      seed: this.#options.seed,
      configuration,
      hashes: {
        wgsl: await hashKernels() ?? "unknown",
        configuration: await hashJson(configuration),
        plan: await hashJson(this.#identity()),
      },
      environment,
      calibration: null,
      implementations: implementationRecords(
        this.#registry.filter((one) =>
          profile.implementations.includes(one.name) || one.role === "second-opinion"
        ),
      ),
      cases: [],
      ratios: [],
      ...(this.#peers && { peers: [...this.#peers.records] }),
      ...(this.#tuning && { tuning: this.#tuning }),
      notes: [...notes, ...this.#peers?.notes ?? [], ...this.#strangers()],
    };
  }

  /** Peers that compute on a device of another name than the run's adapter has. */
  #strangers(): string[] {
    const { description } = this.#gpu.adapter;
    return (this.#peers?.records ?? []).flatMap(({ implementation, device }) =>
      device === null || hasName(this.#gpu.adapter, device) ? [] : [
        `${implementation} computes on ${device}, this run on ${description || "no named device"}`,
      ]
    );
  }
}
