/**
 * Times of one case over runs, with the levels between steps.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
import { formatPercent, formatSeconds } from "../text/format.ts";
import { coordinate, type DrawingSize, ReadoutData, readoutPoint } from "./drawing.ts";
import {
  alongLine,
  around,
  type Obstacles,
  placeText,
  textBox,
  textWidth,
  thinned,
} from "./labels.ts";
import { markerPath, runStyles, type SeriesStyle } from "./palette.ts";
import { SMALL_TEXT } from "./plot_labels.ts";
import { formatTick } from "../html/section.tsx";
import type { TrendLine } from "../site/trends.ts";
import { largest, smallest } from "../data/extremes.ts";

/** The drawing: a mark for each run, dashed levels between steps. */
export function TrendPlot(
  { size, lines, labels, ticks = labels, xLabel = "commit, oldest first", hrefs, style }: {
    size: DrawingSize;
    lines: readonly TrendLine[];
    /** Names of the runs. */
    labels: readonly string[];
    /** What stands under the axis where there is room. Default: the names. */
    ticks?: readonly string[];
    xLabel?: string;
    /** Pages of the runs. */
    hrefs?: readonly string[];
    /** How the case's implementation is drawn; further machines get hollow marks. */
    style?: SeriesStyle;
  },
): JSX.Element {
  const { width, height, compact } = size;
  const values = lines.flatMap(({ points }) => points.flatMap(({ low, high }) => [low, high]));
  const [least, most] = [smallest(values), largest(values)];
  const room = Math.max(0.25 * (most - least), 0.06 * most);
  const format = formatTick(formatSeconds);
  const [top, bottom] = [34, height - 52];
  const domain = [Math.max(0, least - room), most + room];
  const allTicks = scaleLinear().domain(domain).ticks(compact ? 4 : 5);
  const left = Math.max(44, 12 + largest(allTicks.map((tick) => textWidth(format(tick)))));
  const right = width - 14;
  const y = scaleLinear().domain(domain).range([bottom, top]);
  const x = scaleLinear().domain([-0.5, Math.max(1, labels.length) - 0.5]).range([left, right]);
  const yTicks = thinned(
    allTicks,
    (tick) => textBox(format(tick), { x: left - 9, y: y(tick) + 4, anchor: "end" }),
    2,
  );
  const styles = style === undefined ? runStyles(lines.length) : lines.map(() => style);
  // The label of the newest run stays inside the drawing.
  const tickAt = (i: number) => Math.min(x(i), width - textWidth(ticks[i]) / 2);
  // Counted from the newest, which always has its label.
  const named = new Set(
    thinned(
      labels.map((_, i) => i),
      (i) => textBox(ticks[i], { x: tickAt(i), y: 0, anchor: "middle" }),
      10,
    ),
  );
  const obstacles: Obstacles = {
    hard: lines.flatMap(({ points }) =>
      points.flatMap(({ run, median, low, high }) => [
        around(x(run), y(median), 6),
        ...alongLine([[x(run), y(low)], [x(run), y(high)]]),
      ])
    ),
    soft: [],
    frame: { left, right: width, top: top - 10, bottom },
  };
  const steps = lines.flatMap(({ steps }, line) =>
    steps.map((step) => {
      const at = x((step.fromRun + step.toRun) / 2);
      const text = formatChange(step.ratio);
      const heights = Array.from({ length: 12 }, (_, i) => top + 4 + 16 * i);
      const places = heights.flatMap((height) => [
        { x: at + 6, y: height, anchor: "start" as const },
        { x: at - 6, y: height, anchor: "end" as const },
      ]);
      return { line, at, text, place: placeText(text, places, obstacles, { size: SMALL_TEXT }) };
    })
  );
  return (
    <>
      <g class="grid">
        {yTicks.map((tick) => (
          <line x1={left} x2={right} y1={coordinate(y(tick))} y2={coordinate(y(tick))} />
        ))}
      </g>
      <g class="axis">
        <line class="base" x1={left} x2={right} y1={bottom} y2={bottom} />
        {yTicks.map((tick) => (
          <text x={left - 9} y={coordinate(y(tick)) + 4} text-anchor="end">
            {format(tick)}
          </text>
        ))}
        {ticks.map((tick, i) =>
          named.has(i) && (
            <text x={coordinate(tickAt(i))} y={bottom + 20} text-anchor="middle">{tick}</text>
          )
        )}
        <text class="title" x={0} y={14}>median time</text>
        <text class="title" x={right} y={height - 8} text-anchor="end">{xLabel}</text>
      </g>
      {lines.map(({ points, steps }, line) => {
        const { color, marker } = styles[line];
        const ends = [0, ...steps.map(({ at }) => at), points.length];
        return (
          <g data-s={line} style={{ color }}>
            {steps.length > 0 && ends.slice(1).map((end, i) => {
              const level = steps[i]?.before ?? steps[i - 1].after;
              const [from, to] = [points[ends[i]].run - 0.4, points[end - 1].run + 0.4];
              return (
                <path
                  class="level"
                  d={`M${coordinate(x(from))},${coordinate(y(level))}H${coordinate(x(to))}`}
                />
              );
            })}
            {points.map(({ run, median, low, high }) => (
              <>
                <line
                  class="interval"
                  x1={coordinate(x(run))}
                  x2={coordinate(x(run))}
                  y1={coordinate(y(low))}
                  y2={coordinate(y(high))}
                />
                <path
                  class={style !== undefined && line % 2 === 1 ? "marker hollow" : "marker"}
                  transform={`translate(${coordinate(x(run))},${coordinate(y(median))})`}
                  d={markerPath(marker, points.length > 40 ? 26 : 50)}
                />
              </>
            ))}
          </g>
        );
      })}
      {steps.map(({ line, at, text, place }) => (
        <g class="guide strong" data-s={line}>
          <path d={`M${coordinate(at)},${top - 6}V${bottom}`} />
          {place !== null && (
            <text x={coordinate(place.x)} y={place.y} text-anchor={place.anchor}>{text}</text>
          )}
        </g>
      ))}
      {!compact && (
        <ReadoutData
          readout={{
            x: xLabel,
            y: "median time",
            series: lines.map(({ fingerprint, points }) => ({
              name: lines.length > 1 ? `machine ${fingerprint.slice(0, 8)}` : "",
              points: points.map(({ run, median, low, high, count }) =>
                readoutPoint({
                  where: labels[run],
                  value: median,
                  low,
                  high,
                  format: formatSeconds,
                  source: { href: hrefs?.[run], count },
                })
              ),
            })),
          }}
        />
      )}
    </>
  );
}

