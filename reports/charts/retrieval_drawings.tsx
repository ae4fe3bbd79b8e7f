/**
 * Drawings of the retrieval section: heat maps of rates and curves on linear axes.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatContext } from "../text/format.ts";
import { type HeatMap, rateOf } from "../data/retrieval_data.ts";
import { coordinate, type DrawingSize } from "./drawing.ts";
import { markerPath, type SeriesStyle } from "./palette.ts";
import { largest } from "../data/extremes.ts";

/**
 * Stops of cividis, a scale made to look alike with and without colour vision deficiency; its
 * lightness grows evenly from 0 to 1.
 */
const CIVIDIS: readonly (readonly [number, number, number])[] = [
  [0, 34, 78],
  [40, 67, 110],
  [87, 93, 109],
  [125, 124, 120],
  [165, 156, 116],
  [209, 191, 98],
  [254, 232, 56],
];

/** Colour of a rate from 0 to 1, and whether text on it must be light. */
export function rateColor(rate: number): { fill: string; light: boolean } {
  const at = Math.min(1, Math.max(0, rate)) * (CIVIDIS.length - 1);
  const first = Math.min(CIVIDIS.length - 2, Math.floor(at));
  const mix = CIVIDIS[first].map((from, i) =>
    Math.round(from + (at - first) * (CIVIDIS[first + 1][i] - from))
  );
  const luminance = 0.2126 * mix[0] + 0.7152 * mix[1] + 0.0722 * mix[2];
  const fill = `#${mix.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  return { fill, light: luminance < 125 };
}

/** Rates by row and column; null where nothing was measured. */
export interface RateGrid {
  rows: readonly string[];
  columns: readonly string[];
  /** `[row][column]`, 0 to 1. */
  rates: readonly (readonly (number | null)[])[];
  rowTitle: string;
  columnTitle: string;
  /** Room for the names of rows, in SVG units. */
  left?: number;
}

/** Contexts across, depths down: the layout of Fig. 4. */
export function depthGrid({ contexts, depths, cells }: HeatMap): RateGrid {
  return {
    rows: depths.map(String),
    columns: contexts.map(formatContext),
    rates: cells.map((row) => row.map((cell) => cell && rateOf(cell))),
    rowTitle: "depth, %",
    columnTitle: "context, tokens",
  };
}

/** A table of tinted cells with the rate in percent in each. */
export function RateMap({ size, grid }: { size: DrawingSize; grid: RateGrid }): JSX.Element {
  const { width, height } = size;
  const { rows, columns, rates, rowTitle, columnTitle } = grid;
  const [left, top, bottom] = [grid.left ?? 40, 22, 44];
  const wide = (width - left - 2) / columns.length;
  const high = (height - top - bottom) / rows.length;
  const longest = largest(columns.map((name) => name.length));
  // Names that would touch are left out, the last one never.
  const every = Math.max(1, Math.ceil((7.6 * longest + 4) / wide));
  return (
    <>
      <text class="title" x={0} y={13}>{rowTitle}</text>
      {rows.map((name, row) => (
        <text
          x={left - 8}
          y={coordinate(top + (row + 0.5) * high + 4)}
          text-anchor="end"
        >
          {name}
        </text>
      ))}
      {columns.map((name, column) =>
        (columns.length - 1 - column) % every === 0 && (
          <text
            x={coordinate(left + (column + 0.5) * wide)}
            y={height - bottom + 18}
            text-anchor="middle"
          >
            {name}
          </text>
        )
      )}
      <g class="cells">
        {rates.flatMap((row, r) =>
          row.map((rate, c) => {
            const at = { x: coordinate(left + c * wide), y: coordinate(top + r * high) };
            const middle = { x: coordinate(at.x + wide / 2), y: coordinate(at.y + high / 2 + 4) };
            if (rate === null) return <text class="absent" {...middle}>–</text>;
            const { fill, light } = rateColor(rate);
            return (
              <>
                <rect {...at} width={coordinate(wide)} height={coordinate(high)} fill={fill} />
                <text class={light ? "light" : undefined} {...middle}>
                  {Math.round(100 * rate)}
                </text>
              </>
            );
          })
        )}
      </g>
      <text class="title" x={width - 2} y={height - 8} text-anchor="end">{columnTitle}</text>
    </>
  );
}

/** The scale of every map: colours from 0 to 100 %. */
export function RateScale(): JSX.Element {
  const steps = Array.from({ length: 40 }, (_, i) => (i + 0.5) / 40);
  return (
    <svg class="rate-scale" viewBox="0 0 260 34" width="260" height="34" aria-hidden="true">
      {steps.map((rate, i) => (
        <rect
          x={20 + i * 5.5}
          y={0}
          width={5.7}
          height={12}
          style={{ fill: rateColor(rate).fill }}
        />
      ))}
      {[0, 0.5, 1].map((rate) => (
        <text x={20 + rate * 220} y={28} text-anchor="middle">{100 * rate} %</text>
      ))}
    </svg>
  );
}

/** A curve: measured points with intervals, or a law's line. */
export interface Curve {
  label: string;
  style: SeriesStyle;
  /** A line without markers: theory. */
  law?: boolean;
  dash?: string;
  points: { x: number; y: number; low?: number; high?: number }[];
}

/** An axis with its ticks. */
export interface LinearAxis {
  label: string;
  domain: [number, number];
  ticks: number[];
  format: (value: number) => string;
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
  const { width, height } = size;
  const longest = largest(y.ticks.map((tick) => y.format(tick).length));
  const box = {
    left: Math.max(52, 12 + 7.2 * longest),
    right: width - 14,
    top: 30,
    bottom: height - 50,
  };
  const across = scale(x.domain, [box.left, box.right]);
  const up = scale(y.domain, [box.bottom, box.top]);
  const inside = (value: number, [low, high]: [number, number]) =>
    Math.min(Math.max(value, low), high);
  return (
    <>
      <g class="grid">
        {y.ticks.map((tick) => <line x1={box.left} x2={box.right} y1={up(tick)} y2={up(tick)} />)}
      </g>
      <g class="axis">
        <line class="base" x1={box.left} x2={box.right} y1={box.bottom} y2={box.bottom} />
        {x.ticks.map((tick) => (
          <text x={across(tick)} y={box.bottom + 19} text-anchor="middle">{x.format(tick)}</text>
        ))}
        {y.ticks.map((tick) => (
          <text x={box.left - 8} y={up(tick) + 4} text-anchor="end">{y.format(tick)}</text>
        ))}
        <text class="title" x={0} y={13}>{y.label}</text>
        <text class="title" x={box.right} y={height - 7} text-anchor="end">{x.label}</text>
      </g>
      {guides.map(({ x: at, label }, i) => (
        <g class="guide">
          <path d={`M${across(at)},${box.top}V${box.bottom}`} />
          <text x={across(at) + 5} y={box.top + 11 + 16 * i}>{label}</text>
        </g>
      ))}
      {curves.map(({ style, points, law, dash }) => {
        const places = points.map((point) => `${across(point.x)},${up(inside(point.y, y.domain))}`);
        const ends = law
          ? []
          : points.flatMap(({ x: at, low, high }) =>
            low === undefined || high === undefined
              ? []
              : [`M${across(at)},${up(inside(low, y.domain))}V${up(inside(high, y.domain))}`]
          );
        return (
          <g style={{ color: style.color }}>
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
                d={markerPath(style.marker, size.compact ? 40 : 54)}
              />
            ))}
          </g>
        );
      })}
    </>
  );
}

function scale([from, to]: [number, number], [start, end]: [number, number]) {
  return (value: number) => coordinate(start + (value - from) / (to - from) * (end - start));
}
