/**
 * Dots with intervals on a linear axis, one row each.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
import {
  coordinate,
  type DrawingSize,
  type Facets,
  type PointSource,
  ReadoutData,
  readoutPoint,
  type TickFormat,
} from "./drawing.ts";
import { inLines, shortened, textBox, textWidth, thinned } from "./labels.ts";
import { markerPath, type SeriesStyle } from "./palette.ts";
import { SMALL_TEXT } from "./plot_labels.ts";
import { largest, smallest } from "../data/extremes.ts";

/** One row of a dot plot. */
export interface DotRow extends PointSource {
  label: string;
  value: number;
  low?: number;
  high?: number;
  text: string;
  style: SeriesStyle;
  /** Facets for the page's filters, if the row's case does not give them. */
  facets?: Facets;
}

const ROW = 30;
const TOP = 34;

/** Height in SVG units of {@linkcode DotPlot} with `count` rows. */
export function dotPlotHeight(count: number): number {
  return TOP + count * ROW + 46;
}

/**
 * Dots with intervals on a linear axis, one row each, and an optional guide. Labels are at the left;
 * if they would take more than half of the drawing, each is above its row.
 */
export function DotPlot(
  { size, rows, axis, format, guide, origin = 0 }: {
    size: DrawingSize;
    rows: DotRow[];
    /** Where stems start; the axis extends from it to both sides as far as there are values. */
    origin?: number;
    axis: string;
    format: TickFormat;
    guide?: { value: number; label: string };
  },
): JSX.Element {
  const { width, compact } = size;
  const longest = largest([0, ...rows.map(({ label }) => textWidth(label, { bold: true }))]);
  const above = longest + 18 > (compact ? 0.38 : 0.42) * width;
  const left = above ? 8 : longest + 18;
  const values = rows.map(({ text }) => shortened(text, 0.3 * width));
  const right = width - 14 - largest([36, ...values.map((text) => textWidth(text))]);
  const most = Math.max(
    largest(rows.map(({ value, high }) => high ?? value)),
    guide?.value ?? origin,
  );
  const least = origin === 0 ? 0 : smallest(rows.map(({ value, low }) => low ?? value));
  // Around an origin a tenth to either side is always visible, or noise would fill the drawing.
  const domain = origin === 0
    ? [0, most > 0 ? most : 1]
    : [Math.min(least, 0.9 * origin), Math.max(most, 1.1 * origin)];
  const x = scaleLinear().domain(domain).nice(5).range([left, right]);
  const at = (value: number) => coordinate(x(value));
  const bottom = TOP + rows.length * ROW;
  const tickPlace = (tick: number) => inside(format(tick), { x: x(tick), y: bottom + 17, width });
  const ticks = thinned(x.ticks(compact ? 3 : 6), (tick) => {
    const { "text-anchor": anchor, ...place } = tickPlace(tick);
    return textBox(format(tick), { ...place, anchor });
  });
  return (
    <>
      <g class="grid">
        {ticks.map((tick) => <line x1={at(tick)} x2={at(tick)} y1={26} y2={bottom} />)}
      </g>
      <g class="axis">
        {ticks.map((tick) => <text {...tickPlace(tick)}>{format(tick)}</text>)}
        {inLines(axis, { width }).map((line, i, { length }) => (
          <text
            class="title"
            x={width}
            y={bottom + (length > 1 ? 32 : 38) + 13 * i}
            text-anchor="end"
          >
            {line}
          </text>
        ))}
      </g>
      {guide !== undefined && (
        <g class="guide strong">
          <path d={`M${at(guide.value)},22V${bottom}`} />
          <text {...inside(guide.label, { x: x(guide.value), y: 15, width, size: SMALL_TEXT })}>
            {guide.label}
          </text>
        </g>
      )}
      {rows.map((row, i) => {
        const y = TOP + i * ROW + (above ? 21 : 15);
        return (
          <g data-s={i} style={{ color: row.style.color }}>
            {above
              ? (
                <text class="direct" x={left} y={y - 9}>
                  {shortened(row.label, width - left, { bold: true })}
                </text>
              )
              : <text class="direct" x={left - 12} y={y + 4} text-anchor="end">{row.label}</text>}
            <line class="stem" x1={at(origin)} x2={at(row.value)} y1={y} y2={y} />
            {row.low !== undefined && row.high !== undefined && (
              <line class="interval" x1={at(row.low)} x2={at(row.high)} y1={y} y2={y} />
            )}
            <path
              class="marker"
              transform={`translate(${at(row.value)},${y})`}
              d={markerPath(row.style.marker, above ? 44 : 64)}
            />
            <text class="value" x={width} y={y + 4} text-anchor="end">{values[i]}</text>
          </g>
        );
      })}
      {!compact && (
        <ReadoutData
          readout={{
            x: "",
            y: axis,
            series: rows.map((row) => ({
              name: row.label,
              facets: row.facets,
              points: [
                readoutPoint({
                  where: "",
                  value: row.value,
                  low: row.low,
                  high: row.high,
                  format: (value) =>
                    value === row.value ? row.text : (format.whole ?? format)(value),
                  source: row,
                }),
              ],
            })),
          }}
        />
      )}
    </>
  );
}

/** A text centred at `x`, or as near to it as the drawing's edges allow. */
function inside(
  text: string,
  { x, y, width, size }: { x: number; y: number; width: number; size?: number },
): { x: number; y: number; "text-anchor": "start" | "middle" | "end" } {
  const half = textWidth(text, { size }) / 2;
  if (x - half < 0) return { x: 0, y, "text-anchor": "start" };
  if (x + half > width) return { x: width, y, "text-anchor": "end" };
  return { x: coordinate(x), y, "text-anchor": "middle" };
}
