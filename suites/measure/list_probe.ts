/**
 * Statistics of the lists of blocks of a running case, and how far they change when the inputs get a
 * little noise: as `selection_quality_probe.ts` does for Lighthouse.
 *
 * @module
 */
import { perturbTensor } from "../../kernels/gpu/noise.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { LayerInputs, Prepared } from "../../kernels/implementation.ts";
import { findImplementation } from "../plan/measurable.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { BlockSelectionRecord } from "../result/result_schema.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import { compareLists, describeLists } from "./list_quality.ts";
import { NOISE, NOISE_SEED_STEP, PROBE_SHARE } from "./selection_quality_probe.ts";
import type { Session } from "./session.ts";

/**
 * Statistics of the last execution's lists; undefined if the layer has none, or if it does not select:
 * a backward pass alone.
 *
 * Executes the layer once more; its outputs afterwards are those of the noisy inputs.
 */
export async function probeLists(
  session: Session,
  entry: PlannedCase,
  { prepared, inputs }: { prepared: Prepared; inputs: LayerInputs },
): Promise<BlockSelectionRecord | undefined> {
  const { selector } = findImplementation(session.registry, entry.implementation);
  const { readSelection } = prepared.outputs;
  const timed = findRecord(SUITE_RECORDS, entry.suite).grid;
  if (!selector || !readSelection || !timed || entry.direction === "backward") return undefined;
  const { problem } = entry;
  const shape = {
    context: problem.shape.context,
    width: selector.width(problem),
    block: problem.options!.block!,
  };
  const lists = await readSelection();
  const found: BlockSelectionRecord = describeLists(lists, shape);
  const { budget, seed, gpu, signal } = session;
  if (budget.predict(entry) > PROBE_SHARE * budget.left) return found;
  session.step(`${entry.id}: selecting from noisy inputs`);
  const perturbed = [inputs.q, inputs.k];
  try {
    for (const [i, tensor] of perturbed.entries()) {
      await perturbTensor(gpu, tensor, {
        seed: (seed + NOISE_SEED_STEP + i) >>> 0,
        deviation: NOISE,
      });
    }
    await prepared.execute({ flopsPerSecond: budget.flopsPerSecond(entry), signal });
    const noisy = await readSelection();
    found.stability = { noise: NOISE, jaccard: compareLists(lists, noisy, shape) };
  } finally {
    for (const [i, tensor] of perturbed.entries()) await fillSeeded(gpu, tensor, seed + i);
  }
  return found;
}
