/**
 * The sections about time: latency, speed-up, stages, ceilings, sweeps, throughput, peers.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import type { CaseRecord, Result } from "../../suites/result_schema.ts";
import {
  achievedOf,
  ceilingsOf,
  type ContextSeries,
  contextSeries,
  copyFloors,
  findCrossover,
  isMeasured,
  type SpeedupPoint,
  type SpeedupSeries,
  speedupSeries,
  stageSeconds,
} from "../analysis.ts";
import { FLOP_RATIO, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "../claims.ts";
import {
  ABSENT,
  formatByteRate,
  formatContext,
  formatCount,
  formatFlopRate,
  formatInterval,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSignificant,
  formatTokenRate,
} from "../format.ts";
import { shortSeriesNames } from "../summary_tables.ts";
import {
  DotPlot,
  dotPlotHeight,
  type DotRow,
  StackedBars,
  stackedBarsHeight,
} from "./bar_plot.tsx";
import { Figure, Table } from "./figure.tsx";
import { type LogAxis, logDomain, LogPlot, type PlotGuide, type PlotSeries } from "./log_plot.tsx";
import { plotStyles, seriesStyles, stageColor } from "./palette.ts";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolSquare } from "d3-shape";

/** A section of the report: its anchor, its entry in the navigation, its content. */
export interface Section {
  id: string;
  nav: string;
  content: JSX.Element;
}

/** The sections about time that this result has data for, in reading order. */
export function performanceSections(result: Result, prefix: string): Section[] {
  return [
    latencySection(result, prefix),
    speedupSection(result, prefix),
    stageSection(result, prefix),
    ceilingSection(result, prefix),
    sweepSection(result, prefix),
    throughputSection(result, prefix),
    peerSection(result, prefix),
  ].filter((section) => section !== null);
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
      <h2>{title}</h2>
      <div class="spread">
        <div>{figure}</div>
        <div class="notes">{children}</div>
      </div>
    </>
  );
}

/** N with an exponent, as a slope is written. */
export function Power({ exponent }: { exponent: number }): JSX.Element {
  return (
    <span class="power">
      N<sup>{exponent.toFixed(2)}</sup>
    </span>
  );
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

/** What a time of this run is: by GPU timestamps, or by the wall clock where there are none. */
export function timeLabel({ calibration }: Result): string {
  return calibration?.clock === "wall" ? "wall-clock time of one layer" : "GPU time of one layer";
}

/** Latency series as plot series, named apart. */
export function latencyPlot(series: readonly ContextSeries[]): PlotSeries[] {
  const styles = plotStyles(series.map(({ implementation }) => implementation));
  const { names } = shortSeriesNames(series);
  return series.map(({ points, fit }, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    points: points.map(({ context, median, low, high }) => ({ x: context, y: median, low, high })),
    fit,
  }));
}

