/**
 * Throughput: tokens per second of a layer that runs again and again, by the wall clock, so that
 * what the host and the queue cost is in it.
 *
 * @module
 */
import { MemoryError } from "../kernels/gpu/buffers.ts";
import { caseRecord, failedRecord, withSamples } from "./case_record.ts";
import { digestOutputs, failureOf, withDeterminism } from "./check.ts";
import { errorLine } from "./errors.ts";
import { createInputs, rethrowFatal, type Session, startCase } from "./latency.ts";
import type { PlannedCase } from "./plan.ts";
import type { Sample } from "./result_schema.ts";

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
    const status = error instanceof MemoryError ? "skipped" : "failed";
    return await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
  }
  const running = await startCase(session, entry, { inputs, extent: "sampled" })
    .catch((error) => {
      inputs.destroy();
      throw error;
    });
  if (!running) return inputs.destroy();
  const { prepared, outcome, measuredPeakBytes } = running;
  try {
    const samples: Sample[] = [];
    let before = await session.calibration.canary.probe();
    for (let round = 0; round < Math.min(SAMPLES, affordable); round++) {
      session.step(`${entry.id}: sample ${round + 1}`);
      const started = performance.now();
      for (let i = 0; i < executions; i++) {
        await prepared.execute({ flopsPerSecond: budget.flopsPerSecond(entry), signal });
      }
      const seconds = (performance.now() - started) / 1e3 / executions;
      const after = await session.calibration.canary.probe();
      const canary = (before + after) / 2;
      before = after;
      samples.push({ seconds, wallSeconds: seconds, round, place: 0, canary, executions });
    }
    const last = await digestOutputs(session.gpu, prepared);
    const check = withDeterminism(outcome.check, { first: outcome.digest, last });
    const failure = failureOf(check);
    if (failure !== undefined) {
      return await session.record(failedRecord(entry, { reason: failure, check }));
    }
    const record = {
      ...caseRecord(entry, { status: "ok" as const }),
      predictedSeconds: one,
      measuredPeakBytes,
      check,
      digest: { ...outcome.digest },
      ...(outcome.zeroRows !== undefined && { zeroRows: outcome.zeroRows }),
    };
    await session.record(withSamples(record, { samples, seed: session.seed }));
  } finally {
    prepared.destroy();
    inputs.destroy();
  }
}
