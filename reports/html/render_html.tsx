/**
 * The HTML report: one file, no request to anywhere, the same bytes for the same results.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import type { JSX } from "preact";
import { render } from "preact-render-to-string";
import type { Result } from "../../suites/result_schema.ts";
import { deviceName, verdictLine } from "../claims.ts";
import { plainText } from "../format.ts";
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
import { retrievalSection } from "./retrieval_section.tsx";
import { sampleSection } from "./sample_section.tsx";
import script from "./page_script.js" with { type: "text" };
import { STYLE } from "./style.ts";

/** Options of {@linkcode renderHtml}. */
export interface HtmlOptions {
  /** Title of the document; the verdict line by default. */
  title?: string;
  /** Colours whatever the reader's system says; by default the system decides. */
  theme?: "light" | "dark";
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

/** Longest text of a result file that the page shows; the embedded JSON keeps all of it. */
const TEXT_LIMIT = 2000;

/**
 * The report of one result, or of several side by side, as a whole HTML document.
 *
 * Every text of a result is escaped, stripped of control characters and cut at 2,000 characters;
 * the only script is this module's own, allowed by its hash.
 *
 * @throws {RangeError} when `results` is empty.
 */
export function renderHtml(results: Result[], { title, theme }: HtmlOptions = {}): string {
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
  const body = render(
    <>
      <a class="skip" href="#main">Skip to the report</a>
      <Navigation
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
    </>,
  );
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
      <title>{`${heading} Lighthouse Attention Bench`}</title>
      <style dangerouslySetInnerHTML={{ __html: STYLE }} />
    </head>,
  );
  const data = results.map((result, i) =>
    `<script type="${EMBEDDED_TYPE}" id="${resultId(i)}">${embedResult(result)}</script>`
  );
  return [
    "<!doctype html>",
    `<html lang="en"${theme === undefined ? "" : ` data-theme="${theme}"`}>`,
    head,
    `<body>${body}`,
    ...data,
    `<script>${script}</script>`,
    "</body></html>\n",
  ].join("\n");
}

function Navigation({ entries }: { entries: [string, string][] }): JSX.Element {
  return (
    <nav aria-label="Sections">
      <span class="brand">Lighthouse Attention Bench</span>
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

/** A copy of which every string, keys included, is plain text of bounded length. */
function harmless<T>(value: T): T {
  if (typeof value === "string") return bounded(value) as T;
  if (Array.isArray(value)) return value.map(harmless) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [bounded(key), harmless(inner)]);
  return Object.fromEntries(entries) as T;
}

function bounded(text: string): string {
  const plain = plainText(text);
  return plain.length > TEXT_LIMIT ? `${plain.slice(0, TEXT_LIMIT)}…` : plain;
}
