/**
 * Times of one case over runs, with the levels between steps.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
import { formatPercent, formatSeconds } from "../text/format.ts";
import { coordinate, type DrawingSize } from "./drawing.ts";
import { cycledStyles, markerPath } from "./palette.ts";
import { formatTick } from "../html/section.tsx";
import type { TrendLine } from "../site/trends.ts";
import { largest, smallest } from "../data/extremes.ts";

/** The drawing. `labels` name the runs. */
export function TrendPlot(
  { size, lines, labels }: {
    size: DrawingSize;
    lines: readonly TrendLine[];
    labels: readonly string[];
  },
): JSX.Element {
  const { width, height, compact } = size;
  const values = lines.flatMap(({ points }) => points.flatMap(({ low, high }) => [low, high]));
  const [least, most] = [smallest(values), largest(values)];
  const room = Math.max(0.25 * (most - least), 0.06 * most);
  const margin = { top: 34, right: compact ? 14 : 24, bottom: 52, left: compact ? 62 : 72 };
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const y = scaleLinear().domain([Math.max(0, least - room), most + room])
    .range([bottom, margin.top]);
  const x = scaleLinear().domain([-0.5, Math.max(1, labels.length) - 0.5])
    .range([margin.left, right]);
  const yTicks = y.ticks(compact ? 4 : 5);
  const styles = cycledStyles(lines.length);
  const format = formatTick(formatSeconds);
  const stride = Math.ceil(labels.length / (compact ? 3 : 6));
  return (
    <>
      <g class="grid">
        {yTicks.map((tick) => (
          <line x1={margin.left} x2={right} y1={coordinate(y(tick))} y2={coordinate(y(tick))} />
        ))}
      </g>
      <g class="axis">
        <line class="base" x1={margin.left} x2={right} y1={bottom} y2={bottom} />
        {yTicks.map((tick) => (
          <text x={margin.left - 9} y={coordinate(y(tick)) + 4} text-anchor="end">
            {format(tick)}
          </text>
        ))}
        {labels.map((label, i) =>
          // Counted from the newest, which always has its label.
          (labels.length - 1 - i) % stride === 0 && (
            <text x={coordinate(x(i))} y={bottom + 20} text-anchor="middle">{label}</text>
          )
        )}
        <text class="title" x={0} y={14}>median time</text>
        <text class="title" x={right} y={height - 8} text-anchor="end">commit, oldest first</text>
      </g>
      {lines.map(({ points, steps }, line) => {
        const { color, marker } = styles[line];
        const ends = [0, ...steps.map(({ at }) => at), points.length];
        return (
          <g style={{ color }}>
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
                  class="marker"
                  transform={`translate(${coordinate(x(run))},${coordinate(y(median))})`}
                  d={markerPath(marker, points.length > 40 ? 26 : 50)}
                />
              </>
            ))}
            {steps.map((step) => {
              const at = coordinate(x((step.fromRun + step.toRun) / 2));
              return (
                <g class="guide strong">
                  <path d={`M${at},${margin.top - 6}V${bottom}`} />
                  <text
                    x={at + (at > (margin.left + right) / 2 ? -6 : 6)}
                    y={margin.top + 4}
                    text-anchor={at > (margin.left + right) / 2 ? "end" : "start"}
                  >
                    {formatChange(step.ratio)}
                  </text>
                </g>
              );
            })}
          </g>
        );
      })}
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
