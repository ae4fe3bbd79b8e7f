/**
 * The HTML report: one file, no request to anywhere, the same bytes for the same results.
 *
 * @module
 */
import { deflateSync } from "node:zlib";
import type { JSX } from "preact";
import type { Result } from "../../suites/result_schema.ts";
import { deviceName, verdictLine } from "../claims.ts";
import { plainText } from "../format.ts";
import { harmless } from "../harmless.ts";
import { Comparison, comparisonLine, runName } from "./comparison_section.tsx";
import { ClaimsTable, Masthead } from "./first_screen.tsx";
import { contextParallelSection } from "./context_parallel_section.tsx";
import { findingsSection } from "./findings_section.tsx";
import { memorySection } from "./memory_section.tsx";
import { selectionSection } from "./selection_section.tsx";
import { ceilingSection } from "./ceiling_section.tsx";
import { latencySection } from "./latency_section.tsx";
import { peerSection } from "./peer_section.tsx";
import type { Section } from "./section.tsx";
import { speedupSection } from "./speedup_section.tsx";
import { stageSection } from "./stage_section.tsx";
import { sweepSection } from "./sweep_section.tsx";
import { throughputSection } from "./throughput_section.tsx";
import { correctnessSection } from "./correctness_section.tsx";
import { environmentSection } from "./environment_section.tsx";
import { missingSection } from "./missing_section.tsx";
import { renderPage, SiteBar, type SiteLink } from "./page.tsx";
import { retrievalSection } from "./retrieval_section.tsx";
import { sampleSection } from "./sample_section.tsx";

/** Options of {@linkcode renderHtml}. */
export interface HtmlOptions {
  /** Title of the document; the verdict line by default. */
  title?: string;
  /** Colours whatever the reader's system says; by default the system decides. */
  theme?: "light" | "dark";
  /** Links to the other pages of a site that the report is part of. */
  siteLinks?: readonly SiteLink[];
}

/** Sections in reading order; each says null where the result has nothing for it. */
const SECTIONS: ((result: Result, prefix: string) => Section | null)[] = [
  findingsSection,
  latencySection,
  speedupSection,
  stageSection,
  ceilingSection,
  sweepSection,
  memorySection,
  throughputSection,
  selectionSection,
  retrievalSection,
  contextParallelSection,
  peerSection,
  correctnessSection,
  missingSection,
  environmentSection,
  sampleSection,
];

/**
 * The report of one result, or of several side by side, as a whole HTML document.
 *
 * Every text of a result is escaped, stripped of control characters and cut at 2,000 characters;
 * the only script is this module's own, allowed by its hash.
 *
 * @throws {RangeError} when `results` is empty.
 */
export function renderHtml(
  results: Result[],
  { title, theme, siteLinks }: HtmlOptions = {},
): string {
  if (results.length === 0) {
    throw new RangeError("cannot render a report of 0 results, need 1 or more");
  }
  const shown = results.map((result) => harmless(result));
  const single = shown.length === 1;
  const runs = shown.map((result, i) => {
    const prefix = single ? "" : `run-${i + 1}-`;
    return {
      result,
      prefix,
      sections: SECTIONS.map((section) => section(result, prefix)).filter((section) =>
        section !== null
      ),
    };
  });
  const heading = plainText(
    title ?? (single ? verdictLine(shown[0]) : comparisonLine(shown)),
  );
  const body = (
    <>
      <a class="skip" href="#main">Skip to the report</a>
      {siteLinks !== undefined && <SiteBar links={siteLinks} />}
      <Navigation
        branded={siteLinks === undefined}
        entries={single
          ? [
            ["claims", "Claims"],
            ...runs[0].sections.map(({ id, nav }): [string, string] => [id, nav]),
          ]
          : [
            ["comparison", "Comparison"],
            ...runs.map(({ result }, i): [string, string] => [
              `run-${i + 1}`,
              `${runName(i)}: ${deviceName(result)}`,
            ]),
          ]}
      />
      <main id="main">
        {single ? null : (
          <>
            <h1 class="verdict">{heading}</h1>
            <Comparison results={shown} />
          </>
        )}
        {runs.map(({ result, prefix, sections }, i) => (
          <Run
            result={result}
            prefix={prefix}
            sections={sections}
            index={i}
            single={single}
          />
        ))}
      </main>
      <footer>
        <p>
          Lighthouse Attention Bench measures the method of arXiv 2605.06554 with WebGPU kernels; it
          has nothing to do with the web auditing tool of a similar name. Every number on this page
          comes from the result {single ? "file" : "files"}{" "}
          embedded in it, except those marked as the paper’s.
        </p>
        <p>
          {results.map((_, i) => (
            <button type="button" hidden data-result={resultId(i)}>
              Save {single ? "result.json" : `the result of run ${runName(i)}`}
            </button>
          ))}
        </p>
      </footer>
    </>
  );
  const data = results.map((result, i) =>
    `<script type="${EMBEDDED_TYPE}" id="${resultId(i)}">${embedResult(result)}</script>`
  );
  return renderPage({ title: `${heading} Lighthouse Attention Bench`, body, tail: data, theme });
}

function Navigation(
  { entries, branded }: { entries: [string, string][]; branded: boolean },
): JSX.Element {
  return (
    <nav aria-label="Sections">
      {branded && <span class="brand">Lighthouse Attention Bench</span>}
      <ul>
        {entries.map(([id, label]) => (
          <li>
            <a href={`#${id}`}>{label}</a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Run(
  { result, prefix, sections, index, single }: {
    result: Result;
    prefix: string;
    sections: Section[];
    index: number;
    single: boolean;
  },
): JSX.Element {
  return (
    <div id={single ? undefined : `run-${index + 1}`} class={single ? undefined : "run"}>
      <header class="masthead">
        {single ? null : <p class="kicker">Run {runName(index)}</p>}
        <Masthead result={result} level={single ? 1 : 2} />
      </header>
      <section id={`${prefix}claims`}>
        <h2 class="visually-hidden">Claims</h2>
        <ClaimsTable result={result} />
      </section>
      {sections.map(({ id, content }) => <section id={id}>{content}</section>)}
    </div>
  );
}

function resultId(index: number): string {
  return `result-${index + 1}`;
}

/** No browser runs a script of this type. */
const EMBEDDED_TYPE = "application/json+deflate+base64";

/**
 * The whole result, compressed: a run of a hundred cases has several times the text of its report.
 * Base64 has no character that could end the element that holds it.
 */
function embedResult(result: Result): string {
  return deflateSync(JSON.stringify(result), { level: 9 }).toString("base64");
}
