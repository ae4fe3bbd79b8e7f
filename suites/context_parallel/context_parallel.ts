/**
 * Context parallelism, simulated on one device: the layer's context in W shards that select
 * independently and attend in a ring. Reports how sharding changes the selection, whether the ring
 * computes the attention of the unsharded sequence, and what each share of each step costs.
 *
 * @module
 */
import { median } from "simple-statistics";
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import type { LayerInputs } from "../../kernels/implementation.ts";
import {
  type ContextParallel,
  createContextParallel,
  exchangedBytes,
  type ShardOptions,
  wholeSelection,
} from "../../kernels/lighthouse/context_parallel.ts";
import type { Scorer } from "../../kernels/lighthouse/scorers/scorer.ts";
import { failureOf } from "../check/check.ts";
import { inconclusiveReason } from "../device/clock.ts";
import { errorLine } from "../errors.ts";
import { compareSelections, describeSelection } from "../measure/selection_quality.ts";
import { bytesOf, nextRound, rethrowFatal, type Session } from "../measure/session.ts";
import { createInputs } from "../measure/start_case.ts";
import { caseRecord, failedRecord, withSamples } from "../plan/case_record.ts";
import { DISPATCH_SECONDS } from "../plan/durations.ts";
import type { CheckRecord, ContextParallelRecord, Sample } from "../result/result_schema.ts";
import { summarize } from "../statistics/statistics.ts";
import { checkRing } from "./check_ring.ts";
import { type PlannedCut, ROUNDS } from "./plan_cuts.ts";

/** Selections without shards, by scorer: the same for all cuts of a layer. */
export type Unsharded = Map<Scorer, Int32Array>;

/**
 * Measures a cut; one that fails or does not fit is recorded with its reason.
 *
 * @param options `again`: also if it already has a record, whose samples are kept.
 */
export async function measureCut(
  session: Session,
  planned: PlannedCut,
  { unsharded, again = false }: { unsharded: Unsharded; again?: boolean },
): Promise<void> {
  const { entry } = planned;
  if (planned.cut === undefined || session.finished(entry.id) && !again) return;
  session.signal?.throwIfAborted();
  try {
    const inputs = await createInputs(session, [entry]);
    try {
      await measureShards(session, planned, { inputs, unsharded });
    } finally {
      inputs.destroy();
    }
  } catch (error) {
    rethrowFatal(session, error);
    const status = error instanceof MemoryError ? "skipped" : "failed";
    await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
  }
}

async function measureShards(
  session: Session,
  planned: PlannedCut,
  shared: { inputs: LayerInputs; unsharded: Unsharded },
): Promise<void> {
  const { gpu, budget, seed, signal } = session;
  const { entry, scorer, sharding } = planned;
  const cut = planned.cut!;
  const one = budget.predict(entry);
  const needed = one * entry.course!.executions;
  const earlier = session.finished(entry.id);
  if (needed > budget.left) {
    if (earlier) return;
    const reason = `predicted ${needed.toPrecision(3)} s; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    const record = caseRecord(entry, { status: "skipped", reason });
    return await session.record({ ...record, predictedSeconds: one });
  }
  const { problem } = entry;
  const flopsPerSecond = budget.flopsPerSecond(entry);
  const run = { flopsPerSecond, signal };
  const prepare = (options: ShardOptions) =>
    createContextParallel(gpu, problem, {
      inputs: shared.inputs,
      scorer,
      sharding: options,
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
    });
  let whole = shared.unsharded.get(scorer);
  if (!whole) {
    session.step(`${entry.id}: selecting without shards`);
    const single = await prepare({ shards: 1, partition: "contiguous" });
    try {
      await single.select(run);
      shared.unsharded.set(scorer, whole = await single.readSelection());
    } finally {
      single.destroy();
    }
  }
  session.step(`${entry.id}: first run`);
  const allocations = watchAllocations(gpu.device);
  allocations.restart();
  const heldBefore = allocations.bytes;
  const sharded = await prepare(sharding);
  try {
    await sharded.select(run);
    await sharded.attend(run);
    await sharded.attendWhole(run);
    const measuredPeakBytes = allocations.peakBytes - heldBefore + bytesOf(shared.inputs);
    const local = await sharded.readSelection();
    const first = await inspectTensor(gpu, sharded.output);
    session.step(`${entry.id}: checking`);
    const parts = await checkRing(gpu, sharded, { problem, seed, signal });
    const { ring: samples, piece } = await takeRounds(session, sharded, {
      ...run,
      earlier: earlier?.samples ?? [],
    });
    const pieces = piece.filter(({ flag }) => flag === undefined).map(({ seconds }) => seconds);
    const shares = await takeShares(session, sharded, run);
    const last = await inspectTensor(gpu, sharded.output);
    parts.push({
      name: "finite",
      passed: first.notFinite === 0,
      maxError: null,
      tolerance: null,
      detail: `${first.notFinite} elements of the ring's output are NaN or infinite`,
    }, {
      name: "determinism",
      passed: first.digest === last.digest,
      maxError: null,
      tolerance: null,
      detail: "the first and the last execution of the ring",
    });
    const worst = parts[0];
    const check: CheckRecord = {
      passed: parts.every(({ passed }) => passed),
      method: "sampled rows of the ring's output against float64 attention over the gathered " +
        "rows, and against the dense kernel over them in one piece",
      maxError: worst.maxError,
      tolerance: worst.tolerance,
      parts,
    };
    const failure = failureOf(check);
    if (failure !== undefined) {
      return await session.record(failedRecord(entry, { reason: failure, check }));
    }
    const contextParallel: ContextParallelRecord = {
      ...sharding,
      parts: cut.parts,
      partK: cut.part.k,
      selection: compareSelections(whole, wholeSelection(cut, local), cut.geometry),
      uncoveredRows: describeSelection(local, cut.part).uncoveredRows,
      unshardedUncoveredRows: describeSelection(whole, cut.geometry).uncoveredRows,
      ...(pieces.length > 0 && { unshardedAttention: summarize(pieces, { seed }) }),
      steps: cut.steps.map((stepShares, step) => ({
        shardSeconds: shares ? shares[step].map(median) : [],
        shardPairs: stepShares.map(({ pairs }) => pairs * problem.shape.heads),
        bytes: step === cut.shards - 1 ? 0 : exchangedBytes(cut, problem.shape),
      })),
    };
    const reason = inconclusiveReason(samples);
    const status = reason === undefined ? "ok" : "inconclusive";
    const record = caseRecord(entry, { status, reason });
    await session.record(withSamples({
      ...record,
      stages: record.stages.map((stage, step) => {
        const totals = shares?.[step][0].map((_, i) =>
          shares[step].reduce((sum, times) => sum + times[i], 0)
        );
        return totals === undefined
          ? stage
          : { ...stage, samples: totals, statistic: summarize(totals) };
      }),
      predictedSeconds: one,
      measuredPeakBytes,
      check,
      digest: { output: first.digest },
      contextParallel,
    }, { samples, seed }));
  } finally {
    sharded.destroy();
  }
}

