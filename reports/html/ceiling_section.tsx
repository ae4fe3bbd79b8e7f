/**
 * Achieved rates compared with the ceilings that the same run measured.
 *
 * @module
 */
import { LEAD_LAYER, OWN_DENSE } from "../data/cases.ts";
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { achievedBy, ceilingsOf, contextSeries, copyFloors } from "../data/analysis.ts";
import {
  ABSENT,
  formatByteRate,
  formatContext,
  formatFlopRate,
  formatPercent,
  formatRatio,
  formatSeconds,
  formatSignificant,
} from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotGuide, type PlotSeries } from "../charts/log_plot.tsx";
import { cycledStyles, plotStyles, stageColor } from "../charts/palette.ts";
import { spreadOut } from "../data/extremes.ts";
import { contextAxis, describe, formatTick, MOST_TOLD, type Section, Spread } from "./section.tsx";

/** The section, or null if the result has no data for it. */
export function ceilingSection(result: Result, prefix: string): Section | null {
  const ceilings = ceilingsOf(result.calibration);
  const compute = Math.max(ceilings.fmaF32 ?? 0, ceilings.fmaF16 ?? 0, ceilings.matrix ?? 0);
  const series = contextSeries(result);
  if (series.length === 0 || compute === 0 || ceilings.copy === null) return null;
  const copy = ceilings.copy;
  const styles = plotStyles(series.map(({ implementation }) => implementation), result);
  const { names } = shortSeriesNames(series);
  const work = series.flatMap(({ implementation, points }, i) =>
    points.filter((point) => point.case.flops > 0 && point.case.bytes > 0).map((point) => ({
      implementation,
      name: names[i],
      at: i,
      context: point.context,
      case: point.case.id,
      achieved: achievedBy({ ...point.case, statistic: point.case.statistic! }, result),
    }))
  );
  const x = logDomain(work.map(({ achieved }) => achieved.intensity).concat(compute / copy), 2.5);
  const flat = (label: string, rate: number | null): PlotGuide[] =>
    rate === null ? [] : [{
      label: `${label} ${formatFlopRate(rate)}`,
      points: [[Math.max(rate / copy, x[0]), rate], [x[1], rate]],
      anchor: "end",
      strong: rate === compute,
    }];
  const bySeries = Map.groupBy(work, ({ at }) => at);
  const plot: PlotSeries[] = series.map((_, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    scatter: true,
    points: (bySeries.get(i) ?? []).map(({ achieved, case: id }) => ({
      x: achieved.intensity,
      y: achieved.flopsPerSecond,
      case: id,
    })),
  }));
  const best = work.filter(({ implementation }) => implementation === OWN_DENSE).reduce<
    typeof work[number] | null
  >((a, b) => a === null || b.achieved.flopsPerSecond > a.achieved.flopsPerSecond ? b : a, null);
  const floors = floorFigure(result, prefix, copy);
  const percent = (fraction: number | null) => fraction === null ? ABSENT : formatPercent(fraction);
  // f32 and f16 ceilings lie within a few percent of each other on most devices: one label only.
  const close = ceilings.fmaF16 !== null && ceilings.fmaF32 !== null &&
    Math.abs(Math.log(ceilings.fmaF16 / ceilings.fmaF32)) < 0.35;
  return {
    id: `${prefix}ceilings`,
    nav: "Ceilings",
    content: (
      <Spread
        title={best === null || best.achieved.ofUnit === null
          ? "Against the ceilings that this run measured"
          : `Dense attention reaches ${formatPercent(best.achieved.ofUnit)} of the ${
            best.achieved.unit === "matrix units" ? "matrix units’" : `${best.achieved.unit}`
          } ceiling that this run measured`}
        figure={
          <>
            <Figure
              id={`${prefix}roofline-figure`}
              title="Roofline: achieved FLOP/s against arithmetic intensity"
              description={spreadOut(
                work.filter(({ at }) => !styles[at].faint),
                MOST_TOLD,
              ).map(({ name, context, achieved }) =>
                `${name} at ${formatContext(context)}: ${formatFlopRate(achieved.flopsPerSecond)}`
              )
                .join(", ") + "."}
              draw={(size) => (
                <LogPlot
                  size={size}
                  labelRoom={24}
                  x={{
                    label: "FLOP for each byte that must move",
                    domain: x,
                    format: formatTick(formatSignificant),
                    base: 10,
                  }}
                  y={{
                    label: "FLOP/s",
                    domain: logDomain(
                      [
                        ...work.map(({ achieved }) => achieved.flopsPerSecond),
                        compute,
                        compute / 30,
                      ],
                      1.8,
                    ),
                    format: formatTick(formatFlopRate),
                    base: 10,
                  }}
                  series={plot}
                  guides={[
                    ...flat("matrix units", ceilings.matrix),
                    ...(close
                      ? flat("f32 and f16 FMA, about", Math.max(ceilings.fmaF32!, ceilings.fmaF16!))
                      : [
                        ...flat("f16 FMA", ceilings.fmaF16),
                        ...flat("f32 FMA", ceilings.fmaF32),
                      ]),
                    ...roofSlope({ copy, compute, x }),
                  ]}
                />
              )}
              legend={plot}
              note={`Each point is a whole layer at one context. Ceilings: register-only multiply-adds and a buffer copy at ${
                formatByteRate(copy)
              }, measured at the start of this run.`}
              data={{
                columns: [
                  "series",
                  "context_tokens",
                  "flop_per_second",
                  "bytes_per_second",
                  "flop_per_byte",
                  "unit",
                  "share_of_unit",
                  "share_of_roof",
                ],
                rows: work.map(({ name, context, achieved }) => [
                  name,
                  context,
                  finite(achieved.flopsPerSecond),
                  finite(achieved.bytesPerSecond),
                  finite(achieved.intensity),
                  achieved.unit,
                  finite(achieved.ofUnit),
                  finite(achieved.ofRoof),
                ]),
              }}
              table={{
                caption: "Achieved rates",
                columns: [
                  { title: "Context", numeric: true },
                  { title: "Series" },
                  { title: "FLOP/s", numeric: true },
                  { title: "Bytes/s", numeric: true },
                  { title: "FLOP/byte", numeric: true },
                  { title: "Of its unit", numeric: true },
                  { title: "Unit" },
                  { title: "Of the roof", numeric: true },
                  { title: "Bound by" },
                ],
                rows: work.map(({ name, context, achieved }) => [
                  formatContext(context),
                  name,
                  formatFlopRate(achieved.flopsPerSecond),
                  formatByteRate(achieved.bytesPerSecond),
                  formatSignificant(achieved.intensity),
                  percent(achieved.ofUnit),
                  achieved.unit ?? "not known",
                  percent(achieved.ofRoof),
                  achieved.bound ?? ABSENT,
                ]),
              }}
            />
            {floors}
          </>
        }
      >
        {best !== null && (
          <p>
            <span class="figure-number">{formatFlopRate(best.achieved.flopsPerSecond)}</span>
            <span class="figure-label">
              dense attention at {formatContext(best.context)}, its best in this run
            </span>
          </p>
        )}
        <p>
          The FLOP count takes the causal half only. Least bytes are what must cross memory once, so
          a kernel can move more than its point says. A share is of the unit that did the
          arithmetic: matrix units where the kernels ran on them, else multiply-adds. Of a peer,
          whose unit is not known, it is the lowest ceiling above its rate.
        </p>
      </Spread>
    ),
  };
}

