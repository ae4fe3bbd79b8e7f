/**
 * Cells of the retrieval suite: counts while trials come in, and their records.
 *
 * @module
 */
import type { RetrievalCell } from "../result/result_schema.ts";
import { mcNemar, wilsonInterval } from "../statistics/intervals.ts";
import { type Arm, type PartPlan, REFERENCE_SCORER, type Setting } from "./retrieval_plan.ts";

/** Counts of one arm at one setting while trials come in. */
export class CellCounts {
  readonly correct: boolean[] = [];
  needle = 0;
  query = 0;
  largest = 0;
  mass = 0;
  norm = 0;
  error = 0;
  lost = { needle: 0, query: 0, diluted: 0 };
  finest: number[] = [];
  attended = 0;
  /** Sums over trials of the mean and variance of the mass, given each needle's logit. */
  massMean = 0;
  massVariance = 0;
}

/** Seven digits: more than float32 results have, and a third less file size. */
function shorten(value: number): number {
  return Number(value.toPrecision(7));
}

/** What distinguishes the cell of an arm at a setting from all others of a part. */
export function cellKey(setting: Setting, { name, lighthouse, rival }: Arm): string {
  const { sweep, depth, margin, salience, stress } = setting;
  return JSON.stringify([sweep, depth, margin, salience, stress, name, lighthouse, rival]);
}

/** The cells of a part, from its counts. */
export function cellsOf(plan: PartPlan, counts: ReadonlyMap<string, CellCounts>): RetrievalCell[] {
  return plan.settings.flatMap((setting) =>
    setting.arms.filter(({ reference }) => !reference).flatMap((arm): RetrievalCell[] => {
      const found = counts.get(cellKey(setting, arm));
      if (!found) return [];
      const { lighthouse, rival, name } = arm;
      const { sweep, depth, margin, salience, stress, needles } = setting;
      const trials = found.correct.length;
      const correct = found.correct.filter(Boolean).length;
      const { low, high } = wilsonInterval(correct, trials);
      const others: Arm[] = ["dense", "random"].map((name) => ({ name }));
      // Beside another implementation: Lighthouse with the norm scorer.
      if (rival) others.push(...setting.arms.filter(({ lighthouse }) => lighthouse));
      // Between scorers: the layer that differs only in the scorer.
      if (lighthouse) {
        const norm = setting.arms.find(({ lighthouse: other }) =>
          other && other.scorer === REFERENCE_SCORER && other.levels === lighthouse.levels &&
          other.pooling === lighthouse.pooling && other.k === lighthouse.k
        );
        if (norm) others.push(norm);
      }
      const paired = others.flatMap((one) => {
        const { name: other } = one;
        const with_ = counts.get(cellKey(setting, one));
        if (!with_ || other === name || with_.correct.length !== trials) return [];
        const onlyThis = found.correct.filter((own, t) => own && !with_.correct[t]).length;
        const onlyOther = found.correct.filter((own, t) => !own && with_.correct[t]).length;
        const probability = shorten(mcNemar(onlyThis, onlyOther));
        return [{ with: other, onlyThis, onlyOther, probability }];
      });
      return [{
        sweep,
        arm: name,
        context: plan.context,
        ...(depth !== undefined && { depth }),
        margin,
        ...(salience !== undefined && { salience }),
        ...(stress !== undefined && { stress }),
        ...(lighthouse && {
          lighthouse: { ...lighthouse },
          finestLevels: Array.from({ length: lighthouse.levels }, (_, l) => found.finest[l] ?? 0),
        }),
        ...(rival && { layer: { preset: rival.preset, options: { ...rival.options } } }),
        attended: found.attended,
        needles: needles.length,
        trials,
        correct,
        low: shorten(low),
        high: shorten(high),
        needleSelected: found.needle,
        querySelected: found.query,
        lost: found.lost,
        largest: found.largest,
        mass: shorten(found.mass / trials),
        norm: needles.length > 0 ? shorten(found.norm / trials) : null,
        outputError: shorten(found.error / trials),
        paired,
      }];
    })
  );
}