/**
 * A/B/B/A rounds of the piece and the ring. While they last, their samples are judged again should
 * the canary's reference prove wrong.
 *
 * @param run `earlier`: samples of the ring from an earlier record, which come first.
 */
export async function takeRounds(
  { calibration, clock, live }: Pick<Session, "calibration" | "clock" | "live">,
  sharded: Pick<ContextParallel, "attend" | "attendWhole">,
  { earlier, ...run }: {
    flopsPerSecond?: number;
    signal?: AbortSignal;
    earlier: readonly Sample[];
  },
): Promise<{ ring: Sample[]; piece: Sample[] }> {
  const taken = { ring: [...earlier], piece: [] as Sample[] };
  const watched = Object.values(taken).map((samples) => ({ samples }));
  watched.forEach((one) => live.add(one));
  try {
    await fill();
    return taken;
  } finally {
    watched.forEach((one) => live.delete(one));
  }

  async function fill() {
    const firstRound = nextRound(earlier);
    let before = await clock.settle(run);
    let clean = 0;
    // Rounds at a low clock are repeated, at most as many again.
    for (let round = 0; round < 2 * ROUNDS && clean < ROUNDS; round++) {
      let anyOff = false;
      for (const [place, ring] of [false, true, true, false].entries()) {
        if (clock.isOff(before)) before = await clock.settle(run);
        const { result: timing, canary, after, device, off } = await clock.around(
          before,
          (between) =>
            ring ? sharded.attend({ ...run, between }) : sharded.attendWhole({ ...run, between }),
        );
        before = after;
        anyOff ||= off;
        (ring ? taken.ring : taken.piece).push({
          seconds: calibration.secondsOf(timing),
          wallSeconds: timing.wallSeconds,
          round: firstRound + round,
          place,
          canary,
          ...device,
          ...(off && { flag: "clock" as const }),
        });
      }
      if (!anyOff) clean++;
    }
  }
}

/** Times of the ring's shares: [step][shard][execution]; undefined where they cannot be told apart. */
async function takeShares(
  { calibration, clock }: Session,
  sharded: ContextParallel,
  run: { flopsPerSecond?: number; signal?: AbortSignal },
): Promise<number[][][] | undefined> {
  const { shards } = sharded.plan;
  // A share without work takes no time.
  const shares = Array.from(
    { length: shards },
    () => Array.from({ length: shards }, () => new Array<number>(ROUNDS).fill(0)),
  );
  for (let round = 0; round < ROUNDS; round++) {
    await clock.settle(run);
    const { stages } = await sharded.attend({ ...run, stages: true });
    if (!stages || calibration.record.clock === "wall") return undefined;
    sharded.ringShares.forEach(({ step, shard }, i) => shares[step][shard][round] = stages[i]);
  }
  return shares;
}
