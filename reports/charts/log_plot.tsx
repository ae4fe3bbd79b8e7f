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
import { coordinate, type DrawingSize } from "./drawing.ts";
import { markerPath, type SeriesStyle } from "./palette.ts";
import { largest, smallest } from "../data/extremes.ts";

/** One axis. */
export interface LogAxis {
  label: string;
  domain: [number, number];
  format: (value: number) => string;
  /** Powers of two for contexts, powers of ten (with 2 and 5 between) for all else. */
  base: 2 | 10;
}

/** One point with its interval. */
export interface PlotPoint {
  x: number;
  y: number;
  low?: number;
  high?: number;
}

/** One series. */
export interface PlotSeries {
  label: string;
  style: SeriesStyle;
  points: PlotPoint[];
  /** Straight line behind the points: y = coefficient · x^exponent. */
  fit?: { coefficient: number; exponent: number } | null;
  /** Draw the points only. */
  scatter?: boolean;
  dash?: string;
  /** Draw a thin grey line without name and markers. */
  faint?: boolean;
  /** Hollow markers, for a second run. */
  hollow?: boolean;
}

/** A line that is no data: a ceiling, a limit, parity. */
export interface PlotGuide {
  label: string;
  points: [number, number][];
  strong?: boolean;
  /** Where along the guide its label goes. */
  anchor?: "start" | "end";
}

/** A point that is no data of this run, with its own label. */
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
  /** Room on the right for the labels of the lines. */
  labelRoom?: number;
}

/** A domain that holds all positive values, widened by `margin` (a factor) at both ends. */
export function logDomain(values: readonly number[], margin = 1.3): [number, number] {
  const usable = values.filter((value) => Number.isFinite(value) && value > 0);
  if (usable.length === 0) return [1, 10];
  return [
    Math.max(smallest(usable) / margin, Number.MIN_VALUE),
    Math.min(largest(usable) * margin, Number.MAX_VALUE),
  ];
}

/** Ticks of a logarithmic axis, at most `most` of them. */
export function logTicks([low, high]: [number, number], base: 2 | 10, most: number): number[] {
  const steps = base === 2 ? [1] : [1, 2, 5];
  const from = Math.floor(Math.log(low) / Math.log(base));
  const to = Math.ceil(Math.log(high) / Math.log(base));
  const inside = (ticks: number[]) => ticks.filter((tick) => tick >= low && tick <= high);
  const powers = Array.from({ length: to - from + 1 }, (_, i) => base ** (from + i));
  const fine = inside(powers.flatMap((power) => steps.map((step) => step * power)));
  if (fine.length <= most) return fine;
  const coarse = inside(powers);
  const stride = Math.ceil(coarse.length / most);
  // Counted from the top, so that the largest context always has its tick.
  return coarse.filter((_, i) => (coarse.length - 1 - i) % stride === 0);
}

/** Lines that are named in the drawing. */
const MOST_NAMED = 40;

