/**
 * The numbers behind a figure, for export as CSV and JSON: SI units, named in the columns, with all
 * the recorded digits. The table of a figure is for reading, this is for computing.
 *
 * @module
 */
import type { Spread } from "../data/spread.ts";
import { embedJson } from "./drawing.ts";
import type { PlotSeries } from "./log_plot.tsx";

/** One cell: text, a number, or null for none. */
export type ChartCell = string | number | null;

/** Columns such as `median_seconds`, and a row for each point. */
export interface ChartData {
  columns: readonly string[];
  rows: readonly (readonly ChartCell[])[];
}

/** The points of a plot; `x` and `y` name quantity and unit, for example `context_tokens`. */
export function plotData(
  series: readonly Pick<PlotSeries, "label" | "points">[],
  { x, y }: { x: string; y: string },
): ChartData {
  const rows = series.flatMap(({ label, points }) =>
    points.map((point) => [
      label,
      finite(point.x),
      finite(point.y),
      finite(point.low),
      finite(point.high),
    ])
  );
  const plain = withoutEmptyEnds({ columns: ["series", x, y, `${y}_low`, `${y}_high`], rows });
  const spreads = series.flatMap(({ points }) => points.map(spreadCells));
  if (spreads.every(([count]) => count === null)) return plain;
  return {
    columns: [...plain.columns, ...SPREAD_COLUMNS],
    rows: plain.rows.map((row, i) => [...row, ...spreads[i]]),
  };
}

/** Columns of {@linkcode spreadCells}. */
export const SPREAD_COLUMNS = ["samples", "ends_are"];

/** Number of samples of a value, and whether its ends are a 95 % interval or their range. */
export function spreadCells({ count, kind }: Partial<Spread>): ChartCell[] {
  return [count ?? null, kind === "interval" ? "interval95" : kind ?? null];
}

/** Rows of named values with their intervals, as a dot plot shows them. */
export function dotData(
  rows: readonly { label: string; value: number; low?: number; high?: number }[],
  { label, value }: { label: string; value: string },
): ChartData {
  return withoutEmptyEnds({
    columns: [label, value, `${value}_low`, `${value}_high`],
    rows: rows.map((row) => [row.label, finite(row.value), finite(row.low), finite(row.high)]),
  });
}

/** Removes the two columns of an interval if no row has one. */
function withoutEmptyEnds({ columns, rows }: ChartData): ChartData {
  if (rows.some((row) => row.slice(-2).some((cell) => cell !== null))) return { columns, rows };
  return { columns: columns.slice(0, -2), rows: rows.map((row) => row.slice(0, -2)) };
}

/** A number with at most nine significant digits, more than any clock here has; else null. */
export function finite(value: number | null | undefined): number | null {
  return typeof value === "number" && Number.isFinite(value) ? Number(value.toPrecision(9)) : null;
}

/**
 * The data as JSON that may be placed in a `<script>` element: no text of a result can end the element.
 *
 * @example
 * ```ts
 * import { embedChartData } from "./chart_data.ts";
 * import assert from "node:assert/strict";
 * const text = embedChartData({ columns: ["</script>"], rows: [[1], [null]] });
 * assert.equal(text, '{"columns":["\\u003c/script\\u003e"],"rows":[[1],[null]]}');
 * ```
 */
export function embedChartData({ columns, rows }: ChartData): string {
  return embedJson({ columns, rows });
}
