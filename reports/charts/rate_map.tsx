/**
 * Maps of rates: a tinted cell with its number for each.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatContext, formatPercent } from "../text/format.ts";
import { type HeatMap, rateOf } from "../data/retrieval_data.ts";
import { coordinate, type DrawingSize, ReadoutData } from "./drawing.ts";
import { shortened, textBox, textWidth, thinned } from "./labels.ts";
import { largest } from "../data/extremes.ts";

/**
 * Stops of cividis, a scale designed to look the same with and without colour vision deficiency; its
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

/** Rates by row and column; null for cells that were not measured. */
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
  const [top, bottom] = [22, 44];
  const names = rows.map((name) => shortened(name, 0.5 * width));
  const left = Math.max(grid.left ?? 40, 12 + largest(names.map((name) => textWidth(name))));
  const wide = (width - left - 2) / columns.length;
  const high = (height - top - bottom) / rows.length;
  const middleOf = (column: number) => coordinate(left + (column + 0.5) * wide);
  // Names that would touch are left out, but never the last one.
  const named = new Set(
    thinned(
      columns.map((_, column) => column),
      (column) => textBox(columns[column], { x: middleOf(column), y: 0, anchor: "middle" }),
      4,
    ),
  );
  return (
    <>
      <text class="title" x={0} y={13}>{rowTitle}</text>
      {names.map((name, row) => (
        <text
          x={left - 8}
          y={coordinate(top + (row + 0.5) * high + 4)}
          text-anchor="end"
        >
          {name}
        </text>
      ))}
      {columns.map((name, column) =>
        named.has(column) && (
          <text
            x={middleOf(column)}
            y={height - bottom + 18}
            text-anchor="middle"
          >
            {name}
          </text>
        )
      )}
      <g class="cells" data-s={0}>
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
      {!size.compact && (
        <ReadoutData
          readout={{
            x: "",
            y: rowTitle,
            series: [{
              name: "",
              points: rates.flatMap((row, r) =>
                row.flatMap((rate, c) =>
                  rate === null
                    ? []
                    : [[`${rows[r]}, ${columns[c]}`, formatPercent(rate), null, null, null, null]]
                )
              ),
            }],
          }}
        />
      )}
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
