/**
 * The HTML report: one file without any request, with the same bytes for the same results.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { deviceName, verdictLine } from "../claims/claims.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { formatPlural } from "../text/format.ts";
import { harmless } from "../text/harmless.ts";
import { Comparison, comparisonLine, runName } from "./comparison_section.tsx";
import { ClaimsTable, speaksOfClaims } from "./claims_table.tsx";
import { Masthead } from "./first_screen.tsx";
import { contextParallelSection } from "./context_parallel_section.tsx";
import { experimentSection } from "./experiment_section.tsx";
import { findingsSection } from "./findings_section.tsx";
import { memorySection } from "./memory_section.tsx";
import { blockSelectionSection, tokenSelectionSection } from "./block_selection_section.tsx";
import { selectionSection } from "./selection_section.tsx";
import { ceilingSection } from "./ceiling_section.tsx";
import { latencySection } from "./latency_section.tsx";
import { peerSection } from "./peer_section.tsx";
import type { Section } from "./section.tsx";
import { HeroFigure, speedupSection } from "./speedup_section.tsx";
import { stageSection } from "./stage_section.tsx";
import { sweepSection } from "./sweep_section.tsx";
import { throughputSection } from "./throughput_section.tsx";
import { trainingSection } from "./training_section.tsx";
import { correctnessSection } from "./correctness_section.tsx";
import { environmentSection } from "./environment_section.tsx";
import { missingSection } from "./missing_section.tsx";
import { PACKED_TYPE, packJson } from "./pack_json.ts";
import { type PageImage, renderPage, SiteBar, type SiteLink } from "./page.tsx";
import { retrievalSection } from "./retrieval_section.tsx";
import { rivalsSection } from "./rivals_section.tsx";
import { makeLean } from "./client/lean_result.ts";
import { together } from "./text_parts.tsx";
import { sampleSection } from "./sample_section.tsx";

/** Options of {@linkcode renderHtml}. */
export interface HtmlOptions {
  /** Title of the document; the verdict line by default. */
  title?: string;
  /** Colour theme for every reader; by default the system decides. */
  theme?: "light" | "dark";
  /** The site that the report is part of. */
  site?: ReportSite;
}

/** The place of a report in a site. */
export interface ReportSite {
  /** Links to the other pages. */
  links: readonly SiteLink[];
  /** The result file next to the page, which then need not be embedded. */
  resultHref: string;
  /** Picture for previews of a link. */
  image?: PageImage;
  /** A section with a page of its own, and both pages. */
  apart?: { id: string; nav: string; href: string; reportHref: string };
  /** The page of the site that explains the method, relative to the report. */
  methodHref?: string;
  /** Whether this is the page of that section, or the report without it. */
  only?: boolean;
}

type SectionOf = (result: Result, prefix: string) => Section | null;

/**
 * The findings of a run, in reading order; each is null if the result has no data for it. For a run
 * that the claims do not cover, these come before them.
 */
const FINDINGS: readonly SectionOf[] = [
  experimentSection,
  findingsSection,
  latencySection,
  speedupSection,
  rivalsSection,
  stageSection,
  ceilingSection,
  sweepSection,
  memorySection,
  throughputSection,
  trainingSection,
  selectionSection,
  blockSelectionSection,
  tokenSelectionSection,
  retrievalSection,
  contextParallelSection,
  peerSection,
];

/** The data behind the findings. */
const GROUNDS: readonly SectionOf[] = [
  correctnessSection,
  missingSection,
  environmentSection,
  sampleSection,
];

/**
 * The report of one result, or of several together, as a whole HTML document.
 *
 * Every text of a result is escaped, stripped of control characters and cut at 2,000 characters;
 * the only script is this module's own, allowed by its hash.
 *
 * @throws {RangeError} when `results` is empty.
 */
