/**
 * Times whole training steps: a dense model and others in the same rounds, as many as fit a
 * device's memory together.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { inconclusiveReason } from "../device/clock.ts";
import { pairedRatio } from "../measure/paired_ratio.ts";
import { takeRounds, takeStages } from "../measure/rounds.ts";
import { outcomeOf, rethrowFatal, type Session } from "../measure/session.ts";
import { caseRecord, failedRecord, stageRecords, withSamples } from "../plan/case_record.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { CaseRecord, TrainingRecord } from "../result/result_schema.ts";
import type { MeasureOptions } from "../suite.ts";
import type { PlannedStep, StepGroup } from "./plan_training.ts";
import { startPeer } from "./start_peer.ts";
import { type RunningStep, type Shared, startStep } from "./start_step.ts";

/** Memory that models may take together where the device's is unknown. */
const UNKNOWN_MEMORY_BYTES = 4 * 2 ** 30;

/**
 * Measures a group. The dense model stays on the device while others come and go; one that does not
 * fit beside it is measured alone, without a ratio of interleaved rounds.
 */
export async function measureSteps(
  session: Session,
  group: StepGroup,
  { shared, later, after, again }: MeasureOptions & { readonly shared: Shared },
): Promise<void> {
  const { budget } = session;
  const due = ({ id, plan, skip }: PlannedCase) =>
    plan !== undefined && skip === undefined && (again?.has(id) || !session.finished(id));
  // A peer first: its memory decides what fits beside it.
  const waiting = group.candidates.filter(due)
    .sort((a, b) => Number(isPeer(group, b)) - Number(isPeer(group, a)));
  const { baseline } = group;
  const wanted = baseline && (due(baseline) || waiting.length > 0) && baseline.plan &&
      !baseline.skip
    ? baseline
    : undefined;
  if (!wanted && waiting.length === 0) return;
  const kept = budget.reserve(after);
  const memory = session.memoryBytes ?? UNKNOWN_MEMORY_BYTES;
  let a = wanted && await start(wanted, false);
  let batch: RunningStep[] = [];
  let paired = 0;
  const apart: PlannedCase[] = [];
  try {
    while (waiting.length > 0) {
      batch = await startBatch();
      if (batch.length > 0) await measureBatch();
    }
    if (a) {
      if (paired === 0) await rounds({ a, candidates: [] });
      await finish(a);
      a = undefined;
    }
    for (const entry of apart) {
      const alone = await start(entry, false);
      if (!alone) continue;
      batch = [alone];
      await measureBatch();
    }
  } finally {
    for (const one of [...a ? [a] : [], ...batch]) await release(session, one);
  }

  function start(entry: PlannedCase, crowded: boolean) {
    return startAffordable(session, group, { entry, crowded, shared, later, after });
  }

  /**
   * Takes models from the queue while they fit beside the others; one that never will waits apart.
   */
  async function startBatch(): Promise<RunningStep[]> {
    const started: RunningStep[] = [];
    const dense = a ? bytesOf(a.entry) : 0;
    let held = dense;
    try {
      while (waiting.length > 0) {
        const [entry] = waiting;
        const bytes = bytesOf(entry);
        if (a && dense + bytes > memory) {
          apart.push(waiting.shift()!);
          continue;
        }
        if (started.length > 0 && held + bytes > memory) break;
        const running = await start(entry, started.length > 0 || a !== undefined);
        waiting.shift();
        if (!running) continue;
        started.push(running);
        held += bytes;
      }
    } catch (error) {
      if (error instanceof MemoryError) {
        // It does not fit next to the others after all.
        if (started.length > 0) return started;
        apart.push(waiting.shift()!);
        return [];
      }
      for (const one of started) await release(session, one);
      throw error;
    }
    return started;
  }

  async function measureBatch(): Promise<void> {
    await rounds(a ? { a, candidates: batch } : { candidates: batch });
    paired++;
    for (const [i, one] of batch.entries()) {
      if (one.failure) continue;
      if (a) await recordRatio(a, one);
      if (!one.step.peer) continue;
      for (const other of batch.slice(i + 1)) if (!other.failure) await recordRatio(one, other);
    }
    while (batch.length > 0) await finish(batch.shift()!);
    // Its samples so far are kept even if the next batch is cut short.
    if (a) await record(session, a, group);
  }

  async function rounds(members: { a?: RunningStep; candidates: readonly RunningStep[] }) {
    const all = [...members.a ? [members.a] : [], ...members.candidates];
    const own = { candidates: all.map(({ entry }) => entry) };
    const others = [
      ...waiting.length > 0 ? [{ candidates: waiting }] : [],
      ...apart.length > 0 ? [{ candidates: apart }] : [],
      ...later,
    ];
    const allowance = () =>
      Math.max(budget.minimumGroupSeconds, budget.allowance(own, others, kept));
    const taken = await takeRounds(session, members, { allowance, promised: 0, kept });
    for (const running of all) {
      if (!running.failure) await takeStages(session, running, Math.min(3, 2 * taken.length));
    }
  }

  async function recordRatio(numerator: RunningStep, denominator: RunningStep): Promise<void> {
    const timed = ({ entry, samples }: RunningStep) => ({ id: entry.id, samples });
    const ratio = pairedRatio({ a: timed(numerator), b: timed(denominator) }, {
      seed: session.seed,
    });
    if (ratio) await session.recordRatio(ratio);
  }

  async function finish(running: RunningStep): Promise<void> {
    try {
      await record(session, running, group);
    } finally {
      await release(session, running);
    }
  }
}

