/**
 * Latency against context, with the slopes at the longest contexts.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import {
  byDirection,
  type ContextSeries,
  contextSeries,
  DIRECTION_NAMES,
} from "../data/analysis.ts";
import { OWN_DENSE } from "../data/cases.ts";
import { FLOP_RATIO } from "../claims/claims.ts";
import { deviceReadings, powerLimitText } from "../data/device_readings.ts";
import { coolAndSteady } from "../data/cool_and_steady.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatPlural,
  formatSeconds,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { clampSentence, shortSeriesNames } from "../text/summary_tables.ts";
import { DotPlot, dotPlotHeight } from "../charts/bar_plot.tsx";
import { type ChartData, finite, plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import {
  capital,
  contextAxis,
  describe,
  dotRows,
  formatTick,
  latencyPlot,
  Power,
  type Section,
  Spread,
  timeAxis,
  timeLabel,
  unbroken,
} from "./section.tsx";

/** The section, or null if the result has no data for it. */
export function latencySection(result: Result, prefix: string): Section | null {
  const directions = byDirection(contextSeries(result)).map(({ direction, series }) => {
    const plot = latencyPlot(series, result);
    const fits = series.flatMap(({ fit }, i) =>
      fit === null || plot[i].faint ? [] : [{ fit, name: plot[i].label, clamp: series[i].clamp }]
    );
    return { direction, series, plot, fits };
  });
  if (directions.length === 0) return null;
  const [{ fits, direction }] = directions;
  const raised = clampSentence(directions.flatMap(({ series }) => series));
  const title = fits.length === 0 ? "Latency" : (
    <>
      {direction === "forward" ? "Latency" : `Latency ${DIRECTION_NAMES[direction]}`} of{" "}
      {fits.slice(0, 2).map(({ fit, name }, i) => (
        <>
          {i > 0 ? ", of " : ""}
          {name} {i > 0 ? "as" : "grows as"} <Power exponent={fit.exponent} /> from{" "}
          {formatContext(fit.from)}
        </>
      ))}
    </>
  );
  return {
    id: `${prefix}latency`,
    nav: "Latency",
    content: (
      <Spread
        title={title}
        figure={directions.map((one, i) => (
          <LatencyFigure
            id={`${prefix}latency-figure${i === 0 ? "" : `-${one.direction}`}`}
            result={result}
            several={directions.length > 1}
            {...one}
          />
        ))}
      >
        {directions.map(({ direction, fits }) => (
          <>
            {directions.length > 1 && fits.length > 0 && (
              <h3>{capital(DIRECTION_NAMES[direction])}</h3>
            )}
            {fits.slice(0, 4).map(({ fit, name, clamp }) => (
              <p>
                <span class="figure-number">
                  <Power exponent={fit.exponent} />
                </span>
                <span class="figure-label">
                  {name}, from {formatContext(fit.from)} to {formatContext(fit.to)}{" "}
                  ({formatPlural(fit.count, "context")})
                  {clamp?.whole ? ", at a constant k" : ""}
                </span>
              </p>
            ))}
          </>
        ))}
        {directions.some(({ series }) => series.some(isOwnOrDense)) && (
          <p>
            The work of dense attention grows as N<sup>2</sup>. At k = N/64 that of Lighthouse’s
            inner attention does too, with {FLOP_RATIO.toFixed(1)}{" "}
            times fewer FLOP; its other stages are linear with the norm scorer.
          </p>
        )}
        {raised !== null && <p>{raised}</p>}
      </Spread>
    ),
  };
}

/** Whether what is said of dense attention and Lighthouse concerns a series. */
function isOwnOrDense({ implementation }: ContextSeries): boolean {
  return implementation === OWN_DENSE || implementation.startsWith("lighthouse-");
}