/** The drawing. */
export function LogPlot(props: LogPlotProps): JSX.Element {
  const { size, series, marks = [] } = props;
  // A ceiling that nobody could reach has no place on the axes.
  const guides = (props.guides ?? []).filter(({ points }) =>
    points.flat().every((value) => Number.isFinite(value) && value > 0)
  );
  const { width, height, compact } = size;
  const yTicks = logTicks(props.y.domain, props.y.base, compact ? 7 : 9);
  const longestTick = Math.max(0, ...yTicks.map((tick) => props.y.format(tick).length));
  const margin = {
    top: 34,
    right: compact ? 14 : props.labelRoom ?? 130,
    bottom: 52,
    left: Math.max(compact ? 48 : 58, 14 + 7.4 * longestTick),
  };
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const x = scaleLog().domain(props.x.domain).range([margin.left, right]);
  const y = scaleLog().domain(props.y.domain).range([bottom, margin.top]);
  const at = (value: number, scale: (value: number) => number) => coordinate(scale(value));
  const clampY = (value: number) => Math.min(Math.max(value, props.y.domain[0]), props.y.domain[1]);
  const path = line<[number, number]>().x(([a]) => coordinate(x(a))).y(([, b]) => coordinate(y(b)));
  const xTicks = logTicks(props.x.domain, props.x.base, compact ? 5 : 10);
  // Lines that end at the right edge and marks there are named in the margin, all others in place.
  const atEdge = (value: number) => x(value) > right - 0.12 * (right - margin.left);
  const vivid = series.filter(({ faint }) => !faint);
  // A long name would run out of the drawing, and many would cover each other: the legend has them.
  const named = compact || vivid.length > MOST_NAMED
    ? []
    : vivid.filter(({ points, scatter, label }) =>
      points.length > 0 && !scatter && label.length <= 22
    );
  const labels = placeLabels([
    ...named.flatMap((one): PlacedLabel[] => {
      const last = one.points[one.points.length - 1];
      if (!atEdge(last.x)) return [];
      const { label, style: { color } } = one;
      return [{ text: label, color, x: x(last.x), y: y(clampY(last.y)), height: 17 }];
    }),
    ...(compact ? [] : marks).filter((mark) => atEdge(mark.x)).map((mark): PlacedLabel => ({
      text: mark.label,
      detail: mark.detail,
      color: "var(--ink)",
      x: x(mark.x),
      y: y(mark.y),
      height: 33,
    })),
  ], [margin.top, bottom]);
  const obstacles = series.flatMap(({ points }) =>
    points.map((point): [number, number] => [x(point.x), y(clampY(point.y))])
      .flatMap((end, i, all) => i === 0 ? [end] : between(all[i - 1], end))
  );
  const inner = named.filter(({ points }) => !atEdge(points[points.length - 1].x)).map((one) => {
    const last = one.points[one.points.length - 1];
    const from: [number, number] = [x(last.x), y(clampY(last.y))];
    const place = freePlace({ from, text: one.label, obstacles, right });
    // A label is an obstacle for those that follow.
    const wide = one.label.length * LETTER;
    const start = place.anchor === "start"
      ? place.x
      : place.anchor === "end"
      ? place.x - wide
      : place.x - wide / 2;
    obstacles.push(...between([start, place.y - 4], [start + wide, place.y - 4]));
    return { text: one.label, color: one.style.color, place };
  });
  return (
    <>
      <g class="grid">
        {yTicks.map((tick) => (
          <line
            x1={margin.left}
            x2={right}
            y1={at(tick, y)}
            y2={at(tick, y)}
          />
        ))}
      </g>
      <g class="axis">
        <line class="base" x1={margin.left} x2={right} y1={bottom} y2={bottom} />
        {xTicks.map((tick) => (
          <>
            <line x1={at(tick, x)} x2={at(tick, x)} y1={bottom} y2={bottom + 5} />
            <text x={at(tick, x)} y={bottom + 20} text-anchor="middle">{props.x.format(tick)}</text>
          </>
        ))}
        {yTicks.map((tick) => (
          <text x={margin.left - 9} y={at(tick, y) + 4} text-anchor="end">
            {props.y.format(tick)}
          </text>
        ))}
        <text class="title" x={0} y={14}>{props.y.label}</text>
        <text class="title" x={right} y={height - 8} text-anchor="end">{props.x.label}</text>
      </g>
      {guides.map((guide) => <Guide guide={guide} path={path} x={x} y={y} />)}
      {series.filter(({ faint }) => faint).map(({ points, scatter }) =>
        scatter
          ? points.map((point) => (
            <circle class="faint" cx={at(point.x, x)} cy={at(clampY(point.y), y)} r="1.5" />
          ))
          : <path class="faint" d={path(points.map((point) => [point.x, clampY(point.y)])) ?? ""} />
      )}
      {vivid.map((one) => (
        <g style={{ color: one.style.color }}>
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
          {one.points.map((point) =>
            point.low !== undefined && point.high !== undefined &&
            y(clampY(point.low)) - y(clampY(point.high)) > 2 && (
              <line
                class="interval"
                x1={at(point.x, x)}
                x2={at(point.x, x)}
                y1={at(clampY(point.low), y)}
                y2={at(clampY(point.high), y)}
              />
            )
          )}
          {one.points.map((point) => (
            <path
              class={one.hollow ? "marker hollow" : "marker"}
              transform={`translate(${at(point.x, x)},${at(clampY(point.y), y)})`}
              d={markerPath(one.style.marker, compact ? 44 : 64)}
            >
              {!compact && (
                <title>
                  {`${one.label}: ${props.y.format(point.y)} at ${props.x.format(point.x)}`}
                </title>
              )}
            </path>
          ))}
        </g>
      ))}
      {inner.map(({ text, color, place }) => (
        <text
          class="direct"
          x={coordinate(place.x)}
          y={coordinate(place.y)}
          text-anchor={place.anchor}
          style={{ fill: color }}
        >
          {text}
        </text>
      ))}
      {marks.map((mark) => (
        <g class="mark">
          <path
            transform={`translate(${at(mark.x, x)},${at(mark.y, y)})`}
            d="M0,-9L2.6,-3 9,-2.6 4,1.6 5.6,8 0,4.4 -5.6,8 -4,1.6 -9,-2.6 -2.6,-3Z"
          />
          {(compact || !atEdge(mark.x)) && (
            <>
              <text x={at(mark.x, x) + 8} y={at(mark.y, y) + 24} text-anchor="end">
                {mark.label}
              </text>
              <text
                class="detail"
                x={at(mark.x, x) + 8}
                y={at(mark.y, y) + 38}
                text-anchor="end"
              >
                {mark.detail}
              </text>
            </>
          )}
        </g>
      ))}
      {labels.map((label) => {
        const moved = Math.abs(label.y - label.target) > 3;
        const left = right + 16;
        return (
          <g>
            <path
              class="leader"
              d={`M${coordinate(label.x + 10)},${coordinate(label.target)}L${left - 4},${
                coordinate(moved ? label.y : label.target)
              }`}
            />
            <text
              class="direct"
              x={left}
              y={coordinate(label.y + (label.detail === undefined ? 4 : -3))}
              style={{ fill: label.color }}
            >
              {label.text}
            </text>
            {label.detail !== undefined && (
              <text x={left} y={coordinate(label.y + 12)}>{label.detail}</text>
            )}
          </g>
        );
      })}
    </>
  );
}

