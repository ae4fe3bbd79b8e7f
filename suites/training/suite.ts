/**
 * The suite `training`: whole steps of a model, one group of models at a time.
 *
 * @module
 */
import { Timer } from "../../kernels/gpu/timing.ts";
import { UsageError } from "../errors.ts";
import type { Session } from "../measure/session.ts";
import { membersOf } from "../plan/planned_case.ts";
import { loadProfile, sectionOf } from "../plan/profile.ts";
import type { BudgetedSuite, OpenOptions } from "../suite.ts";
import { measureSteps } from "./measure_steps.ts";
import { planTrainingMemory } from "./plan_memory.ts";
import { planTrainingSuite, type StepGroup } from "./plan_training.ts";
import { applyTraining, trainingOptions, trainingSection } from "./profile.ts";
import { trainingRecord } from "./record.ts";
import { assumeSeconds, type StepCeilings } from "./step_cost.ts";
import type { Shared } from "./start_step.ts";
import { readStart, refuseStart } from "./start.ts";
import { readCorpus, refuseCorpus } from "./step_data.ts";

export const suite: BudgetedSuite<StepGroup> = {
  record: trainingRecord,
  section: trainingSection,
  open: openFiles,
  plan(planning) {
    const planned = planTrainingSuite(planning);
    const { corpus, start } = trainingOptions(planning.options);
    const files = corpus === undefined && start === undefined ? undefined : { corpus, start };
    return planned &&
      { groups: planned.groups, configuration: planned.section, identity: files };
  },
  planMemory: planTrainingMemory,
  begin(session, run) {
    const timer = new Timer(session.gpu);
    const shared: Shared = { timer, ...(run.opened as Files | undefined), checks: new Map() };
    const ceilings = ceilingsOf(session);
    for (const entry of run.plan.groups.flatMap(membersOf)) {
      if (!entry.plan || entry.skip) continue;
      session.budget.assume(entry, assumeSeconds(entry.plan.stages, ceilings));
    }
    return {
      measure: (group, options) => measureSteps(session, group, { ...options, shared }),
      finish: () => Promise.resolve(timer.destroy()),
    };
  },
};

/** What the options of the suite name. */
type Files = Pick<Shared, "corpus" | "start">;

/**
 * Reads the corpus and the checkpoint, if there are any, and refuses those that fit no model of the
 * run.
 *
 * @throws {UsageError} one line.
 */
async function openFiles(options: OpenOptions): Promise<Files | undefined> {
  const { corpus: text, start: weights } = trainingOptions(options);
  if (text === undefined && weights === undefined) return undefined;
  const corpus = text === undefined ? undefined : await readCorpus(text);
  const start = weights === undefined ? undefined : await readStart(weights);
  // Without a name the adapter decides between two of them.
  const names = options.profile === undefined ? ["smoke", "standard"] : [options.profile];
  const refused = names.map((profile) => {
    const section = sectionOf(loadProfile(profile), trainingRecord.name, trainingSection);
    const models = section ? applyTraining(section, options).models : [];
    return models.flatMap((model) =>
      model.vocabularies.flatMap((vocabulary) => [
        start && refuseStart(start, { ...model, vocabulary }),
        ...model.contexts.map((context) => corpus && refuseCorpus(corpus, { context, vocabulary })),
      ])
    ).find((reason) => reason !== undefined);
  });
  if (refused.every((reason) => reason !== undefined)) throw new UsageError(refused[0]!);
  return { corpus, start };
}

/** What a step is assumed to be limited by: matrix units where the device has them. */
function ceilingsOf({ calibration: { record }, gpu }: Session): StepCeilings {
  const matrix = (record.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
  const usesMatrix = matrix.length > 0 && gpu.capabilities.subgroupMatrix.length > 0;
  return {
    flopsPerSecond: usesMatrix ? Math.max(...matrix) : record.fmaF32?.median ?? 1e12,
    copyBytesPerSecond: record.copy?.median ?? 1e11,
    passSeconds: record.emptyPass?.median ?? 0,
  };
}
