/**
 * Latency: how long one execution of a layer takes, and how much faster one implementation is than
 * another, from interleaved A/B/B/A rounds. METHOD.md explains why.
 *
 * @module
 */
import { compileSeconds } from "../../kernels/gpu/pipeline.ts";
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import { createTensor, MemoryError, type Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { requireFinite } from "../../kernels/gpu/inspect.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { Timing } from "../../kernels/gpu/timing.ts";
import type { LayerInputs, OptionDescriptor } from "../../kernels/implementation.ts";
import type { Budget } from "../plan/budget.ts";
import type { Calibration } from "../device/calibrate.ts";
import { caseRecord, failedRecord, stageRecords, withSamples } from "../plan/case_record.ts";
import {
  type CheckOutcome,
  checkOutputs,
  digestOutputs,
  failureOf,
  type OutputDigest,
  withDeterminism,
} from "../check/check.ts";
import { type ClockWatch, inconclusiveReason } from "../device/clock.ts";
import { errorLine } from "../errors.ts";
import { findImplementation, type Measurable } from "../plan/measurable.ts";
import { isOurs, type Layer, UnavailableError } from "../plan/measurable.ts";
import type { PlannedCase, PlannedGroup } from "../plan/plan.ts";
import type {
  CaseRecord,
  RatioRecord,
  Sample,
  SelectionQualityRecord,
} from "../result/result_schema.ts";
import { probeSelection } from "./selection_quality_probe.ts";
import { bootstrapRatio, type PairedRound } from "../statistics/statistics.ts";

/**
 * What a session has the device do beside the executions of a layer. Tests put a model of a device in
 * its place.
 */
export interface DeviceAccess {
  readonly createInputs: typeof createInputs;
  readonly checkOutputs: typeof checkOutputs;
  readonly digestOutputs: typeof digestOutputs;
  readonly probeSelection: typeof probeSelection;
}

/** What measuring needs, and where its findings go. */
export interface Session {
  readonly gpu: Gpu;
  /** Default: the device's own. */
  readonly access?: DeviceAccess;
  readonly registry: readonly Measurable[];
  readonly calibration: Calibration;
  readonly clock: ClockWatch;
  /** Cases whose samples are being taken, in case the clock has to be judged anew. */
  readonly live: Set<Pick<Started, "samples" | "first">>;
  readonly budget: Budget;
  readonly seed: number;
  /** Device memory that cases may hold together; null where it is not known. */
  readonly memoryBytes: number | null;
  readonly signal?: AbortSignal;
  /** Takes a finished case; a later record of the same id replaces the earlier one. */
  readonly record: (record: CaseRecord) => Promise<void>;
  readonly recordRatio: (ratio: RatioRecord) => Promise<void>;
  /** The record of a case that an earlier, interrupted run finished. */
  readonly finished: (id: string) => CaseRecord | undefined;
  readonly note: (line: string) => void;
  /** Says what is under way, for a progress display. */
  readonly step: (text: string) => void;
}

/** How a session reaches its device. */
export function accessOf({ access }: Session): DeviceAccess {
  return access ?? { createInputs, checkOutputs, digestOutputs, probeSelection };
}

/** Rounds that are taken again for a clock that was down, beyond as many as were asked for. */
const MORE_ROUNDS = 4;

/**
 * Longest dispatch: just below the longest submission. Shorter ones leave a large device idle at
 * their ends: at 512K tokens one workgroup of dense attention takes tens of milliseconds.
 */
export const DISPATCH_SECONDS = 0.24;

/** An execution this long has warmed itself up: it counts as a sample. */
const OWN_WARM_UP_SECONDS = 5;

/** From this length on, passes of their own for each stage add nothing that could be measured. */
const STAGED_SECONDS = 0.25;

/** What the cases of a group may hold together where the device's memory is not known. */
const UNKNOWN_MEMORY_BYTES = 4 * 2 ** 30;

/** A case with its buffers, that ran once. */
export interface Started {
  readonly entry: PlannedCase;
  readonly prepared: Layer;
  readonly samples: Sample[];
  readonly stageSamples: number[][];
  /** Its record so far, where it is measured again; `samples` hold those of it too. */
  readonly earlier?: CaseRecord;
  /** Most bytes of buffers that lived at once for this case, its inputs included. */
  readonly measuredPeakBytes: number;
  /** What it took to prepare and run it, less the execution. */
  readonly setupSeconds: number;
  /** Workgroups of the first execution that started over, on matrix units. */
  readonly restarts?: number;
  /** The first execution, where it was long enough to count as a sample. */
  first?: FirstRun;
}

/** A case that ran once, and what it left was right. */
export interface Running extends Started {
  readonly outcome: CheckOutcome;
  readonly selectionQuality?: SelectionQualityRecord;
  /** How a peer ended that failed while its samples were taken. */
  failure?: ReturnType<typeof outcomeOf>;
}

interface FirstRun {
  readonly timing: Timing;
  /** The worst canary around it. */
  readonly canary: number;
}

/** Creates the seeded inputs that all cases of a group share. */
export async function createInputs(
  session: Session,
  members: readonly PlannedCase[],
): Promise<LayerInputs & { destroy: () => void }> {
  const { gpu, seed } = session;
  const { heads, context: rows, headDim: dim, dtype } = members[0].problem.shape;
  const headsPerBlock = Math.min(heads, ...members.map((entry) => entry.plan!.headsPerBlock));
  const tensors: Tensor[] = [];
  const destroy = () => tensors.forEach((tensor) => tensor.destroy());
  try {
    const labels = ["queries", "keys", "values"];
    const { direction = "forward" } = members[0].problem;
    if (direction !== "forward") labels.push("output gradient");
    for (const [i, label] of labels.entries()) {
      const tensor = await createTensor(gpu, { heads, rows, dim, dtype }, { label, headsPerBlock });
      tensors.push(tensor);
      await fillSeeded(gpu, tensor, seed + i);
    }
    await requireFinite(gpu, tensors);
  } catch (error) {
    destroy();
    throw error;
  }
  const [q, k, v, outputGradient] = tensors;
  return { q, k, v, ...(outputGradient && { outputGradient }), destroy };
}

/**
 * Prepares a case and runs it once. What it left is for {@linkcode checkCases} to check. Its samples
 * join those of an `earlier` record.
 *
 * An `untimed` layer takes no timestamps, whose read-back ends every execution, so that executions can
 * be submitted before the one before has ended. The budget learns nothing from its first one.
 *
 * @returns undefined when it cannot run, or its first execution shows that the budget does not have
 * the time for it; that is recorded then.
 * @throws {MemoryError} with `crowded`, when there is no room for it beside the others.
 */
export async function startCase(
  session: Session,
  entry: PlannedCase,
  options: {
    inputs: LayerInputs;
    extent: "whole" | "sampled";
    crowded?: boolean;
    untimed?: boolean;
    earlier?: CaseRecord;
  },
): Promise<Started | undefined> {
  const { gpu, budget, clock, seed, signal } = session;
  const { earlier } = options;
  const implementation = findImplementation(session.registry, entry.implementation);
  const flopsPerSecond = budget.flopsPerSecond(entry);
  const started = budget.now();
  const compiledBefore = compileSeconds(gpu);
  let prepared: Layer | undefined;
  try {
    session.step(`${entry.id}: first run`);
    const allocations = watchAllocations(gpu.device);
    allocations.restart();
    const heldBefore = allocations.bytes;
    const device = options.untimed
      ? { ...gpu, capabilities: { ...gpu.capabilities, timestamps: false } }
      : gpu;
    prepared = await implementation.prepare(device, entry.problem, {
      inputs: options.inputs,
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
      seed,
      signal,
    });
    const layer = prepared;
    const long = budget.predict(entry) >= OWN_WARM_UP_SECONDS;
    const before = await clock.settle({ signal });
    const { result: timing, canary } = await clock.around(
      before,
      (between) => layer.execute({ flopsPerSecond, signal, stages: long, between }),
    );
    const restarts = await prepared.readRestarts?.();
    const measuredPeakBytes = prepared.peer?.peakBytes?.() ??
      allocations.peakBytes - heldBefore + bytesOf(options.inputs);
    const first = long ? { timing, canary } : undefined;
    if (options.extent === "sampled" && !options.untimed) {
      learnTime(session, entry, { timing, canary });
    }
    if (!options.untimed && !earlier && !budget.canFinish(entry)) {
      await prepared.destroy();
      const predictedSeconds = budget.predict(entry);
      const reason = `one execution takes ${predictedSeconds.toPrecision(3)} s; ` +
        `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
      const record = caseRecord(entry, { status: "skipped", reason });
      await session.record({ ...record, predictedSeconds });
      return undefined;
    }
    const running: Started = {
      entry,
      prepared,
      earlier,
      samples: [...earlier?.samples ?? []],
      stageSamples: prepared.stages.map((_, i) => [...earlier?.stages[i]?.samples ?? []]),
      measuredPeakBytes,
      // A kernel is compiled once, whatever the context: that is no cost of a case.
      setupSeconds: Math.max(
        0,
        budget.now() - started - timing.wallSeconds - (compileSeconds(gpu) - compiledBefore),
      ),
      restarts,
      first,
    };
    session.live.add(running);
    return running;
  } catch (error) {
    await prepared?.destroy();
    rethrowFatal(session, error);
    if (options.crowded && error instanceof MemoryError) throw error;
    const outcome = outcomeOf(error);
    // What was measured before stays where there is no room to measure it again.
    if (!earlier || outcome.status === "failed") await session.record(caseRecord(entry, outcome));
    return undefined;
  }
}

/**
 * Checks what the first executions of some cases left, all at once, so that their rows fill the
 * processor's cores. Nothing is timed meanwhile, and no case is timed again before its check passed.
 * The check of an earlier record stands if the execution left the same bits.
 *
 * @param started cases of the same inputs. They are destroyed unless they are returned.
 * @returns those that passed, in their order; the others are recorded.
 */
export async function checkCases(
  session: Session,
  started: readonly Started[],
  { inputs }: { inputs: LayerInputs },
): Promise<Running[]> {
  const { gpu, budget, seed, signal } = session;
  const access = accessOf(session);
  const waiting = new Set(started);
  const passed: Running[] = [];
  try {
    const known = new Map<Started, CheckOutcome>();
    for (const one of started) {
      const outcome = await knownOutcome(session, one);
      if (outcome) known.set(one, outcome);
    }
    const open = started.filter((one) => !known.has(one));
    if (open.length > 0) {
      const more = open.length > 1 ? ` and ${open.length - 1} more` : "";
      session.step(`${open[0].entry.id}${more}: checking`);
    }
    const from = budget.now();
    const outcomes = await Promise.allSettled(
      started.map((one) => known.get(one) ?? checkOne(one)),
    );
    const seconds = (budget.now() - from) / Math.max(1, open.length);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") rethrowFatal(session, outcome.reason);
    }
    for (const [i, one] of started.entries()) {
      const running = await judge(one, outcomes[i]);
      waiting.delete(one);
      session.live.delete(one);
      if (!running) {
        await one.prepared.destroy();
        continue;
      }
      if (!known.has(one)) budget.learnSetup(one.entry, one.setupSeconds + seconds);
      passed.push(running);
      session.live.add(running);
    }
    return passed;
  } catch (error) {
    for (const one of [...waiting, ...passed]) {
      session.live.delete(one);
      await one.prepared.destroy();
    }
    throw error;
  }

  function checkOne({ entry: { problem, implementation: name }, prepared }: Started) {
    const implementation = findImplementation(session.registry, name);
    const options = { problem, implementation, inputs, seed, signal };
    return access.checkOutputs(gpu, prepared, { ...options, extent: "sampled" });
  }

  async function judge(
    one: Started,
    settled: PromiseSettledResult<CheckOutcome>,
  ): Promise<Running | undefined> {
    const { entry, prepared, earlier } = one;
    try {
      if (settled.status === "rejected") throw settled.reason;
      const outcome = settled.value;
      const failure = failureOf(outcome.check);
      if (failure === undefined) {
        const selectionQuality = earlier?.selectionQuality ??
          (isOurs(prepared)
            ? await access.probeSelection(session, entry, { prepared, inputs })
            : undefined);
        return { ...one, outcome, selectionQuality };
      }
      await session.record({
        ...failedRecord(entry, { reason: failure, check: outcome.check }),
        digest: { ...outcome.digest },
      });
    } catch (error) {
      rethrowFatal(session, error);
      await session.record(caseRecord(entry, outcomeOf(error)));
    }
    return undefined;
  }
}

/** The outcome of an earlier check, where the execution left the very bits that it was made of. */
async function knownOutcome(
  session: Session,
  { prepared, earlier }: Started,
): Promise<CheckOutcome | undefined> {
  const { check, digest, zeroRows } = earlier ?? {};
  if (!check?.passed || !digest) return undefined;
  const found = await accessOf(session).digestOutputs(session.gpu, prepared);
  const names = new Set([...Object.keys(found), ...Object.keys(digest)]) as Set<keyof OutputDigest>;
  if ([...names].some((name) => found[name] !== digest[name])) return undefined;
  const parts = check.parts?.filter(({ name }) => name !== "determinism");
  return {
    check: { ...check, ...(parts && { parts }) },
    digest: found,
    ...(zeroRows !== undefined && { zeroRows }),
  };
}

/** The shortest context to try at. */
const TRY_CONTEXT = 256;

/**
 * Runs a layer that resembles nothing seen at a shorter context, to learn how fast it is: where it is
 * predicted to take more than one dispatch, at one where it takes no more, if any is so short.
 * Predictions assume little of a device, and on matrix units are twenty times too long. By them a long
 * context that is all that was asked for would seem not to fit the budget, and a shorter one would be
 * cut into dispatches: four instead of one cost dense attention at 64K 17 %.
 */
export async function tryShorter(session: Session, entry: PlannedCase): Promise<void> {
  const { gpu, budget, clock, seed, signal } = session;
  if (budget.knows(entry) || budget.predict(entry) < DISPATCH_SECONDS || budget.left <= 0) return;
  const implementation = findImplementation(session.registry, entry.implementation);
  const shorter = shorterCases(entry, {
    plan: (problem) => implementation.plan(gpu, problem),
    options: implementation.options,
  });
  const chosen = shorter.find((one) => budget.predict(one) <= DISPATCH_SECONDS) ?? shorter.at(-1);
  if (!chosen) return;
  session.step(`${entry.id}: trying how fast it is`);
  try {
    const inputs = await accessOf(session).createInputs(session, [chosen]);
    try {
      const layer = await implementation.prepare(gpu, chosen.problem, { inputs, seed, signal });
      try {
        // The first one compiles and allocates.
        await layer.execute({ signal });
        const before = await clock.settle({ signal });
        const { result: timing, canary } = await clock.around(
          before,
          () => layer.execute({ signal }),
        );
        learnTime(session, chosen, { timing, canary });
      } finally {
        await layer.destroy();
      }
    } finally {
      inputs.destroy();
    }
  } catch (error) {
    // Why it does not run is for the case itself to find out and to record.
    rethrowFatal(session, error);
  }
}

/** The same layer at half its context, a quarter and so on, as far as it can be planned. */
function shorterCases(
  entry: PlannedCase,
  { plan, options: descriptors }: {
    plan: (problem: PlannedCase["problem"]) => NonNullable<PlannedCase["plan"]>;
    options: readonly OptionDescriptor[];
  },
): PlannedCase[] {
  const { shape, options } = entry.problem;
  const found: PlannedCase[] = [];
  for (let factor = 2; shape.context / factor >= TRY_CONTEXT; factor *= 2) {
    const context = Math.floor(shape.context / factor);
    // Options that follow the context by a rule shrink with it.
    const scaled = descriptors.filter(({ rule }) => rule).map(({ name, multipleOf = 1 }) => [
      name,
      multipleOf * Math.max(1, Math.round((options?.[name] ?? 0) / factor / multipleOf)),
    ]);
    const problem = {
      ...entry.problem,
      shape: { ...shape, context },
      ...(options && { options: { ...options, ...Object.fromEntries(scaled) } }),
    };
    try {
      found.push({ ...entry, problem, plan: plan(problem) });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return found;
}

/** How a case ends that could not be prepared or run. */
export function outcomeOf(error: unknown): { status: "skipped" | "failed"; reason: string } {
  const skipped = error instanceof MemoryError || error instanceof UnavailableError;
  return { status: skipped ? "skipped" : "failed", reason: errorLine(error) };
}

/** Bytes of a layer's inputs, which its measured peak holds too. */
export function bytesOf({ q, k, v, outputGradient }: LayerInputs): number {
  return [q, k, v, outputGradient].reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);
}

/** Errors that end the run: the device is gone, or the user stopped it. */
export function rethrowFatal(session: Session, error: unknown): void {
  if (session.signal?.aborted || session.gpu.lost() !== undefined) throw error;
  if (error instanceof Error && ["DeviceLostError", "OutputError"].includes(error.name)) {
    throw error;
  }
}

/** Runs a case once between two canaries, or takes the first execution where that counts. */
async function takeSample(
  session: Session,
  running: Running,
  options: { round: number; place: number; before: number },
): Promise<number> {
  const { budget, clock, signal } = session;
  const { prepared, entry, first } = running;
  const { round, place } = options;
  if (first) {
    running.first = undefined;
    addSample(session, running, { ...first, round, place });
    return options.before;
  }
  const before = clock.isOff(options.before) ? await clock.settle({ signal }) : options.before;
  const { result: timing, canary, after } = await clock.around(
    before,
    (between) =>
      prepared.execute({
        flopsPerSecond: budget.flopsPerSecond(entry),
        // With one stage the staged run is the same run, and its stage time comes for free.
        stages: prepared.stages.length === 1 || budget.predict(entry) >= STAGED_SECONDS,
        signal,
        between,
      }),
  );
  learnTime(session, entry, { timing, canary });
  addSample(session, running, { timing, canary, round, place });
  return after;
}

/** The budget learns what an execution took; at a slow clock, what it takes at most. */
function learnTime(
  { budget, calibration, clock }: Session,
  entry: PlannedCase,
  { timing, canary }: FirstRun,
): void {
  const seconds = calibration.secondsOf(timing);
  if (clock.isOff(canary)) budget.learnAtMost(entry, seconds);
  else budget.learn(entry, { seconds, wallSeconds: timing.wallSeconds });
}

function addSample(
  session: Session,
  running: Running,
  { timing, canary, round, place }: FirstRun & { round: number; place: number },
): void {
  const { calibration, clock } = session;
  const { samples, stageSamples } = running;
  const seconds = calibration.secondsOf(timing);
  const flagged = clock.isOff(canary);
  samples.push({
    seconds,
    wallSeconds: timing.wallSeconds,
    round,
    place,
    canary,
    ...(flagged && { flag: "clock" as const }),
  });
  if (flagged) return;
  if (stageSamples.length === 1) stageSamples[0].push(seconds);
  else addStages(session, running, timing);
}

/** Keeps the stages of a timing. Without GPU timestamps stages cannot be told apart. */
function addStages(session: Session, { stageSamples }: Running, timing: Timing): void {
  if (session.calibration.record.clock === "wall") return;
  timing.stages?.forEach((seconds, stage) => stageSamples[stage].push(seconds));
}

/**
 * Times the stages of a case in passes of their own, where its samples did not. Those taken at a wrong
 * clock are dropped: stages carry no flag.
 */
async function takeStages(session: Session, running: Running, count: number): Promise<void> {
  const { prepared, entry, stageSamples } = running;
  const { budget, calibration, clock, signal } = session;
  if (calibration.record.clock === "wall") return;
  if (stageSamples.length === 1 || stageSamples[0].length > 0) return;
  const timings: Timing[] = [];
  session.step(`${entry.id}: stages apart`);
  const before = await clock.settle({ signal });
  const { canary } = await clock.around(before, async (between) => {
    for (let i = 0; i < count; i++) {
      if (i > 0) await between();
      const flopsPerSecond = budget.flopsPerSecond(entry);
      timings.push(await prepared.execute({ flopsPerSecond, stages: true, signal }));
    }
  });
  if (clock.isOff(canary)) return;
  for (const timing of timings) addStages(session, running, timing);
}

/**
 * Rounds A B C … C B A of a baseline and any number of candidates: every ratio to the baseline is
 * interleaved, and the baseline runs twice a round however many candidates there are. One case
 * alone runs A A.
 *
 * @param options `allowance`: seconds for all but the least rounds, by what is known when it is called;
 * `promised`: rounds that are taken beyond it as well, as far as the budget has them and `kept` seconds besides.
 */
async function takeRounds(
  session: Session,
  members: { a?: Running; candidates: readonly Running[] },
  options: { allowance: () => number; promised: number; kept: number },
): Promise<number[]> {
  const { a, candidates } = members;
  const { allowance, promised, kept } = options;
  const { budget } = session;
  const { least, most } = budget.rounds;
  const all = [...a ? [a] : [], ...candidates];
  const firstRound = nextRound(all.flatMap(({ samples }) => samples));
  const taken: number[] = [];
  const clean = new Map<Running, number>();
  let before = await session.clock.settle({ signal: session.signal });
  const begun = budget.now();
  let deadline = Infinity;
  let last = 0;
  let lastWasGood = true;
  // Rounds with a clock that was down are taken again while there is time.
  for (let i = 0; i < 2 * most + MORE_ROUNDS; i++) {
    const started = budget.now();
    // Rounds teach what rounds take: until the first one that may be a guess.
    deadline = Math.min(deadline, begun + allowance());
    const one = Math.max(last, roundSeconds(session, all));
    const room = (promised - i) * one <= budget.left - kept;
    const owed = i < promised && room && lastWasGood ? promised : 0;
    if (i >= Math.max(least, owed) && started + last > deadline) break;
    const affordable = i + Math.floor((deadline - started) / Math.max(one, 1e-9));
    const rounds = Math.max(least, owed, Math.min(most, affordable));
    const lacking = (running: Running) => !running.failure && (clean.get(running) ?? 0) < rounds;
    const lack = candidates.length > 0 ? candidates.filter(lacking) : [a!].filter(lacking);
    if (lack.length === 0) break;
    const round = firstRound + i;
    const order = a && candidates.length > 0 ? [a, ...lack] : lack;
    session.step(`${order[order.length - 1].entry.id}: round ${i + 1} of ${rounds}`);
    for (const [place, running] of [...order, ...order.toReversed()].entries()) {
      if (running.failure) continue;
      try {
        before = await takeSample(session, running, { round, place, before });
      } catch (error) {
        rethrowFatal(session, error);
        // Somebody else's code may fail at any time; ours must not.
        if (!running.prepared.peer) throw error;
        running.failure = outcomeOf(error);
        before = await session.clock.settle({ signal: session.signal });
      }
    }
    taken.push(round);
    const good = (running: Running | undefined) =>
      !running?.samples.some((sample) => sample.round === round && sample.flag);
    for (const running of lack) {
      if (good(a) && good(running)) clean.set(running, (clean.get(running) ?? 0) + 1);
    }
    lastWasGood = order.every(good);
    // Not the longest one: a host that stalls once has not become slow.
    last = budget.now() - started;
  }
  return taken;
}

/** Checks determinism and records the case with all that was measured so far. */
async function finishCase(session: Session, running: Running): Promise<void> {
  const { entry, prepared, outcome, samples, stageSamples } = running;
  const last = await accessOf(session).digestOutputs(session.gpu, prepared);
  const check = withDeterminism(outcome.check, {
    first: outcome.digest,
    last,
    required: prepared.peer === undefined,
  });
  const failure = failureOf(check);
  if (failure !== undefined) {
    return await session.record(failedRecord(entry, { reason: failure, check }));
  }
  const reason = inconclusiveReason(samples);
  const record: CaseRecord = {
    ...caseRecord(entry, { status: reason === undefined ? "ok" : "inconclusive", reason }),
    predictedSeconds: session.budget.predict(entry),
    measuredPeakBytes: running.measuredPeakBytes,
    ...(running.restarts !== undefined && { restarts: running.restarts }),
    stages: stageRecords(entry.plan!, stageSamples),
    check,
    digest: { ...outcome.digest },
    ...(outcome.zeroRows !== undefined && { zeroRows: outcome.zeroRows }),
    ...(running.selectionQuality && { selectionQuality: running.selectionQuality }),
  };
  await session.record(withSamples(record, { samples, seed: session.seed }));
}

/** Records a case and frees it, whatever a peer does in its last moments. */
async function finishCandidate(session: Session, running: Running): Promise<void> {
  try {
    if (running.failure) await session.record(caseRecord(running.entry, running.failure));
    else await finishCase(session, running);
  } catch (error) {
    rethrowFatal(session, error);
    if (!running.prepared.peer) throw error;
    await session.record(caseRecord(running.entry, outcomeOf(error)));
  } finally {
    session.live.delete(running);
    await running.prepared.destroy();
  }
}

async function recordRatio(
  session: Session,
  pair: { a: Running; b: Running },
): Promise<void> {
  const timed = ({ entry, samples }: Running) => ({ id: entry.id, samples });
  const ratio = pairedRatio({ a: timed(pair.a), b: timed(pair.b) }, { seed: session.seed });
  if (ratio) await session.recordRatio(ratio);
}

/**
 * The ratio of two cases over the rounds that hold both, those with the clock down left out;
 * undefined where nothing is left.
 */
export function pairedRatio(
  { a, b }: Record<"a" | "b", Pick<CaseRecord, "id" | "samples">>,
  options: { seed: number },
): RatioRecord | undefined {
  const used: PairedRound[] = [];
  for (const round of new Set(b.samples.map((sample) => sample.round))) {
    const [numerator, denominator] = [a, b].map(({ samples }) =>
      samples.filter((sample) => sample.round === round)
    );
    const clean = [...numerator, ...denominator].every(({ flag }) => flag === undefined);
    if (!clean || numerator.length === 0) continue;
    used.push({
      numerator: numerator.map(({ seconds }) => seconds),
      denominator: denominator.map(({ seconds }) => seconds),
    });
  }
  // A clock too coarse for the work gives zeros, of which no ratio can be made.
  if (used.length === 0) return undefined;
  if (used.some((round) => round.denominator.some((seconds) => !(seconds > 0)))) return undefined;
  const { estimate, low, high } = bootstrapRatio(used, options);
  return {
    numerator: a.id,
    denominator: b.id,
    method: "abba",
    rounds: used.length,
    ratio: estimate,
    low,
    high,
  };
}

/** Our layer that computes what a peer's with options does, among those of the same rounds. */
function counterpartOf(session: Session, b: Running, batch: readonly Running[]) {
  const registered = ({ entry }: Running) =>
    findImplementation(session.registry, entry.implementation);
  const own = registered(b);
  if (!own.peer || own.options.length === 0) return undefined;
  const layerOf = ({ entry: { family, scorer, problem, direction } }: Running) =>
    JSON.stringify([family, scorer, direction, problem.shape, problem.options]);
  return batch.find((other) => !registered(other).peer && layerOf(other) === layerOf(b));
}

/**
 * Measures a group: the baseline stays prepared, and as many candidates as fit the memory together
 * share its rounds. Cases that no longer fit the budget are skipped with the prediction, before
 * anything is allocated.
 *
 * @param options `later` and `after`: groups, and cases besides, that the budget has to last for
 * as well; `again`: ids of cases that are measured though they have a record, whose samples stay.
 */
export async function measureGroup(
  session: Session,
  group: PlannedGroup,
  options: {
    later?: readonly PlannedGroup[];
    after?: readonly PlannedCase[];
    again?: ReadonlySet<string>;
  } = {},
): Promise<void> {
  const { budget } = session;
  const { later = [], after = [], again } = options;
  const promised = budget.promisedRounds(group);
  const open = (entry: PlannedCase | undefined) =>
    entry?.plan && !entry.skip && !entry.predictedOnly ? entry : undefined;
  for (const entry of [group.baseline, ...group.candidates]) {
    if (!entry?.predictedOnly || entry.skip || session.finished(entry.id)) continue;
    await recordPrediction(session, entry);
  }
  const due = ({ id }: PlannedCase) => again?.has(id) || session.finished(id) === undefined;
  const waiting = group.candidates.filter((entry) => open(entry) && due(entry));
  const wanted = open(group.baseline);
  if (waiting.length === 0 && (!wanted || !due(wanted))) return;
  const earlier = wanted && session.finished(wanted.id);
  const startsWith = wanted && await affordable(wanted) ? wanted : undefined;
  for (const entry of [...waiting]) {
    if (!await affordable(entry)) waiting.splice(waiting.indexOf(entry), 1);
  }
  if (!startsWith && waiting.length === 0) return;
  const kept = budget.reserve(after);
  const members = [...startsWith ? [startsWith] : [], ...waiting];
  let inputs: Awaited<ReturnType<typeof createInputs>>;
  try {
    inputs = await accessOf(session).createInputs(session, members);
  } catch (error) {
    rethrowFatal(session, error);
    for (const entry of members) {
      if (session.finished(entry.id)) continue;
      await session.record(caseRecord(entry, outcomeOf(error)));
    }
    return;
  }
  let unchecked: Started | undefined;
  let a: Running | undefined;
  let batch: Running[] = [];
  let rounds = 0;
  const memory = session.memoryBytes ?? UNKNOWN_MEMORY_BYTES;
  const inputBytes = bytesOf(inputs);
  const ownBytes = (entry: PlannedCase) => entry.plan!.peakBytes - inputBytes;
  try {
    if (startsWith) {
      unchecked = await startCase(session, startsWith, { inputs, extent: "sampled", earlier });
    }
    while (waiting.length > 0 || unchecked) {
      const started = [...await startBatch(), ...unchecked ? [unchecked] : []];
      unchecked = undefined;
      batch = await checkCases(session, started, { inputs });
      if (startsWith && batch.at(-1)?.entry === startsWith) a = batch.pop();
      if (batch.length === 0) continue;
      const taken = await takeRounds(session, { a, candidates: batch }, {
        allowance: () => allowanceOf([...a ? [a] : [], ...batch]),
        promised,
        kept,
      });
      rounds += taken.length;
      for (const running of [...batch, ...a ? [a] : []]) {
        if (running.failure) continue;
        await takeStages(session, running, Math.min(5, 2 * taken.length));
      }
      for (const b of batch) {
        if (b.failure) continue;
        const ours = counterpartOf(session, b, batch);
        if (a) await recordRatio(session, { a, b });
        if (ours) await recordRatio(session, { a: ours, b });
      }
      while (batch.length > 0) await finishCandidate(session, batch.shift()!);
      if (a) await finishCase(session, a);
    }
    // Alone, if no candidate ran beside it.
    if (a && rounds === 0 && due(a.entry)) {
      const taken = await takeRounds(session, { a, candidates: [] }, {
        allowance: () => allowanceOf([a!]),
        promised,
        kept,
      });
      await takeStages(session, a, Math.min(5, 2 * taken.length));
      await finishCase(session, a);
    }
  } finally {
    const beside = a ?? unchecked;
    for (const one of [...beside ? [beside] : [], ...batch]) {
      session.live.delete(one);
      await one.prepared.destroy();
    }
    inputs.destroy();
  }

  /** Seconds that the rounds of prepared cases may take. */
  function allowanceOf(running: readonly Running[]): number {
    const own = { candidates: running.map(({ entry }) => entry) };
    const others = [...waiting.length > 0 ? [{ candidates: waiting }] : [], ...later];
    return Math.max(budget.trifle, budget.allowance(own, others, kept));
  }

  /** Takes candidates from the front of those that wait while they fit beside each other. */
  async function startBatch(): Promise<Started[]> {
    const started: Started[] = [];
    const beside = (a ?? unchecked)?.entry;
    let held = inputBytes + (beside ? ownBytes(beside) : 0);
    try {
      while (waiting.length > 0) {
        const [entry] = waiting;
        if (started.length > 0 && held + ownBytes(entry) > memory) break;
        if (!await affordable(entry)) {
          waiting.shift();
          continue;
        }
        const crowded = started.length > 0;
        const earlier = session.finished(entry.id);
        const how = { inputs, extent: "sampled", crowded, earlier } as const;
        const running = await startCase(session, entry, how);
        waiting.shift();
        if (!running) continue;
        started.push(running);
        held += ownBytes(entry);
      }
    } catch (error) {
      // No room beside the others: it is first in the next batch.
      if (error instanceof MemoryError && started.length > 0) return started;
      for (const one of started) {
        session.live.delete(one);
        await one.prepared.destroy();
      }
      throw error;
    }
    return started;
  }

  /** False, and recorded as skipped, when the least number of samples would overrun the budget. */
  async function affordable(entry: PlannedCase): Promise<boolean> {
    await tryShorter(session, entry);
    const registered = findImplementation(session.registry, entry.implementation);
    const { longestSeconds = Infinity, peer = false } = registered;
    if (budget.predict(entry) > longestSeconds) {
      if (session.finished(entry.id)) return false;
      const predictedSeconds = budget.predict(entry);
      const reason = `predicted ${predictedSeconds.toPrecision(3)} s in one submission that ` +
        `cannot be cut; ${longestSeconds} s are asked of a driver at most`;
      await session.record({
        ...caseRecord(entry, { status: "skipped", reason }),
        predictedSeconds,
      });
      return false;
    }
    const reserve = budget.reserveFor(entry, { later, after });
    if (budget.affords(entry, { reserve, peer })) return true;
    if (session.finished(entry.id)) return false;
    const one = budget.predict(entry);
    const needed = budget.caseSeconds(entry, 2 * budget.rounds.least);
    const reason = `predicted ${one.toPrecision(3)} s for one execution and ` +
      `${needed.toPrecision(3)} s for the case; ` +
      `${Math.max(0, budget.left - reserve).toPrecision(3)} s of the budget are left` +
      (peer ? ", of which a case of a peer may take half" : "") +
      (needed > budget.limitOf(entry)
        ? `, of which one case may take ${budget.limitOf(entry).toPrecision(3)} s`
        : "");
    const record = caseRecord(entry, { status: "skipped", reason });
    await session.record({ ...record, predictedSeconds: one });
    return false;
  }
}

/** Records a case that is not run, with what it would have taken by what was seen so far. */
async function recordPrediction(session: Session, entry: PlannedCase): Promise<void> {
  const predictedSeconds = session.budget.predict(entry);
  const reason = `not run: predicted ${predictedSeconds.toPrecision(3)} s for one execution`;
  const record = caseRecord(entry, { status: "skipped", reason });
  await session.record({ ...record, predictedSeconds });
}

/** The first round after all that samples were taken in. */
export function nextRound(samples: readonly Sample[]): number {
  return samples.reduce((most, { round }) => Math.max(most, round), -1) + 1;
}

/** Predicted seconds of a round: two samples of each member, with the canary around them. */
function roundSeconds({ budget, clock }: Session, members: readonly Running[]): number {
  return members.reduce(
    (sum, { entry }) => sum + 2 * (budget.executionSeconds(entry) + clock.referenceSeconds),
    0,
  );
}
