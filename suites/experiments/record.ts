/**
 * What training experiments record: the part `experiment` of a result file.
 *
 * @module
 */
import { z } from "zod";
import type {
  BaseRecord,
  EvaluationRecord,
  ExperimentRecord,
  Result,
  TrainedUnit,
} from "../result/result.ts";
import { answerCellSchema } from "../result/common_schema.ts";
import type { SuiteRecord } from "../result/suite_record.ts";

const count = z.int().nonnegative();

export const evaluationSchema: z.ZodType<EvaluationRecord> = z.looseObject({
  when: z.enum(["base", "switch", "end"]).describe(
    "Before the first step, before the dense resume, or after it.",
  ),
  step: count.describe("Steps trained."),
  seconds: z.number().nonnegative().describe("Wall-clock seconds that it took."),
  heldOut: z.array(z.number()).describe(
    "Mean loss of each held-out sequence, in nats per token; the same sequences for every unit.",
  ),
  needles: z.array(answerCellSchema).describe(
    "The cells of the needle test, one needle and several.",
  ),
}).meta({
  id: "EvaluationRecord",
  description: "A trained model evaluated with every layer dense.",
});

export const baseRecordSchema: z.ZodType<BaseRecord> = z.looseObject({
  context: z.int().positive().describe("Its context, N."),
  steps: z.int().positive().describe("Steps trained."),
  tokensPerStep: z.int().positive().describe("Tokens of one step."),
  seconds: z.number().nonnegative().describe("Wall-clock seconds of the steps."),
  loss: z.number().describe(
    "Mean training loss of the last tenth of the steps, in nats per token.",
  ),
}).meta({
  id: "BaseRecord",
  description: "Dense training at a short context, from whose weights all arms of a seed go on.",
});

export const unitSchema: z.ZodType<TrainedUnit> = z.looseObject({
  case: z.string().describe("Id of its case."),
  arm: z.string().describe("As the experiment names it."),
  seed: count.describe("Of the weights and of the data."),
  base: baseRecordSchema.optional().describe("What it went on from; absent: seeded weights."),
  switchStep: count.describe("Step from which every layer is dense."),
  tokensPerStep: z.int().positive().describe("Tokens of one step."),
  losses: z.array(z.number()).describe("Mean training loss of each step, in nats per token."),
  skippedSteps: z.array(count).describe(
    "Steps without an update, since a gradient was not finite.",
  ),
  seconds: z.looseObject({
    first: z.number().nonnegative().describe("Before the switch."),
    resume: z.number().nonnegative().describe("After it."),
  }).describe("Wall-clock seconds of the steps, without evaluations and checkpoints."),
  firstSteps: count.describe("Steps behind `seconds.first`; fewer where the unit was resumed."),
  resumeSteps: count.describe("Steps behind `seconds.resume`."),
  evaluations: z.array(evaluationSchema).describe(
    "Before the first step where there is a base, at the switch and at the end.",
  ),
}).meta({ id: "TrainedUnit", description: "One arm trained with one seed." });

export const experimentRecordSchema: z.ZodType<ExperimentRecord> = z.looseObject({
  name: z.string().describe("`needle`, `two-stage`, …"),
  title: z.string().describe("What it asks, one line."),
  registration: z.looseObject({
    hash: z.string().describe("SHA-256 of `experiment`, with sorted keys."),
    registered: z.boolean().describe("Whether it is one of the committed experiments, unchanged."),
    experiment: z.record(z.string(), z.unknown()).describe(
      "What was written down before the run: hypotheses, arms, seeds, steps, evaluation, rule for stopping.",
    ),
    deviations: z.array(z.string()).describe("In what this run differs from it, one line each."),
  }).describe("What the run was to do."),
  data: z.looseObject({
    text: z.enum(["language", "corpus"]).describe(
      "The synthetic language, or a corpus of the user's.",
    ),
    digest: z.string().describe(
      "SHA-256 of the held-out sequences and of the first sequences of each seed.",
    ),
    corpus: z.looseObject({
      bytes: z.int().positive().describe("All of it."),
      sha256: z.string().describe("Of its bytes."),
      heldOutBytes: z.int().positive().describe("At its end, never trained on."),
    }).optional().describe("Of a corpus."),
  }).describe("What was trained on."),
  check: z.looseObject({
    passed: z.boolean().describe("Whether the evaluation is right."),
    detail: z.string().describe("What was compared with what."),
    maxError: z.number().describe("Largest difference of a token's loss, in nats."),
    tolerance: z.number().describe("What rounding explains."),
  }).nullable().describe(
    "A trained model evaluated on the device against float64; null before the first unit ended.",
  ),
  units: z.array(unitSchema).describe("Those that were finished."),
}).meta({
  id: "ExperimentRecord",
  description: "A training experiment: what was registered, and what came out.",
});

/** Cases are units: one arm with one seed. */
export const experimentsRecord: SuiteRecord = {
  name: "experiments",
  command: "train",
  title: "models trained with either attention and resumed densely",
  plannedBy: ["experiment"],
  part: {
    key: "experiment",
    join: (results) => joinExperiments(results.map(({ experiment }) => experiment)),
    measured: ({ experiment }) => (experiment?.units.length ?? 0) > 0,
    findings: ({ experiment }: Result, caseId) =>
      new Map(
        (experiment?.units ?? []).filter((unit) => unit.case === caseId).map((unit) => [
          `${unit.arm}, seed ${unit.seed}`,
          { losses: unit.losses, evaluations: unit.evaluations.map(({ heldOut }) => heldOut) },
        ]),
      ),
  },
};

function joinExperiments(
  records: readonly (ExperimentRecord | undefined)[],
): ExperimentRecord | undefined {
  const present = records.filter((record) => record !== undefined);
  if (present.length === 0) return undefined;
  const checks = present.flatMap(({ check }) => check ?? []);
  return {
    ...present[0],
    registration: {
      ...present[0].registration,
      deviations: [...new Set(present.flatMap(({ registration }) => registration.deviations))],
    },
    check: checks.find(({ passed }) => !passed) ?? checks[0] ?? null,
    units: present.flatMap(({ units }) => units),
  };
}
