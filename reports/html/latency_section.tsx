/**
 * Latency against context, with the fitted slopes.
 *
 * @module
 */
import type { Result } from "../../suites/result_schema.ts";
import { contextSeries } from "../analysis.ts";
import { FLOP_RATIO } from "../claims.ts";
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPlural,
  formatSeconds,
} from "../format.ts";
import { shortSeriesNames } from "../summary_tables.ts";
import { Figure } from "./figure.tsx";
import { type LogAxis, logDomain, LogPlot } from "./log_plot.tsx";
import {
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
  const series = contextSeries(result);
  if (series.length === 0) return null;
  const plot = latencyPlot(series);
  const { shared } = shortSeriesNames(series);
  const fits = series.flatMap(({ fit }, i) =>
    fit === null || plot[i].faint ? [] : [{ fit, name: plot[i].label }]
  );
  const all = series.flatMap(({ points }) => points);
  const y: LogAxis = {
    label: timeLabel(result),
    domain: logDomain(all.map(({ median }) => median), 1.6),
    format: formatTick(formatSeconds),
    base: 10,
  };
  const title = fits.length === 0 ? "Latency" : (
    <>
      Latency of {fits.slice(0, 2).map(({ fit, name }, i) => (
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
        figure={
          <Figure
            id={`${prefix}latency-figure`}
            title={unbroken(
              `Latency against context, both axes logarithmic${shared ? ` (${shared})` : ""}`,
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
            table={{
              caption: "Latency of one layer",
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
        }
      >
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
        <p>
          The work of dense attention grows as N<sup>2</sup>. At k = N/64 that of Lighthouse’s inner
          attention does too, with {FLOP_RATIO.toFixed(1)}{" "}
          times fewer FLOP; its other stages are linear with the norm scorer.
        </p>
      </Spread>
    ),
  };
}
