/**
 * Latency: how long one execution of a layer takes, and how much faster one implementation is than
 * another, from interleaved A/B/B/A rounds. METHOD.md explains why.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { failureOf, withDeterminism } from "../check/check.ts";
import { inconclusiveReason } from "../device/clock.ts";
import { pairedRatio } from "../measure/paired_ratio.ts";
import {
  bytesOf,
  outcomeOf,
  rethrowFatal,
  type Running,
  type Session,
  type Started,
} from "../measure/session.ts";
import {
  accessOf,
  checkCases,
  type createInputs,
  startCase,
  tryShorter,
} from "../measure/start_case.ts";
import { caseRecord, failedRecord, stageRecords, withSamples } from "../plan/case_record.ts";
import { findImplementation } from "../plan/measurable.ts";
import type { PlannedCase, PlannedGroup } from "../plan/planned_case.ts";
import type { CaseRecord } from "../result/result_schema.ts";
import type { MeasureOptions } from "../suite.ts";
import { takeRounds, takeStages } from "../measure/rounds.ts";

/** Memory that the cases of a group may take together if the device's memory is unknown. */
const UNKNOWN_MEMORY_BYTES = 4 * 2 ** 30;

/** Checks determinism and records the case with all measurements so far. */
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
    ...(outcome.tokenSelection && { tokenSelection: outcome.tokenSelection }),
    ...(running.blockSelection && { blockSelection: running.blockSelection }),
  };
  await session.record(withSamples(record, { samples, seed: session.seed }));
}

/** Records a case and frees it, even if a peer fails while doing so. */
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

/** Our layer that computes the same as a peer's with options, among those of the same rounds. */
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
 * @param options `later` and `after`: groups, and other cases, that the budget must also last for;
 * `again`: ids of cases to measure although they have a record, whose samples are kept.
 */
export async function measureGroup(
  session: Session,
  group: PlannedGroup,
  options: Partial<MeasureOptions> = {},
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
    // Alone, if no candidate ran with it.
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
    return Math.max(budget.minimumGroupSeconds, budget.allowance(own, others, kept));
  }

  /** Takes candidates from the front of the queue while they fit next to each other. */
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
      // It does not fit next to the others, so it comes first in the next batch.
      if (error instanceof MemoryError && started.length > 0) return started;
      for (const one of started) {
        session.live.delete(one);
        await one.prepared.destroy();
      }
      throw error;
    }
    return started;
  }

  /** False, and recorded as skipped, if the minimum number of samples would exceed the budget. */
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

/** Records a case that is not run, with its predicted time from the measurements so far. */
async function recordPrediction(session: Session, entry: PlannedCase): Promise<void> {
  const predictedSeconds = session.budget.predict(entry);
  const reason = `not run: predicted ${predictedSeconds.toPrecision(3)} s for one execution`;
  const record = caseRecord(entry, { status: "skipped", reason });
  await session.record({ ...record, predictedSeconds });
}
