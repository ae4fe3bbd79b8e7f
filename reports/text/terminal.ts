/**
 * The summary that a run prints at its end: verdict line, claims, latency, speed-up, ceilings,
 * and what was skipped or failed.
 *
 * @module
 */
import { Table } from "console-table-printer";
import type { Result } from "../../suites/result/result_schema.ts";
import { summaryTables } from "./summary_tables.ts";
import { hardwareNotice, VERDICT_RULE, verdictLine } from "../claims/claims.ts";
import { plainText } from "../../suites/result/plain_text.ts";

/** Options of {@linkcode renderTerminal}. */
export interface TerminalOptions {
  /** Whether to use ANSI bold and colour; false by default, so that logs stay clean. */
  color?: boolean;
}

/** The summary of one result as text, ending in a line break. */
export function renderTerminal(result: Result, { color = false }: TerminalOptions = {}): string {
  const bold = (text: string) => color ? `\u001b[1m${text}\u001b[0m` : text;
  const lines = [bold(verdictLine(result)), hardwareNotice(result).text, ""];
  for (const { title, columns, rows, note } of summaryTables(result, { elsewhere: false })) {
    const table = new Table({
      columns: columns.map(({ title, numeric, width }, i) => ({
        name: String(i),
        title,
        alignment: numeric ? "right" as const : "left" as const,
        ...(width === undefined ? {} : { maxLen: width }),
      })),
      shouldDisableColors: true,
    });
    for (const row of rows) {
      table.addRow(Object.fromEntries(row.map((cell, i) => [String(i), plainText(cell)])));
    }
    lines.push(bold(title), table.render());
    if (note !== undefined) lines.push(note);
    lines.push("");
  }
  lines.push(VERDICT_RULE);
  lines.push("Claims seen elsewhere that are not the paper's are listed in the report.");
  for (const note of result.notes) lines.push(`Note: ${plainText(note)}`);
  return lines.join("\n") + "\n";
}
