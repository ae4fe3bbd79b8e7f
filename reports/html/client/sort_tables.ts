/// <reference lib="dom" />
/**
 * Sorts tables by a click on a heading: up, down, and back to the order of the page.
 *
 * @module
 */
import { fillRows } from "./more_rows.ts";
import { compareKeys, sortKey } from "./sort_key.ts";

/** Minimum rows of a table for sorting to be useful. */
const LEAST_ROWS = 3;

/** Tables whose headings are buttons. */
const sortable = new WeakSet<Element>();
/** The original order of the rows, by table body. */
const orders = new WeakMap<Element, HTMLTableRowElement[]>();

/** Makes every heading a button. */
export function addSorting(root: ParentNode): void {
  for (const table of root.querySelectorAll<HTMLTableElement>(".scroll > table")) {
    const [body] = table.tBodies;
    const [head] = table.tHead?.rows ?? [];
    if (!body || !head || body.rows.length < LEAST_ROWS || sortable.has(table)) continue;
    sortable.add(table);
    for (const cell of head.cells) {
      const press = document.createElement("button");
      press.type = "button";
      press.className = "sort";
      press.append(...cell.childNodes);
      press.onclick = async () => {
        // All rows are sorted, not only those that are shown.
        await fillRows(table.parentElement!);
        if (!orders.has(body)) orders.set(body, [...body.rows]);
        sortBy(table, cell);
      };
      cell.append(press);
    }
  }
}

function sortBy(table: HTMLTableElement, cell: HTMLTableCellElement): void {
  const [body] = table.tBodies;
  const before = cell.getAttribute("aria-sort");
  const order = before === null ? "ascending" : before === "ascending" ? "descending" : null;
  for (const other of (cell.parentElement as HTMLTableRowElement).cells) {
    other.removeAttribute("aria-sort");
  }
  const rows = orders.get(body)!;
  if (order === null) {
    body.append(...rows);
    return;
  }
  cell.setAttribute("aria-sort", order);
  const column = cell.cellIndex;
  const keyed = rows.map((row) => ({
    row,
    key: sortKey(row.cells[column]?.textContent ?? ""),
  }));
  keyed.sort((a, b) => compareKeys(a.key, b.key, order === "descending"));
  body.append(...keyed.map(({ row }) => row));
}
