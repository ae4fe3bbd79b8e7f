/**
 * Latency: how long one execution of a layer takes, and how much faster one implementation is than
 * another, from interleaved A/B/B/A rounds. METHOD.md explains why.
 *
 * @module
 */
import { createTensor, MemoryError, type Tensor } from "../kernels/gpu/buffers.ts";
import type { Gpu } from "../kernels/gpu/device.ts";
import { requireFinite } from "../kernels/gpu/inspect.ts";
import { fillSeeded } from "../kernels/gpu/random.ts";
import type { LayerInputs, Prepared } from "../kernels/implementation.ts";
import type { Budget } from "./budget.ts";
import type { Calibration } from "./calibrate.ts";
import { caseRecord, failedRecord, stageRecords, withSamples } from "./case_record.ts";
import {
  type CheckOutcome,
  checkOutputs,
  digestOutputs,
  failureOf,
  withDeterminism,
} from "./check.ts";
import { errorLine } from "./errors.ts";
import type { Registration } from "./implementations.ts";
import type { PlannedCase, PlannedGroup } from "./plan.ts";
import type { CaseRecord, RatioRecord, Sample } from "./result_schema.ts";
import { bootstrapRatio, type PairedRound } from "./statistics.ts";

/** What measuring needs, and where its findings go. */
export interface Session {
  readonly gpu: Gpu;
  readonly registry: readonly Registration[];
  readonly calibration: Calibration;
  readonly budget: Budget;
  readonly seed: number;
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

/** A canary above this says that the clock is down: such a sample is not counted. */
const CLOCK_LIMIT = 1.15;

/** Longest dispatch, as a share of the longest submission. */
const DISPATCH_SECONDS = 0.1;

/** A case with its buffers, warmed up and checked. */
export interface Running {
  readonly entry: PlannedCase;
  readonly prepared: Prepared;
  readonly outcome: CheckOutcome;
  readonly samples: Sample[];
  readonly stageSamples: number[][];
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
 * Prepares a case, runs it once and checks what it left.
 *
 * @returns undefined when it cannot run or its output is wrong; that is recorded then.
 */
export async function startCase(
  session: Session,
  entry: PlannedCase,
  options: { inputs: LayerInputs; extent: "whole" | "sampled" },
): Promise<Running | undefined> {
  const { gpu, budget, seed, signal } = session;
  const { implementation } = session.registry.find((known) =>
    known.implementation.name === entry.implementation
  )!;
  const flopsPerSecond = budget.flopsPerSecond(entry);
  let prepared: Prepared | undefined;
  try {
    session.step(`${entry.id}: first run`);
    prepared = await implementation.prepare(gpu, entry.problem, {
      inputs: options.inputs,
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
    });
    const timing = await prepared.execute({ flopsPerSecond, signal });
    if (options.extent === "sampled") {
      budget.learn(entry, {
        seconds: session.calibration.secondsOf(timing),
        wallSeconds: timing.wallSeconds,
      });
    }
    session.step(`${entry.id}: checking`);
    const started = performance.now();
    const { inputs, extent } = options;
    const outcome = await checkOutputs(gpu, prepared, {
      problem: entry.problem,
      inputs,
      seed,
      extent,
      signal,
    });
    if (extent === "sampled") budget.learnCheck(entry, (performance.now() - started) / 1e3);
    const failure = failureOf(outcome.check);
    if (failure === undefined) {
      const stageSamples = prepared.stages.map(() => []);
      return { entry, prepared, outcome, samples: [], stageSamples };
    }
    await session.record({
      ...failedRecord(entry, { reason: failure, check: outcome.check }),
      digest: { ...outcome.digest },
    });
  } catch (error) {
    prepared?.destroy();
    rethrowFatal(session, error);
    const status = error instanceof MemoryError ? "skipped" : "failed";
    await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
    return undefined;
  }
  prepared.destroy();
  return undefined;
}

/** Errors that end the run: the device is gone, or the user stopped it. */
export function rethrowFatal(session: Session, error: unknown): void {
  if (session.signal?.aborted || session.gpu.lost() !== undefined) throw error;
  if (error instanceof Error && ["DeviceLostError", "OutputError"].includes(error.name)) {
    throw error;
  }
}

/** Runs a case once between two canaries. */
async function takeSample(
  session: Session,
  running: Running,
  options: { round: number; place: number; before: number },
): Promise<number> {
  const { calibration, gpu, budget, signal } = session;
  const { prepared, entry } = running;
  // With one stage the staged run is the same run, and its stage time comes for free.
  const single = prepared.stages.length === 1;
  const timing = await prepared.execute({
    flopsPerSecond: budget.flopsPerSecond(entry),
    stages: single,
    signal,
  });
  const seconds = calibration.secondsOf(timing);
  budget.learn(entry, { seconds, wallSeconds: timing.wallSeconds });
  const after = await calibration.canary.probe();
  const canary = (options.before + after) / 2;
  // On a processor the canary sees the scheduler, not a clock: kept, never a reason to drop.
  const flagged = canary > CLOCK_LIMIT && !gpu.adapter.software;
  running.samples.push({
    seconds,
    wallSeconds: timing.wallSeconds,
    round: options.round,
    place: options.place,
    canary,
    ...(flagged && { flag: "clock" as const }),
  });
  if (single && !flagged) running.stageSamples[0].push(seconds);
  return after;
}

/** Times the stages of a case in passes of their own. */
async function takeStages(session: Session, running: Running, count: number): Promise<void> {
  const { prepared, entry } = running;
  if (prepared.stages.length === 1) return;
  for (let i = 0; i < count; i++) {
    const timing = await prepared.execute({
      flopsPerSecond: session.budget.flopsPerSecond(entry),
      stages: true,
      signal: session.signal,
    });
    // Without GPU timestamps stages cannot be told apart.
    if (!timing.stages || session.calibration.record.clock === "wall") return;
    timing.stages.forEach((seconds, stage) => running.stageSamples[stage].push(seconds));
  }
}

/** A/B/B/A rounds of a pair, or A/A rounds of one case alone. */
async function takeRounds(
  session: Session,
  pair: { a?: Running; b?: Running },
  options: { rounds: number; firstRound: number; deadline: number },
): Promise<number[]> {
  const order = pair.a && pair.b
    ? [pair.a, pair.b, pair.b, pair.a]
    : [pair.a ?? pair.b!, pair.a ?? pair.b!];
  const { firstRound, rounds, deadline } = options;
  const taken: number[] = [];
  let clean = 0;
  let before = await session.calibration.canary.probe();
  let longest = 0;
  // Rounds with a clock that was down are taken again while there is time, at most as many more.
  for (let i = 0; clean < rounds && i < 2 * rounds; i++) {
    const started = performance.now() / 1e3;
    if (i >= session.budget.rounds.least && started + longest > deadline) break;
    const round = firstRound + i;
    session.step(`${(pair.b ?? pair.a!).entry.id}: round ${i + 1} of ${rounds}`);
    for (const [place, running] of order.entries()) {
      before = await takeSample(session, running, { round, place, before });
    }
    taken.push(round);
    const flagged = order.some((running) =>
      running.samples.some((sample) => sample.round === round && sample.flag)
    );
    if (!flagged) clean++;
    longest = Math.max(longest, performance.now() / 1e3 - started);
  }
  return taken;
}

/** Samples whose clock was down everywhere are better than none: then they count, with a note. */
function settleFlags(session: Session, running: Running): void {
  const { samples, entry } = running;
  if (samples.length === 0 || samples.some((sample) => sample.flag === undefined)) return;
  samples.forEach((sample) => delete sample.flag);
  session.note(`${entry.id}: the clock was down in every sample, its times are not comparable`);
}

/** Checks determinism and records the case with all that was measured so far. */
async function finishCase(session: Session, running: Running): Promise<void> {
  const { entry, prepared, outcome, samples, stageSamples } = running;
  settleFlags(session, running);
  const last = await digestOutputs(session.gpu, prepared);
  const check = withDeterminism(outcome.check, { first: outcome.digest, last });
  const failure = failureOf(check);
  if (failure !== undefined) {
    return await session.record(failedRecord(entry, { reason: failure, check }));
  }
  const record: CaseRecord = {
    ...caseRecord(entry, { status: "ok" }),
    predictedSeconds: session.budget.predict(entry),
    stages: stageRecords(entry.plan!, stageSamples),
    check,
    digest: { ...outcome.digest },
    ...(outcome.zeroRows !== undefined && { zeroRows: outcome.zeroRows }),
  };
  await session.record(withSamples(record, { samples, seed: session.seed }));
}

async function recordRatio(
  session: Session,
  pair: { a: Running; b: Running },
  rounds: readonly number[],
): Promise<void> {
  const all = rounds.map((round) => ({
    numerator: pair.a.samples.filter((sample) => sample.round === round),
    denominator: pair.b.samples.filter((sample) => sample.round === round),
  }));
  const clean = all.filter((round) =>
    [...round.numerator, ...round.denominator].every((sample) => sample.flag === undefined)
  );
  const used: PairedRound[] = (clean.length > 0 ? clean : all).map((round) => ({
    numerator: round.numerator.map((sample) => sample.seconds),
    denominator: round.denominator.map((sample) => sample.seconds),
  }));
  // A clock too coarse for the work gives zeros, of which no ratio can be made.
  if (used.some((round) => round.denominator.some((seconds) => !(seconds > 0)))) return;
  const { estimate, low, high } = bootstrapRatio(used, { seed: session.seed });
  await session.recordRatio({
    numerator: pair.a.entry.id,
    denominator: pair.b.entry.id,
    method: "abba",
    rounds: used.length,
    ratio: estimate,
    low,
    high,
  });
}

/**
 * Measures a group: the baseline stays prepared, candidates come one after the other, each in
 * rounds with the baseline. Cases that no longer fit the budget are skipped with the prediction.
 */
export async function measureGroup(
  session: Session,
  group: PlannedGroup,
  options: { allowance: number },
): Promise<void> {
  const { budget } = session;
  const deadline = performance.now() / 1e3 + options.allowance;
  const open = (entry: PlannedCase | undefined) => entry?.plan && !entry.skip ? entry : undefined;
  const candidates = group.candidates.filter((entry) =>
    open(entry) && session.finished(entry.id) === undefined
  );
  const wanted = open(group.baseline);
  const earlier = wanted && session.finished(wanted.id);
  if (candidates.length === 0 && (!wanted || earlier)) return;
  const members = [...wanted ? [wanted] : [], ...candidates];
  let inputs: Awaited<ReturnType<typeof createInputs>>;
  try {
    inputs = await createInputs(session, members);
  } catch (error) {
    rethrowFatal(session, error);
    const status = error instanceof MemoryError ? "skipped" : "failed";
    for (const entry of members) {
      if (session.finished(entry.id)) continue;
      await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
    }
    return;
  }
  let a: Running | undefined;
  let b: Running | undefined;
  try {
    if (wanted && await affordable(session, wanted)) {
      a = await startCase(session, wanted, { inputs, extent: "sampled" });
      a?.samples.push(...earlier?.samples ?? []);
      earlier?.stages.forEach((stage, i) => a?.stageSamples[i]?.push(...stage.samples));
    }
    for (const [i, entry] of candidates.entries()) {
      if (!await affordable(session, entry)) continue;
      b = await startCase(session, entry, { inputs, extent: "sampled" });
      if (!b) continue;
      const left = (deadline - performance.now() / 1e3) / (candidates.length - i);
      const taken = await takeRounds(session, { a, b }, {
        rounds: affordableRounds(session, { a, b, seconds: left }),
        firstRound: nextRound(a),
        deadline,
      });
      await takeStages(session, b, Math.min(5, 2 * taken.length));
      if (a) await recordRatio(session, { a, b }, taken);
      await finishCase(session, b);
      if (a) await finishCase(session, a);
      b.prepared.destroy();
      b = undefined;
    }
    if (a && a.samples.length === 0) {
      const left = deadline - performance.now() / 1e3;
      await takeRounds(session, { a }, {
        rounds: affordableRounds(session, { a, seconds: left }),
        firstRound: 0,
        deadline,
      });
      await finishCase(session, a);
    }
  } finally {
    a?.prepared.destroy();
    b?.prepared.destroy();
    inputs.destroy();
  }

  /** False, and recorded as skipped, when the least number of samples would overrun the budget. */
  async function affordable(session: Session, entry: PlannedCase): Promise<boolean> {
    const needed = budget.caseSeconds(entry, 2 * budget.rounds.least);
    if (needed <= budget.left) return true;
    if (session.finished(entry.id)) return false;
    const one = budget.predict(entry);
    const reason = `predicted ${one.toPrecision(3)} s for one execution and ` +
      `${needed.toPrecision(3)} s for the case; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    const record = caseRecord(entry, { status: "skipped", reason });
    await session.record({ ...record, predictedSeconds: one });
    return false;
  }
}

function nextRound(running: Running | undefined): number {
  return Math.max(-1, ...running?.samples.map((sample) => sample.round) ?? []) + 1;
}

/** Rounds that fit some seconds, between the least and the most. */
function affordableRounds(
  session: Session,
  options: { a?: Running; b?: Running; seconds: number },
): number {
  const { budget, calibration } = session;
  const { least, most } = budget.rounds;
  let round = 0;
  for (const running of [options.a, options.b]) {
    if (!running) continue;
    round += 2 * (budget.predict(running.entry) + calibration.canary.referenceSeconds);
  }
  return Math.max(least, Math.min(most, Math.floor(options.seconds / Math.max(round, 1e-9))));
}