/** A small line without axes, for a table whose cells say the numbers. */
export function Sparkline(
  { lines, count }: { lines: readonly TrendLine[]; count: number },
): JSX.Element {
  const values = lines.flatMap(({ points }) => points.map(({ median }) => median));
  const [least, most] = [smallest(values), largest(values)];
  // A flat series stays flat: at least ten percent fill the height.
  const span = Math.max(most - least, 0.1 * most);
  const middle = (least + most) / 2;
  const x = scaleLinear().domain([0, Math.max(1, count - 1)]).range([3, 117]);
  const y = scaleLinear().domain([middle - span / 2, middle + span / 2]).range([21, 3]);
  return (
    <svg class="spark" viewBox="0 0 120 24" width="120" height="24" aria-hidden="true">
      {lines.map(({ points, steps }) => (
        <>
          {points.length > 1
            ? (
              <path
                d={"M" +
                  points.map(({ run, median }) => `${coordinate(x(run))},${coordinate(y(median))}`)
                    .join("L")}
              />
            )
            : (
              <circle
                cx={coordinate(x(points[0].run))}
                cy={coordinate(y(points[0].median))}
                r="2"
              />
            )}
          {steps.map(({ toRun, at }) => (
            <circle cx={coordinate(x(toRun))} cy={coordinate(y(points[at].median))} r="3" />
          ))}
        </>
      ))}
    </svg>
  );
}

/** A ratio of times as a change: `+10.2 %`, `−9.8 %`. */
export function formatChange(ratio: number): string {
  const change = ratio - 1;
  return `${change < 0 ? "−" : "+"}${formatPercent(Math.abs(change))}`;
}
