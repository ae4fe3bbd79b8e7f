/**
 * Lines and points on two logarithmic axes: latency, speed-up, roofline, throughput.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLog } from "d3-scale";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { line } from "d3-shape";
import {
  coordinate,
  type DrawingSize,
  type Facets,
  type PointSource,
  ReadoutData,
  readoutPoint,
} from "./drawing.ts";
import { textBox, textWidth, thinned } from "./labels.ts";
import { type LogAxis, logTicks } from "./log_axis.ts";
import { markerPath, type SeriesStyle } from "./palette.ts";
import { spacedPoints } from "./spaced_points.ts";
import { EDGE, MARGIN_GAP, marginWidth, type Place, placePlotLabels } from "./plot_labels.ts";
import { largest } from "../data/extremes.ts";

export { type LogAxis, logDomain, logTicks } from "./log_axis.ts";

/** One point with its interval, and its origin. */
export interface PlotPoint extends PointSource {
  x: number;
  y: number;
  low?: number;
  high?: number;
  /** Number of samples, and what the ends are. */
  count?: number;
  kind?: "interval" | "range";
}

/** One series. */
export interface PlotSeries {
  label: string;
  style: SeriesStyle;
  points: PlotPoint[];
  /** Straight line behind the points: y = coefficient · x^exponent between two x. */
  fit?: { coefficient: number; exponent: number; from: number; to: number } | null;
  /** Draw the points only. */
  scatter?: boolean;
  dash?: string;
  /** Draw a thin grey line without name and markers. */
  faint?: boolean;
  /** Hollow markers, for a second run or setting. */
  hollow?: boolean;
  /** Facets for the page's filters, if the cases of the points do not give them. */
  facets?: Facets;
}

/** A line that is not data: a ceiling, a limit, parity. */
export interface PlotGuide {
  label: string;
  points: [number, number][];
  strong?: boolean;
  /** Where along the guide its label goes if there is room. */
  anchor?: "start" | "end";
}

/** A point that is not data of this run, with its own label. */
export interface PlotMark {
  x: number;
  y: number;
  label: string;
  detail: string;
}

/** Everything that a plot shows. */
export interface LogPlotProps {
  size: DrawingSize;
  x: LogAxis;
  y: LogAxis;
  series: PlotSeries[];
  guides?: PlotGuide[];
  marks?: PlotMark[];
  /** Minimum room on the right for the labels of the lines; it grows with the labels. */
  labelRoom?: number;
}

/** Lines that are named in the drawing; more are named in the legend only. */
const MOST_NAMED = 12;
/** Height of the letters of an axis, with the space between two ticks. */
const TICK_HEIGHT = 18;

