/**
 * The picture for previews of a link: the page's first line, and its speed-up against
 * context. Previews need a PNG at an absolute address, so a report alone has none, and a site has
 * them only if its address is given. The picture is drawn by the same code as the page's chart and
 * turned into pixels by resvg, compiled to WebAssembly: no browser, no native library, no further
 * permission, and the same bytes on every machine, as its fonts come with it.
 *
 * @module
 */
import { h, type JSX } from "preact";
import { render } from "preact-render-to-string";
import type { Result } from "../../suites/result/result_schema.ts";
import { deviceName, verdictLine } from "../claims/claims.ts";
import { type SpeedupSeries, speedupSeries } from "../data/analysis.ts";
import { inLines, shortened, textWidth } from "../charts/labels.ts";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { plotStyles } from "../charts/palette.ts";
import { contextAxis, formatTick } from "../html/section.tsx";
import type { PageImage } from "../html/page.tsx";
import { STYLE } from "../html/style.ts";
import type { SiteRun } from "./runs.ts";
import { formatInstant, formatRatio } from "../text/format.ts";

/** Size that previews are made for. */
export const PREVIEW_SIZE = { width: 1200, height: 630 };
/** How much larger the chart is than on a page: a preview is seen small. */
const MAGNIFIED = 1.7;
const EDGE = 48;
/** Size of its headline. */
const HEADLINE = 36;
const FONT = "DejaVu Sans";

/** Turns a drawing into a PNG. */
export type PreviewRenderer = (svg: string) => Uint8Array<ArrayBuffer>;

/** Loads the renderer and its fonts: takes a second, once per site. */
export async function openPreviewRenderer(): Promise<PreviewRenderer> {
  const { initWasm, Resvg } = await import("@resvg/resvg-wasm");
  // Names the package, so that its files can be resolved.
  await import("dejavu-fonts-ttf/package.json", { with: { type: "json" } });
  const read = (specifier: string) => Deno.readFile(new URL(import.meta.resolve(specifier)));
  wasm ??= read("@resvg/resvg-wasm/index_bg.wasm").then(initWasm);
  await wasm;
  const fontBuffers = await Promise.all(
    ["DejaVuSans", "DejaVuSans-Bold"].map((name) => read(`dejavu-fonts-ttf/ttf/${name}.ttf`)),
  );
  return (svg) => {
    const drawing = new Resvg(svg, { font: { fontBuffers, defaultFontFamily: FONT } });
    return new Uint8Array(drawing.render().asPng());
  };
}

/** A process can load it only once. */
let wasm: Promise<void> | undefined;

/** Path of the picture of a run. */
export function imagePath({ slug }: SiteRun): string {
  return `runs/${slug}.png`;
}

/**
 * The tags that describe a run's picture to previews.
 *
 * @param url Address of the site.
 */
export function runImage(run: SiteRun, url: string): PageImage {
  const { result } = run;
  return {
    url: new URL(imagePath(run), url.endsWith("/") ? url : `${url}/`).href,
    ...PREVIEW_SIZE,
    alt: `${verdictLine(result)} ${deviceName(result)}, stack ${result.stack}.`,
  };
}

/** The picture of a run, as SVG without browser-only features. */
export function previewSvg(result: Result): string {
  const { width, height } = PREVIEW_SIZE;
  const text = width - 2 * EDGE;
  const lines = inLines(verdictLine(result), { width: text, most: 3, size: HEADLINE, bold: true });
  const facts = [deviceName(result), `stack ${result.stack}`, formatInstant(result.startedAt)]
    .join(" · ");
  const top = 72 + 46 * lines.length;
  const [series] = [speedupSeries(result).filter(({ direction }) => direction === "forward")];
  const drawing = (
    <svg
      xmlns="http://www.w3.org/2000/svg"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      font-family={FONT}
    >
      {h("style", { dangerouslySetInnerHTML: { __html: CHART_STYLE } })}
      <rect width={width} height={height} fill="var(--paper)" />
      <rect width={width} height={10} fill="var(--accent)" />
      {lines.map((line, i) => (
        <text x={EDGE} y={76 + 46 * i} font-size={HEADLINE} font-weight={700} fill="var(--ink)">
          {line}
        </text>
      ))}
      <text x={EDGE} y={top} font-size={24} fill="var(--soft)">
        {shortened(facts, text, { size: 24 })}
      </text>
      {series.length > 0 && (
        <g
          class="drawing"
          transform={`translate(${EDGE},${top + 26}) scale(${MAGNIFIED})`}
        >
          <SpeedupChart
            result={result}
            series={series}
            width={text / MAGNIFIED}
            height={(height - top - 26 - 44) / MAGNIFIED}
          />
        </g>
      )}
      <text x={EDGE} y={height - 22} font-size={20} fill="var(--soft)">
        Lighthouse Attention Bench
      </text>
      <text
        x={width - EDGE - textWidth(METHOD, { size: 20 })}
        y={height - 22}
        font-size={20}
        fill="var(--soft)"
      >
        {METHOD}
      </text>
    </svg>
  );
  return plain(render(drawing));
}

const METHOD = "arXiv 2605.06554";

function SpeedupChart(
  { result, series, width, height }: {
    result: Result;
    series: readonly SpeedupSeries[];
    width: number;
    height: number;
  },
): JSX.Element {
  const styles = plotStyles(series.map(({ implementation }) => implementation), result);
  const plot = series.map(({ implementation, points }, i): PlotSeries => ({
    ...styles[i],
    label: implementation,
    points: points.map(({ context, ratio, low, high }) => ({ x: context, y: ratio, low, high })),
  })).filter(({ faint }) => !faint);
  const all = plot.flatMap(({ points }) => points);
  const x = contextAxis(all.map((point) => point.x));
  return (
    <LogPlot
      size={{ width, height, compact: false }}
      x={x}
      y={{
        label: "times faster than dense attention, forward",
        domain: logDomain([...all.map(({ y }) => y), 0.9], 1.25),
        format: formatTick(formatRatio),
        base: 10,
      }}
      series={plot}
      guides={[{
        label: "",
        points: [[x.domain[0], 1], [x.domain[1], 1]],
        strong: true,
      }]}
    />
  );
}

/** Values of the light theme. */
const VALUES = new Map(
  [...STYLE.slice(0, STYLE.indexOf("}")).matchAll(/(--[\w-]+):([^;}]+)/g)]
    .map(([, name, value]) => [name, value]),
);

/** The rules of the page's charts. */
const CHART_STYLE = STYLE.split("\n").filter((line) =>
  /^\.(drawing|grid|axis|curve|fit|interval|marker|guide|leader)\b/.test(line)
).join("\n");

/** Without custom properties, themes, and parts for the page's script. */
function plain(svg: string): string {
  return svg
    .replace(/<metadata[^>]*>[^<]*<\/metadata>/g, "")
    .replace(/light-dark\(([^,()]+),[^()]*\)/g, "$1")
    .replace(/var\((--[\w-]+)\)/g, (_, name: string) => VALUES.get(name) ?? "#000");
}
