/**
 * A step before its first sample: the float64 check of a small model, the first steps twice, and
 * what the budget learns from them.
 *
 * @module
 */
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { compileSeconds } from "../../kernels/gpu/pipeline.ts";
import type { Timer } from "../../kernels/gpu/timing.ts";
import type { HistoryLine } from "../../kernels/training/model/training_model.ts";
import {
  type FirstRun,
  outcomeOf,
  rethrowFatal,
  type Session,
  type Timed,
} from "../measure/session.ts";
import { learnTime } from "../measure/start_case.ts";
import { caseRecord, failedRecord } from "../plan/case_record.ts";
import { DISPATCH_SECONDS, OWN_WARM_UP_SECONDS } from "../plan/durations.ts";
import type { CaseRecord, CheckRecord, TrainingRecord } from "../result/result_schema.ts";
import { type CheckedKind, checkSmallModel, type Part } from "./float64_check.ts";
import { createOwnModel, type OwnModel } from "./own_model.ts";
import type { PlannedStep } from "./plan_training.ts";
import type { Start } from "./start.ts";
import { type Corpus, dataOf, type StepData } from "./step_data.ts";

/** What the cases of a run share. */
export interface Shared {
  readonly timer: Timer;
  readonly corpus?: Corpus;
  readonly start?: Start;
  /** Checks of small models, by what they have of a case. */
  readonly checks: Map<string, Part[]>;
}

/** A step whose first ones were checked. */
export interface RunningStep extends Timed {
  readonly step: PlannedStep;
  readonly earlier?: CaseRecord;
  readonly check: CheckRecord;
  /** Of the weights after the checked steps. */
  readonly digest?: string;
  readonly measuredPeakBytes?: number;
  readonly data?: StepData["record"];
  readonly start?: Start;
  /** Everything that it trained, and what that left. */
  readonly end: () => Promise<Pick<TrainingRecord, "steps" | "after">>;
  readonly destroy: () => void | Promise<void>;
}

const METHOD =
  "loss and gradients of a small model of the same kernels against float64, by what rounding " +
  "alone does; of the model itself finite losses, the first near ln V + 1/2, and equal bits when its " +
  "first steps are run again";

/** Nats by which the first loss may be away from that of logits of unit variance. */
const FIRST_LOSS = 1;

/** Timed steps whose losses are recorded: the last ones. */
export const KEPT_STEPS = 64;

/**
 * Creates a model, checks its first steps and leaves it ready for samples.
 *
 * @returns undefined when it cannot run, or its first steps show that it does not fit the budget;
 * the reason is recorded.
 * @throws {MemoryError} with `crowded`, when it does not fit next to the others.
 */
