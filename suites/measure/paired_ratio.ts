/**
 * The ratio of two cases measured in the same rounds.
 *
 * @module
 */
import type { CaseRecord, RatioRecord } from "../result/result_schema.ts";
import { bootstrapRatio, type PairedRound } from "../statistics/statistics.ts";

/**
 * The ratio of two cases over the rounds that contain both, without rounds at a low clock;
 * undefined if none is left.
 */
export function pairedRatio(
  { a, b }: Record<"a" | "b", Pick<CaseRecord, "id" | "samples">>,
  options: { seed: number },
): RatioRecord | undefined {
  const used: PairedRound[] = [];
  for (const round of new Set(b.samples.map((sample) => sample.round))) {
    const [numerator, denominator] = [a, b].map(({ samples }) =>
      samples.filter((sample) => sample.round === round)
    );
    const clean = [...numerator, ...denominator].every(({ flag }) => flag === undefined);
    if (!clean || numerator.length === 0) continue;
    used.push({
      numerator: numerator.map(({ seconds }) => seconds),
      denominator: denominator.map(({ seconds }) => seconds),
    });
  }
  // A clock too coarse for the work gives zeros, which have no ratio.
  if (used.length === 0) return undefined;
  if (used.some((round) => round.denominator.some((seconds) => !(seconds > 0)))) return undefined;
  const { estimate, low, high } = bootstrapRatio(used, options);
  return {
    numerator: a.id,
    denominator: b.id,
    method: "abba",
    rounds: used.length,
    ratio: estimate,
    low,
    high,
  };
}
