/**
 * The frame of every page, of the report and of the site: one file, one script allowed by its hash,
 * no request to anywhere.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { JSX } from "preact";
import { render } from "preact-render-to-string";
import { PACKED_TYPE, packJson } from "./pack_json.ts";
import scriptFile from "./page_script.generated.js" with { type: "text" };
import { REPORT_STYLE } from "./report_style.ts";
import { STYLE } from "./style.ts";

/** The icon of every page: a lamp and its beam, which the browser need not ask for. */
const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" ' +
    'fill="#0072b2"/><path d="M3 9 18 14v5L3 24z" fill="#f0c040"/><circle cx="22" cy="16.5" r="5" ' +
    'fill="#fff"/></svg>',
);

/** A browser hashes a script after it made all line ends alike. */
export const PAGE_SCRIPT: string = scriptFile.replaceAll("\r\n", "\n");

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
  /** One or two sentences for previews of a link. Default: the title. */
  description?: string;
  /** Picture for previews of a link. Default: none, since a page of its own has no address. */
  image?: PageImage;
  /** Markup after the body's content, such as embedded data. */
  tail?: readonly string[];
  /** Colours whatever the reader's system says; by default the system decides. */
  theme?: "light" | "dark";
  /** Rules besides those that all pages have. */
  style?: string;
  /** A script of the page's own, which may load others. Default: none. */
  loader?: string;
}

/** A picture beside the published page. */
export interface PageImage {
  /** Absolute, as previews need it. */
  url: string;
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
  /** What it shows. */
  alt: string;
}

/** A whole HTML document, the same bytes for the same content. */
export function renderPage(
  { title, body, description = title, image, tail = [], theme, ...own }: PageOptions,
): string {
  const scripts = [PAGE_SCRIPT, ...own.loader === undefined ? [] : [own.loader]];
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "img-src data:",
    [
      "script-src",
      ...scripts.map((text) => `'sha256-${sha256(new TextEncoder().encode(text)).toBase64()}'`),
      // Scripts that a script of known text loads, and no others.
      ...own.loader === undefined ? [] : ["'strict-dynamic'"],
    ].join(" "),
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
      <meta name="description" content={description} />
      <meta property="og:type" content="website" />
      <meta property="og:site_name" content="Lighthouse Attention Bench" />
      <meta property="og:title" content={title} />
      <meta property="og:description" content={description} />
      {image !== undefined && (
        <>
          <meta property="og:image" content={image.url} />
          <meta property="og:image:width" content={String(image.width)} />
          <meta property="og:image:height" content={String(image.height)} />
          <meta property="og:image:alt" content={image.alt} />
          <meta name="twitter:card" content="summary_large_image" />
        </>
      )}
      <link rel="icon" href={ICON} />
      <script dangerouslySetInnerHTML={{ __html: PAGE_SCRIPT }} />
      <style dangerouslySetInnerHTML={{ __html: STYLE + REPORT_STYLE + (own.style ?? "") }} />
    </head>,
  );
  const { markup, data, rows } = compact(render(body));
  return [
    "<!doctype html>",
    `<html lang="en"${theme === undefined ? "" : ` data-theme="${theme}"`}>`,
    head,
    `<body>${markup}`,
    ...(data === null ? [] : [`<script type="${PACKED_TYPE}" id="chart-data">${data}</script>`]),
    ...(rows === null ? [] : [`<script type="${PACKED_TYPE}" id="more-rows">${rows}</script>`]),
    ...tail,
    ...scripts.slice(1).map((text) => `<script>${text}</script>`),
    "</body></html>\n",
  ].join("\n");
}

/** Markup from this length on, in characters, has what is folded packed. */
const PACK_FROM = 1_000_000;
/** Folded parts shorter than this stay as they are. */
const LEAST_PACKED = 1500;

/**
 * The same page in half the bytes: the numbers of all figures and what their points say packed into
 * one list, to which a figure has its place, every shape of a marker drawn once, the rows of long
 * tables packed, and of a large page whatever is folded. Escaped text holds no tag, so nothing of a
 * result can be taken for one.
 */
function compact(
  markup: string,
): { markup: string; data: string | null; rows: string | null } {
  const data: string[] = [];
  const rows: (string | Row[])[] = [];
  const shapes = new Map<string, string>();
  // What the drawing of a figure says of its points stands before the numbers of the figure.
  let said = "";
  const drawn = markup
    .replace(FIGURE_DATA, (_, readout: string | undefined, json: string) => {
      if (readout !== undefined) said = readout;
      else {
        data.push(said === "" ? json : `${json.slice(0, -1)},"readout":${said}}`);
        said = "";
        return `<p class="export" data-at="${data.length - 1}"></p>`;
      }
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
    .replace(/<(path|rect|line|circle)([^<>]*)><\/\1>/g, "<$1$2/>")
    .replace(
      /<template class="rows">([^]*?)<\/template>/g,
      (_, packed: string) =>
        `<template class="rows" data-at="${rows.push(splitRows(packed)) - 1}"></template>`,
    );
  const page = drawn.length < PACK_FROM ? drawn : packFolded(drawn, rows);
  const defined = [...shapes].map(([shape, id]) => `<path id="${id}" ${shape}/>`).join("");
  return {
    markup: defined === ""
      ? page
      : `<svg class="shapes" width="0" height="0" aria-hidden="true"><defs>${defined}</defs></svg>` +
        page,
    data: data.length === 0 ? null : packJson(`[${data.join()}]`),
    rows: rows.length === 0 ? null : packJson(JSON.stringify(rows)),
  };
}

/** The cells of a row of a table, by their number, which packs well. */
type Row = Record<string, string>;

/** Rows of a table, each in its cells. */
function splitRows(markup: string): Row[] {
  return markup.split(/(?=<tr[ >])/).map((row) =>
    Object.fromEntries(row.split(/(?=<t[dh][ >])/).map((cell, i) => [i, cell]))
  );
}

/** Moves the content of what is folded to the packed texts, as a whole with all that is in it. */
function packFolded(markup: string, packed: (string | Row[])[]): string {
  const kept: string[] = [];
  let [depth, from, start] = [0, 0, -1];
  for (const { 0: tag, index } of markup.matchAll(/<details\b[^>]*>|<\/details>/g)) {
    if (tag !== "</details>") {
      if (depth++ > 0 || !/ class="(?:data|folded)\b[^"]*">$/.test(tag)) continue;
      start = markup.indexOf("</summary>", index) + "</summary>".length;
    } else if (--depth === 0 && start >= 0) {
      if (index - start >= LEAST_PACKED) {
        const at = packed.push(markup.slice(start, index)) - 1;
        kept.push(
          markup.slice(from, start),
          `<p class="packed">The script of this page unpacks this part.</p>`,
          `<template class="folded" data-at="${at}"></template>`,
        );
        from = index;
      }
      start = -1;
    }
  }
  return kept.join("") + markup.slice(from);
}

const FIGURE_DATA =
  /<metadata class="readout">([^<]*)<\/metadata>|<p class="export"><\/p><script type="application\/json" class="chart-data">([^<]*)<\/script>/g;
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