function isPeer({ steps }: StepGroup, { id }: PlannedCase): boolean {
  return steps.get(id)?.peer !== undefined;
}

function bytesOf({ plan }: PlannedCase): number {
  return plan?.peakBytes ?? 0;
}

async function release(session: Session, running: RunningStep): Promise<void> {
  session.live.delete(running);
  await running.destroy();
}

/** Starts a case if the budget has room for it; else it is recorded as skipped. */
async function startAffordable(
  session: Session,
  group: StepGroup,
  { entry, crowded, shared, later, after }: {
    entry: PlannedCase;
    crowded: boolean;
    shared: Shared;
  } & Pick<MeasureOptions, "later" | "after">,
): Promise<RunningStep | undefined> {
  const { budget } = session;
  const earlier = session.finished(entry.id);
  const step = group.steps.get(entry.id)!;
  const reserve = budget.reserveFor(entry, { later, after });
  if (!budget.affords(entry, { reserve, peer: false })) {
    if (earlier) return undefined;
    const predictedSeconds = budget.predict(entry);
    const needed = budget.caseSeconds(entry, 2 * budget.rounds.least);
    const reason = `predicted ${predictedSeconds.toPrecision(3)} s for one step and ` +
      `${needed.toPrecision(3)} s for the case; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    await session.record({ ...caseRecord(entry, { status: "skipped", reason }), predictedSeconds });
    return undefined;
  }
  const measured = earlier?.status === "ok" || earlier?.status === "inconclusive";
  const options = {
    shared,
    crowded,
    checkedSteps: group.checkedSteps,
    ...(measured && { earlier }),
  };
  return await (step.peer ? startPeer : startStep)(session, step, options);
}

/** Records a case with all samples so far. */
async function record(session: Session, running: RunningStep, group: StepGroup): Promise<void> {
  const { entry, samples, stageSamples, check, digest, measuredPeakBytes, failure } = running;
  if (failure) return await session.record(caseRecord(entry, failure));
  try {
    const end = await running.end();
    const lost = end.steps.findIndex(({ loss }) => !Number.isFinite(loss));
    if (lost >= 0) {
      const reason = `the loss of step ${lost + 1} is not finite`;
      return await session.record(failedRecord(entry, { reason, check }));
    }
    const reason = inconclusiveReason(samples);
    const base: CaseRecord = {
      ...caseRecord(entry, { status: reason === undefined ? "ok" : "inconclusive", reason }),
      predictedSeconds: session.budget.predict(entry),
      ...(measuredPeakBytes !== undefined && { measuredPeakBytes }),
      stages: stageRecords(entry.plan!, stageSamples),
      check,
      ...(digest !== undefined && { digest: { weights: digest } }),
      training: {
        ...trainingPart(running.step, group),
        ...end,
        ...(running.data && { data: running.data }),
        ...(running.start && { start: running.start.digest }),
      },
    };
    const { tokens } = running.step.plan!;
    await session.record(withSamples(base, { samples, seed: session.seed, tokens }));
  } catch (error) {
    rethrowFatal(session, error);
    await session.record(caseRecord(entry, outcomeOf(error)));
  }
}

/** What is known of a step before it runs. */
export function trainingPart(
  { options, denseEnds, plan, peer }: PlannedStep,
  { checkedSteps }: Pick<StepGroup, "checkedSteps">,
): TrainingRecord {
  const { model, parameterCount, tokens, flops, buffers, kernelBytes } = plan!;
  const { layers, width, ffn, vocabulary, batch, accumulate, recompute } = model;
  const groups = Map.groupBy(buffers, ({ group }) => group);
  const sums = [...groups].map(([name, own]) =>
    [name as string, own.reduce((sum, { bytes }) => sum + bytes, 0)] as const
  );
  const isDense = (options.attention as readonly { kind: string }[])
    .every(({ kind }) => kind === "dense");
  return {
    layers,
    width,
    ffn,
    vocabulary,
    parameters: parameterCount,
    denseEnds: isDense ? 0 : denseEnds,
    batch,
    accumulate,
    tokens,
    recompute: peer ? "none" : recompute,
    flops: { ...flops },
    // A peer's buffers are its own.
    plannedBytes: peer ? {} : { ...Object.fromEntries(sums), kernels: kernelBytes },
    checkedSteps,
    steps: [],
  };
}
