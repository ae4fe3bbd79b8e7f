/**
 * The chart of speed-up over dense attention against context, with the paper's point.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES } from "../data/cases.ts";
import { fastestDenseOf, isLighthouseSeries, type SpeedupSeries } from "../data/speedups.ts";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims/paper.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatMeasured,
  formatRatio,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { clampSentence, shortSeriesNames } from "../text/summary_tables.ts";
import { finite, plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { cycledStyles, plotStyles } from "../charts/palette.ts";
import {
  contextAxis,
  contextPoint,
  describe,
  formatTick,
  paperMark,
  parityGuide,
  unbroken,
} from "./section.tsx";

/** Speed-ups from elsewhere that a figure shows behind its own: published devices. */
export interface OtherSpeedups {
  readonly label: string;
  readonly points: readonly { readonly context: number; readonly ratio: number }[];
}

export function SpeedupFigure(
  { id, direction, series, several, result, height, others = [] }: {
    id: string;
    direction: SpeedupSeries["direction"];
    series: SpeedupSeries[];
    /** Whether other directions have figures of their own. */
    several: boolean;
    result: Result;
    height?: number;
    /** Drawn as thin lines; default: none. */
    others?: readonly OtherSpeedups[];
  },
): JSX.Element {
  const styles = plotStyles(series.map(({ implementation }) => implementation), result);
  // The title contains the direction.
  const { names, shared } = shortSeriesNames(
    series.map((one) => ({ ...one, direction: "forward" })),
  );
  const fastest = fastestDenseOf(result);
  const rows = series.flatMap(({ points }, i) =>
    points.map((point) => ({ name: names[i], point, over: fastest(point) }))
  );
  const plot: PlotSeries[] = series.map(({ points }, i) => ({
    ...styles[i],
    label: names[i],
    points: points.map((point) => ({
      ...contextPoint(point.ratio, point),
      case: point.denominator.id,
    })),
  }));
  const all = series.flatMap(({ points }) => points);
  // The paper's point and Lighthouse's FLOP say nothing about other layers.
  const lighthouse = series.some(isLighthouseSeries);
  const x = contextAxis([
    ...all.map(({ context }) => context),
    ...others.flatMap(({ points }) => points.map(({ context }) => context)),
    ...(lighthouse ? [HEADLINE_CONTEXT] : []),
  ]);
  const who = series.every(isLighthouseSeries) ? "Lighthouse" : "layer";
  const paper = !lighthouse || direction === "backward" ? undefined : PAPER_SPEEDUP[direction];
  const what = several ? `Speed-up ${DIRECTION_NAMES[direction]}` : "Speed-up";
  const plain = plotData(plot, { x: "context_tokens", y: "speedup" });
  const beside = rows.some(({ over }) => over !== null);
  // With one series there is room for the same ratio over a faster dense attention: the one that is
  // the fastest at most contexts, so that a line compares one thing with one other.
  const usual = series.length > 1
    ? undefined
    : mostFrequent(rows.map(({ over }) => over?.implementation));
  const overUsual = rows.flatMap(({ point, over }) =>
    over?.implementation === usual && over ? [{ context: point.context, over }] : []
  );
  const overFastest: PlotSeries[] = usual === undefined ? [] : [{
    label: `over ${usual.replace(/^peer:/, "")}`,
    style: { ...plot[0].style, marker: cycledStyles(2)[1].marker },
    // A point alone makes no line, nor has it one in the legend.
    dash: overUsual.length > 1 ? "7 4" : undefined,
    hollow: true,
    points: overUsual.map(({ context, over }) => ({
      ...contextPoint(over.ratio, { context, ...over }),
      case: over.record.id,
    })),
  }];
  const behind: PlotSeries[] = others.map(({ label, points }) => ({
    label,
    style: { ...plot[0].style, color: "var(--faint)" },
    faint: true,
    points: points.map(({ context, ratio }) => ({ x: context, y: ratio })),
  }));
  const drawn = [...plot, ...overFastest, ...behind];
  // The gain from the FLOP alone is known for k = N/64 only.
  const bound = lighthouse && series.some(({ clamp }) => clamp?.whole !== true);
  const data = !beside ? plain : {
    columns: [...plain.columns, "fastest_dense", "speedup_over_fastest_dense"],
    rows: plain.rows.map((
      row,
      i,
    ) => [...row, rows[i].over?.implementation ?? null, finite(rows[i].over?.ratio)]),
  };
  return (
    <Figure
      id={id}
      title={unbroken(
        `${what} over our own dense attention against context${
          shared === "" ? "" : ` (${shared})`
        }`,
      )}
      height={height}
      description={describe(drawn, formatRatio) +
        (paper === undefined ? "" : ` The paper’s point is ${formatRatio(paper)} at 512K.`)}
      draw={(size) => (
        <LogPlot
          size={size}
          x={x}
          y={{
            label: `dense time ÷ ${who} time`,
            domain: logDomain(
              [
                ...drawn.flatMap(({ points }) =>
                  points.flatMap(({ y, low = y, high = y }) => [low, high])
                ),
                0.8,
                ...(bound ? [FLOP_RATIO] : paper === undefined ? [] : [paper]),
              ],
              1.3,
            ),
            format: formatTick(formatRatio),
            base: 10,
          }}
          series={drawn}
          guides={[
            parityGuide(x),
            ...(bound
              ? [{
                label: `${formatRatio(FLOP_RATIO)}: attention FLOP alone`,
                points: [[x.domain[0], FLOP_RATIO], [x.domain[1], FLOP_RATIO]] as [
                  number,
                  number,
                ][],
              }]
              : []),
          ]}
          marks={paper === undefined
            ? []
            : [paperMark(paper, { detail: `${DIRECTION_NAMES[direction]}, B200` })]}
          labelRoom={130}
        />
      )}
      legend={[...plot, ...overFastest]}
      note={[
        overFastest.length === 0
          ? null
          : `The ${overUsual.length > 1 ? "dashed line" : "hollow point"} is the time of ${
            usual!.replace(/^peer:/, "")
          } over ${lighthouse ? "Lighthouse" : "the layer"}’s, by the medians.`,
        "Each ratio comes from interleaved rounds of the two; bars are 95 % intervals, or ranges " +
        "where there are fewer than six samples a side.",
        paper === undefined
          ? null
          : `The star is the paper's value (${PAPER_HARDWARE}), not a measurement of this run.`,
        others.length === 0
          ? null
          : `Thin lines are published runs: ${others.map(({ label }) => label).join(", ")}.`,
        clampSentence(series),
      ].filter((sentence) => sentence !== null).join(" ")}
      data={data}
      table={{
        caption: `${what} over our own dense attention`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Series" },
          { title: "Speed-up", numeric: true },
          { title: SPREAD_TITLE, numeric: true },
          { title: "Samples a side", numeric: true },
          ...(beside ? [{ title: "Over the fastest dense", numeric: true }] : []),
        ],
        rows: [
          ...rows.map(({ name, point, over }) => [
            formatContext(point.context),
            name,
            formatRatio(point.ratio),
            formatSpread(point, formatRatio),
            formatCount(point.count),
            ...(beside
              ? [
                over === null
                  ? ABSENT
                  : `${over.implementation.replace(/^peer:/, "")}: ${
                    formatMeasured(over.ratio, over, formatRatio)
                  }`,
              ]
              : []),
          ]),
          ...others.flatMap(({ label, points }) =>
            points.map(({ context, ratio }) => [
              formatContext(context),
              label,
              formatRatio(ratio),
              ABSENT,
              ABSENT,
              ...(beside ? [ABSENT] : []),
            ])
          ),
        ],
      }}
    />
  );
}

/** The most frequent value, the first of equals; undefined for an empty list. */
function mostFrequent(values: readonly (string | undefined)[]): string | undefined {
  const groups = Map.groupBy(values.filter((value) => value !== undefined), (value) => value);
  return [...groups].reduce<[string, string[]] | undefined>(
    (a, b) => a === undefined || b[1].length > a[1].length ? b : a,
    undefined,
  )?.[0];
}
