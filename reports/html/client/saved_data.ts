/**
 * The numbers of a figure as files.
 *
 * @module
 */
import type { ChartCell, ChartData } from "../../charts/chart_data.ts";

/** RFC 4180: a line of names, then a line for each row. */
export function toCsv({ columns, rows }: ChartData): string {
  return [columns, ...rows].map((row) => row.map(csvCell).join(",") + "\r\n").join("");
}

function csvCell(value: ChartCell): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  // A spreadsheet must read text as text, never as a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The title, and a record for each row. */
export function toJson(title: string, { columns, rows }: ChartData): string {
  const records = rows.map((row) =>
    Object.fromEntries(columns.map((column, i) => [column, row[i]]))
  );
  return JSON.stringify({ title, rows: records }, null, 1) + "\n";
}
