/**
 * The frame of the site's own pages.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import { PAPER_URL } from "../claims/sources.ts";
import { type PageImage, renderPage, SiteBar, type SiteLink } from "../html/page.tsx";
import { formatPlural } from "../text/format.ts";
import { type DataTable, Table } from "../charts/figure.tsx";
import type { SiteRun } from "./runs.ts";
import { SITE_STYLE } from "./site_style.ts";

/** One file of the site. */
export interface SiteFile {
  /** Relative to the site's folder, with `/`; lower-case letters, digits, hyphens and dots. */
  readonly path: string;
  readonly text: string;
  /** Written instead of the text, if the file is a picture. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

const ENTRIES = [
  ["Runs", "index.html"],
  ["Devices", "devices/index.html"],
  ["Compare", "compare/index.html"],
  ["Trends", "trends/index.html"],
  ["Claims", "claims/index.html"],
  ["Rivals", "rivals/index.html"],
  ["Docs", "docs/index.html"],
  ["Schemas", "schema/index.html"],
] as const;

/** Entries of the navigation bar of all pages. */
export type SiteEntry = typeof ENTRIES[number][0];

/** Links of the bar on the page at `path`. */
export function siteLinks(path: string, current?: SiteEntry): SiteLink[] {
  return ENTRIES.map(([label, to]) => ({
    label,
    href: relative(path, to),
    current: label === current,
  }));
}

/** A link from one page to another, without a server: `../runs/a.html`. */
export function relative(from: string, to: string): string {
  return "../".repeat(from.split("/").length - 1) + to;
}

/** Path of a run's report. */
export function reportPath({ slug }: SiteRun): string {
  return `runs/${slug}.html`;
}

/** A page of the site. */
export function sitePage(
  {
    path,
    entry,
    kicker,
    heading,
    title = heading,
    facts = [],
    children,
    image,
    tail,
    loader,
  }: {
    path: string;
    entry: SiteEntry;
    kicker?: string;
    heading: string;
    /** Of the document; the heading by default. */
    title?: string;
    facts?: readonly string[];
    children: ComponentChildren;
    /** Picture for previews of a link. */
    image?: PageImage;
    /** Markup after the content, such as data for a script. */
    tail?: readonly string[];
    /** A script of the page's own. */
    loader?: string;
  },
): SiteFile {
  const text = renderPage({
    image,
    description: facts.length === 0 ? undefined : `${heading} ${facts.join(", ")}.`,
    style: SITE_STYLE,
    tail,
    loader,
    title: `${title.replace(/\.$/, "")} · Lighthouse Attention Bench`,
    body: (
      <>
        <a class="skip" href="#main">Skip to the content</a>
        <SiteBar links={siteLinks(path, entry)} />
        <main id="main" class="of-site">
          <header class="masthead">
            {kicker !== undefined && <p class="kicker">{kicker}</p>}
            <h1 class="verdict">{heading}</h1>
            {facts.length > 0 && <p class="facts">{facts.map((fact) => <span>{fact}</span>)}</p>}
          </header>
          {children}
        </main>
        <Footer path={path} />
      </>
    ),
  });
  return { path, text };
}

function Footer({ path }: { path: string }): JSX.Element {
  const link = (to: string, text: string) => <a href={relative(path, to)}>{text}</a>;
  return (
    <footer>
      <p>
        Made from result files alone; every page works offline. New runs come as a{" "}
        {link("feed.json", "JSON feed")}. {link("docs/index.html", "How it is measured")}, the{" "}
        {link("schema/index.html", "formats of the files")}. Lighthouse Attention Bench measures the
        method of <a href={PAPER_URL}>arXiv 2605.06554</a>{" "}
        with WebGPU kernels; it has nothing to do with the web auditing tool of a similar name.
      </p>
    </footer>
  );
}

/** A run as a link to its report, with its commit. */
export function RunLink({ run, path }: { run: SiteRun; path: string }): JSX.Element {
  return (
    <>
      <a class="run-link" href={relative(path, reportPath(run))}>{run.date.slice(0, 16)}</a>
      <span class="aside">{run.commit}</span>
    </>
  );
}

/** The name of a case, with its setting below. */
export function CaseCell({ title, setting }: { title: string; setting: string }): JSX.Element {
  return (
    <>
      {title}
      {setting !== "" && <span class="aside">{setting}</span>}
    </>
  );
}

/** Rows of a table, of which the first `most` are visible at first, the others on demand. */
export function FoldedTable(
  { table, most, others }: {
    table: DataTable;
    most: number;
    /** Name of a folded row, for example `older run`. */
    others: string;
  },
): JSX.Element {
  const rest = table.rows.slice(most);
  return (
    <>
      <Table {...table} rows={table.rows.slice(0, most)} />
      {rest.length > 0 && (
        <details class="data">
          <summary>{formatPlural(rest.length, others)}</summary>
          <Table {...table} caption={`${table.caption}, continued`} rows={rest} />
        </details>
      )}
    </>
  );
}
