/**
 * Weights that a run keeps, for the needle test on other devices.
 *
 * @module
 */
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import { packWeights } from "../retrieval/trained_weights.ts";
import type { ExperimentRunOptions } from "./run_experiment.ts";
import type { Unit } from "./units.ts";

/**
 * The file of a trained model; undefined where it is not to be kept: of an arm that is not among
 * `weights`, or of another seed than the run's first.
 */
export async function keptWeights(
  { arm, seed }: Unit,
  { model, options }: {
    model: TrainingModel;
    options: Pick<ExperimentRunOptions, "loaded" | "seeds"> & {
      readonly weights: readonly string[];
    };
  },
): Promise<Uint8Array | undefined> {
  const { experiment } = options.loaded;
  const [first] = experiment.seeds.filter((one) => options.seeds?.includes(one) ?? true);
  if (!options.weights.includes(arm.name) || seed !== first) return undefined;
  const { needles, keyed } = experiment.evaluation;
  const one = needles ?? { contexts: [experiment.model.context], depths: [50] };
  const name = `${experiment.name}, ${arm.name}, seed ${seed}`;
  return await packWeights(model, { name, protocol: { ...one, ...(keyed && { keyed }) } });
}
