/**
 * Horizontal bars: stages stacked to a whole.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { stack } from "d3-shape";
import { coordinate, type DrawingSize, type PointSource, ReadoutData } from "./drawing.ts";
import { formatPercent } from "../text/format.ts";
import { shortened, textWidth } from "./labels.ts";
import { stageColor } from "./palette.ts";
import { largest } from "../data/extremes.ts";

export { DotPlot, dotPlotHeight, type DotRow } from "./dot_plot.tsx";

/** One bar: its parts in order, and the texts before and after it. */
export interface StackedBar extends PointSource {
  label: string;
  total: string;
  parts: Record<string, number>;
}

const TOP = 42;
const ROW = 34;
/** Share of the width that the texts on either side may take. */
const MOST_BESIDE = 0.3;

/** Height in SVG units of {@linkcode StackedBars} with `count` bars. */
export function stackedBarsHeight(count: number): number {
  return TOP + 2 + count * ROW;
}

/** Bars of shares, each as wide as the drawing, with one segment for each of `names`. */
export function StackedBars(
  { size, bars, names, axis, total = "total", color = stageColor }: {
    size: DrawingSize;
    bars: StackedBar[];
    names: string[];
    /** Heading of the shares. */
    axis: string;
    /** Heading of the totals. */
    total?: string;
    /** Colour of a name. Default: that of a stage. */
    color?: (name: string) => string;
  },
): JSX.Element {
  const { width, compact } = size;
  const most = MOST_BESIDE * width;
  const named = bars.map(({ label }) => shortened(label, most, { bold: true }));
  const totals = bars.map(({ total }) => shortened(total, most));
  const left = 12 + largest([24, ...named.map((label) => textWidth(label, { bold: true }))]);
  const right = width - 12 - largest([24, ...totals.map((text) => textWidth(text))]);
  const x = scaleLinear().domain([0, 1]).range([left, right]);
  const shares = bars.map(({ parts }) => {
    const total = names.reduce((sum, name) => sum + (parts[name] ?? 0), 0);
    return Object.fromEntries(names.map((name) => [name, (parts[name] ?? 0) / total]));
  });
  const layers = stack<Record<string, number>>().keys(names)(shares);
  // On a narrow screen the two headings may need one line each.
  const together = left + textWidth(axis) + 12 + textWidth(total) <= width;
  return (
    <>
      <g class="axis">
        <text class="title" x={together ? left : 0} y={together ? 30 : 14}>{axis}</text>
        <text class="title" x={width} y={30} text-anchor="end">{total}</text>
      </g>
      {bars.map((_, row) => (
        <>
          <text class="direct" x={left - 9} y={TOP + row * ROW + 17} text-anchor="end">
            {named[row]}
          </text>
          <text class="value" x={width} y={TOP + row * ROW + 17} text-anchor="end">
            {totals[row]}
          </text>
        </>
      ))}
      {layers.map((layer, series) => (
        <g class="segment" data-s={series}>
          {layer.map(([from, to], row) => (
            <rect
              x={coordinate(x(from))}
              y={TOP + row * ROW}
              width={coordinate(x(to) - x(from))}
              height={25}
              style={{ fill: color(layer.key) }}
            />
          ))}
          {layer.map(([from, to], row) => {
            const text = formatPercent(to - from);
            return x(to) - x(from) > textWidth(text) + 8 && (
              <text
                class={/--stage-[468]\b/.test(color(layer.key)) ? "inside light" : "inside"}
                x={coordinate((x(from) + x(to)) / 2)}
                y={TOP + row * ROW + 17}
                text-anchor="middle"
              >
                {text}
              </text>
            );
          })}
        </g>
      ))}
      {!compact && (
        <ReadoutData
          readout={{
            x: "",
            y: axis,
            series: layers.map((layer) => ({
              name: layer.key,
              points: layer.map(([from, to], row) => [
                bars[row].label,
                formatPercent(to - from),
                null,
                bars[row].count ?? null,
                bars[row].case ?? null,
                bars[row].href ?? null,
              ]),
            })),
          }}
        />
      )}
    </>
  );
}
