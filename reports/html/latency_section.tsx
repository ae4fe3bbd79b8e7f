/**
 * Latency against context, with the fitted slopes.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import {
  byDirection,
  type ContextSeries,
  contextSeries,
  DIRECTION_NAMES,
} from "../data/analysis.ts";
import { FLOP_RATIO } from "../claims/claims.ts";
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPlural,
  formatSeconds,
} from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { type LogAxis, logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import {
  capital,
  contextAxis,
  describe,
  formatTick,
  latencyPlot,
  Power,
  type Section,
  Spread,
  timeLabel,
  unbroken,
} from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function latencySection(result: Result, prefix: string): Section | null {
  const directions = byDirection(contextSeries(result)).map(({ direction, series }) => {
    const plot = latencyPlot(series, result);
    const fits = series.flatMap(({ fit }, i) =>
      fit === null || plot[i].faint ? [] : [{ fit, name: plot[i].label }]
    );
    return { direction, series, plot, fits };
  });
  if (directions.length === 0) return null;
  const [{ fits, direction }] = directions;
  const title = fits.length === 0 ? "Latency" : (
    <>
      {direction === "forward" ? "Latency" : `Latency ${DIRECTION_NAMES[direction]}`} of{" "}
      {fits.slice(0, 2).map(({ fit, name }, i) => (
        <>
          {i > 0 ? ", of " : ""}
          {name} {i > 0 ? "as" : "grows as"} <Power exponent={fit.exponent} />
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
            {fits.slice(0, 4).map(({ fit, name }) => (
              <p>
                <span class="figure-number">
                  <Power exponent={fit.exponent} />
                </span>
                <span class="figure-label">
                  {name}, over {formatPlural(fit.count, "context")}
                </span>
              </p>
            ))}
          </>
        ))}
        <p>
          The work of dense attention grows as N<sup>2</sup>. At k = N/64 that of Lighthouse’s inner
          attention does too, with {FLOP_RATIO.toFixed(1)}{" "}
          times fewer FLOP; its other stages are linear with the norm scorer.
        </p>
      </Spread>
    ),
  };
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
  // The direction stands at the head of the title.
  const { shared } = shortSeriesNames(series.map((one) => ({ ...one, direction: "forward" })));
  const all = series.flatMap(({ points }) => points);
  const y: LogAxis = {
    label: timeLabel(result),
    domain: logDomain(all.map(({ median }) => median), 1.6),
    format: formatTick(formatSeconds),
    base: 10,
  };
  const what = several ? `Latency ${DIRECTION_NAMES[direction]}` : "Latency";
  return (
    <Figure
      id={id}
      title={unbroken(
        `${what} against context, both axes logarithmic${shared ? ` (${shared})` : ""}`,
      )}
      description={describe(plot, formatSeconds)}
      draw={(size) => (
        <LogPlot
          size={size}
          x={contextAxis(all.map(({ context }) => context))}
          y={y}
          series={plot}
          labelRoom={150}
        />
      )}
      legend={plot}
      note="Median of the samples; bars are 95 % bootstrap intervals where they are wider than the marker. Thin lines are the least-squares fits."
      data={plotData(plot, { x: "context_tokens", y: "median_seconds" })}
      table={{
        caption: `${what} of one layer`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Series" },
          { title: "Median", numeric: true },
          { title: "95 % interval", numeric: true },
          { title: "Samples", numeric: true },
        ],
        rows: series.flatMap(({ points }, i) =>
          points.map((point) => [
            formatContext(point.context),
            plot[i].label,
            formatSeconds(point.median),
            formatInterval([point.low, point.high], formatSeconds),
            formatCount(point.case.samples.length),
          ])
        ),
      }}
    />
  );
}
