/**
 * How the time of a Lighthouse layer divides into stages.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { type ContextPoint, contextSeries, stageSeconds } from "../data/analysis.ts";
import { formatContext, formatPercent, formatPlural, formatSeconds } from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { StackedBars, stackedBarsHeight } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { stageColor } from "../charts/palette.ts";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolSquare } from "d3-shape";
import { type Section, Spread } from "./section.tsx";
import { spreadOut } from "../data/extremes.ts";

/** Figures that are open; further ones repeat the same for other scorers. */
const SHOWN = 2;

/** Most figures; stages without one are in the table. */
const MOST_FIGURES = 16;

/** The section, or null if the result has no data for it. */
export function stageSection(result: Result, prefix: string): Section | null {
  const series = contextSeries(result).filter(({ points, k }) =>
    k !== null && points.some((point) => stagesOf(point.case).length > 1)
  );
  if (series.length === 0) return null;
  const { names } = shortSeriesNames(series);
  // One figure for each implementation and direction, at its first setting; a table for the others.
  const seen = new Set<string>();
  const drawn = series.map(({ implementation, direction }) => {
    const key = `${implementation} ${direction}`;
    const first = !seen.has(key) && seen.size < MOST_FIGURES;
    seen.add(key);
    return first;
  });
  const others = series.flatMap((one, i) =>
    drawn[i] ? [] : [{ name: names[i], points: one.points }]
  );
  const figures = series.flatMap((one, i) =>
    drawn[i]
      ? [
        <StageFigure
          id={`${prefix}stages-figure-${i + 1}`}
          name={names[i]}
          points={one.points}
        />,
      ]
      : []
  );
  // The longest context with separate stages: a longer one may only have a total time.
  const lead = series[0].points.findLast((point) => stagesOf(point.case).length > 1)!;
  const parts = stagesOf(lead.case);
  const largest = parts.reduce((a, b) => b.seconds > a.seconds ? b : a);
  return {
    id: `${prefix}stages`,
    nav: "Stages",
    content: (
      <Spread
        title={`At ${formatContext(lead.context)}, ${largest.name} takes ${
          formatPercent(largest.share)
        } of ${series[0].implementation}`}
        figure={
          <>
            {figures.slice(0, SHOWN)}
            {figures.length > SHOWN && (
              <details class="data">
                <summary>
                  {formatPlural(figures.length - SHOWN, "further figure")}:{" "}
                  {names.filter((_, i) => drawn[i]).slice(SHOWN).join("; ")}
                </summary>
                {figures.slice(SHOWN)}
              </details>
            )}
            {others.length > 0 && (
              <details class="data">
                <summary>Stages of {formatPlural(others.length, "further setting")}</summary>
                <Table
                  caption="Median and share of each stage"
                  columns={[
                    { title: "Setting" },
                    { title: "Context", numeric: true },
                    { title: "Stages" },
                  ]}
                  rows={others.flatMap(({ name, points }) =>
                    points.map((point) => [
                      name,
                      formatContext(point.context),
                      stagesOf(point.case).map(({ name, seconds, share }) =>
                        `${name} ${formatSeconds(seconds)} (${formatPercent(share)})`
                      ).join(", "),
                    ])
                  )}
                />
              </details>
            )}
          </>
        }
      >
        <p>
          With the norm scorer the work of every stage but attention grows in proportion to N, that
          of attention with the square of the rows gathered.
        </p>
      </Spread>
    ),
  };
}

/** Contexts that a figure draws; its table has all. */
const MOST_BARS = 16;

function StageFigure(
  { id, name, points }: { id: string; name: string; points: ContextPoint[] },
): JSX.Element {
  const bars = points.map((point) => ({
    context: point.context,
    case: point.case.id,
    median: point.median,
    stages: stagesOf(point.case),
  }))
    .filter(({ stages }) => stages.length > 1);
  const farthest = bars.map(({ context, stages, median }) => ({
    context,
    share: stages.reduce((sum, { seconds }) => sum + seconds, 0) / median - 1,
  })).reduce<{ context: number; share: number } | null>(
    (a, b) => a === null || Math.abs(b.share) > Math.abs(a.share) ? b : a,
    null,
  );
  const names = [...new Set(bars.flatMap(({ stages }) => stages.map(({ name }) => name)))];
  const drawn = spreadOut(bars, MOST_BARS);
  const height = stackedBarsHeight(drawn.length);
  return (
    <Figure
      id={id}
      title={`Share of each stage, ${name}`}
      description={drawn.map(({ context, stages }) =>
        `${formatContext(context)}: ${
          stages.map(({ name, share }) => `${name} ${formatPercent(share)}`).join(", ")
        }.`
      ).join(" ")}
      height={height}
      compactHeight={height}
      draw={(size) => (
        <StackedBars
          size={size}
          axis="share of the layer’s time"
          names={names}
          bars={drawn.map(({ context, stages, case: id }) => ({
            case: id,
            label: formatContext(context),
            total: formatSeconds(stages.reduce((sum, { seconds }) => sum + seconds, 0)),
            parts: Object.fromEntries(stages.map(({ name, seconds }) => [name, seconds])),
          }))}
        />
      )}
      legend={names.map((name) => ({
        label: name,
        style: { color: stageColor(name), marker: symbolSquare },
      }))}
      note={`Medians of staged executions, in which each stage is timed by itself; the total at the right is their sum${
        farthest === null
          ? ""
          : `, ${formatPercent(Math.abs(farthest.share))} ${
            farthest.share < 0 ? "less" : "more"
          } than the latency of the whole layer at ${
            formatContext(farthest.context)
          }, where the two differ most`
      }.${
        drawn.length < bars.length ? ` ${drawn.length} of ${bars.length} contexts are drawn.` : ""
      }`}
      data={{
        columns: ["context_tokens", "stage", "median_seconds", "share"],
        rows: bars.flatMap(({ context, stages }) =>
          stages.map(({ name, seconds, share }) => [context, name, finite(seconds), finite(share)])
        ),
      }}
      table={{
        caption: `Stages, ${name}`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Stage" },
          { title: "Median", numeric: true },
          { title: "Share", numeric: true },
        ],
        rows: bars.flatMap(({ context, stages }) =>
          stages.map(({ name, seconds, share }) => [
            formatContext(context),
            name,
            formatSeconds(seconds),
            formatPercent(share),
          ])
        ),
      }}
    />
  );
}

function stagesOf(record: CaseRecord): { name: string; seconds: number; share: number }[] {
  const timed = record.stages.flatMap((stage) => {
    const seconds = stageSeconds(stage);
    return seconds === null || seconds <= 0 ? [] : [{ name: stage.name, seconds }];
  });
  const total = timed.reduce((sum, { seconds }) => sum + seconds, 0);
  return timed.map((stage) => ({ ...stage, share: stage.seconds / total }));
}
