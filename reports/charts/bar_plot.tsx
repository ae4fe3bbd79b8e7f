/**
 * Horizontal bars: stages stacked to a whole, and dots with intervals on a linear axis.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { stack } from "d3-shape";
import { coordinate, type DrawingSize } from "./drawing.ts";
import { formatPercent } from "../text/format.ts";
import { markerPath, type SeriesStyle, stageColor } from "./palette.ts";
import { largest, smallest } from "../data/extremes.ts";

/** One bar: parts in order, and what stands before and after it. */
export interface StackedBar {
  label: string;
  total: string;
  parts: Record<string, number>;
}

/** Height in SVG units of {@linkcode StackedBars} with `count` bars. */
export function stackedBarsHeight(count: number): number {
  return 44 + count * 34;
}

/** Bars of shares, each as long as the drawing, one segment for each of `names`. */
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
  const left = compact ? 44 : 66;
  const right = width - (compact ? 62 : 90);
  const x = scaleLinear().domain([0, 1]).range([left, right]);
  const shares = bars.map(({ parts }) => {
    const total = names.reduce((sum, name) => sum + (parts[name] ?? 0), 0);
    return Object.fromEntries(names.map((name) => [name, (parts[name] ?? 0) / total]));
  });
  const layers = stack<Record<string, number>>().keys(names)(shares);
  return (
    <>
      <g class="axis">
        <text class="title" x={left} y={30}>{axis}</text>
        <text class="title" x={width} y={30} text-anchor="end">{total}</text>
      </g>
      {bars.map((bar, row) => {
        const top = 42 + row * 34;
        return (
          <g>
            <text class="direct" x={left - 9} y={top + 17} text-anchor="end">{bar.label}</text>
            {layers.map((layer) => {
              const [from, to] = layer[row];
              const wide = x(to) - x(from);
              const text = formatPercent(to - from);
              return (
                <g class="segment">
                  <rect
                    x={coordinate(x(from))}
                    y={top}
                    width={coordinate(wide)}
                    height={25}
                    style={{ fill: color(layer.key) }}
                  >
                    {!compact && <title>{`${layer.key}: ${text}`}</title>}
                  </rect>
                  {wide > 48 && (
                    <text
                      class={/--stage-[468]\b/.test(color(layer.key)) ? "inside light" : "inside"}
                      x={coordinate((x(from) + x(to)) / 2)}
                      y={top + 17}
                      text-anchor="middle"
                    >
                      {`${Math.round((to - from) * 100)} %`}
                    </text>
                  )}
                </g>
              );
            })}
            <text class="value" x={width} y={top + 17} text-anchor="end">{bar.total}</text>
          </g>
        );
      })}
    </>
  );
}

/** One row of a dot plot. */
export interface DotRow {
  label: string;
  value: number;
  low?: number;
  high?: number;
  text: string;
  style: SeriesStyle;
}

/** Height in SVG units of {@linkcode DotPlot} with `count` rows. */
export function dotPlotHeight(count: number): number {
  return 34 + count * 30 + 46;
}

/** Dots with intervals on a linear axis, one row each, and an optional guide. */
export function DotPlot(
  { size, rows, axis, format, guide, origin = 0 }: {
    size: DrawingSize;
    rows: DotRow[];
    /** Where stems start; the axis reaches from it to both sides as far as there are values. */
    origin?: number;
    axis: string;
    format: (value: number) => string;
    guide?: { value: number; label: string };
  },
): JSX.Element {
  const { width, compact } = size;
  const longest = largest(rows.map(({ label }) => label.length));
  const left = Math.min(compact ? 130 : 240, 24 + 7.4 * longest);
  const right = width - (compact ? 66 : 90);
  const most = Math.max(
    largest(rows.map(({ value, high }) => high ?? value)),
    guide?.value ?? origin,
  );
  const least = origin === 0 ? 0 : smallest(rows.map(({ value, low }) => low ?? value));
  // Around an origin a tenth to either side is always seen, or noise would fill the drawing.
  const domain = origin === 0
    ? [0, most > 0 ? most : 1]
    : [Math.min(least, 0.9 * origin), Math.max(most, 1.1 * origin)];
  const x = scaleLinear().domain(domain).nice(5).range([left, right]);
  const bottom = 34 + rows.length * 30;
  const ticks = x.ticks(compact ? 3 : 6);
  return (
    <>
      <g class="grid">
        {ticks.map((tick) => (
          <line x1={coordinate(x(tick))} x2={coordinate(x(tick))} y1={26} y2={bottom} />
        ))}
      </g>
      <g class="axis">
        {ticks.map((tick) => (
          <text x={coordinate(x(tick))} y={bottom + 17} text-anchor="middle">{format(tick)}</text>
        ))}
        <text class="title" x={right} y={bottom + 38} text-anchor="end">{axis}</text>
      </g>
      {guide !== undefined && (
        <g class="guide strong">
          <path d={`M${coordinate(x(guide.value))},22V${bottom}`} />
          <text
            x={coordinate(x(guide.value))}
            y={15}
            text-anchor={x(guide.value) > (left + right) / 2 ? "end" : "start"}
          >
            {guide.label}
          </text>
        </g>
      )}
      {rows.map((row, i) => {
        const y = 34 + i * 30 + 15;
        return (
          <g style={{ color: row.style.color }}>
            <text class="direct" x={left - 12} y={y + 4} text-anchor="end">{row.label}</text>
            <line
              class="stem"
              x1={coordinate(x(origin))}
              x2={coordinate(x(row.value))}
              y1={y}
              y2={y}
            />
            {row.low !== undefined && row.high !== undefined && (
              <line
                class="interval"
                x1={coordinate(x(row.low))}
                x2={coordinate(x(row.high))}
                y1={y}
                y2={y}
              />
            )}
            <path
              class="marker"
              transform={`translate(${coordinate(x(row.value))},${y})`}
              d={markerPath(row.style.marker, 64)}
            />
            <text class="value" x={width} y={y + 4} text-anchor="end">{row.text}</text>
          </g>
        );
      })}
    </>
  );
}
