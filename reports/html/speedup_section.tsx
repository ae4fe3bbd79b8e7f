/**
 * Speed-up over dense attention against context, with the paper's point.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import {
  byDirection,
  type Crossover,
  DIRECTION_NAMES,
  findCrossover,
  type SpeedupPoint,
  type SpeedupSeries,
  speedupSeries,
} from "../data/analysis.ts";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims/claims.ts";
import { formatContext, formatCount, formatInterval, formatRatio } from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { type Described, plotStyles } from "../charts/palette.ts";
import { capital, contextAxis, describe, formatTick, type Section, Spread } from "./section.tsx";
import { largest } from "../data/extremes.ts";

/** The section, or null where the result has nothing for it. */
export function speedupSection(result: Result, prefix: string): Section | null {
  const directions = byDirection(speedupSeries(result));
  if (directions.length === 0) return null;
  const leads = directions.map(({ direction, series }) => ({ direction, lead: leadOf(series) }));
  return {
    id: `${prefix}speed-up`,
    nav: "Speed-up",
    content: (
      <Spread
        title={speedupTitle(leads[0].lead)}
        figure={directions.map((one, i) => (
          <SpeedupFigure
            described={result}
            id={`${prefix}speed-up-figure${i === 0 ? "" : `-${one.direction}`}`}
            several={directions.length > 1}
            {...one}
          />
        ))}
      >
        {leads.map(({ direction, lead }) => {
          const last = lead.points[lead.points.length - 1];
          return (
            <>
              {leads.length > 1 && <h3>{capital(DIRECTION_NAMES[direction])}</h3>}
              <p>
                <span class="figure-number">{formatRatio(last.ratio)}</span>
                <span class="figure-label">
                  at {formatContext(last.context)}, the longest context of this run
                </span>
              </p>
              <p>{crossoverSentence(findCrossover(lead.points)!)}</p>
            </>
          );
        })}
        <p>
          The dashed line is what the attention FLOP alone would give: (N/S)<sup>2</sup>. Selection,
          gathering and scattering keep the layer below it, unless the shorter attention also runs
          at a higher rate.
        </p>
      </Spread>
    ),
  };
}

/** The norm scorer, else the first. */
function leadOf(series: readonly SpeedupSeries[]): SpeedupSeries {
  return series.find(({ implementation }) => implementation === "lighthouse-norm") ?? series[0];
}

function crossoverSentence(crossover: Crossover): string {
  const context = formatContext(crossover.context);
  switch (crossover.kind) {
    case "at":
      return `Lighthouse overtakes dense attention at about ${
        formatCount(Number(crossover.context.toPrecision(2)))
      } tokens.`;
    case "below":
      return `Lighthouse is ahead from the shortest context measured, ${context}.`;
    case "above":
      return `Lighthouse does not overtake dense attention up to ${context}.`;
  }
}

function SpeedupFigure(
  { id, direction, series, several, described }: {
    id: string;
    direction: SpeedupSeries["direction"];
    series: SpeedupSeries[];
    /** Whether other directions have figures of their own. */
    several: boolean;
    described: Described;
  },
): JSX.Element {
  const styles = plotStyles(series.map(({ implementation }) => implementation), described);
  const { names } = shortSeriesNames(series);
  const plot: PlotSeries[] = series.map(({ points }, i) => ({
    ...styles[i],
    label: names[i],
    points: points.map(({ context, ratio, low, high, denominator }) => ({
      x: context,
      y: ratio,
      low,
      high,
      count: denominator.statistic?.count,
      case: denominator.id,
    })),
  }));
  const all = series.flatMap(({ points }) => points);
  const x = contextAxis([...all.map(({ context }) => context), HEADLINE_CONTEXT]);
  const paper = direction === "backward" ? undefined : PAPER_SPEEDUP[direction];
  const what = several ? `Speed-up ${DIRECTION_NAMES[direction]}` : "Speed-up";
  return (
    <Figure
      id={id}
      title={`${what} over dense attention against context`}
      description={describe(plot, formatRatio) +
        (paper === undefined ? "" : ` The paper’s point is ${formatRatio(paper)} at 512K.`)}
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
          marks={paper === undefined ? [] : [{
            x: HEADLINE_CONTEXT,
            y: paper,
            label: `paper: ${formatRatio(paper)}`,
            detail: `${DIRECTION_NAMES[direction]}, B200`,
          }]}
          labelRoom={130}
        />
      )}
      legend={plot}
      note={`Each ratio comes from interleaved rounds of the two. The star is the paper's value (${PAPER_HARDWARE}), no measurement of this run.`}
      data={plotData(plot, { x: "context_tokens", y: "speedup" })}
      table={{
        caption: `${what} over dense attention`,
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
  );
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
  return common.length === 0 ? null : largest(common);
}
