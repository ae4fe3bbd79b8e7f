/**
 * Whole training steps of a result: their rates, what their time goes to, and how much faster Lighthouse
 * trains than dense attention.
 *
 * @module
 */
import type {
  CaseRecord,
  Result,
  StageRecord,
  Statistic,
  TrainingRecord,
} from "../../suites/result/result_schema.ts";
import { casesById, isMeasured, OWN_DENSE, stageSeconds } from "./cases.ts";
import { ceilingsOf } from "./ceilings.ts";
import { ratioSpread, type Spread } from "./spread.ts";

/** A measured step. */
export interface TrainingCase {
  record: CaseRecord & { statistic: Statistic };
  training: TrainingRecord;
  /** Tokens of a step by its median seconds. */
  tokensPerSecond: number;
  /** Seconds of each class of work; empty where stages were not timed. */
  classes: { name: string; seconds: number; share: number }[];
  /** Matrix products against the ceiling of the unit that they ran on; null if either is unknown. */
  products: ProductRate | null;
}

/** How fast the matrix products of a step ran. */
export interface ProductRate {
  flopsPerSecond: number;
  unit: "matrix units" | "f32 FMA";
  /** Of the unit's measured ceiling; null if that was not measured. */
  share: number | null;
}

/** Lighthouse beside dense attention in the same model. */
export interface TrainingPair extends Partial<Spread> {
  lighthouse: TrainingCase;
  dense: TrainingCase;
  /** Dense seconds / Lighthouse seconds: tokens per second relative to dense. */
  ratio: number;
  /** Interleaved rounds that both were in; 0 if the medians alone are compared. */
  rounds: number;
}

/** Measured steps, in the order of the result. */
export function trainingCases(result: Result): TrainingCase[] {
  return result.cases.flatMap((record): TrainingCase[] => {
    const { training } = record;
    if (training === undefined || !isMeasured(record)) return [];
    const { statistic: { median }, stages } = record;
    const timed = stages.length > 1
      ? stages.flatMap((stage) => {
        const seconds = stageSeconds(stage);
        return seconds === null ? [] : [{ name: stage.name, seconds }];
      })
      : [];
    const sum = timed.reduce((total, { seconds }) => total + seconds, 0);
    return [{
      record,
      training,
      tokensPerSecond: training.tokens / median,
      classes: timed.map((one) => ({ ...one, share: one.seconds / sum })),
      products: productRate(stages.find(({ name }) => name === "products"), result),
    }];
  });
}

function productRate(
  stage: StageRecord | undefined,
  { calibration }: Pick<Result, "calibration">,
): ProductRate | null {
  const seconds = stage && stageSeconds(stage);
  if (!stage || !seconds) return null;
  const { matrix, fmaF32 } = ceilingsOf(calibration);
  const unit = stage.variant?.startsWith("matrix units") ? "matrix units" : "f32 FMA";
  const ceiling = unit === "matrix units" ? matrix : fmaF32;
  const flopsPerSecond = stage.flops / seconds;
  return { flopsPerSecond, unit, share: ceiling === null ? null : flopsPerSecond / ceiling };
}

/** Everything of a model but how it attends and recomputes. */
function modelKey({ record: { shape }, training }: TrainingCase): string {
  const { layers, width, ffn, vocabulary, batch, accumulate } = training;
  const { heads, context, dtype } = shape;
  return [layers, width, ffn, vocabulary, batch, accumulate, heads, context, dtype].join(" ");
}

/** Whether a step is a peer's. */
export function isPeerStep({ record }: Pick<TrainingCase, "record">): boolean {
  return record.implementation.startsWith("peer:");
}

/**
 * Lighthouse steps over dense ones of the same model: ours over our own in the same recompute mode and
 * over every peer's, a peer's over its own.
 */
export function trainingPairs(result: Result): TrainingPair[] {
  const cases = trainingCases(result);
  const known = casesById(result);
  const dense = cases.filter(({ record }) => record.family === "dense");
  const isPair = (lighthouse: TrainingCase, one: TrainingCase) => {
    if (modelKey(one) !== modelKey(lighthouse)) return false;
    if (isPeerStep(lighthouse)) {
      return one.record.implementation === lighthouse.record.implementation;
    }
    return isPeerStep(one) || one.record.implementation === OWN_DENSE &&
        one.training.recompute === lighthouse.training.recompute;
  };
  return cases.filter((one) => one.record.family === "lighthouse")
    .flatMap((lighthouse) =>
      dense.filter((one) => isPair(lighthouse, one)).map((one): TrainingPair => {
        const found = result.ratios.find(({ numerator, denominator }) =>
          numerator === one.record.id && denominator === lighthouse.record.id &&
          known.has(numerator)
        );
        const pair = { lighthouse, dense: one };
        if (!found) {
          const ratio = lighthouse.tokensPerSecond / one.tokensPerSecond;
          return { ...pair, ratio, rounds: 0 };
        }
        const { ratio, rounds } = found;
        const sides = { numerator: one.record, denominator: lighthouse.record };
        return { ...pair, ratio, rounds, ...ratioSpread(found, sides) };
      })
    );
}

/**
 * How much faster a whole run is whose first `sparse` steps train with Lighthouse and whose others are
 * dense, from the ratio of one step: computed, not measured.
 *
 * @example
 * ```ts
 * import { wholeRunSpeedup } from "./training_data.ts";
 * import assert from "node:assert/strict";
 * // All steps twice as fast; half of them.
 * assert.equal(wholeRunSpeedup(2, { sparse: 10, total: 10 }), 2);
 * assert.equal(wholeRunSpeedup(2, { sparse: 5, total: 10 }), 10 / 7.5);
 * ```
 */
export function wholeRunSpeedup(
  ratio: number,
  { sparse, total }: { readonly sparse: number; readonly total: number },
): number {
  return total / (sparse / ratio + total - sparse);
}
