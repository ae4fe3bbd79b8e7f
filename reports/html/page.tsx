/**
 * The frame of every page, of the report and of the site: one file, one script allowed by its hash,
 * no request to anywhere.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { JSX } from "preact";
import { render } from "preact-render-to-string";
import script from "./page_script.js" with { type: "text" };
import { STYLE } from "./style.ts";

/** A link of the bar that joins the pages of a site. */
export interface SiteLink {
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
  /** Markup after the body's content, such as embedded data. */
  tail?: readonly string[];
  /** Colours whatever the reader's system says; by default the system decides. */
  theme?: "light" | "dark";
}

/** A whole HTML document, the same bytes for the same content. */
export function renderPage({ title, body, tail = [], theme }: PageOptions): string {
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
      <style dangerouslySetInnerHTML={{ __html: STYLE }} />
    </head>,
  );
  return [
    "<!doctype html>",
    `<html lang="en"${theme === undefined ? "" : ` data-theme="${theme}"`}>`,
    head,
    `<body>${render(body)}`,
    ...tail,
    `<script>${script}</script>`,
    "</body></html>\n",
  ].join("\n");
}

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
