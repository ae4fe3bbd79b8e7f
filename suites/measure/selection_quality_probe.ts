/**
 * Selection quality of a running case: reads its selection, compares it with what other scorers
 * selected from the same inputs, and with its own selection after the inputs got a little
 * noise (`noisy_selection.ts`).
 *
 * @module
 */
import type { LayerInputs, LayerOptions, Prepared } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import type { Session } from "./session.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { SelectionQualityRecord } from "../result/result_schema.ts";
import { NOISE, selectFromNoise } from "./noisy_selection.ts";
import { compareSelections, describeSelection } from "./selection_quality.ts";

/** A scorer's selection; without a dilation the scorer has none. */
interface Archived {
  readonly implementation: string;
  readonly options: LayerOptions;
  readonly selection: Int32Array;
}

/** Selections of a session by their inputs and options, for comparing scorers. */
const archives = new WeakMap<Session, Map<string, Archived[]>>();

/**
 * The quality of the last execution's selection; undefined if nothing is selected, or if
 * another direction of the same layer has reported it already.
 *
 * Executes the layer once more; its outputs afterwards are those of the noisy inputs.
 */
export async function probeSelection(
  session: Session,
  entry: PlannedCase,
  options: { prepared: Prepared; inputs: LayerInputs },
): Promise<SelectionQualityRecord | undefined> {
  const { prepared, inputs } = options;
  const { shape, options: layer } = entry.problem;
  const { readSelection } = prepared.outputs;
  if (!findRecord(SUITE_RECORDS, entry.suite).grid || !layer || !readSelection) return undefined;
  // Only a scorer's selection consists of entries of a pyramid.
  if (entry.scorer === undefined || layer.levels === undefined) return undefined;
  let archive = archives.get(session);
  if (!archive) archives.set(session, archive = new Map());
  const { implementation } = entry;
  const { heads, context, headDim, dtype } = shape;
  const geometry = planGeometry(context, lighthouseOptions(entry.problem));
  const { levels, pooling, k, ...own } = layer;
  const key = [heads, context, headDim, dtype, levels, pooling, k].join();
  let others = archive.get(key);
  if (!others) archive.set(key, others = []);
  const agrees = (other: Archived) =>
    Object.entries(own).every(([name, value]) =>
      value === undefined || other.options[name] === undefined || other.options[name] === value
    );
  if (others.some((other) => other.implementation === implementation && agrees(other))) {
    return undefined;
  }
  // Of other scorers, those with equal values of the options that both have.
  const comparable = others.filter((other) =>
    other.implementation !== implementation && agrees(other)
  );
  const selection = await readSelection();
  const quality: SelectionQualityRecord = {
    ...describeSelection(selection, geometry),
    overlaps: comparable.map((other) => ({
      implementation: other.implementation,
      ...compareSelections(other.selection, selection, geometry),
    })),
  };
  others.push({ implementation, options: own, selection });
  // A backward pass alone does not select again.
  if (entry.direction === "backward") return quality;
  const noisy = await selectFromNoise(session, entry, { prepared, inputs, read: readSelection });
  if (noisy) quality.stability = { noise: NOISE, ...compareSelections(selection, noisy, geometry) };
  return quality;
}
