/**
 * What a run's training steps say, in one sentence.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import {
  isPeerStep,
  type TrainingCase,
  trainingCases,
  type TrainingPair,
  trainingPairs,
} from "../data/training_data.ts";
import {
  formatContext,
  formatCount,
  formatMeasured,
  formatRatio,
  formatTokenRate,
} from "../text/format.ts";

/** How a step attends, in words: `lighthouse-norm, L = 3, p = 4, k = 1,536`. */
export function stepName({ record }: Pick<TrainingCase, "record">): string {
  const { implementation, options } = record;
  const name = implementation.replace(/^peer:/, "");
  if (!options) return name;
  const { levels, pooling, k } = options;
  return `${name}, L = ${levels}, p = ${pooling}, k = ${formatCount(k)}`;
}

/** The ratio of a pair with its spread, if its rounds were interleaved. */
export function pairRatio({ ratio, low, high, count, kind }: TrainingPair): string {
  if (low === undefined || high === undefined || count === undefined || kind === undefined) {
    return formatRatio(ratio);
  }
  return formatMeasured(ratio, { low, high, count, kind }, formatRatio);
}

/** The largest ratio of our Lighthouse over our own dense step; null if there is none. */
export function leadPair(result: Result): TrainingPair | null {
  return trainingPairs(result).filter(({ dense }) => !isPeerStep(dense))
    .reduce<TrainingPair | null>((a, b) => a === null || b.ratio > a.ratio ? b : a, null);
}

/** The fastest step beside our own dense one, one sentence; null for a run without training. */
export function trainingSentence(result: Result): string | null {
  const pair = leadPair(result);
  if (pair !== null) {
    const { lighthouse } = pair;
    return `At ${formatContext(lighthouse.record.shape.context)}, a training step with ` +
      `${stepName(lighthouse)} does ${formatTokenRate(lighthouse.tokensPerSecond)}, ` +
      `${pairRatio(pair)} the rate of this suite's own dense step.`;
  }
  const [first] = trainingCases(result);
  return first === undefined
    ? null
    : `At ${formatContext(first.record.shape.context)}, a training step with ${
      stepName(first)
    } does ${formatTokenRate(first.tokensPerSecond)}.`;
}
