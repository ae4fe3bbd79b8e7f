/**
 * Statistics of the lists of blocks of a running case, and how far they change when the inputs get
 * a little noise: as `selection_quality_probe.ts` does for Lighthouse.
 *
 * @module
 */
import type { LayerInputs, Prepared } from "../../kernels/implementation.ts";
import { findImplementation } from "../plan/measurable.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { BlockSelectionRecord } from "../result/result_schema.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import { compareLists, describeLists } from "./list_quality.ts";
import { NOISE, selectFromNoise } from "./noisy_selection.ts";
import type { Session } from "./session.ts";

/**
 * Statistics of the last execution's lists; undefined if the layer has none, or if it does not
 * select: a backward pass alone.
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
  const noisy = await selectFromNoise(session, entry, { prepared, inputs, read: readSelection });
  if (noisy) found.stability = { noise: NOISE, jaccard: compareLists(lists, noisy, shape) };
  return found;
}
