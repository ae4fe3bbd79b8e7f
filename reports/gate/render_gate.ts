/**
 * A gate's report as text for a terminal and as JSON.
 *
 * @module
 */
import { plainText } from "../../suites/result/plain_text.ts";
import type { GateReport, GateSide } from "./gate_report.ts";
import { renderTable, wrapWords } from "../text/fit_table.ts";
import { ansi, paintVerdict } from "../text/verdict_color.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "./gate_table.ts";

/** Lines on single cases in a report without a table of them. */
const MOST_LINES = 3;

/** Terminal settings of the report; without them nothing is shortened or coloured. */
export interface GateLook {
  readonly color?: boolean;
  /** Columns of the terminal. */
  readonly width?: number;
}

const OUTCOME_STYLES = {
  "passed": "green",
  "failed": "red",
  "inconclusive": "yellow",
  "not comparable": "yellow",
} as const;

/** How columns adapt to a narrow terminal; the judged columns of a case stay. */
const ROOM: Readonly<Record<typeof CASE_COLUMNS[number], { drop?: number; least?: number }>> = {
  "Verdict": {},
  "Case": { least: 24 },
  "Baseline": { drop: 3 },
  "Candidate": { drop: 2 },
  "Time ratio": {},
  "Interval": {},
  "Noise threshold": { drop: 1 },
};

/** The report as text, ending in a line break. */
export function renderGateText(
  report: GateReport,
  { color = false, width }: GateLook = {},
): string {
  const say = (text: string) => wrapWords(harmless(text), width, "  ");
  const sentence = color
    ? say(report.sentence).replace(
      /^[^:.]+/,
      (outcome) => ansi(OUTCOME_STYLES[report.outcome], outcome),
    )
    : say(report.sentence);
  const sides = [side("Baseline ", report.baseline), side("Candidate", report.candidate)];
  const explained = explainCases(report).map(({ case: { id }, text }) => `- ${id}: ${text}`);
  const notes = report.notes.map((note) => `Note: ${note}`);
  // If nothing is compared there is nothing to tabulate.
  if (report.timesNotComparable.length > 0) {
    const left = explained.length - MOST_LINES;
    const more = left > 0 ? [`- and ${left} more, in the JSON of the gate`] : [];
    const lines = [...sides, ...explained.slice(0, MOST_LINES), ...more, ...notes];
    return [sentence, "", ...lines.map(say)].join("\n") + "\n";
  }
  const columns = CASE_COLUMNS.map((title, i) => ({
    title,
    numeric: i > 1,
    cut: "middle" as const,
    ...ROOM[title],
  }));
  const rows = report.cases.map((one) => caseRow(one).map(harmless));
  const paint = (cell: string, title: string) =>
    color && title === "Verdict" ? paintVerdict(cell) : cell;
  return [
    sentence,
    "",
    ...sides.map(say),
    say(explainNoise(report)),
    "",
    renderTable({ columns, rows }, { width, paint }),
    ...[...explained, ...notes].map(say),
  ].join("\n").trimEnd() + "\n";
}

/** The report as JSON, ending in a line break. */
export function renderGateJson(report: GateReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

function side(title: string, { name, commit, startedAt, device }: GateSide): string {
  return `${title} ${name}: commit ${commit?.slice(0, 12) ?? "unknown"}, ${startedAt}, ${device}`;
}

/** Text without control characters, and without what a CI runner would interpret as a command. */
function harmless(text: string): string {
  return plainText(text).replaceAll("##[", "## [").replace(/^\s*::/, ": :");
}
