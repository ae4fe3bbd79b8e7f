/**
 * A gate's report as text for a terminal and as JSON.
 *
 * @module
 */
import { Table } from "console-table-printer";
import { plainText } from "../text/format.ts";
import type { GateReport, GateSide } from "./gate_report.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "./gate_table.ts";

/** The report as text, ending in a line break. */
export function renderGateText(report: GateReport): string {
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
    harmless(side("Baseline ", report.baseline)),
    harmless(side("Candidate", report.candidate)),
    harmless(explainNoise(report)),
    "",
    table.render(),
    ...explainCases(report).map(({ case: { id }, text }) => harmless(`- ${id}: ${text}`)),
    ...report.notes.map((note) => harmless(`Note: ${note}`)),
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
