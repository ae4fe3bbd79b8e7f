/**
 * The report's numbers on the retrieval suite, for its figures and sentences.
 *
 * @module
 */
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";

/** The cells of one arm in the grid of contexts and depths, at one margin. */
export interface HeatMap {
  arm: string;
  margin: number;
  contexts: number[];
  depths: number[];
  /** `[depth][context]`; null if a cell was not measured. */
  cells: (RetrievalCell | null)[][];
  /** Mean rate over the measured cells, as Fig. 4 gives it. */
  mean: number;
}

/** The arm that all others are compared with: attention over every row. */
export const DENSE_ARM = "dense";
/** The arm of the paper’s figure, and its scorer. */
export const NORM_ARM = "lighthouse-norm";
/** The arm that keeps as many rows as Lighthouse, whichever they are. */
export const RANDOM_ARM = "random";
/** Scorer of {@linkcode NORM_ARM}. */
export const NORM_SCORER = "norm";

/** Share of trials whose digit was decoded. */
export function rateOf({ correct, trials }: Pick<RetrievalCell, "correct" | "trials">): number {
  return correct / trials;
}

const ARM_ORDER = [
  DENSE_ARM,
  NORM_ARM,
  "lighthouse-dilated",
  "lighthouse-gla",
  "oracle",
  RANDOM_ARM,
  "window",
];

/** Each arm once, in the order in which the report shows them; unknown ones last. */
export function orderArms(arms: readonly string[]): string[] {
  const place = (arm: string) =>
    (ARM_ORDER.indexOf(arm) + ARM_ORDER.length + 1) % (ARM_ORDER.length + 1);
  return [...new Set(arms)].sort((a, b) => place(a) - place(b));
}

/** One map for each arm and margin, all on the axes of the whole grid. */
export function heatMaps(record: RetrievalRecord): HeatMap[] {
  const grid = record.cells.filter(({ sweep, depth }) => sweep === "grid" && depth !== undefined);
  const contexts = ascending(grid.map(({ context }) => context));
  const depths = ascending(grid.map(({ depth }) => depth!));
  const margins = ascending(grid.map(({ margin }) => margin));
  const arms = orderArms(grid.map(({ arm }) => arm));
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
  const order = orderArms([...groups.values()].map(([{ arm }]) => arm));
  return [...groups.values()].map((cells) => ({
    arm: cells[0].arm,
    k: cells[0].lighthouse?.k,
    cells: cells.sort((a, b) => varied(a) - varied(b)),
  })).sort((a, b) => order.indexOf(a.arm) - order.indexOf(b.arm) || (a.k ?? 0) - (b.k ?? 0));
}

/** The causes of the wrong trials of one arm in the grid. */
export interface LossCounts {
  arm: string;
  trials: number;
  wrong: number;
  /** The needle was not selected at full resolution. */
  needle: number;
  /** The needle was selected, the last query was not. */
  query: number;
  /** Both were selected, and the digit was lost among the others. */
  diluted: number;
}

/** How needles were lost in the cells of a sweep, by Lighthouse arm. */
export function lossCounts(
  record: RetrievalRecord,
  options: { margin?: number } = {},
): LossCounts[] {
  const { margin } = options;
  const cells = record.cells.filter((cell) =>
    cell.sweep === "grid" && cell.lighthouse && (margin === undefined || cell.margin === margin)
  );
  return orderArms(cells.map(({ arm }) => arm)).map((arm) => {
    const own = cells.filter((cell) => cell.arm === arm);
    const sum = (read: (cell: RetrievalCell) => number) =>
      own.reduce((total, cell) => total + read(cell), 0);
    return {
      arm,
      trials: sum(({ trials }) => trials),
      wrong: sum(({ trials, correct }) => trials - correct),
      needle: sum(({ lost }) => lost.needle),
      query: sum(({ lost }) => lost.query),
      diluted: sum(({ lost }) => lost.diluted),
    };
  });
}

/** The salience at which half of the needles are selected at full resolution. */
export interface SurvivalPoint {
  scorer: string;
  /** K/N. */
  ratio: number;
  k: number;
  context: number;
  /** Null if the sweep does not reach one half; then `beyond` says on which side it lies. */
  salience: number | null;
  beyond: "below" | "above" | null;
  /** The prediction of the norm scorer's law. */
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

/** Each value once, ascending. */
export function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
