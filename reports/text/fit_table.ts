/**
 * Text tables that fit a terminal: cells never wrap. Content that does not fit is shortened or left out, in
 * an order that each table defines.
 *
 * @module
 */
import { Table } from "console-table-printer";

/** A column and how it adapts if there is too little room. */
export interface FitColumn {
  readonly title: string;
  /** Whether to align the column to the right. */
  readonly numeric?: boolean;
  /** Characters above which a cell is shortened before any column is left out. */
  readonly width?: number;
  /** Columns with a number are left out, the lowest first; a column without one always stays. */
  readonly drop?: number;
  /** Fewest characters that a cell is shortened to; without it cells stay whole. */
  readonly least?: number;
  /** Where a shortened cell loses its characters: at its end, or in the middle, for identifiers. */
  readonly cut?: "end" | "middle";
}

/** A table that fits, as {@linkcode renderTable} prints it. */
export interface FittedTable {
  readonly columns: readonly FitColumn[];
  readonly rows: readonly (readonly string[])[];
}

/** Characters of a column besides its cells: a border and two spaces. */
const FRAME = 3;

/**
 * Makes a table fit into `width` characters: first cells are shortened to the `width` of their column,
 * then columns are left out, then cells are shortened to the `least` of their column, the widest
 * first. A table that is still too wide stays so: no required column is hidden.
 *
 * @example
 * ```ts
 * import { fitTable } from "./fit_table.ts";
 * import assert from "node:assert/strict";
 * const columns = [{ title: "Case", least: 5 }, { title: "Time" }, { title: "Rate", drop: 1 }];
 * const { rows } = fitTable({ columns, rows: [["latency", "1.00 s", "2.00 tok/s"]] }, 18);
 * assert.deepEqual(rows, [["late…", "1.00 s"]]);
 * ```
 */
export function fitTable(table: FittedTable, width = Infinity): FittedTable {
  let { columns, rows } = table;
  if (widthOf({ columns, rows }) <= width) return table;
  const shorten = (at: number, length: number) => {
    rows = rows.map((row) => row.map((cell, i) => i === at ? cut(cell, length, columns[i]) : cell));
  };
  columns.forEach((column, i) => column.width && shorten(i, Math.max(column.width, 1)));
  const dropped = columns.filter(({ drop }) => drop !== undefined)
    .toSorted((a, b) => a.drop! - b.drop!);
  for (const column of dropped) {
    if (widthOf({ columns, rows }) <= width) break;
    const at = columns.indexOf(column);
    columns = columns.toSpliced(at, 1);
    rows = rows.map((row) => row.toSpliced(at, 1));
  }
  // The widest column is shortened first, so that two long columns end up equally long.
  const widths = columns.map((_, i) => cellWidth({ columns, rows }, i));
  for (let over = widthOf({ columns, rows }) - width; over > 0; over--) {
    const shrinks = ({ least, title }: FitColumn, i: number) =>
      least !== undefined && widths[i] > Math.max(least, title.length);
    const at = columns.reduce(
      (best, column, i) => shrinks(column, i) && (best < 0 || widths[i] > widths[best]) ? i : best,
      -1,
    );
    if (at < 0) break;
    widths[at]--;
  }
  widths.forEach((length, i) => shorten(i, length));
  return { columns, rows };
}

/**
 * A table as text, in at most `width` characters if possible.
 *
 * @param options.paint colours a cell, given its column's title; colour codes take no width.
 */
export function renderTable(
  table: FittedTable,
  { width, paint = (cell) => cell }: {
    width?: number;
    paint?: (cell: string, title: string) => string;
  } = {},
): string {
  const { columns, rows } = fitTable(table, width);
  const printed = new Table({
    columns: columns.map(({ title, numeric }, i) => ({
      name: String(i),
      title,
      alignment: numeric ? "right" as const : "left" as const,
    })),
    shouldDisableColors: true,
  });
  for (const row of rows) {
    printed.addRow(
      Object.fromEntries(row.map((cell, i) => [String(i), paint(cell, columns[i].title)])),
    );
  }
  return printed.render();
}

/** Wraps words into lines of at most `width` characters; lines after the first start with `indent`. */
export function wrapWords(text: string, width = Infinity, indent = ""): string {
  const lines: string[] = [];
  const start = /^ */.exec(text)![0];
  const [first, ...rest] = text.slice(start.length).split(" ");
  let line = start + first;
  for (const word of rest) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}

function widthOf({ columns, rows }: FittedTable): number {
  return columns.reduce((sum, _, i) => sum + cellWidth({ columns, rows }, i) + FRAME, 1);
}

function cellWidth({ columns, rows }: FittedTable, at: number): number {
  return rows.reduce((most, row) => Math.max(most, row[at].length), columns[at].title.length);
}

function cut(text: string, length: number, { cut }: FitColumn): string {
  if (text.length <= length) return text;
  if (cut !== "middle") return `${text.slice(0, length - 1).trimEnd()}…`;
  const tail = Math.floor((length - 1) / 2);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(text.length - tail)}`;
}
