/**
 * The check of the instrument: dense attention, the oracle and chance against their laws.
 *
 * @module
 */
import type { InstrumentRecord, RetrievalRecord } from "../result/result_schema.ts";
import { acceptanceBand } from "../statistics/intervals.ts";
import { normalQuantile } from "../statistics/normal.ts";
import { type CellCounts, cellKey } from "./cells.ts";
import { accuracyLaw, DIGITS, largestLogitLaw, massLaw, oracleLaw } from "./law.ts";
import type { RetrievalProfile } from "./profile.ts";
import type { PartPlan } from "./retrieval_plan.ts";

/** Chance that every band of the instrument check holds if the laws are exact. */
export const CONFIDENCE = 0.99;

/** Instrument checks that a part makes. */
export function countChecks({ name, settings }: PartPlan): number {
  // Its arms of reference are checked in the grid.
  if (name === "rivals") return 0;
  return settings.reduce((sum, { sweep, arms }) => {
    const has = (name: string) => arms.some((arm) => arm.name === name);
    if (sweep !== "transition") return sum;
    return sum + (has("dense") ? 3 : 0) + (has("oracle") ? 1 : 0) + (has("absent") ? 1 : 0);
  }, 0);
}

/** Dense attention and the oracle at one context, against their laws. */
export function instrumentOf(
  plan: PartPlan,
  options: { counts: Map<string, CellCounts>; headDim: number; checks: number },
): InstrumentRecord[] {
  const { counts, headDim } = options;
  const { context, attended } = plan;
  if (plan.name === "rivals") return [];
  const confidence = 1 - (1 - CONFIDENCE) / options.checks;
  const z = normalQuantile(0.5 + confidence / 2);
  return plan.settings.filter(({ sweep }) => sweep === "transition").flatMap((setting) => {
    const of = (name: string) => counts.get(cellKey(setting, { name }));
    const { margin } = setting;
    const rate = (
      quantity: InstrumentRecord["quantity"],
      found: { hits: number; trials: number; law: number },
    ): InstrumentRecord => {
      const { hits, trials, law } = found;
      const { low, high } = acceptanceBand(law, { trials, confidence });
      const measured = hits / trials;
      const passed = measured >= low && measured <= high;
      return { quantity, context, margin, trials, measured, law, low, high, passed };
    };
    const hits = (cell: CellCounts) => cell.correct.filter(Boolean).length;
    const found: InstrumentRecord[] = [];
    const absent = of("absent");
    if (absent) {
      const trials = absent.correct.length;
      found.push(rate("absent", { hits: hits(absent), trials, law: 1 / DIGITS }));
    }
    const dense = of("dense");
    if (dense) {
      const trials = dense.correct.length;
      const model = { context, margin };
      const law = dense.massMean / trials;
      // Besides chance, float32 weights: a few parts in a million.
      const half = z * Math.sqrt(dense.massVariance) / trials + 1e-5 * law;
      const measured = dense.mass / trials;
      found.push(
        rate("largest", { hits: dense.largest, trials, law: largestLogitLaw(model) }),
        {
          quantity: "mass",
          context,
          margin,
          trials,
          measured,
          law,
          atMargin: massLaw(model).atMargin,
          low: law - half,
          high: law + half,
          passed: Math.abs(measured - law) <= half,
        },
        rate("accuracy", { hits: hits(dense), trials, law: accuracyLaw({ ...model, headDim }) }),
      );
    }
    const oracle = of("oracle");
    if (oracle) {
      const law = oracleLaw({ context, margin, selected: attended });
      found.push(rate("oracle", { hits: oracle.needle, trials: oracle.correct.length, law }));
    }
    return found;
  });
}

/** The laws along the margins of a context's transition. */
export function lawsOf(
  { name, context, attended, settings }: PartPlan,
  { headDim }: RetrievalProfile,
): RetrievalRecord["laws"] {
  if (name === "rivals") return [];
  const margins = settings.filter(({ sweep, needles }) =>
    sweep === "transition" && needles.length > 0
  ).map(({ margin }) => margin);
  if (margins.length === 0) return [];
  const [low, high] = [Math.min(...margins), Math.max(...margins)];
  const steps = Math.max(1, Math.min(24, Math.round((high - low) * 4)));
  return Array.from({ length: steps + 1 }, (_, i) => {
    const margin = low + (high - low) * i / steps;
    const model = { context, margin };
    return {
      ...model,
      largest: largestLogitLaw(model),
      mass: massLaw(model).mean,
      accuracy: accuracyLaw({ ...model, headDim }),
      oracle: oracleLaw({ ...model, selected: attended }),
    };
  });
}
