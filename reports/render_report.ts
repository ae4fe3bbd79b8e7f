/**
 * Renders results as a report in one of three forms.
 *
 * @module
 */
import type { Result } from "../suites/result/result_schema.ts";
import { renderHtml } from "./html/render_html.tsx";
import { renderMarkdown } from "./text/markdown.ts";
import { renderTerminal } from "./text/terminal.ts";

/** Options of {@linkcode renderReport}. */
export interface ReportOptions {
  /**
   * `html`: the whole report, one offline document. `markdown`: the summary for a pull request.
   * `terminal`: the summary as plain text. Default `html`.
   */
  readonly format?: "html" | "markdown" | "terminal";
  /** Title of the HTML document; the verdict line by default. */
  readonly title?: string;
}

/**
 * The report of one result, or of several together. A pure function: equal results give equal text.
 *
 * @throws {RangeError} without a result.
 *
 * @example
 * ```ts
 * import { readResult } from "../suites/result/read_result.ts";
 * import { renderReport } from "./render_report.ts";
 * import assert from "node:assert/strict";
 *
 * const result = await readResult("fixtures/baselines/h100-deno-paper.json");
 * assert.match(renderReport(result), /^<!doctype html>/i);
 * assert.match(renderReport(result, { format: "markdown" }), /^# /);
 * ```
 */
export function renderReport(
  results: Result | readonly Result[],
  options: ReportOptions = {},
): string {
  const { format = "html", title } = options;
  const all = "cases" in results ? [results] : [...results];
  if (all.length === 0) throw new RangeError("render report: no result, at least 1 is needed");
  switch (format) {
    case "html":
      return renderHtml(all, { title });
    case "markdown":
      return renderMarkdown(all);
    case "terminal":
      return all.map((result) => renderTerminal(result)).join("\n");
    default:
      throw new RangeError(`render report: format ${format} is not html, markdown or terminal`);
  }
}