/** The drawing. */
export function LogPlot(given: LogPlotProps): JSX.Element {
  const domain = { x: given.x.domain, y: given.y.domain };
  const props = {
    ...given,
    series: given.series.map((one) => ({ ...one, points: spacedPoints(one.points, domain) })),
  };
  const { size, marks = [] } = props;
  // A ceiling far above all points is left off the axes.
  const guides = (props.guides ?? []).filter(({ points }) =>
    points.flat().every((value) => Number.isFinite(value) && value > 0)
  );
  const { width, height, compact } = size;
  // A series without points keeps its number, which legend and readout use.
  const series = [
    ...props.series.filter(({ faint }) => !faint),
    ...props.series.filter(({ faint }) => faint),
  ];
  const vivid = series.filter(({ faint }) => !faint);
  const nameable = compact || vivid.length > MOST_NAMED
    ? []
    : vivid.flatMap((one, at) => one.scatter || one.points.length === 0 ? [] : [{ one, at }]);
  const [top, bottom] = [34, height - 52];
  const most = Math.floor((bottom - top) / TICK_HEIGHT) + 1;
  const yTicks = logTicks(props.y.domain, props.y.base, Math.min(compact ? 7 : 9, most));
  const left = Math.max(
    compact ? 44 : 52,
    12 + largest([0, ...yTicks.map((tick) => textWidth(props.y.format(tick)))]),
  );
  const nearEdge = (value: number) => edgePart(value, props.x.domain) > 1 - EDGE;
  const atEdge = [
    ...nameable.filter(({ one: { points } }) => nearEdge(points[points.length - 1].x))
      .map(({ one }) => ({ text: one.label })),
    ...marks.filter((mark) => nearEdge(mark.x)).map(({ label, detail }) => ({
      text: label,
      detail,
    })),
  ];
  const right = width - (compact ? 14 : Math.max(
    nameable.length > 0 ? Math.min(props.labelRoom ?? 0, 60) : 0,
    marginWidth(atEdge),
    24,
  ));
  const x = scaleLog().domain(props.x.domain).range([left, right]);
  const y = scaleLog().domain(props.y.domain).range([bottom, top]);
  const at = (value: number, scale: (value: number) => number) => coordinate(scale(value));
  const clampY = (value: number) => Math.min(Math.max(value, props.y.domain[0]), props.y.domain[1]);
  const placeOf = (point: { x: number; y: number }): Place => [x(point.x), y(clampY(point.y))];
  const path = line<[number, number]>().x(([a]) => coordinate(x(a))).y(([, b]) => coordinate(y(b)));
  // One path for all intervals of a series.
  const ends = ({ points }: PlotSeries) =>
    points.map(({ x: where, low, high }) =>
      low !== undefined && high !== undefined && y(clampY(low)) - y(clampY(high)) > 2
        ? `M${at(where, x)},${at(clampY(low), y)}V${at(clampY(high), y)}`
        : ""
    ).join("");
  const xLabel = (tick: number) => ({ x: at(tick, x), y: bottom + 20, anchor: "middle" as const });
  const xBox = (tick: number) => textBox(props.x.format(tick), xLabel(tick));
  const xTicks = thinned(axisTicks(props, compact ? 5 : 10), xBox)
    .filter((tick) => xBox(tick).right <= width + 1);
  const yBox = (tick: number) =>
    textBox(props.y.format(tick), { x: left - 9, y: y(tick) + 4, anchor: "end" });
  const labels = placePlotLabels({
    lines: nameable.map(({ one, at }) => ({
      text: one.label,
      color: one.style.color,
      points: one.points.map(placeOf),
      series: at,
    })),
    marks: marks.map(({ label, detail, ...mark }) => ({
      text: label,
      detail,
      at: [x(mark.x), y(mark.y)],
    })),
    guides: guides.map(({ label, points, anchor = "start" }) => ({
      text: label,
      points: points.map(([a, b]): Place => [x(a), y(b)]),
      from: anchor,
    })),
    points: vivid.flatMap(({ points }) => points.map(placeOf)),
    curves: series.map(({ points, scatter }) => scatter ? [] : points.map(placeOf)),
    texts: yTicks.map(yBox),
    plot: { left, right, top, bottom },
    width,
    compact,
  });
  // Names without a place are put above the plot, as far as there is room beside the axis title.
  const room = width - textWidth(props.y.label) - 12;
  const above = labels.homeless.filter((_, i, all) =>
    textWidth(all.slice(0, i + 1).join("  ")) <= room
  ).join("  ");
  return (
    <>
      <g class="grid">
        {yTicks.map((tick) => <line x1={left} x2={right} y1={at(tick, y)} y2={at(tick, y)} />)}
      </g>
      <g class="axis">
        <line class="base" x1={left} x2={right} y1={bottom} y2={bottom} />
        {xTicks.map((tick) => (
          <>
            <line x1={at(tick, x)} x2={at(tick, x)} y1={bottom} y2={bottom + 5} />
            <text x={at(tick, x)} y={bottom + 20} text-anchor="middle">{props.x.format(tick)}</text>
          </>
        ))}
        {yTicks.map((tick) => (
          <text x={coordinate(left - 9)} y={at(tick, y) + 4} text-anchor="end">
            {props.y.format(tick)}
          </text>
        ))}
        <text class="title" x={0} y={14}>{props.y.label}</text>
        {above !== "" && <text class="title" x={width} y={14} text-anchor="end">{above}</text>}
        <text class="title" x={right} y={height - 8} text-anchor="end">{props.x.label}</text>
      </g>
      {guides.map((guide, i) => {
        const place = labels.guides[i];
        return (
          <g class={guide.strong ? "guide strong" : "guide"}>
            <path d={path(guide.points) ?? ""} />
            {place !== null && (
              <text x={coordinate(place.x)} y={coordinate(place.y)} text-anchor={place.anchor}>
                {guide.label}
              </text>
            )}
          </g>
        );
      })}
      {series.map((one, i) =>
        one.faint
          ? (
            <g data-s={i}>
              {one.scatter
                ? (
                  <path
                    class="faint dots"
                    d={one.points.map((point) => `M${at(point.x, x)},${at(clampY(point.y), y)}h0`)
                      .join("")}
                  />
                )
                : (
                  <path
                    class="faint"
                    d={path(one.points.map((point) => [point.x, clampY(point.y)])) ?? ""}
                  />
                )}
            </g>
          )
          : (
            <g data-s={i} style={{ color: one.style.color }}>
              {one.fit && one.points.length > 1 && (
                <path class="fit" d={path(fitEnds(one, props.y.domain)) ?? ""} />
              )}
              {!one.scatter && one.points.length > 1 && (
                <path
                  class="curve"
                  stroke-dasharray={one.dash}
                  d={path(one.points.map((point) => [point.x, clampY(point.y)])) ?? ""}
                />
              )}
              {ends(one) !== "" && <path class="interval" d={ends(one)} />}
              {one.points.map((point) => (
                <path
                  class={one.hollow ? "marker hollow" : "marker"}
                  transform={`translate(${at(point.x, x)},${at(clampY(point.y), y)})`}
                  d={markerPath(one.style.marker, compact ? 44 : 64)}
                />
              ))}
            </g>
          )
      )}
      {labels.inner.map(({ text, color, series, ...place }) => (
        <text
          class="direct"
          data-s={series}
          x={coordinate(place.x)}
          y={coordinate(place.y)}
          text-anchor={place.anchor}
          style={{ fill: color }}
        >
          {text}
        </text>
      ))}
      {marks.map((mark, i) => {
        const place = labels.marks[i];
        return (
          <g class="mark">
            <path
              transform={`translate(${at(mark.x, x)},${at(mark.y, y)})`}
              d="M0,-9L2.6,-3 9,-2.6 4,1.6 5.6,8 0,4.4 -5.6,8 -4,1.6 -9,-2.6 -2.6,-3Z"
            />
            {place !== null && [mark.label, mark.detail].map((text, row) => (
              <text
                class={row === 1 ? "detail" : undefined}
                x={coordinate(place.x)}
                y={coordinate(place.y + 14 * row)}
                text-anchor={place.anchor}
              >
                {text}
              </text>
            ))}
          </g>
        );
      })}
      {labels.margin.map((label) => {
        const start = coordinate(right + MARGIN_GAP);
        const moved = Math.abs(label.y - label.target) > 3;
        return (
          <g data-s={label.series}>
            <path
              class="leader"
              d={`M${coordinate(label.x + 10)},${coordinate(label.target)}L${start - 4},${
                coordinate(moved ? label.y : label.target)
              }`}
            />
            <text
              class="direct"
              x={start}
              y={coordinate(label.y + (label.detail === undefined ? 4 : -3))}
              style={{ fill: label.color }}
            >
              {label.text}
            </text>
            {label.detail !== undefined && (
              <text class="detail" x={start} y={coordinate(label.y + 12)}>{label.detail}</text>
            )}
          </g>
        );
      })}
      {!compact && (
        <ReadoutData
          readout={{
            x: props.x.label,
            y: props.y.label,
            series: series.map(({ label, facets, points, faint }) => ({
              name: label,
              facets,
              case: faint ? points[0]?.case : undefined,
              points: faint ? [] : points.map((point) =>
                readoutPoint({
                  where: props.x.format(point.x),
                  value: point.y,
                  low: point.low,
                  high: point.high,
                  format: props.y.format,
                  source: point,
                })
              ),
            })),
          }}
        />
      )}
    </>
  );
}

/** Position of a value on an axis, from 0 to 1. */
function edgePart(value: number, [low, high]: [number, number]): number {
  return Math.log(value / low) / Math.log(high / low);
}

/** Ticks of the horizontal axis: if it is too short for round values, those of the data. */
function axisTicks({ x, series }: LogPlotProps, most: number): number[] {
  const own = [...new Set(series.flatMap(({ points }) => points.map((point) => point.x)))]
    .sort((a, b) => a - b);
  return x.base === 2 && own.length > 0 && x.domain[1] / x.domain[0] < 4 && own.length <= most
    ? own
    : logTicks(x.domain, x.base, most);
}

function fitEnds(series: PlotSeries, domain: [number, number]): [number, number][] {
  const { coefficient, exponent, from, to } = series.fit!;
  return [from, to].map((x) => [
    x,
    Math.min(Math.max(coefficient * x ** exponent, domain[0]), domain[1]),
  ]);
}
