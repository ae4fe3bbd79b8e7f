/**
 * Curves over two linear axes, with intervals and named lines across.
 *
 * @module
 */
import type { JSX } from "preact";
import {
  coordinate,
  type DrawingSize,
  type Facets,
  type PointSource,
  ReadoutData,
  readoutPoint,
  type TickFormat,
} from "./drawing.ts";
import {
  alongLine,
  around,
  type Obstacles,
  placeText,
  textBox,
  textWidth,
  thinned,
} from "./labels.ts";
import { markerPath, type SeriesStyle } from "./palette.ts";
import { SMALL_TEXT } from "./plot_labels.ts";
import { largest } from "../data/extremes.ts";

/** A curve: measured points with intervals, or a law's line. */
export interface Curve {
  label: string;
  style: SeriesStyle;
  /** A line without markers: theory. */
  law?: boolean;
  dash?: string;
  points: ({ x: number; y: number; low?: number; high?: number } & PointSource)[];
  /** Facets for the page's filters. */
  facets?: Facets;
}

/** An axis with its ticks. */
export interface LinearAxis {
  label: string;
  domain: [number, number];
  ticks: number[];
  format: TickFormat;
}

/** A vertical line with a name. */
export interface CurveGuide {
  x: number;
  label: string;
}

/** Curves over two linear axes. */
export function CurvePlot(
  { size, x, y, curves, guides = [] }: {
    size: DrawingSize;
    x: LinearAxis;
    y: LinearAxis;
    curves: Curve[];
    guides?: CurveGuide[];
  },
): JSX.Element {
  const { width, height, compact } = size;
  const box = {
    left: Math.max(44, 12 + largest(y.ticks.map((tick) => textWidth(y.format(tick))))),
    right: width - 14,
    top: 30,
    bottom: height - 50,
  };
  const across = scale(x.domain, [box.left, box.right]);
  const up = scale(y.domain, [box.bottom, box.top]);
  const inside = (value: number, [low, high]: [number, number]) =>
    Math.min(Math.max(value, low), high);
  const placeOf = (point: { x: number; y: number }) =>
    [across(point.x), up(inside(point.y, y.domain))] as const;
  const xTicks = thinned(
    x.ticks,
    (tick) => textBox(x.format(tick), { x: across(tick), y: box.bottom + 19, anchor: "middle" }),
    4,
  );
  const yTicks = thinned(
    y.ticks,
    (tick) => textBox(y.format(tick), { x: box.left - 8, y: up(tick) + 4, anchor: "end" }),
    2,
  );
  const obstacles: Obstacles = {
    hard: curves.flatMap(({ points, law }) => [
      ...(law ? [] : points.map((point) => around(...placeOf(point), 6))),
      ...alongLine(points.map(placeOf)),
    ]),
    soft: guides.flatMap(({ x: at }) =>
      alongLine([[across(at), box.top], [across(at), box.bottom]])
    ),
    frame: { ...box, right: width },
  };
  const named = guides.map(({ x: at, label }) => {
    const heights = Array.from({ length: 12 }, (_, i) => box.top + 11 + 16 * i)
      .filter((height) => height < box.bottom);
    const places = heights.flatMap((y) => [
      { x: across(at) + 5, y, anchor: "start" as const },
      { x: across(at) - 5, y, anchor: "end" as const },
    ]);
    return placeText(label, places, obstacles, { size: SMALL_TEXT });
  });
  return (
    <>
      <g class="grid">
        {yTicks.map((tick) => <line x1={box.left} x2={box.right} y1={up(tick)} y2={up(tick)} />)}
      </g>
      <g class="axis">
        <line class="base" x1={box.left} x2={box.right} y1={box.bottom} y2={box.bottom} />
        {xTicks.map((tick) => (
          <text x={across(tick)} y={box.bottom + 19} text-anchor="middle">{x.format(tick)}</text>
        ))}
        {yTicks.map((tick) => (
          <text x={box.left - 8} y={up(tick) + 4} text-anchor="end">{y.format(tick)}</text>
        ))}
        <text class="title" x={0} y={13}>{y.label}</text>
        <text class="title" x={box.right} y={height - 7} text-anchor="end">{x.label}</text>
      </g>
      {guides.map(({ x: at, label }, i) => {
        const place = named[i];
        return (
          <g class="guide">
            <path d={`M${across(at)},${box.top}V${box.bottom}`} />
            {place !== null && (
              <text x={place.x} y={place.y} text-anchor={place.anchor}>{label}</text>
            )}
          </g>
        );
      })}
      {curves.map(({ style, points, law, dash }, series) => {
        const places = points.map((point) => placeOf(point).join());
        const ends = law
          ? []
          : points.flatMap(({ x: at, low, high }) =>
            low === undefined || high === undefined
              ? []
              : [`M${across(at)},${up(inside(low, y.domain))}V${up(inside(high, y.domain))}`]
          );
        return (
          <g data-s={series} style={{ color: style.color }}>
            {points.length > 1 && (
              <path
                class={law ? "law" : "curve"}
                stroke-dasharray={dash}
                d={`M${places.join("L")}`}
              />
            )}
            {ends.length > 0 && <path class="interval" d={ends.join("")} />}
            {!law && places.map((place) => (
              <path
                class="marker"
                transform={`translate(${place})`}
                d={markerPath(style.marker, compact ? 40 : 54)}
              />
            ))}
          </g>
        );
      })}
      {!compact && (
        <ReadoutData
          readout={{
            x: x.label,
            y: y.label,
            series: curves.map(({ label, points, law, facets }) => ({
              name: label,
              facets,
              points: law ? [] : points.map((point) =>
                readoutPoint({
                  where: x.format(point.x),
                  value: point.y,
                  low: point.low,
                  high: point.high,
                  format: y.format,
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

function scale([from, to]: [number, number], [start, end]: [number, number]) {
  return (value: number) => coordinate(start + (value - from) / (to - from) * (end - start));
}
