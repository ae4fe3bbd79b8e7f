/**
 * Throughput: tokens per second of a layer that runs again and again, by the wall clock, so that
 * what the host and the queue cost is in it.
 *
 * @module
 */
import { caseRecord, failedRecord, withSamples } from "./case_record.ts";
import { digestOutputs, failureOf, withDeterminism } from "./check.ts";
import { inconclusiveReason } from "./clock.ts";
import { createInputs, outcomeOf, rethrowFatal, type Session, startCase } from "./latency.ts";
import type { PlannedCase } from "./plan.ts";

/** A sample is a run of executions of about this length. */
const SAMPLE_SECONDS = 0.5;
const MOST_EXECUTIONS = 50;
const SAMPLES = 5;

/**
 * Measures one case. A sample is a number of executions back to back; its seconds are the wall
 * clock divided by that number, which the sample carries as `executions`.
 */
export async function measureThroughput(session: Session, entry: PlannedCase): Promise<void> {
  const { budget, signal } = session;
  if (!entry.plan || entry.skip || session.finished(entry.id)) return;
  const one = budget.predict(entry);
  const executions = Math.min(MOST_EXECUTIONS, Math.max(1, Math.round(SAMPLE_SECONDS / one)));
  const affordable = Math.floor((budget.left - budget.caseSeconds(entry, 0)) / (executions * one));
  if (affordable < 1) {
    const reason = `predicted ${one.toPrecision(3)} s for one execution; ` +
      `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
    const record = caseRecord(entry, { status: "skipped", reason });
    return await session.record({ ...record, predictedSeconds: one });
  }
  let inputs: Awaited<ReturnType<typeof createInputs>>;
  try {
    inputs = await createInputs(session, [entry]);
  } catch (error) {
    rethrowFatal(session, error);
    return await session.record(caseRecord(entry, outcomeOf(error)));
  }
  const running = await startCase(session, entry, { inputs, extent: "sampled" })
    .catch((error) => {
      inputs.destroy();
      throw error;
    });
  if (!running) return inputs.destroy();
  const { prepared, outcome, measuredPeakBytes, samples } = running;
  try {
    const { clock } = session;
    let before = await clock.settle({ signal });
    let clean = 0;
    // Samples with the clock down are taken again, at most as many more.
    for (let round = 0; round < Math.min(2 * SAMPLES, affordable) && clean < SAMPLES; round++) {
      session.step(`${entry.id}: sample ${round + 1}`);
      if (clock.isOff(before)) before = await clock.settle({ signal });
      const { result: seconds, canary, after } = await clock.around(before, async () => {
        const started = performance.now();
        for (let i = 0; i < executions; i++) {
          await prepared.execute({ flopsPerSecond: budget.flopsPerSecond(entry), signal });
        }
        return (performance.now() - started) / 1e3 / executions;
      });
      before = after;
      const flagged = clock.isOff(canary);
      if (!flagged) clean++;
      samples.push({
        seconds,
        wallSeconds: seconds,
        round,
        place: 0,
        canary,
        executions,
        ...(flagged && { flag: "clock" as const }),
      });
    }
    const last = await digestOutputs(session.gpu, prepared);
    const check = withDeterminism(outcome.check, { first: outcome.digest, last });
    const failure = failureOf(check);
    if (failure !== undefined) {
      return await session.record(failedRecord(entry, { reason: failure, check }));
    }
    const reason = inconclusiveReason(samples);
    const record = {
      ...caseRecord(entry, { status: reason === undefined ? "ok" : "inconclusive", reason }),
      predictedSeconds: one,
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
