/**
 * The measured points for judging the latency claims, or the reason why there is none.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { hasSetting, isMeasured, LEAD_LAYER, OWN_DENSE } from "../data/cases.ts";
import { reasonText } from "../data/reasons.ts";
import { type SpeedupPoint, speedupPoints } from "../data/speedups.ts";
import { largest } from "../data/extremes.ts";
import { formatContext, formatCount, formatMeasured, formatRatio } from "../text/format.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { type Direction, HEADLINE_CONTEXT, PAPER_SETTING } from "./paper.ts";

/** Names of the stacks in sentences. */
export const STACK_NAMES: Record<Result["stack"], string> = {
  dawn: "Dawn",
  deno: "Deno's own WebGPU",
  browser: "the browser's WebGPU",
};

/** Dense attention and the norm scorer at 512K with the paper's setting, measured or not. */
export function headlineCases(result: Result, direction: Direction): CaseRecord[] {
  return result.cases.filter((record) =>
    record.direction === direction && record.shape.context === HEADLINE_CONTEXT &&
    hasSetting(record, PAPER_SETTING) &&
    (record.implementation === OWN_DENSE || record.implementation === LEAD_LAYER)
  );
}

/** Ratios at exactly the paper's setting, Lighthouse with the norm scorer, the smaller type first. */
export function paperPoints(result: Result, direction: Direction): SpeedupPoint[] {
  return speedupPoints(result).filter(({ numerator, denominator }) =>
    denominator.implementation === LEAD_LAYER && denominator.direction === direction &&
    hasSetting(denominator, PAPER_SETTING) && hasSetting(numerator, PAPER_SETTING)
  ).sort((a, b) => a.denominator.shape.dtype < b.denominator.shape.dtype ? -1 : 1);
}

/** The ratio for the paper's headline; null if it was not measured. */
export function headlinePoint(result: Result, direction: Direction): SpeedupPoint | null {
  return paperPoints(result, direction).find(({ context }) => context === HEADLINE_CONTEXT) ??
    null;
}

export function nearestPoint(result: Result, direction: Direction): SpeedupPoint | null {
  const longest = (points: SpeedupPoint[]) =>
    points.reduce<SpeedupPoint | null>(
      (best, point) => best === null || point.context > best.context ? point : best,
      null,
    );
  const all = speedupPoints(result).filter(({ denominator }) =>
    denominator.implementation === LEAD_LAYER && denominator.direction === direction
  );
  return longest(paperPoints(result, direction)) ?? longest(all);
}

export function describePoint(point: SpeedupPoint): string {
  const { context, ratio, denominator } = point;
  const { heads, headDim } = denominator.shape;
  const { levels, pooling, k } = denominator.options!;
  const shape = hasSetting(denominator, PAPER_SETTING)
    ? ""
    : ` with H = ${heads}, d = ${headDim}, L = ${levels}, p = ${pooling}, k = ${formatCount(k)}`;
  return `${formatMeasured(ratio, point, formatRatio)} at ${formatContext(context)}${shape}`;
}

export function whyNotReached(result: Result, direction: Direction): string {
  const inDirection = result.cases.filter((record) => record.direction === direction);
  if (inDirection.length === 0) return `No ${directionName(direction)} case was part of this run.`;
  const there = headlineCases(result, direction);
  const missing = there.find((record) => !isMeasured(record));
  if (missing !== undefined) {
    const state = { skipped: "was skipped", inconclusive: "is inconclusive", failed: "failed" };
    const status = missing.status === "ok" ? "failed" : missing.status;
    const name = missing.implementation === OWN_DENSE ? "Dense attention" : "Lighthouse";
    return `${name} at 512K ${state[status]}: ${
      plainText(reasonText(missing)).replace(/\.$/, "")
    }.`;
  }
  if (there.length >= 2) {
    return "Dense and Lighthouse were both timed at 512K, but not in interleaved rounds, so no ratio " +
      "is given.";
  }
  const longest = largest(inDirection.map((record) => record.shape.context));
  return longest >= HEADLINE_CONTEXT
    ? "512K was not run at the paper's setting (H = 8, d = 128, L = 3, p = 4, k = N/64)."
    : `The run was planned to ${formatContext(longest)} only.`;
}

export function benchCommand(
  result: Result,
  options: { contexts: readonly number[]; direction: Direction },
): string {
  const { heads, headDim, levels, pooling, kDivisor } = PAPER_SETTING;
  return [
    "deno task bench latency --profile paper",
    `--context ${options.contexts.join(",")}`,
    `--heads ${heads} --head-dim ${headDim} --levels ${levels} --pooling ${pooling} --k N/${kDivisor}`,
    `--scorer norm --direction ${options.direction} --stack ${result.stack} --seed ${result.seed}`,
  ].join(" ");
}

export function directionName(direction: Direction): string {
  return direction === "forward" ? "forward" : "forward and backward";
}