function roofSlope(
  { copy, compute, x }: { copy: number; compute: number; x: [number, number] },
): PlotGuide[] {
  const knee = compute / copy;
  // Only the part that the drawing shows: two decades below the roof.
  const from = Math.max(x[0], knee / 30);
  return from >= knee ? [] : [{
    label: "",
    points: [[from, from * copy], [knee, compute]],
    strong: true,
  }];
}

function floorFigure(result: Result, prefix: string, copy: number): JSX.Element | null {
  const series = contextSeries(result).find(({ implementation }) => implementation === LEAD_LAYER);
  const points =
    series?.points.flatMap((point) =>
      copyFloors(point.case, copy).map((floor) => ({ context: point.context, ...floor }))
    ) ?? [];
  if (points.length === 0) return null;
  const stages = [...new Set(points.map(({ stage }) => stage))].filter((stage) =>
    !stage.startsWith("select")
  );
  const shapes = cycledStyles(4).map(({ marker }) => marker);
  const plot: PlotSeries[] = stages.map((stage, i) => ({
    label: stage === "all" ? "all of them" : stage,
    style: {
      color: stage === "all" ? "var(--ink)" : stageColor(stage),
      marker: shapes[i % shapes.length],
    },
    points: points.filter((point) => point.stage === stage).map(({ context, multiple }) => ({
      x: context,
      y: multiple,
    })),
  }));
  const x = contextAxis(points.map(({ context }) => context));
  const shown = plot.flatMap(({ points }) => points.map(({ y }) => y));
  return (
    <Figure
      id={`${prefix}floor-figure`}
      title="Lighthouse’s other stages against copying their bytes"
      description={describe(plot, formatRatio)}
      height={360}
      draw={(size) => (
        <LogPlot
          size={size}
          x={x}
          y={{
            label: "time ÷ time of a copy",
            domain: logDomain([...shown, 0.9], 1.4),
            format: formatTick(formatRatio),
            base: 10,
          }}
          series={plot}
          guides={[{
            label: "as fast as a copy",
            points: [[x.domain[0], 1], [x.domain[1], 1]],
            strong: true,
            anchor: "end",
          }]}
          labelRoom={130}
        />
      )}
      legend={plot}
      note="Least bytes of each stage divided by the measured copy rate. Selection moves almost no bytes and counts only in the sum."
      data={{
        columns: ["context_tokens", "stage", "median_seconds", "copy_seconds", "multiple"],
        rows: points.map(({ context, stage, seconds, floorSeconds, multiple }) => [
          context,
          stage,
          finite(seconds),
          finite(floorSeconds),
          finite(multiple),
        ]),
      }}
      table={{
        caption: "Stages against a copy",
        columns: [
          { title: "Context", numeric: true },
          { title: "Stage" },
          { title: "Time", numeric: true },
          { title: "Copy of its bytes", numeric: true },
          { title: "Multiple", numeric: true },
        ],
        rows: points.map((point) => [
          formatContext(point.context),
          point.stage,
          formatSeconds(point.seconds),
          formatSeconds(point.floorSeconds),
          formatRatio(point.multiple),
        ]),
      }}
    />
  );
}
