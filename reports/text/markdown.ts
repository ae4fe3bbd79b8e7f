/**
 * The summary as GitHub-flavoured markdown, for `summary.md` and for a comment on a pull request.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { deviceName, hardwareNotice, VERDICT_RULE, verdictLine } from "../claims/claims.ts";
import { findings } from "../claims/findings.ts";
import { formatInstant, formatPlural } from "./format.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { summaryTables } from "./summary_tables.ts";

/** The summary of one or several results as markdown, ending in a line break. */
export function renderMarkdown(results: Result[]): string {
  const blocks: string[] = [];
  if (results.length > 1) {
    blocks.push(`# Lighthouse Attention Bench: ${formatPlural(results.length, "run")}`);
  }
  for (const [i, result] of results.entries()) {
    const heading = results.length > 1 ? `## Run ${i + 1}: ` : "# ";
    blocks.push(`${heading}${escapeMarkdown(verdictLine(result))}`);
    blocks.push(`> ${escapeMarkdown(hardwareNotice(result).text)}`);
    blocks.push(escapeMarkdown(
      `${deviceName(result)} · stack ${result.stack} · profile ${result.profile} · ` +
        `${formatInstant(result.startedAt)} · version ${result.tool.version}`,
    ));
    for (const { title, columns, rows, note } of summaryTables(result)) {
      const level = results.length > 1 ? "###" : "##";
      const table = [
        `| ${columns.map(({ title }) => escapeMarkdown(title)).join(" | ")} |`,
        `| ${columns.map(({ numeric }) => numeric ? "---:" : "---").join(" | ")} |`,
        ...rows.map((row) => `| ${row.map(escapeMarkdown).join(" | ")} |`),
      ].join("\n");
      blocks.push(`${level} ${escapeMarkdown(title)}`, table);
      if (note !== undefined) blocks.push(escapeMarkdown(note));
    }
    for (const { title, sentences } of findings(result)) {
      const level = results.length > 1 ? "###" : "##";
      blocks.push(
        `${level} ${escapeMarkdown(title)}`,
        sentences.map((sentence) => `- ${escapeMarkdown(sentence)}`).join("\n"),
      );
    }
    if (result.notes.length > 0) {
      blocks.push(result.notes.map((note) => `- ${escapeMarkdown(note)}`).join("\n"));
    }
  }
  if (results.length > 0) blocks.push(`<sub>${escapeMarkdown(VERDICT_RULE)}</sub>`);
  return blocks.join("\n\n") + "\n";
}

/**
 * Text that markdown shows literally: no markup, no HTML, no table break, no mention, no link.
 *
 * @example
 * ```ts
 * import { escapeMarkdown } from "./markdown.ts";
 * import assert from "node:assert/strict";
 * assert.equal(escapeMarkdown("a|<b>"), "a\\|&lt;b&gt;");
 * ```
 */
export function escapeMarkdown(text: string): string {
  return plainText(text)
    .replace(/[\\`*_{}[\]#|~$!]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    // A zero-width space keeps @name, #1 and addresses from becoming mentions and links.
    .replace(/@(?=\w)/g, "@\u200b")
    .replace(/:\/\//g, ":\u200b//")
    .replace(/\bwww\./gi, "www\u200b.");
}
