/**
 * Trials of arms that are other implementations: what their last queries attend to, and read.
 *
 * @module
 */
import type { AttentionShape } from "../../kernels/implementation.ts";
import { type AttendedKeys, attendedKeys } from "./attended_keys.ts";
import type { PlantedRow } from "./planting.ts";
import type { Setting } from "./retrieval_plan.ts";
import { findRival, type RivalLayer, rivalProblem } from "./rival_arms.ts";

/** The result of one arm in one trial. */
export interface Outcome {
  readonly output: Float64Array;
  readonly needle: boolean;
  readonly query: boolean;
  readonly mass: number;
  readonly finest?: number;
}

/** What the last query of another implementation attends to in every trial of a batch. */
export function rivalKeys(
  rival: RivalLayer,
  { shape, first, logits, trials, planted }: {
    /** Of the batch. */
    readonly shape: AttentionShape;
    /** Number of the batch's first trial. */
    readonly first: number;
    /** Of all rows before planting, by head. */
    readonly logits: readonly Float32Array[];
    /** Of all batches. */
    readonly trials: number;
    readonly planted: readonly PlantedRow[][];
  },
): AttendedKeys[] {
  const { context, headDim } = shape;
  const problem = rivalProblem(rival, { trials, context, headDim });
  const found = findRival(rival.implementation);
  return planted.map((own, head) => {
    const edited = Float32Array.from(logits[head]);
    for (const { row, logit } of own) edited[row] = logit;
    return attendedKeys(found, problem, { logits: edited, trial: first + head });
  });
}

/** Whether the last query attends to the needle itself, and what it reads. */
export function rivalOutcomes(
  { needles }: Setting,
  { keys, outputs, planted }: {
    keys: readonly AttendedKeys[];
    outputs: readonly Float64Array[];
    planted: readonly PlantedRow[][];
  },
): Outcome[] {
  return keys.map(({ spans, rows, weights }, head): Outcome => {
    const kept = planted[head].slice(0, needles.length).filter(({ row }) =>
      spans.some(({ first, end }) => row >= first && row < end)
    );
    const mass = kept.reduce((sum, { row }) => sum + weights[rows.indexOf(row)], 0);
    return { output: outputs[head], needle: kept.length > 0, query: true, mass };
  });
}
