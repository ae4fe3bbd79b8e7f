/**
 * Speed-up over dense attention against context, with the paper's point.
 *
 * @module
 */
import type { Result } from "../../suites/result_schema.ts";
import {
  findCrossover,
  type SpeedupPoint,
  type SpeedupSeries,
  speedupSeries,
} from "../analysis.ts";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims.ts";
import { formatContext, formatCount, formatInterval, formatRatio } from "../format.ts";
import { shortSeriesNames } from "../summary_tables.ts";
import { Figure } from "./figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "./log_plot.tsx";
import { plotStyles } from "./palette.ts";
import { contextAxis, describe, formatTick, type Section, Spread } from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function speedupSection(result: Result, prefix: string): Section | null {
  const series = speedupSeries(result);
  if (series.length === 0) return null;
  const styles = plotStyles(series.map(({ implementation }) => implementation));
  const { names } = shortSeriesNames(series);
  const plot: PlotSeries[] = series.map(({ points }, i) => ({
    ...styles[i],
    label: names[i],
    points: points.map(({ context, ratio, low, high }) => ({ x: context, y: ratio, low, high })),
  }));
  const all = series.flatMap(({ points }) => points);
  const contexts = [...all.map(({ context }) => context), HEADLINE_CONTEXT];
  const x = contextAxis(contexts);
  const forward = series.some(({ direction }) => direction === "forward");
  const both = series.some(({ direction }) => direction === "forward-backward");
  const lead = series.find(({ implementation }) => implementation === "lighthouse-norm") ??
    series[0];
  const crossover = findCrossover(lead.points)!;
  return {
    id: `${prefix}speed-up`,
    nav: "Speed-up",
    content: (
      <Spread
        title={speedupTitle(lead)}
        figure={
          <Figure
            id={`${prefix}speed-up-figure`}
            title="Speed-up over dense attention against context"
            description={`${describe(plot, formatRatio)} The paper’s point is ${
              formatRatio(PAPER_SPEEDUP.forward)
            } at 512K.`}
            draw={(size) => (
              <LogPlot
                size={size}
                x={x}
                y={{
                  label: "dense time ÷ Lighthouse time",
                  domain: logDomain(
                    [...all.flatMap(({ low, high }) => [low, high]), 0.8, FLOP_RATIO],
                    1.3,
                  ),
                  format: formatTick(formatRatio),
                  base: 10,
                }}
                series={plot}
                guides={[
                  {
                    label: "as fast as dense attention",
                    points: [[x.domain[0], 1], [x.domain[1], 1]],
                    strong: true,
                    anchor: "end",
                  },
                  {
                    label: `${formatRatio(FLOP_RATIO)}: attention FLOP alone`,
                    points: [[x.domain[0], FLOP_RATIO], [x.domain[1], FLOP_RATIO]],
                  },
                ]}
                marks={[
                  ...(forward || !both
                    ? [{
                      x: HEADLINE_CONTEXT,
                      y: PAPER_SPEEDUP.forward,
                      label: `paper: ${formatRatio(PAPER_SPEEDUP.forward)}`,
                      detail: "forward, B200",
                    }]
                    : []),
                  ...(both
                    ? [{
                      x: HEADLINE_CONTEXT,
                      y: PAPER_SPEEDUP["forward-backward"],
                      label: `paper: ${formatRatio(PAPER_SPEEDUP["forward-backward"])}`,
                      detail: "forward and backward, B200",
                    }]
                    : []),
                ]}
                labelRoom={130}
              />
            )}
            legend={plot}
            note={`Each ratio comes from interleaved A/B/B/A rounds of the two. The star is the paper's value (${PAPER_HARDWARE}), no measurement of this run.`}
            table={{
              caption: "Speed-up over dense attention",
              columns: [
                { title: "Context", numeric: true },
                { title: "Series" },
                { title: "Speed-up", numeric: true },
                { title: "95 % interval", numeric: true },
                { title: "Rounds", numeric: true },
              ],
              rows: series.flatMap(({ points }, i) =>
                points.map((point) => [
                  formatContext(point.context),
                  names[i],
                  formatRatio(point.ratio),
                  formatInterval([point.low, point.high], formatRatio),
                  formatCount(point.rounds),
                ])
              ),
            }}
          />
        }
      >
        <p>
          <span class="figure-number">
            {formatRatio(lead.points[lead.points.length - 1].ratio)}
          </span>
          <span class="figure-label">
            at{" "}
            {formatContext(lead.points[lead.points.length - 1].context)}, the longest context of
            this run
          </span>
        </p>
        <p>
          {crossover.kind === "at"
            ? `Lighthouse overtakes dense attention at about ${
              formatCount(Number(crossover.context.toPrecision(2)))
            } tokens.`
            : crossover.kind === "below"
            ? `Lighthouse is ahead from the shortest context measured, ${
              formatContext(crossover.context)
            }.`
            : `Lighthouse does not overtake dense attention up to ${
              formatContext(crossover.context)
            }.`}
        </p>
        <p>
          The dashed line is what the attention FLOP alone would give: (N/S)<sup>2</sup>. Selection,
          gathering and scattering keep the layer below it, unless the shorter attention also runs
          at a higher rate.
        </p>
      </Spread>
    ),
  };
}

function speedupTitle({ points }: SpeedupSeries): string {
  const [first, last] = [points[0], points[points.length - 1]];
  const [from, to] = [first, last].map(({ ratio, context }) =>
    `${formatRatio(ratio)} at ${formatContext(context)}`
  );
  if (points.length === 1) return `The speed-up is ${to}`;
  if (last.low > first.high) return `The speed-up grows from ${from} to ${to}`;
  if (last.high < first.low) return `The speed-up falls from ${from} to ${to}`;
  return `The speed-up stays level, ${from} and ${to}`;
}

/** Forward speed-ups of the norm scorer in the sweep over contexts. */
export function normSpeedups(result: Result): SpeedupPoint[] {
  return speedupSeries(result).find(({ implementation, direction }) =>
    implementation === "lighthouse-norm" && direction === "forward"
  )?.points ?? [];
}

/** The longest context at which every run has a speed-up of the norm scorer, or null. */
export function longestCommonContext(results: readonly Result[]): number | null {
  const sets = results.map((result) => new Set(normSpeedups(result).map(({ context }) => context)));
  const common = [...(sets[0] ?? [])].filter((context) => sets.every((set) => set.has(context)));
  return common.length === 0 ? null : Math.max(...common);
}
