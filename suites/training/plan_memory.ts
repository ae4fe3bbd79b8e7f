/**
 * The memory of the suite's models, buffer by buffer, without allocating anything.
 *
 * @module
 */
import { describeTrainingPlan, planTraining } from "../../kernels/training/model/model_plan.ts";
import { errorLine } from "../errors.ts";
import type { Planning } from "../plan/grid.ts";
import { usableMemory } from "../plan/memory_limit.ts";
import type { SuiteMemory } from "../suite.ts";
import { type PlannedStep, planTrainingSuite } from "./plan_training.ts";

/**
 * Plans the models that a run with these options would train.
 *
 * @throws {UsageError} one line, when none of them can be planned.
 */
export function planTrainingMemory(planning: Planning): SuiteMemory {
  const { device } = planning;
  // Models that do not fit are shown too.
  const unlimited = { ...device, deviceMemoryBytes: null, systemMemoryBytes: undefined };
  const planned = planTrainingSuite({ ...planning, device: unlimited });
  const steps = planned?.groups.flatMap(({ steps }) => [...steps.values()]) ?? [];
  const most = usableMemory(device);
  const lines: string[] = [];
  const refused: string[] = [];
  for (const step of steps) {
    const reason = refusalOf(step, { device, most });
    if (reason !== undefined) refused.push(reason);
    const verdict = reason === undefined ? "fits" : `refused: ${reason}`;
    const buffers = step.plan ? describeTrainingPlan(step.plan) : [];
    lines.push("", step.entry.id, ...[...buffers, verdict].map((line) => `  ${line}`));
  }
  return { lines, refused };
}

/** Why a model cannot be trained, with the option that would make it fit; undefined if it can. */
function refusalOf(
  { entry, plan, options, corpusBytes }: PlannedStep,
  { device, most }: { device: Planning["device"]; most: number },
): string | undefined {
  if (!plan) return entry.skip;
  if (plan.peakBytes <= most) return undefined;
  try {
    planTraining(device, options, { corpusBytes, memoryBytes: most });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return errorLine(error);
  }
}
