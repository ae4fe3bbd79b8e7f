/**
 * Selection quality of a running case: reads its selection, compares it with what other scorers
 * selected from the same inputs, and with its own selection after the inputs got a little
 * noise.
 *
 * Noise: every element of Q and K is multiplied by 1 + ε, ε seeded with standard deviation
 * {@linkcode NOISE}, the largest relative rounding error of bf16; V stays. The inputs are restored
 * from their seeds.
 *
 * @module
 */
import { perturbTensor } from "../../kernels/gpu/noise.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { LayerInputs, LayerOptions, Prepared } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import type { Session } from "./session.ts";
import { findRecord } from "../result/suite_record.ts";
import { SUITE_RECORDS } from "../result/suite_records.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { SelectionQualityRecord } from "../result/result_schema.ts";
import { compareSelections, describeSelection } from "./selection_quality.ts";

/** Standard deviation of the relative noise on Q and K. */
export const NOISE = 2 ** -8;

/** Seeds of the noise lie this far above those of the inputs. */
export const NOISE_SEED_STEP = 0x10000;

/** Share of the budget still left that the execution on noisy inputs may take. */
export const PROBE_SHARE = 0.02;

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
  const { budget, seed, gpu, signal } = session;
  // A backward pass alone does not select again.
  const affordable = budget.predict(entry) <= PROBE_SHARE * budget.left;
  if (entry.direction === "backward" || !affordable) return quality;
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
    quality.stability = { noise: NOISE, ...compareSelections(selection, noisy, geometry) };
  } finally {
    for (const [i, tensor] of perturbed.entries()) await fillSeeded(gpu, tensor, seed + i);
  }
  return quality;
}
