/**
 * Shared by the sections: their frame, axes and wording.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { HEADLINE_CONTEXT } from "../claims/paper.ts";
import type { ContextSeries } from "../data/analysis.ts";
import type { DotRow } from "../charts/bar_plot.tsx";
import { spreadOut } from "../data/extremes.ts";
import type { Spread as Ends } from "../data/spread.ts";
import { formatContext, formatCount, formatRatio, formatSeconds } from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import type { TickFormat } from "../charts/drawing.ts";
import {
  type LogAxis,
  logDomain,
  type PlotGuide,
  type PlotMark,
  type PlotPoint,
  type PlotSeries,
} from "../charts/log_plot.tsx";
import { type Described, plotStyles } from "../charts/palette.ts";

/** A section of the report: its anchor, its entry in the navigation, its content. */
export interface Section {
  id: string;
  nav: string;
  content: JSX.Element;
}

/** Figure at the left, reading notes at the right. */
export function Spread(
  { title, figure, children }: {
    title: ComponentChildren;
    figure: ComponentChildren;
    children: ComponentChildren;
  },
): JSX.Element {
  return (
    <>
      <h2>{typeof title === "string" ? unbroken(title) : title}</h2>
      <div class="spread">
        <div>{figure}</div>
        <div class="notes">{children}</div>
      </div>
    </>
  );
}

/** The same text with a capital first letter. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Text in which a number stays on one line with its unit, and a symbol with its value. */
export function unbroken(text: string): string {
  return text
    .replace(/ = /g, "\u00a0=\u00a0")
    .replace(/(\d) (?=%|[kMGTP]?(?:FLOP|B|tok)\b|[mµn]?s\b)/g, "$1\u00a0");
}

/** N with an exponent, as slopes are written. */
export function Power({ exponent }: { exponent: number }): JSX.Element {
  return (
    <span class="power">
      N<sup>{exponent.toFixed(2)}</sup>
    </span>
  );
}

/** Text whose powers, `N^1.85`, are raised. */
export function withPowers(text: string): ComponentChildren {
  return text.split(/N\^([\d.]*\d)/).map((part, i) =>
    i % 2 === 0 ? part : <Power exponent={Number(part)} />
  );
}

/** The vertical axis of a figure of times, with room for their intervals. */
export function timeAxis(label: string, seconds: readonly number[]): LogAxis {
  return { label, domain: logDomain(seconds, 1.6), format: formatTick(formatSeconds), base: 10 };
}

/** The horizontal axis of every figure over contexts. */
export function contextAxis(contexts: readonly number[]): LogAxis {
  return {
    label: "context N, tokens",
    domain: logDomain(contexts, 1.12),
    format: formatContext,
    base: 2,
  };
}

/** The line of figures of ratios below which Lighthouse is no gain. */
export function parityGuide({ domain: [first, last] }: LogAxis): PlotGuide {
  return {
    label: "as fast as dense attention",
    points: [[first, 1], [last, 1]],
    strong: true,
    anchor: "end",
  };
}

/** The paper's speed-up at its headline's context. */
export function paperMark(ratio: number, { detail }: Pick<PlotMark, "detail">): PlotMark {
  return { x: HEADLINE_CONTEXT, y: ratio, label: `paper: ${formatRatio(ratio)}`, detail };
}

/** A point of a curve over contexts: a value, the ends around it, and what these are. */
export function contextPoint(
  y: number,
  { context, low, high, count, kind }: Ends & { readonly context: number },
): PlotPoint {
  return { x: context, y, low, high, count, kind };
}

/** A row for each point of a plot, for figures of one context. */
export function dotRows(
  plot: readonly PlotSeries[],
  format: (value: number) => string,
): DotRow[] {
  return plot.flatMap(({ label, style, points }) =>
    points.map(({ y, low, high }) => ({ label, value: y, low, high, text: format(y), style }))
  );
}

/** The kind of time in this run: by GPU timestamps, or by the wall clock without them. */
export function timeLabel({ calibration }: Result): string {
  return calibration?.clock === "wall" ? "wall-clock time of one layer" : "GPU time of one layer";
}

/** Latency series as plot series, with distinct names. */
export function latencyPlot(
  series: readonly ContextSeries[],
  described: Described,
): PlotSeries[] {
  const styles = plotStyles(series.map(({ implementation }) => implementation), described);
  const { names } = shortSeriesNames(series);
  return series.map(({ points, fit }, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    points: points.map((point) => ({ ...contextPoint(point.median, point), case: point.case.id })),
    fit,
  }));
}

/** Points of a series that its text alternative says; its table has all. */
export const MOST_TOLD = 24;

/** The points of a plot's named series in words. */
export function describe(plot: readonly PlotSeries[], format: (value: number) => string): string {
  return plot.filter(({ faint }) => !faint).map(({ label, points }) => {
    const told = spreadOut(points, MOST_TOLD);
    const rest = points.length - told.length;
    return `${label}: ${told.map(({ x, y }) => `${format(y)} at ${formatContext(x)}`).join(", ")}${
      rest === 0 ? "" : `, and ${formatCount(rest)} more in the table`
    }.`;
  }).join(" ");
}

/** A tick in the fewest digits: `1 ms` and not `1.00 ms`. */
export function formatTick(format: (value: number) => string): TickFormat {
  const short = (value: number) =>
    format(value).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  return Object.assign(short, { whole: format });
}