function LatencyFigure(
  { id, result, direction, series, plot, several }: {
    id: string;
    result: Result;
    direction: ContextSeries["direction"];
    series: ContextSeries[];
    plot: PlotSeries[];
    /** Whether other directions have figures of their own. */
    several: boolean;
  },
): JSX.Element {
  // The title starts with the direction.
  const { shared } = shortSeriesNames(series.map((one) => ({ ...one, direction: "forward" })));
  const all = series.flatMap(({ points }) => points);
  const y = timeAxis(timeLabel(result), all.map(({ median }) => median));
  // At one context there is no curve, but a row for each implementation.
  const alone = new Set(all.map(({ context }) => context)).size === 1;
  const rows = dotRows(plot, formatSeconds);
  const what = several ? `Latency ${DIRECTION_NAMES[direction]}` : "Latency";
  return (
    <Figure
      id={id}
      title={unbroken(
        (alone
          ? `${what} at ${formatContext(all[0].context)}`
          : `${what} against context, both axes logarithmic`) + (shared ? ` (${shared})` : ""),
      )}
      description={describe(plot, formatSeconds)}
      height={alone ? dotPlotHeight(rows.length) : undefined}
      compactHeight={alone ? dotPlotHeight(rows.length) : undefined}
      draw={(size) =>
        alone
          ? (
            <DotPlot
              size={size}
              rows={rows}
              axis={timeLabel(result)}
              format={formatTick(formatSeconds)}
            />
          )
          : (
            <LogPlot
              size={size}
              x={contextAxis(all.map(({ context }) => context))}
              y={y}
              series={plot}
              labelRoom={150}
            />
          )}
      legend={plot}
      note={[
        "Median of the samples; bars are 95 % bootstrap intervals, or ranges where there are fewer " +
        "than six samples, drawn where they are wider than the marker.",
        alone
          ? null
          : "A slope is that of the longest contexts, over the last factor of four or two; a thin line " +
            "shows it. None is given where the curve still bends there.",
        clampSentence(series),
      ].filter((sentence) => sentence !== null).join(" ")}
      data={withCool(plotData(plot, { x: "context_tokens", y: "median_seconds" }), series)}
      table={{
        caption: `${what} of one layer`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Series" },
          { title: "Median", numeric: true },
          { title: SPREAD_TITLE, numeric: true },
          { title: "Samples", numeric: true },
          { title: "First sample", numeric: true },
          { title: "Steady state", numeric: true },
        ],
        rows: series.flatMap(({ points }, i) =>
          points.map((point) => [
            formatContext(point.context),
            plot[i].label,
            formatSeconds(point.median) + powerLimitText(point.case),
            formatSpread(point, formatSeconds),
            formatCount(point.count),
            ...coolCells(point.case),
          ])
        ),
      }}
    />
  );
}

/** The first sample, and the median of the later ones. */
function coolCells(record: CaseRecord): string[] {
  const found = coolAndSteady(record);
  return found === null ? [ABSENT, ABSENT] : [
    formatSeconds(found.first),
    found.steady === null ? ABSENT : `${formatSeconds(found.steady)} (n = ${found.count})`,
  ];
}

/** The numbers of the plot with both figures added. */
function withCool({ columns, rows }: ChartData, series: readonly ContextSeries[]): ChartData {
  const cases = series.flatMap(({ points }) => points.map((point) => point.case));
  const found = cases.map(coolAndSteady);
  const readings = cases.map(deviceReadings);
  const told = readings.some(({ clockMHz, powerWatts }) =>
    clockMHz !== null || powerWatts !== null
  );
  return {
    columns: [
      ...columns,
      "first_sample_seconds",
      "steady_seconds",
      "steady_samples",
      ...(told ? ["clock_mhz", "power_watts", "joules_per_token", "at_power_limit"] : []),
    ],
    rows: rows.map((row, i) => [
      ...row,
      finite(found[i]?.first),
      finite(found[i]?.steady),
      found[i]?.count ?? null,
      ...(told
        ? [
          finite(readings[i]?.clockMHz),
          finite(readings[i]?.powerWatts),
          finite(readings[i]?.joulesPerToken),
          readings[i]?.powerWatts == null ? null : Number(readings[i].atPowerLimit),
        ]
        : []),
    ]),
  };
}
