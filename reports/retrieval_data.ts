/**
 * What the report says of the retrieval suite: numbers for its figures and sentences.
 *
 * @module
 */
import type { RetrievalCell, RetrievalRecord } from "../suites/retrieval/retrieval_schema.ts";

/** The cells of one arm in the grid of contexts and depths, at one margin. */
export interface HeatMap {
  arm: string;
  margin: number;
  contexts: number[];
  depths: number[];
  /** `[depth][context]`; null where a cell was not measured. */
  cells: (RetrievalCell | null)[][];
  /** Mean rate over the measured cells, as Fig. 4 gives it. */
  mean: number;
}

/** Share of trials whose digit was decoded. */
export function rateOf({ correct, trials }: Pick<RetrievalCell, "correct" | "trials">): number {
  return correct / trials;
}

/** One map for each arm and margin, all on the axes of the whole grid; arms as they come. */
export function heatMaps(record: RetrievalRecord): HeatMap[] {
  const grid = record.cells.filter(({ sweep, depth }) => sweep === "grid" && depth !== undefined);
  const contexts = ascending(grid.map(({ context }) => context));
  const depths = ascending(grid.map(({ depth }) => depth!));
  const margins = ascending(grid.map(({ margin }) => margin));
  const arms = [...new Set(grid.map(({ arm }) => arm))];
  return margins.flatMap((margin) =>
    arms.map((arm): HeatMap => {
      const own = grid.filter((cell) => cell.arm === arm && cell.margin === margin);
      return {
        arm,
        margin,
        contexts,
        depths,
        cells: depths.map((depth) =>
          contexts.map((context) =>
            own.find((cell) => cell.depth === depth && cell.context === context) ?? null
          )
        ),
        mean: own.reduce((sum, cell) => sum + rateOf(cell), 0) / own.length,
      };
    })
  ).filter(({ mean }) => Number.isFinite(mean));
}

/** Cells of a sweep by arm and layer, each in order of its varied quantity. */
export function sweepCurves(
  record: RetrievalRecord,
  options: { sweep: "transition" | "salience" | "alignment"; context?: number },
): { arm: string; k?: number; cells: RetrievalCell[] }[] {
  const { sweep, context } = options;
  const groups = new Map<string, RetrievalCell[]>();
  for (const cell of record.cells) {
    if (cell.sweep !== sweep || cell.arm === "absent") continue;
    if (context !== undefined && cell.context !== context) continue;
    const key = JSON.stringify([cell.arm, cell.context, cell.lighthouse]);
    const own = groups.get(key);
    if (own) own.push(cell);
    else groups.set(key, [cell]);
  }
  const varied = (cell: RetrievalCell) => sweep === "salience" ? cell.salience! : cell.margin;
  return [...groups.values()].map((cells) => ({
    arm: cells[0].arm,
    k: cells[0].lighthouse?.k,
    cells: cells.sort((a, b) => varied(a) - varied(b)),
  }));
}

/** The salience at which half of the needles are selected at full resolution. */
export interface SurvivalPoint {
  scorer: string;
  /** K/N. */
  ratio: number;
  k: number;
  context: number;
  /** Null where the sweep does not reach one half; then `beyond` says on which side it lies. */
  salience: number | null;
  beyond: "below" | "above" | null;
  /** What the law of the norm scorer predicts. */
  law: number | null;
}

/** One point for each scorer and budget, budgets ascending. */
export function survivalPoints(record: RetrievalRecord): SurvivalPoint[] {
  return sweepCurves(record, { sweep: "salience" }).flatMap(
    ({ arm, k, cells }): SurvivalPoint[] => {
      if (k === undefined) return [];
      const { context } = cells[0];
      const points = cells.map((cell) => ({
        x: cell.salience!,
        y: cell.needleSelected / cell.trials,
      }));
      const at = points.findIndex(({ y }) => y >= 0.5);
      const law =
        record.survivalLaws.find((one) => one.k === k && one.context === context)?.salience ??
          null;
      const found = { scorer: arm.replace("lighthouse-", ""), ratio: k / context, k, context, law };
      if (at < 0) return [{ ...found, salience: null, beyond: "above" }];
      if (at === 0) return [{ ...found, salience: null, beyond: "below" }];
      const [a, b] = [points[at - 1], points[at]];
      const salience = a.x + (0.5 - a.y) / (b.y - a.y) * (b.x - a.x);
      return [{ ...found, salience, beyond: null }];
    },
  ).sort((a, b) => a.ratio - b.ratio);
}

/** Values once each, ascending. */
function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