export async function startStep(
  session: Session,
  step: PlannedStep,
  options: { shared: Shared; checkedSteps: number; earlier?: CaseRecord; crowded: boolean },
): Promise<RunningStep | undefined> {
  const { gpu, budget, seed } = session;
  const { entry } = step;
  const { shared, checkedSteps, earlier } = options;
  const begun = budget.now();
  const compiledBefore = compileSeconds(gpu);
  let model: OwnModel | undefined;
  try {
    session.step(`${entry.id}: checking a small model`);
    const parts = [...await smallCheck(session, step, shared)];
    const data = await dataOf(step, { corpus: shared.corpus, seed });
    const create = () => {
      const rate = budget.flopsPerSecond(entry);
      return createOwnModel(gpu, step, {
        timer: shared.timer,
        data,
        seed,
        start: shared.start,
        flopsPerDispatch: rate && rate * DISPATCH_SECONDS,
      });
    };
    const allocations = watchAllocations(gpu.device);
    allocations.restart();
    const heldBefore = allocations.bytes;
    session.step(`${entry.id}: first steps`);
    model = await create();
    const once = await runChecked(session, { step, model, count: checkedSteps });
    const measuredPeakBytes = allocations.peakBytes - heldBefore;
    model.destroy();
    model = undefined;
    if (!earlier && !budget.canFinish(entry)) {
      const predictedSeconds = budget.predict(entry);
      const reason = `one step takes ${predictedSeconds.toPrecision(3)} s; ` +
        `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
      await session.record({
        ...caseRecord(entry, { status: "skipped", reason }),
        predictedSeconds,
      });
      return undefined;
    }
    session.step(`${entry.id}: first steps again`);
    model = await create();
    const twice = await runChecked(session, { step, model, count: checkedSteps });
    parts.push(...partsOf(once, twice, { step, trained: shared.start !== undefined }));
    const failed = parts.find(({ passed }) => !passed);
    const check: CheckRecord = {
      passed: failed === undefined,
      method: METHOD,
      maxError: parts.find(({ name }) => name.startsWith("gradients"))?.maxError ?? null,
      tolerance: parts.find(({ name }) => name.startsWith("gradients"))?.tolerance ?? null,
      parts,
    };
    if (failed) {
      const reason = `${failed.name}: ${failed.detail ?? "out of tolerance"}`;
      await session.record({
        ...failedRecord(entry, { reason, check }),
        digest: { weights: twice.digest },
      });
      model.destroy();
      return undefined;
    }
    const spent = budget.now() - begun - once.wallSeconds - twice.wallSeconds -
      (compileSeconds(gpu) - compiledBefore);
    budget.learnSetup(entry, Math.max(0, spent));
    const ready = model;
    const lastChecked = twice.history[twice.history.length - 1].step;
    const running: RunningStep = {
      step,
      entry,
      earlier,
      prepared: ready,
      samples: [...earlier?.samples ?? []],
      stageSamples: ready.stages.map((name) => [
        ...earlier?.stages.find((stage) => stage.name === name)?.samples ?? [],
      ]),
      check,
      digest: twice.digest,
      measuredPeakBytes,
      data: data.record,
      start: shared.start,
      ...(budget.predict(entry) >= OWN_WARM_UP_SECONDS && { first: twice.last }),
      end: async () => ({
        steps: [
          ...twice.history,
          ...(await ready.history()).filter(({ step }) => step > lastChecked).slice(-KEPT_STEPS),
        ].map(lineOf),
        after: { steps: ready.steps(), weights: (await ready.inspect()).digest },
      }),
      destroy: () => ready.destroy(),
    };
    session.live.add(running);
    return running;
  } catch (error) {
    model?.destroy();
    rethrowFatal(session, error);
    if (options.crowded && error instanceof MemoryError) throw error;
    const outcome = outcomeOf(error);
    if (!earlier || outcome.status === "failed") await session.record(caseRecord(entry, outcome));
    return undefined;
  }
}

/** A step of the history as results have it. */
function lineOf({ loss, gradientNorm, lossScale, skipped }: HistoryLine) {
  return { loss, gradientNorm, lossScale, ...(skipped && { skipped }) };
}

/** The check of a small model of the case's kind, once for a run. */
async function smallCheck(
  { gpu }: Session,
  { entry, options: { dtype, recompute = "none", attention } }: PlannedStep,
  { checks }: Shared,
): Promise<Part[]> {
  const all = attention as readonly NonNullable<CheckedKind["attention"]>[];
  const kind: CheckedKind = {
    headDim: entry.problem.shape.headDim,
    dtype,
    recompute,
    attention: all.find((one) => one.kind === "lighthouse") ?? all[0],
  };
  const { attention: { kind: family }, ...rest } = kind;
  const key = JSON.stringify([rest, family, entry.scorer, entry.problem.options?.dilation]);
  const known = checks.get(key) ?? await checkSmallModel(gpu, kind);
  checks.set(key, known);
  return known;
}

/** What the first steps of a model gave. */
interface Checked {
  readonly history: readonly HistoryLine[];
  readonly digest: string;
  readonly notFinite: number;
  readonly last: FirstRun;
  readonly wallSeconds: number;
}

async function runChecked(
  session: Session,
  { step: { entry }, model, count }: { step: PlannedStep; model: OwnModel; count: number },
): Promise<Checked> {
  const { clock, budget, signal } = session;
  let last: FirstRun | undefined;
  let wallSeconds = 0;
  let before = await clock.settle({ signal });
  for (let i = 0; i < count; i++) {
    if (clock.isOff(before)) before = await clock.settle({ signal });
    const { result: timing, canary, after, device, off } = await clock.around(
      before,
      (between) =>
        model.execute({
          flopsPerSecond: budget.flopsPerSecond(entry),
          stages: budget.predict(entry) >= OWN_WARM_UP_SECONDS,
          signal,
          between,
        }),
    );
    before = after;
    wallSeconds += timing.wallSeconds;
    learnTime(session, entry, { timing, off });
    last = { timing, canary, device, off };
  }
  const { digest, notFinite } = await model.inspect();
  return { history: await model.history(), digest, notFinite, last: last!, wallSeconds };
}

/** What must hold of the first steps. */
function partsOf(
  once: Checked,
  twice: Checked,
  { step: { options: { vocabulary } }, trained }: { step: PlannedStep; trained: boolean },
): Part[] {
  const losses = twice.history.map(({ loss }) => loss);
  const bad = losses.filter((loss) => !Number.isFinite(loss)).length + twice.notFinite;
  const away = Math.abs(losses[0] - Math.log(vocabulary) - 0.5);
  const same = once.digest === twice.digest &&
    JSON.stringify(once.history) === JSON.stringify(twice.history);
  const steps = twice.history.length === 1 ? "the first step" : `${twice.history.length} steps`;
  return [
    {
      name: "finite",
      passed: bad === 0 && losses.length > 0,
      maxError: null,
      tolerance: null,
      detail: `losses and weights after ${steps}: ${bad} NaN or infinite`,
    },
    ...trained ? [] : [{
      name: "first loss",
      passed: away <= FIRST_LOSS,
      maxError: Number.isFinite(away) ? away : null,
      tolerance: FIRST_LOSS,
      detail: "nats from ln V + 1/2, the loss of logits of unit variance",
    }],
    {
      name: "updates",
      passed: twice.history.some(({ skipped }) => !skipped),
      maxError: null,
      tolerance: null,
      detail: `of ${steps} at least one was not skipped`,
    },
    {
      name: "determinism",
      passed: same,
      maxError: null,
      tolerance: null,
      detail: `losses, norms and weights after ${steps}, run twice from the same seed`,
    },
  ];
}
