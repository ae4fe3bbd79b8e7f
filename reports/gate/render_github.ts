/**
 * A gate's report for GitHub: markdown for a comment or a job summary, and workflow commands that
 * become annotations.
 *
 * @module
 */
import { formatCount, formatPlural } from "../text/format.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { escapeMarkdown } from "../text/markdown.ts";
import { countVerdicts, type GateReport, type GateSide } from "./gate_report.ts";
import { CASE_COLUMNS, caseRow, explainCases, explainNoise } from "./gate_table.ts";

/** Rows of the table: GitHub refuses comments of more than 65,536 characters. */
const MOST_ROWS = 150;

/** Sentences before the fold. */
const MOST_SENTENCES = 10;

/** Annotations of one level that GitHub shows for a step. */
const MOST_ANNOTATIONS = 10;

const MARKS = {
  "passed": "✅",
  "failed": "❌",
  "inconclusive": "❔",
  "not comparable": "⚠️",
} as const;

/** The report as GitHub-flavoured markdown: the verdict first, details folded. */
export function renderGateMarkdown(report: GateReport): string {
  const blocks = [`### ${MARKS[report.outcome]} ${escapeMarkdown(report.sentence)}`];
  const sentences = explainCases(report);
  if (sentences.length > 0) {
    const shown = sentences.slice(0, MOST_SENTENCES).map(({ case: { id }, text }) =>
      `- ${escapeMarkdown(short(id))}: ${escapeMarkdown(short(text))}`
    );
    const left = sentences.length - shown.length;
    if (left > 0) shown.push(`- and ${formatCount(left)} more, in the JSON of the gate`);
    blocks.push(shown.join("\n"));
  }
  const about = [
    side("Baseline", report.baseline),
    side("Candidate", report.candidate),
    ...report.timesNotComparable.length > 0 ? [] : [`- ${escapeMarkdown(explainNoise(report))}`],
    ...report.notes.map((note) => `- ${escapeMarkdown(short(note))}`),
  ].join("\n");
  // If nothing is compared there is nothing to tabulate.
  if (report.timesNotComparable.length > 0) return [...blocks, about].join("\n\n") + "\n";
  const counts = Object.entries(countVerdicts(report.cases)).filter(([, count]) => count > 0);
  const title = counts.map(([verdict, count]) => `${formatCount(count)} ${verdict}`).join(", ");
  const rows = report.cases.slice(0, MOST_ROWS);
  const details = [
    `<details><summary>${formatPlural(report.cases.length, "case")}: ${title}</summary>`,
    [
      `| ${CASE_COLUMNS.join(" | ")} |`,
      `| --- | --- | ---: | ---: | ---: | ---: | ---: |`,
      ...rows.map((one) =>
        `| ${caseRow(one).map((cell) => escapeMarkdown(short(cell))).join(" | ")} |`
      ),
    ].join("\n"),
  ];
  const hidden = report.cases.length - rows.length;
  if (hidden > 0) details.push(`${formatPlural(hidden, "more case")} in the JSON of the gate.`);
  details.push(about, "</details>");
  return [...blocks, ...details].join("\n\n") + "\n";
}

/**
 * Workflow commands, one a line: an error for each failure, a warning for each open case, a notice
 * with the outcome.
 */
export function renderAnnotations(report: GateReport): string {
  const lines: string[] = [];
  const levels = { error: [] as string[], warning: [] as string[] };
  for (const { case: one, text } of explainCases(report)) {
    const failure = one.fails;
    if (!failure && one.verdict !== "inconclusive") continue;
    levels[failure ? "error" : "warning"].push(annotation(failure ? "error" : "warning", {
      title: one.id,
      message: text,
    }));
  }
  for (const [level, all] of Object.entries(levels)) {
    const left = all.length - MOST_ANNOTATIONS;
    if (left <= 0) lines.push(...all);
    else {
      lines.push(...all.slice(0, MOST_ANNOTATIONS - 1));
      lines.push(annotation(level, { title: "gate", message: `${left + 1} more of this kind` }));
    }
  }
  lines.push(annotation("notice", { title: "gate", message: report.sentence }));
  return lines.join("\n") + "\n";
}

function annotation(level: string, { title, message }: { title: string; message: string }): string {
  const escape = (text: string) =>
    plainText(short(text)).replace(/%/g, "%25").replaceAll("##[", "## [");
  const property = escape(title).replace(/:/g, "%3A").replace(/,/g, "%2C");
  return `::${level} title=${property}::${escape(message)}`;
}

function side(title: string, { name, commit, startedAt, device }: GateSide): string {
  const text = `${title} ${name}: commit ${commit?.slice(0, 12) ?? "unknown"}, ${startedAt}, ` +
    device;
  return `- ${escapeMarkdown(short(text))}`;
}

/** Long text from a file must not displace everything else in a comment. */
function short(text: string): string {
  return text.length > 300 ? `${text.slice(0, 299)}…` : text;
}