type Scale = (value: number) => number;

function Guide(
  { guide, path, x, y }: {
    guide: PlotGuide;
    path: (points: [number, number][]) => string | null;
    x: Scale;
    y: Scale;
  },
): JSX.Element {
  const first = guide.points[0];
  const last = guide.points[guide.points.length - 1];
  const [labelX, labelY] = guide.anchor === "end" ? last : first;
  return (
    <g class={guide.strong ? "guide strong" : "guide"}>
      <path d={path(guide.points) ?? ""} />
      <text
        x={coordinate(x(labelX)) + (guide.anchor === "end" ? -4 : 4)}
        y={coordinate(y(labelY)) - 6}
        text-anchor={guide.anchor ?? "start"}
      >
        {guide.label}
      </text>
    </g>
  );
}

function fitEnds(series: PlotSeries, domain: [number, number]): [number, number][] {
  const { coefficient, exponent } = series.fit!;
  const ends = [series.points[0].x, series.points[series.points.length - 1].x];
  return ends.map((x) => [
    x,
    Math.min(Math.max(coefficient * x ** exponent, domain[0]), domain[1]),
  ]);
}

interface LabelPlace {
  x: number;
  y: number;
  anchor: "start" | "middle" | "end";
}

/** Width of a letter of a label, in SVG units. */
const LETTER = 7.6;

/** Of the places around a line's end, the one whose text covers the fewest obstacles. */
function freePlace(
  { from: [x, y], text, obstacles, right }: {
    from: [number, number];
    text: string;
    obstacles: readonly [number, number][];
    right: number;
  },
): LabelPlace {
  const wide = text.length * LETTER;
  const places: (LabelPlace & { start: number })[] = [
    { x: x + 13, y: y + 4, anchor: "start", start: x + 13 },
    { x, y: y - 13, anchor: "middle", start: x - wide / 2 },
    { x, y: y + 23, anchor: "middle", start: x - wide / 2 },
    { x: x - 10, y: y - 10, anchor: "end", start: x - 10 - wide },
    { x: x + 10, y: y + 20, anchor: "start", start: x + 10 },
  ];
  const covered = places.map((place) =>
    obstacles.filter(([a, b]) =>
      a > place.start - 3 && a < place.start + wide + 3 && b > place.y - 15 && b < place.y + 7
    ).length + (place.start + wide > right || place.start < 0 ? 1000 : 0)
  );
  return places[covered.indexOf(smallest(covered))];
}

/** Points on the way from `a` (left out) to `b`, four units apart. */
function between([x0, y0]: [number, number], [x1, y1]: [number, number]): [number, number][] {
  const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 4));
  return Array.from({ length: steps }, (_, i): [number, number] => {
    const part = (i + 1) / steps;
    return [x0 + part * (x1 - x0), y0 + part * (y1 - y0)];
  });
}

interface PlacedLabel {
  text: string;
  detail?: string;
  color: string;
  x: number;
  y: number;
  height: number;
}

/** Moves labels apart so that none overlaps, from top to bottom, then back up from the floor. */
function placeLabels(
  labels: PlacedLabel[],
  [top, bottom]: [number, number],
): (PlacedLabel & { target: number })[] {
  const placed = labels.map((label) => ({ ...label, target: label.y })).sort((a, b) => a.y - b.y);
  let floor = top - 10;
  for (const label of placed) {
    label.y = Math.max(label.y, floor + label.height / 2);
    floor = label.y + label.height / 2;
  }
  let ceiling = bottom;
  for (const label of placed.toReversed()) {
    label.y = Math.min(label.y, ceiling - label.height / 2);
    ceiling = label.y - label.height / 2;
  }
  return placed;
}
