/**
 * Throughput: tokens per second of a layer that runs repeatedly, by the wall clock, so that
 * it includes the cost of the host and the queue.
 *
 * @module
 */
import type { Prepared } from "../../kernels/implementation.ts";
import { caseRecord, failedRecord, withSamples } from "../plan/case_record.ts";
import { failureOf, withDeterminism } from "../check/check.ts";
import { inconclusiveReason } from "../device/clock.ts";
import {
  accessOf,
  checkCases,
  type createInputs,
  startCase,
  tryShorter,
} from "../measure/start_case.ts";
import { nextRound, outcomeOf, rethrowFatal, type Session } from "../measure/session.ts";
import { SUBMISSION_SECONDS } from "../plan/durations.ts";
import type { PlannedCase } from "../plan/planned_case.ts";

/** A sample is a run of executions of about this many seconds. */
const SAMPLE_SECONDS = 0.5;
const MOST_EXECUTIONS = 500;
const SAMPLES = 5;

/** Most trial runs to find the number of executions of a sample, unless one is long enough. */
const MOST_TRIALS = 4;
const UNTRIED_SECONDS = 5;

/**
 * Measures one case. A sample is a number of executions back to back; its seconds are the wall
 * clock divided by that number, which the sample carries as `executions`.
 *
 * @param options `again`: also if it already has a record, whose samples are kept.
 */
export async function measureThroughput(
  session: Session,
  entry: PlannedCase,
  { again = false }: { again?: boolean } = {},
): Promise<void> {
  const { budget, signal } = session;
  const earlier = session.finished(entry.id);
  if (!entry.plan || entry.skip || earlier && !again) return;
  await tryShorter(session, entry);
  const predicted = budget.predict(entry);
  const needed = budget.executionSeconds(entry) + budget.setupSeconds(entry) +
    executionsOf(predicted) * predicted;
  if (needed > budget.left) {
    if (earlier) return;
    const reason = `predicted ${predicted.toPrecision(3)} s for one execution; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    const record = caseRecord(entry, { status: "skipped", reason });
    return await session.record({ ...record, predictedSeconds: predicted });
  }
  let inputs: Awaited<ReturnType<typeof createInputs>>;
  try {
    inputs = await accessOf(session).createInputs(session, [entry]);
  } catch (error) {
    rethrowFatal(session, error);
    return await session.record(caseRecord(entry, outcomeOf(error)));
  }
  const start = async () => {
    const options = { inputs, extent: "sampled", untimed: true, earlier } as const;
    const started = await startCase(session, entry, options);
    return started && (await checkCases(session, [started], { inputs })).at(0);
  };
  const running = await start().catch((error) => {
    inputs.destroy();
    throw error;
  });
  if (!running) return inputs.destroy();
  const { prepared, outcome, measuredPeakBytes, samples, first: firstRun } = running;
  /** Wall-clock seconds per execution for this many executions, each of which takes about `one`. */
  const run = async (executions: number, one: number) => {
    const started = budget.now();
    await runBackToBack(prepared, { executions, one, flops: entry.plan!.flops, signal });
    return (budget.now() - started) / executions;
  };
  try {
    const { clock } = session;
    let before = await clock.settle({ signal });
    // Predictions may be many times too short or too long.
    let one = firstRun?.timing.wallSeconds ?? predicted;
    let executions = 1;
    for (let trial = 0; trial < MOST_TRIALS && one < UNTRIED_SECONDS; trial++) {
      session.step(`${entry.id}: trying how often it runs in a sample`);
      const seconds = await run(executions, one);
      const settled = executionsOf(seconds) <= 2 * executions && one <= 2 * seconds;
      one = seconds;
      executions = executionsOf(one);
      if (settled) break;
    }
    const roundsLeft = Math.max(1, Math.floor(budget.left / (executions * one)));
    const firstRound = nextRound(samples);
    let clean = 0;
    // Samples at a low clock are repeated, at most as many again.
    for (let round = 0; round < Math.min(2 * SAMPLES, roundsLeft) && clean < SAMPLES; round++) {
      session.step(`${entry.id}: sample ${round + 1}`);
      if (clock.isOff(before)) before = await clock.settle({ signal });
      const { result: seconds, canary, after, device, off } = await clock.around(
        before,
        () => run(executions, one),
      );
      before = after;
      if (!off) {
        clean++;
        budget.learn(entry, { seconds });
      }
      samples.push({
        seconds,
        wallSeconds: seconds,
        round: firstRound + round,
        place: 0,
        canary,
        executions,
        ...device,
        ...(off && { flag: "clock" as const }),
      });
    }
    const last = await accessOf(session).digestOutputs(session.gpu, prepared);
    const check = withDeterminism(outcome.check, { first: outcome.digest, last });
    const failure = failureOf(check);
    if (failure !== undefined) {
      return await session.record(failedRecord(entry, { reason: failure, check }));
    }
    const reason = inconclusiveReason(samples);
    const record = {
      ...caseRecord(entry, { status: reason === undefined ? "ok" : "inconclusive", reason }),
      predictedSeconds: predicted,
      measuredPeakBytes,
      check,
      digest: { ...outcome.digest },
      ...(outcome.zeroRows !== undefined && { zeroRows: outcome.zeroRows }),
    };
    await session.record(withSamples(record, { samples, seed: session.seed }));
  } finally {
    session.live.delete(running);
    await prepared.destroy();
    inputs.destroy();
  }
}

/**
 * Runs a layer several times in a row. Executions short enough for one submission are all
 * submitted before the host waits for any, longer ones one by one.
 *
 * @param layer an untimed one: reading timestamps back waits for the device.
 */
export async function runBackToBack(
  layer: Pick<Prepared, "execute">,
  options: { executions: number; one: number; flops: number; signal?: AbortSignal },
): Promise<void> {
  const { executions, one, flops, signal } = options;
  // Longer ones take several submissions, and only one may be in flight.
  if (one < SUBMISSION_SECONDS) {
    await Promise.all(Array.from({ length: executions }, () => layer.execute({ signal })));
    return;
  }
  for (let i = 0; i < executions; i++) await layer.execute({ flopsPerSecond: flops / one, signal });
}

function executionsOf(seconds: number): number {
  return Math.min(MOST_EXECUTIONS, Math.max(1, Math.round(SAMPLE_SECONDS / seconds)));
}