export function renderHtml(
  results: Result[],
  { title, theme, site }: HtmlOptions = {},
): string {
  if (results.length === 0) {
    throw new RangeError("cannot render a report of 0 results, need 1 or more");
  }
  const shown = results.map((result) => harmless(result));
  const single = shown.length === 1;
  const runs = shown.map((result, i) => {
    const prefix = single ? "" : `run-${i + 1}-`;
    const shownOf = (sections: readonly SectionOf[]) =>
      sections.map((section) => section(result, prefix)).filter((section) => section !== null)
        .filter(({ id }) =>
          site?.apart === undefined || (id === site.apart.id) === (site.only ?? false)
        );
    const findings = shownOf(FINDINGS);
    const claims: Section[] = site?.only ? [] : [{
      id: `${prefix}claims`,
      nav: "Claims",
      content: (
        <>
          <h2 class="visually-hidden">Claims</h2>
          <ClaimsTable result={result} />
        </>
      ),
    }];
    const first = speaksOfClaims(result) ? claims : findings;
    const second = first === claims ? findings : claims;
    return { result, prefix, sections: [...first, ...second, ...shownOf(GROUNDS)] };
  });
  const heading = plainText(
    title ?? (single ? verdictLine(shown[0]) : comparisonLine(shown)),
  );
  const body = (
    <>
      <a class="skip" href="#main">Skip to the report</a>
      {site !== undefined && <SiteBar links={site.links} />}
      <Navigation
        branded={site === undefined}
        entries={site?.only
          ? [[site.apart!.reportHref, "The whole report"], [`#${site.apart!.id}`, site.apart!.nav]]
          : single
          ? [
            ...runs[0].sections.map(({ id, nav }): [string, string] => [`#${id}`, nav]),
            ...(site?.apart ? [[site.apart.href, site.apart.nav] as [string, string]] : []),
          ]
          : [
            ["#comparison", "Comparison"],
            ...runs.map(({ result }, i): [string, string] => [
              `#run-${i + 1}`,
              `${runName(i)}: ${deviceName(result)}`,
            ]),
          ]}
      />
      <main id="main">
        {single ? null : (
          <>
            <h1 class="verdict">{together(heading)}</h1>
            <Comparison results={shown} />
          </>
        )}
        {runs.map(({ result, sections }, i) => (
          <Run
            result={result}
            sections={sections}
            index={i}
            single={single}
            hero={single && !site?.only}
            methodHref={site?.methodHref}
          />
        ))}
      </main>
      <footer>
        <p>
          Lighthouse Attention Bench measures the method of arXiv 2605.06554 with WebGPU kernels; it
          has nothing to do with the web auditing tool of a similar name. Every number on this page
          comes from the result {single ? "file" : "files"}{" "}
          {site === undefined ? "embedded in it" : "beside it"}, except those marked as the paper’s.
        </p>
        <p>
          {site !== undefined
            ? <a href={site.resultHref} download>Save result.json</a>
            : results.map((_, i) => (
              <button type="button" hidden data-result={resultId(i)}>
                Save {single ? "result.json" : `the result of run ${runName(i)}`}
              </button>
            ))}
        </p>
      </footer>
    </>
  );
  const data = site !== undefined
    ? []
    : results.map((result, i) =>
      `<script type="${PACKED_TYPE}" id="${resultId(i)}">${
        packJson(JSON.stringify(leanResult(result)))
      }</script>`
    );
  return renderPage({
    title: `${heading} Lighthouse Attention Bench`,
    body,
    description: `${heading} ${formatPlural(shown.length, "run")} on ${
      [...new Set(shown.map(deviceName))].join(", ")
    }, with claims of arXiv 2605.06554 judged one by one.`,
    image: site?.image,
    tail: data,
    theme,
  });
}

function Navigation(
  { entries, branded }: { entries: [string, string][]; branded: boolean },
): JSX.Element {
  return (
    <nav aria-label="Sections">
      {branded && <span class="brand">Lighthouse Attention Bench</span>}
      <ul>
        {entries.map(([href, label]) => (
          <li>
            <a href={href}>{label}</a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Run(
  { result, sections, index, single, hero, methodHref }: {
    result: Result;
    sections: Section[];
    index: number;
    single: boolean;
    /** Whether it opens with its chart. */
    hero: boolean;
    methodHref?: string;
  },
): JSX.Element {
  const parts = sections.map(({ id, content }) => <section id={id}>{content}</section>);
  return (
    <div
      id={single ? undefined : `run-${index + 1}`}
      class={single ? undefined : "run"}
      data-device={single ? undefined : deviceName(result)}
    >
      <header class="masthead">
        {single ? null : <p class="kicker">Run {runName(index)}</p>}
        <Masthead
          result={result}
          prefix={single ? "" : `run-${index + 1}-`}
          level={single ? 1 : 2}
          hero={hero && <HeroFigure result={result} />}
          methodHref={methodHref}
        />
      </header>
      {single ? parts : (
        <details class="data whole-run">
          <summary>
            All of run {runName(index)}: {sections.map(({ nav }) => nav).join(", ")}
          </summary>
          {parts}
        </details>
      )}
    </div>
  );
}

function leanResult(result: Result): Result {
  const lean = structuredClone(result);
  makeLean(lean);
  return lean;
}

function resultId(index: number): string {
  return `result-${index + 1}`;
}