function latencySection(result: Result, prefix: string): Section | null {
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
            title={`Latency against context, both axes logarithmic${shared ? ` (${shared})` : ""}`}
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
        {fits.map(({ fit, name }) => (
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

function speedupSection(result: Result, prefix: string): Section | null {
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

function stageSection(result: Result, prefix: string): Section | null {
  const series = contextSeries(result).filter(({ points, k }) =>
    k !== null && points.some((point) => stagesOf(point.case).length > 1)
  );
  if (series.length === 0) return null;
  const { names } = shortSeriesNames(series);
  const faint = plotStyles(series.map(({ implementation }) => implementation)).map(({ faint }) =>
    faint
  );
  const hidden = faint.filter(Boolean).length;
  const lead = series[0].points[series[0].points.length - 1];
  const parts = stagesOf(lead.case);
  const total = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const largest = parts.reduce((a, b) => b.seconds > a.seconds ? b : a);
  return {
    id: `${prefix}stages`,
    nav: "Stages",
    content: (
      <Spread
        title={`At ${formatContext(lead.context)}, ${largest.name} takes ${
          formatPercent(largest.seconds / total)
        } of ${series[0].implementation}`}
        figure={series.map((one, i) => {
          if (faint[i]) return null;
          const points = one.points.filter((point) => stagesOf(point.case).length > 1);
          const stages = [
            ...new Set(points.flatMap((point) => stagesOf(point.case).map(({ name }) => name))),
          ];
          return (
            <Figure
              id={`${prefix}stages-figure-${i + 1}`}
              title={`Share of each stage, ${names[i]}`}
              description={points.map((point) => {
                const list = stagesOf(point.case);
                const sum = list.reduce((a, { seconds }) => a + seconds, 0);
                return `${formatContext(point.context)}: ${
                  list.map(({ name, seconds }) => `${name} ${formatPercent(seconds / sum)}`).join(
                    ", ",
                  )
                }.`;
              }).join(" ")}
              height={stackedBarsHeight(points.length)}
              compactHeight={stackedBarsHeight(points.length)}
              draw={(size) => (
                <StackedBars
                  size={size}
                  label=""
                  axis="share of the layer’s time"
                  names={stages}
                  bars={points.map((point) => {
                    const list = stagesOf(point.case);
                    return {
                      label: formatContext(point.context),
                      total: formatSeconds(list.reduce((sum, { seconds }) => sum + seconds, 0)),
                      parts: Object.fromEntries(list.map(({ name, seconds }) => [name, seconds])),
                    };
                  })}
                />
              )}
              legend={stages.map((name) => ({
                label: name,
                style: { color: stageColor(name), marker: STAGE_MARKER },
              }))}
              note="Medians of staged executions, in which each stage is timed by itself; the total at the right is their sum and can differ a little from the latency of the whole layer."
              table={{
                caption: `Stages, ${names[i]}`,
                columns: [
                  { title: "Context", numeric: true },
                  { title: "Stage" },
                  { title: "Median", numeric: true },
                  { title: "Share", numeric: true },
                ],
                rows: points.flatMap((point) => {
                  const list = stagesOf(point.case);
                  const sum = list.reduce((a, { seconds }) => a + seconds, 0);
                  return list.map(({ name, seconds }) => [
                    formatContext(point.context),
                    name,
                    formatSeconds(seconds),
                    formatPercent(seconds / sum),
                  ]);
                }),
              }}
            />
          );
        })}
      >
        <p>
          With the norm scorer the work of every stage but attention grows in proportion to N, that
          of attention with the square of the rows gathered.
        </p>
        {hidden > 0 && (
          <p>
            {formatPlural(hidden, "further setting")} of Lighthouse {hidden === 1 ? "has" : "have"}
            {" "}
            stages in the embedded result.
          </p>
        )}
      </Spread>
    ),
  };
}

const STAGE_MARKER = symbolSquare;

function stagesOf(
  record: CaseRecord,
): { name: string; seconds: number; flops: number; bytes: number }[] {
  return record.stages.flatMap((stage) => {
    const seconds = stageSeconds(stage);
    return seconds === null || seconds <= 0
      ? []
      : [{ name: stage.name, seconds, flops: stage.flops, bytes: stage.bytes }];
  });
}

function ceilingSection(result: Result, prefix: string): Section | null {
  const ceilings = ceilingsOf(result.calibration);
  const compute = Math.max(ceilings.fmaF32 ?? 0, ceilings.fmaF16 ?? 0, ceilings.matrix ?? 0);
  const series = contextSeries(result);
  if (series.length === 0 || compute === 0 || ceilings.copy === null) return null;
  const copy = ceilings.copy;
  const styles = plotStyles(series.map(({ implementation }) => implementation));
  const { names } = shortSeriesNames(series);
  const work = series.flatMap(({ implementation, points }, i) =>
    points.filter((point) => point.case.flops > 0 && point.case.bytes > 0).map((point) => ({
      implementation,
      name: names[i],
      context: point.context,
      achieved: achievedOf({
        flops: point.case.flops,
        bytes: point.case.bytes,
        seconds: point.median,
      }, ceilings),
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
  const plot: PlotSeries[] = series.map((_, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    scatter: true,
    points: work.filter(({ name }) => name === names[i]).map(({ achieved }) => ({
      x: achieved.intensity,
      y: achieved.flopsPerSecond,
    })),
  }));
  const best = work.filter(({ implementation }) => implementation === "dense").reduce<
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
        title={best === null || best.achieved.ofFmaF32 === null
          ? "Against the ceilings that this run measured"
          : `Dense attention reaches ${
            formatPercent(best.achieved.ofFmaF32)
          } of the measured f32 ceiling`}
        figure={
          <>
            <Figure
              id={`${prefix}roofline-figure`}
              title="Roofline: achieved FLOP/s against arithmetic intensity"
              description={work.filter(({ name }) => !styles[names.indexOf(name)].faint).map((
                { name, context, achieved },
              ) =>
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
              table={{
                caption: "Achieved rates",
                columns: [
                  { title: "Context", numeric: true },
                  { title: "Series" },
                  { title: "FLOP/s", numeric: true },
                  { title: "Bytes/s", numeric: true },
                  { title: "FLOP/byte", numeric: true },
                  { title: "Of f32 FMA", numeric: true },
                  { title: "Of matrix units", numeric: true },
                  { title: "Of the roof", numeric: true },
                  { title: "Bound by" },
                ],
                rows: work.map(({ name, context, achieved }) => [
                  formatContext(context),
                  name,
                  formatFlopRate(achieved.flopsPerSecond),
                  formatByteRate(achieved.bytesPerSecond),
                  formatSignificant(achieved.intensity),
                  percent(achieved.ofFmaF32),
                  percent(achieved.ofMatrix),
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
              dense attention at {formatContext(best.context)}, its best
            </span>
          </p>
        )}
        <p>
          The FLOP count takes the causal half only. Least bytes are what must cross memory once, so
          a kernel can move more than its point says.
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
  const series = contextSeries(result).find(({ implementation }) =>
    implementation === "lighthouse-norm"
  );
  const points =
    series?.points.flatMap((point) =>
      copyFloors(point.case, copy).map((floor) => ({ context: point.context, ...floor }))
    ) ?? [];
  if (points.length === 0) return null;
  const stages = [...new Set(points.map(({ stage }) => stage))].filter((stage) =>
    stage !== "select"
  );
  const shapes = [
    ...seriesStyles(["dense", "lighthouse-norm", "lighthouse-dilated", "lighthouse-gla"])
      .values(),
  ].map(({ marker }) => marker);
  const plot: PlotSeries[] = stages.map((stage, i) => ({
    label: stage === "all" ? "all four stages" : stage,
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
      note="Least bytes of each stage divided by the measured copy rate. Selection moves next to nothing and counts only in the sum."
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

const SWEEP_TITLES: Record<string, string> = {
  k: "Selection budget k",
  pooling: "Pooling factor p",
  levels: "Pyramid levels L",
  scorer: "Scorer",
};

function sweepSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(({ suite }) => suite === "latency");
  const groups = new Map<string, { sweep: string; cases: typeof measured }>();
  for (const record of measured) {
    for (const sweep of record.sweeps ?? []) {
      if (sweep === "context" || record.lighthouse === undefined) continue;
      const { context, heads, headDim, dtype } = record.shape;
      const key = [sweep, record.direction, context, heads, headDim, dtype].join(" ");
      const group = groups.get(key) ?? { sweep, cases: [] };
      groups.set(key, group);
      if (!group.cases.some(({ id }) => id === record.id)) group.cases.push(record);
    }
  }
  const shown = [...groups.values()].filter(({ cases }) => cases.length > 1);
  if (shown.length === 0) return null;
  const styles = seriesStyles(measured.map(({ implementation }) => implementation));
  return {
    id: `${prefix}sweeps`,
    nav: "Sweeps",
    content: (
      <>
        <h2>What k, p, L and the scorer cost</h2>
        <div class="grid-of-figures">
          {shown.map(({ sweep, cases }, i) => {
            const { shape, direction } = cases[0];
            const dense = measured.find((record) =>
              record.implementation === "dense" && record.direction === direction &&
              record.shape.context === shape.context && record.shape.heads === shape.heads &&
              record.shape.headDim === shape.headDim && record.shape.dtype === shape.dtype
            );
            const sorted = [...cases].sort((a, b) => sweepValue(a, sweep) - sweepValue(b, sweep));
            const rows = sorted.map((record): DotRow => ({
              label: sweepLabel(record, sweep),
              value: record.statistic.median,
              low: record.statistic.low,
              high: record.statistic.high,
              text: formatSeconds(record.statistic.median),
              style: styles.get(record.implementation)!,
            }));
            const most = Math.max(...rows.map(({ value }) => value));
            const guide = dense !== undefined && dense.statistic.median < 2.5 * most
              ? {
                value: dense.statistic.median,
                label: `dense ${formatSeconds(dense.statistic.median)}`,
              }
              : undefined;
            const title = Object.hasOwn(SWEEP_TITLES, sweep)
              ? SWEEP_TITLES[sweep]
              : `Sweep: ${sweep}`;
            return (
              <Figure
                id={`${prefix}sweep-figure-${i + 1}`}
                title={`${title} at ${formatContext(shape.context)}`}
                description={rows.map(({ label, text }) => `${label}: ${text}`).join(", ") + "."}
                width={530}
                height={dotPlotHeight(rows.length)}
                compactHeight={dotPlotHeight(rows.length)}
                draw={(size) => (
                  <DotPlot
                    size={size}
                    rows={rows}
                    axis={timeLabel(result)}
                    format={formatTick(formatSeconds)}
                    guide={guide}
                  />
                )}
                note={dense === undefined || guide !== undefined
                  ? undefined
                  : `Dense attention takes ${
                    formatSeconds(dense.statistic.median)
                  } here, off this scale.`}
                table={{
                  caption: title,
                  columns: [
                    { title: "Setting" },
                    { title: "Case" },
                    { title: "Median", numeric: true },
                    { title: "95 % interval", numeric: true },
                    { title: "Rows gathered", numeric: true },
                  ],
                  rows: sorted.map((record) => [
                    sweepLabel(record, sweep),
                    record.id,
                    formatSeconds(record.statistic.median),
                    formatInterval([record.statistic.low, record.statistic.high], formatSeconds),
                    record.gathered === undefined ? ABSENT : formatCount(record.gathered),
                  ]),
                }}
              />
            );
          })}
        </div>
      </>
    ),
  };
}

function sweepValue({ lighthouse }: CaseRecord, sweep: string): number {
  if (sweep === "scorer") return ["norm", "dilated", "gla"].indexOf(lighthouse!.scorer);
  const value = lighthouse![sweep];
  return typeof value === "number" ? value : 0;
}

function sweepLabel({ lighthouse, implementation }: CaseRecord, sweep: string): string {
  const { levels, pooling, k, scorer } = lighthouse!;
  switch (sweep) {
    case "k":
      return `k = ${formatCount(k)}`;
    case "pooling":
      return `p = ${pooling}`;
    case "levels":
      return `L = ${levels}`;
    case "scorer":
      return scorer;
    default:
      return implementation;
  }
}

function throughputSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(({ throughput }) =>
    throughput !== undefined && throughput.median > 0
  );
  const own = measured.filter(({ suite }) => suite === "throughput");
  // Without a throughput suite, the latency cases still say tokens per second of one layer.
  const suite = own.length > 0
    ? own
    : measured.filter(({ suite, sweeps }) =>
      suite === "latency" && (sweeps === undefined || sweeps.includes("context"))
    );
  const series = contextSeries({
    ...result,
    cases: suite.map((record) => ({ ...record, suite: "latency" as const, sweeps: ["context"] })),
  });
  if (series.length === 0) return null;
  const styles = plotStyles(series.map(({ implementation }) => implementation));
  const { names } = shortSeriesNames(series);
  const plot: PlotSeries[] = series.map(({ points }, i) => ({
    ...styles[i],
    label: names[i].replace(/^peer:/, ""),
    points: points.map(({ context, case: { throughput } }) => ({
      x: context,
      y: throughput!.median,
      low: throughput!.low,
      high: throughput!.high,
    })),
  }));
  const all = plot.flatMap(({ points }) => points);
  return {
    id: `${prefix}throughput`,
    nav: "Throughput",
    content: (
      <Spread
        title="Tokens per second of one layer"
        figure={
          <Figure
            id={`${prefix}throughput-figure`}
            title="Throughput against context"
            description={describe(plot, formatTokenRate)}
            height={360}
            draw={(size) => (
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
            table={{
              caption: "Tokens per second of one layer",
              columns: [
                { title: "Context", numeric: true },
                { title: "Series" },
                { title: "Median", numeric: true },
                { title: "95 % interval", numeric: true },
              ],
              rows: plot.flatMap(({ label, points }) =>
                points.map((point) => [
                  formatContext(point.x),
                  label,
                  formatTokenRate(point.y),
                  formatInterval([point.low!, point.high!], formatTokenRate),
                ])
              ),
            }}
          />
        }
      >
        <p>
          One attention layer alone, so these rates are no training throughput and stand beside none
          of the paper’s tables.
        </p>
      </Spread>
    ),
  };
}

function peerSection(result: Result, prefix: string): Section | null {
  const peers = result.cases.filter(({ implementation }) => implementation.startsWith("peer:"));
  if (peers.length === 0) return null;
  const measured = result.cases.filter(isMeasured);
  const rows = peers.map((record) => {
    const dense = measured.find((other) =>
      other.implementation === "dense" && other.suite === record.suite &&
      other.direction === record.direction && other.shape.context === record.shape.context &&
      other.shape.heads === record.shape.heads && other.shape.headDim === record.shape.headDim
    );
    const interleaved = result.ratios.find(({ numerator, denominator }) =>
      dense !== undefined && numerator === record.id && denominator === dense.id
    );
    const shown = isMeasured(record);
    const against = !shown || dense === undefined
      ? ABSENT
      : interleaved !== undefined
      ? `${formatRatio(interleaved.ratio)} (${
        formatInterval([interleaved.low, interleaved.high], formatRatio)
      })`
      : `${
        formatRatio(record.statistic.median / dense.statistic.median)
      } (medians, not interleaved)`;
    return [
      record.implementation.slice("peer:".length),
      formatContext(record.shape.context),
      `${record.direction}, H = ${record.shape.heads}, d = ${record.shape.headDim}, ${record.shape.dtype}`,
      shown ? formatSeconds(record.statistic.median) : record.status,
      shown && record.flops > 0 ? formatFlopRate(record.flops / record.statistic.median) : ABSENT,
      against,
    ];
  });
  return {
    id: `${prefix}peers`,
    nav: "Peers",
    content: (
      <>
        <h2>Other implementations on the same device</h2>
        <Table
          caption="Peers"
          columns={[
            { title: "Peer" },
            { title: "Context", numeric: true },
            { title: "Shape" },
            { title: "Median", numeric: true },
            { title: "Achieved", numeric: true },
            { title: "Time ÷ our dense time", numeric: true },
          ]}
          rows={rows}
        />
      </>
    ),
  };
}

/** The points of a plot's named series in words. */
export function describe(plot: readonly PlotSeries[], format: (value: number) => string): string {
  return plot.filter(({ faint }) => !faint).map(({ label, points }) =>
    `${label}: ${points.map(({ x, y }) => `${format(y)} at ${formatContext(x)}`).join(", ")}.`
  ).join(" ");
}

/** A tick in the fewest digits: `1 ms` and not `1.00 ms`. */
export function formatTick(format: (value: number) => string): (value: number) => string {
  return (value) => format(value).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
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
