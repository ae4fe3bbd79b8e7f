/**
 * The frame of every page, of the report and of the site: one file, one script allowed by its hash,
 * no request to anywhere.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { JSX } from "preact";
import { render } from "preact-render-to-string";
import { PACKED_TYPE, packJson } from "./pack_json.ts";
import { type Described, implementationColors } from "../charts/palette.ts";
import scriptFile from "./page_script.js" with { type: "text" };
import { STYLE } from "./style.ts";

/** A browser hashes a script after it made all line ends alike. */
const script = scriptFile.replaceAll("\r\n", "\n");

/** A link of the bar that joins the pages of a site. */
export interface SiteLink {
  /** Text of the link. */
  label: string;
  /** Relative to the page. */
  href: string;
  /** Whether the page belongs to this entry. */
  current?: boolean;
}

/** Options of {@linkcode renderPage}. */
export interface PageOptions {
  title: string;
  body: JSX.Element;
  /** The implementations that the page draws. Default: none. */
  described?: Described;
  /** Markup after the body's content, such as embedded data. */
  tail?: readonly string[];
  /** Colours whatever the reader's system says; by default the system decides. */
  theme?: "light" | "dark";
}

/** A whole HTML document, the same bytes for the same content. */
export function renderPage(
  { title, body, described = { implementations: [] }, tail = [], theme }: PageOptions,
): string {
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "img-src data:",
    `script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const head = render(
    <head>
      <meta charset="utf-8" />
      <meta http-equiv="Content-Security-Policy" content={policy} />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content={theme ?? "light dark"} />
      <meta name="referrer" content="no-referrer" />
      <title>{title}</title>
      <style dangerouslySetInnerHTML={{ __html: STYLE + implementationColors(described) }} />
    </head>,
  );
  const { markup, data } = compact(render(body));
  return [
    "<!doctype html>",
    `<html lang="en"${theme === undefined ? "" : ` data-theme="${theme}"`}>`,
    head,
    `<body>${markup}`,
    ...(data === null ? [] : [`<script type="${PACKED_TYPE}" id="chart-data">${data}</script>`]),
    ...tail,
    `<script>${script}</script>`,
    "</body></html>\n",
  ].join("\n");
}

/**
 * The same page in half the bytes: the numbers of all figures packed into one list, in the order of
 * the figures, and every shape of a marker drawn once. Escaped text holds no tag, so nothing of a
 * result can be taken for one.
 */
function compact(markup: string): { markup: string; data: string | null } {
  const data: string[] = [];
  const shapes = new Map<string, string>();
  const drawn = markup
    .replace(CHART_DATA, (_, json: string) => {
      data.push(json);
      return "";
    })
    .replace(MARKER, (_, name: string, x: string, y: string, path: string) => {
      const shape = `class="${name}" d="${path}"`;
      const id = shapes.get(shape) ?? `m${shapes.size + 1}`;
      shapes.set(shape, id);
      return `<use href="#${id}" x="${x}" y="${y}"/>`;
    })
    // Ends that the next cell or row implies.
    .replace(/<\/t[dhr]>/g, "")
    .replace(/<(path|rect|line|circle)([^<>]*)><\/\1>/g, "<$1$2/>");
  const defined = [...shapes].map(([shape, id]) => `<path id="${id}" ${shape}/>`).join("");
  return {
    markup: defined === ""
      ? drawn
      : `<svg class="shapes" width="0" height="0" aria-hidden="true"><defs>${defined}</defs></svg>` +
        drawn,
    data: data.length === 0 ? null : packJson(`[${data.join()}]`),
  };
}

const CHART_DATA = /<script type="application\/json" class="chart-data">([^<]*)<\/script>/g;
const MARKER =
  /<path class="(marker[a-z ]*)" transform="translate\(([-\d.]+),([-\d.]+)\)" d="([^"]*)"><\/path>/g;

/** The bar at the top of every page of a site. */
export function SiteBar({ links }: { links: readonly SiteLink[] }): JSX.Element {
  return (
    <nav class="site" aria-label="Site">
      <span class="brand">Lighthouse Attention Bench</span>
      <ul>
        {links.map(({ label, href, current }) => (
          <li>
            <a href={href} aria-current={current ? "page" : undefined}>{label}</a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
