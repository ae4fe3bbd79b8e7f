/**
 * All files of a site, from its results. Pure: the same results give the same bytes.
 *
 * @module
 */
import { renderHtml } from "../html/render_html.tsx";
import { CaseNames } from "./case_names.ts";
import { claimPages } from "./claim_pages.tsx";
import { chunkFile } from "./compare_data.ts";
import { comparePage } from "./compare_page.tsx";
import { devicesPage } from "./devices_page.tsx";
import { type DocFile, docPages } from "./doc_pages.tsx";
import { collectEvidence } from "./evidence.ts";
import { pairPage } from "./pair_page.tsx";
import { planPairs } from "./pairs.ts";
import { feedFile } from "./feed.ts";
import { indexPage } from "./index_page.tsx";
import { rivalsPage } from "./rivals_page.tsx";
import type { Site, SiteRun } from "./runs.ts";
import { imagePath, type PreviewRenderer, previewSvg, runImage } from "./preview.tsx";
import { schemaPages } from "./schema_pages.tsx";
import { reportPath, type SiteFile, siteLinks } from "./site_page.tsx";
import { trendPages } from "./trend_pages.tsx";
import { deviceTrends } from "./trends.ts";

/** Options of {@linkcode siteFiles}. */
export interface SiteOptions {
  /** Address of the published site, for the links of the feed. */
  url?: string;
  /** Draws pictures for previews of links, which an address makes possible. Default: none. */
  preview?: PreviewRenderer;
  /** The project's documents. Default: none. */
  docs?: readonly DocFile[];
  /** Whether the package's documentation is written below `api/`, to link it. Default false. */
  api?: boolean;
  /** Whether the live page is written to `live/index.html`, to link it. Default false. */
  live?: boolean;
}

/** Cells of the retrieval suite from which on its section fills a page of its own. */
const MANY_CELLS = 400;

/** Every file, one after the other: a long site need not be held in memory. */
export function* siteFiles(site: Site, options: SiteOptions = {}): Generator<SiteFile> {
  const pairs = planPairs(site);
  const trends = site.devices.map(deviceTrends);
  const claims = collectEvidence(site);
  const names = new CaseNames(site);
  for (const run of site.runs) {
    yield* runFiles(run, options);
    yield chunkFile(run, names);
  }
  for (const pair of pairs) yield pairPage(pair, names);
  yield comparePage(site, pairs);
  yield devicesPage(site, pairs);
  yield* trendPages(site, trends, names);
  yield* claimPages(site, claims);
  yield rivalsPage(site);
  yield* docPages(options.docs ?? []);
  yield* schemaPages();
  yield feedFile({ site, pairs, trends, names }, options);
  // Last, so that a site with an index is a whole one.
  yield indexPage({ site, pairs, trends, claims, names, ...options });
}

/** A run's report, its result, and its retrieval section where that fills a page. */
function* runFiles(run: SiteRun, { url, preview }: SiteOptions): Generator<SiteFile> {
  const path = reportPath(run);
  const [report, result] = [`${run.slug}.html`, `${run.slug}.json`];
  const site = {
    links: siteLinks(path, "Runs"),
    resultHref: result,
    image: url !== undefined && preview !== undefined ? runImage(run, url) : undefined,
  };
  if (preview !== undefined) {
    yield { path: imagePath(run), text: "", bytes: preview(previewSvg(run.whole)) };
  }
  if ((run.whole.retrieval?.cells.length ?? 0) < MANY_CELLS) {
    yield { path, text: renderHtml([run.whole], { site }) };
  } else {
    const href = `${run.slug}.retrieval.html`;
    const apart = { id: "retrieval", nav: "Retrieval", href, reportHref: report };
    yield { path, text: renderHtml([run.whole], { site: { ...site, apart } }) };
    yield {
      path: `runs/${href}`,
      text: renderHtml([run.whole], { site: { ...site, apart, only: true } }),
    };
  }
  yield { path: `runs/${result}`, text: `${JSON.stringify(run.whole)}\n` };
}
