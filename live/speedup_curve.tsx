/**
 * The speed-up against the context, beside what the published devices gave.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import { logDomain, LogPlot } from "../reports/charts/log_plot.tsx";
import type { SpeedupPoint } from "../reports/data/analysis.ts";
import { contextAxis, parityGuide } from "../reports/html/section.tsx";
import { formatContext, formatRatio } from "../reports/text/format.ts";
import type { PublishedDevice } from "./page_html.ts";

const SIZE = { width: 640, height: 320, compact: true };

/** The drawing, with a table behind it. */
export function SpeedupCurve(
  { points, published }: {
    points: readonly SpeedupPoint[];
    published: readonly PublishedDevice[];
  },
): JSX.Element {
  const own = points.map(({ context, ratio, low, high }) => ({ x: context, y: ratio, low, high }));
  const others = published.map(({ device, stack, points }) => ({
    label: `${device}, ${stack}`,
    style: { color: "var(--faint)", marker: symbolCircle },
    faint: true,
    points: points.map(({ context, ratio }) => ({ x: context, y: ratio })),
  }));
  const all = [...own, ...others.flatMap(({ points }) => points)];
  const x = contextAxis(all.map((point) => point.x));
  const series = [
    ...others,
    { label: "this run", style: { color: "var(--accent)", marker: symbolCircle }, points: own },
  ];
  return (
    <figure class="curve">
      <figcaption>
        Speed-up over dense attention, forward, against the context. {published.length > 0 && (
          <>
            Thin lines: {published.map(({ device, stack }) => `${device} (${stack})`).join(", ")}.
          </>
        )}
      </figcaption>
      <LogPlot
        size={SIZE}
        x={x}
        y={{
          label: "times as fast",
          domain: logDomain([1, ...all.map(({ y }) => y)]),
          format: formatRatio,
          base: 10,
        }}
        series={series}
        guides={[parityGuide(x)]}
      />
      <details>
        <summary>As a table</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">Context</th>
              <th scope="col">This run</th>
              {published.map(({ device, stack }) => <th scope="col">{device}, {stack}</th>)}
            </tr>
          </thead>
          <tbody>
            {[...new Set(all.map(({ x }) => x))].sort((a, b) => a - b).map((context) => (
              <tr>
                <th scope="row">{formatContext(context)}</th>
                <td>{ratioAt(points, context)}</td>
                {published.map(({ points }) => <td>{ratioAt(points, context)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </figure>
  );
}

function ratioAt(
  points: readonly { readonly context: number; readonly ratio: number }[],
  context: number,
): string {
  const point = points.find((one) => one.context === context);
  return point === undefined ? "–" : formatRatio(point.ratio);
}
