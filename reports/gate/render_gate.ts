/**
 * A gate's report as text for a terminal and as JSON.
 *
 * @module
 */
import { Table } from "console-table-printer";
import { plainText } from "../../suites/result/plain_text.ts";
import type { GateReport, GateSide } from "./gate_report.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "./gate_table.ts";

/** Lines on single cases that a report without a table of them shows. */
const MOST_LINES = 10;

/** The report as text, ending in a line break. */
export function renderGateText(report: GateReport): string {
  const sides = [side("Baseline ", report.baseline), side("Candidate", report.candidate)];
  const explained = explainCases(report).map(({ case: { id }, text }) => `- ${id}: ${text}`);
  const notes = report.notes.map((note) => `Note: ${note}`);
  // Where nothing is compared there is nothing to tabulate.
  if (report.timesNotComparable.length > 0) {
    const left = explained.length - MOST_LINES;
    const more = left > 0 ? [`- and ${left} more, in the JSON of the gate`] : [];
    const lines = [report.sentence, "", ...sides, ...explained.slice(0, MOST_LINES), ...more];
    return [...lines, ...notes].map(harmless).join("\n") + "\n";
  }
  const table = new Table({
    columns: CASE_COLUMNS.map((title, i) => ({
      name: String(i),
      title,
      alignment: i < 2 ? "left" as const : "right" as const,
    })),
    shouldDisableColors: true,
  });
  for (const one of report.cases) {
    table.addRow(Object.fromEntries(caseRow(one).map((cell, i) => [String(i), harmless(cell)])));
  }
  return [
    harmless(report.sentence),
    "",
    ...sides.map(harmless),
    harmless(explainNoise(report)),
    "",
    table.render(),
    ...[...explained, ...notes].map(harmless),
  ].join("\n").trimEnd() + "\n";
}

/** The report as JSON, ending in a line break. */
export function renderGateJson(report: GateReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

function side(title: string, { name, commit, startedAt, device }: GateSide): string {
  return `${title} ${name}: commit ${commit?.slice(0, 12) ?? "unknown"}, ${startedAt}, ${device}`;
}

/** Text without control characters, and without what a CI runner would take for a command. */
function harmless(text: string): string {
  return plainText(text).replaceAll("##[", "## [").replace(/^\s*::/, ": :");
}
