/**
 * A peer's model before its first sample: it gets our weights and tokens, and its losses are
 * compared.
 *
 * @module
 */
import { writePeerFiles } from "./peer_files.ts";
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Timing } from "../../kernels/gpu/timing.ts";
import { type FirstRun, outcomeOf, rethrowFatal, type Session } from "../measure/session.ts";
import { learnTime } from "../measure/start_case.ts";
import { caseRecord, failedRecord } from "../plan/case_record.ts";
import { OWN_WARM_UP_SECONDS } from "../plan/durations.ts";
import type { PeerModel } from "../plan/training_peer.ts";
import type { CaseRecord, CheckRecord, TrainingRecord } from "../result/result_schema.ts";
import type { PlannedStep } from "./plan_training.ts";
import { KEPT_STEPS, type RunningStep, type Shared } from "./start_step.ts";

/**
 * Nats by which the losses of a peer's first steps may differ from ours: bf16 has 8 bits, f16 has
 * 11.
 */
const PEER_LOSS = 0.05;

/**
 * Prepares a peer's model on our weights and tokens, and compares the losses of its first steps.
 *
 * @returns undefined when it cannot run or learns something else; the reason is recorded.
 * @throws {MemoryError} with `crowded`, when it does not fit next to the others.
 */
export async function startPeer(
  session: Session,
  step: PlannedStep,
  options: { shared: Shared; checkedSteps: number; earlier?: CaseRecord; crowded: boolean },
): Promise<RunningStep | undefined> {
  const { budget, clock, signal } = session;
  const { entry } = step;
  const { earlier, checkedSteps, shared } = options;
  let model: PeerModel | undefined;
  let files: Awaited<ReturnType<typeof writePeerFiles>> | undefined;
  try {
    session.step(`${entry.id}: writing weights and tokens for it`);
    files = await writePeerFiles(session, step, { shared, checkedSteps });
    session.step(`${entry.id}: preparing`);
    const { checkpoint, tokens, batches } = files;
    model = await step.peer!.training!.prepare({
      model: step.plan!.model,
      checkpoint,
      tokens,
      batches,
      signal,
    });
    for (const line of model.notes ?? []) session.note(`${entry.implementation}: ${line}`);
    const steps: TrainingRecord["steps"] = [];
    let peakBytes: number | undefined;
    const ready = model;
    const execute = async (): Promise<Timing> => {
      const done = await ready.step();
      steps.push({ loss: done.loss });
      peakBytes = done.peakBytes ?? peakBytes;
      const { gpuSeconds, wallSeconds } = done;
      return { gpuSeconds, wallSeconds, stages: gpuSeconds === null ? null : [gpuSeconds] };
    };
    session.step(`${entry.id}: first steps`);
    let last: FirstRun | undefined;
    let before = await clock.settle({ signal });
    for (let i = 0; i < checkedSteps; i++) {
      if (clock.isOff(before)) before = await clock.settle({ signal });
      const { result: timing, canary, after, device, off } = await clock.around(before, execute);
      before = after;
      learnTime(session, entry, { timing, off });
      last = { timing, canary, device, off };
    }
    const check = compareLosses(steps, files.losses);
    if (!check.passed) {
      const reason = `${check.parts![0].name}: ${check.parts![0].detail}`;
      await session.record(failedRecord(entry, { reason, check }));
      await ready.destroy();
      return undefined;
    }
    const running: RunningStep = {
      step,
      entry,
      earlier,
      prepared: { stages: ["step"], execute, peer: {} },
      samples: [...earlier?.samples ?? []],
      stageSamples: [[...earlier?.stages.at(0)?.samples ?? []]],
      check,
      get measuredPeakBytes() {
        return peakBytes;
      },
      data: files.data,
      start: shared.start,
      ...(budget.predict(entry) >= OWN_WARM_UP_SECONDS && { first: last }),
      end: () =>
        Promise.resolve({
          steps: [...steps.slice(0, checkedSteps), ...steps.slice(checkedSteps).slice(-KEPT_STEPS)],
        }),
      destroy: () => ready.destroy(),
    };
    session.live.add(running);
    return running;
  } catch (error) {
    await model?.destroy();
    rethrowFatal(session, error);
    if (options.crowded && error instanceof MemoryError) throw error;
    const outcome = outcomeOf(error);
    if (!earlier || outcome.status === "failed") await session.record(caseRecord(entry, outcome));
    return undefined;
  } finally {
    await files?.remove();
  }
}

function compareLosses(
  steps: TrainingRecord["steps"],
  ours: readonly number[],
): CheckRecord {
  const apart = ours.map((loss, i) => Math.abs(loss - steps[i].loss));
  const worst = apart.reduce((most, one) => one <= most ? most : one, 0);
  const passed = worst <= PEER_LOSS && steps.every(({ loss }) => Number.isFinite(loss));
  const maxError = Number.isFinite(worst) ? worst : null;
  return {
    passed,
    method: "losses of its first steps against ours, from the same weights on the same tokens",
    maxError,
    tolerance: PEER_LOSS,
    parts: [{
      name: "losses",
      passed,
      maxError,
      tolerance: PEER_LOSS,
      detail: `nats, of ${ours.length === 1 ? "one step" : `${ours.length} steps`}: ours ` +
        `${ours.map((loss) => loss.toFixed(4)).join(", ")}; its ` +
        steps.slice(0, ours.length).map(({ loss }) => loss.toFixed(4)).join(", "),
    }],
  };
}
