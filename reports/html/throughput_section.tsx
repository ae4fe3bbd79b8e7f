/**
 * Tokens per second of one layer.
 *
 * @module
 */
import { powerLimitText } from "../data/device_readings.ts";
import { runsBackToBack, timesLayer } from "../data/cases.ts";
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import {
  byDirection,
  type ContextSeries,
  contextSeries,
  DIRECTION_NAMES,
  isMeasured,
  spreadOf,
} from "../data/analysis.ts";
import { formatContext, formatSpread, formatTokenRate, SPREAD_TITLE } from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { DotPlot, dotPlotHeight } from "../charts/bar_plot.tsx";
import { plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { type Described, plotStyles } from "../charts/palette.ts";
import { contextAxis, describe, dotRows, formatTick, type Section, Spread } from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function throughputSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(({ throughput }) =>
    throughput !== undefined && throughput.median > 0
  );
  const own = measured.filter(runsBackToBack);
  // Without a throughput suite, the latency cases still say tokens per second of one layer.
  const suite = own.length > 0
    ? own
    : measured.filter(({ suite, sweeps }) =>
      timesLayer({ suite }) && (sweeps === undefined || sweeps.includes("context"))
    );
  const series = contextSeries({
    ...result,
    cases: suite.map((record) => ({ ...record, suite: "latency" as const, sweeps: ["context"] })),
  });
  if (series.length === 0) return null;
  const directions = byDirection(series);
  return {
    id: `${prefix}throughput`,
    nav: "Throughput",
    content: (
      <Spread
        title="Tokens per second of one layer"
        figure={directions.map((one, i) => (
          <ThroughputFigure
            described={result}
            id={`${prefix}throughput-figure${i === 0 ? "" : `-${one.direction}`}`}
            several={directions.length > 1}
            {...one}
          />
        ))}
      >
        <p>
          One attention layer alone, so these rates are no training throughput and stand beside none
          of the paper’s tables.
        </p>
      </Spread>
    ),
  };
}

function ThroughputFigure(
  { id, direction, series, several, described }: {
    id: string;
    direction: ContextSeries["direction"];
    series: ContextSeries[];
    /** Whether other directions have figures of their own. */
    several: boolean;
    described: Described;
  },
): JSX.Element {
  const styles = plotStyles(series.map(({ implementation }) => implementation), described);
  const { names } = shortSeriesNames(series);
  const plot: PlotSeries[] = series.map(({ points }, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    points: points.map(({ context, case: { id, throughput } }) => ({
      x: context,
      y: throughput!.median,
      ...spreadOf(throughput!),
      case: id,
    })),
  }));
  const all = plot.flatMap(({ points }) => points);
  // At one context there is no curve, but a row for each implementation.
  const alone = new Set(all.map(({ x }) => x)).size === 1;
  const rows = dotRows(plot, formatTokenRate);
  const what = several ? `Throughput ${DIRECTION_NAMES[direction]}` : "Throughput";
  return (
    <Figure
      id={id}
      title={alone ? `${what} at ${formatContext(all[0].x)}` : `${what} against context`}
      description={describe(plot, formatTokenRate)}
      height={alone ? dotPlotHeight(rows.length) : 360}
      compactHeight={alone ? dotPlotHeight(rows.length) : undefined}
      draw={(size) =>
        alone
          ? (
            <DotPlot
              size={size}
              rows={rows}
              axis="tokens per second"
              format={formatTick(formatTokenRate)}
            />
          )
          : (
            <LogPlot
              size={size}
              x={contextAxis(all.map(({ x }) => x))}
              y={{
                label: "tokens per second",
                domain: logDomain(all.map(({ y }) => y), 1.5),
                format: formatTick(formatTokenRate),
                base: 10,
              }}
              series={plot}
              labelRoom={150}
            />
          )}
      legend={plot}
      data={plotData(plot, { x: "context_tokens", y: "tokens_per_second" })}
      table={{
        caption: `${what}, tokens per second of one layer`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Series" },
          { title: "Median", numeric: true },
          { title: SPREAD_TITLE, numeric: true },
        ],
        rows: series.flatMap(({ points }, i) =>
          points.map((point) => [
            formatContext(point.context),
            plot[i].label,
            formatTokenRate(point.case.throughput!.median) + powerLimitText(point.case),
            formatSpread(spreadOf(point.case.throughput!), formatTokenRate),
          ])
        ),
      }}
    />
  );
}
