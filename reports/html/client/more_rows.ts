/// <reference lib="dom" />
/**
 * The rows of long tables, which the page has packed: added by a button, before a table is sorted or
 * filtered, and when the address names one of them.
 *
 * @module
 */
import { button } from "./button.ts";
import { unpack } from "./packed.ts";

let packed: Promise<readonly string[]> | undefined;

/** The markup of a template's rows. */
async function rowsOf(template: HTMLTemplateElement): Promise<string> {
  const { at } = template.dataset;
  if (at === undefined) return template.innerHTML;
  const text = document.getElementById("more-rows")?.textContent;
  packed ??= text ? unpack(text) as Promise<string[]> : Promise.resolve([]);
  return (await packed)[Number(at)] ?? "";
}

/** What is not there yet, in an element. */
function missingIn(root: ParentNode): HTMLTemplateElement[] {
  return [...root.querySelectorAll<HTMLTemplateElement>(".scroll > template.rows")];
}

async function fill(template: HTMLTemplateElement): Promise<void> {
  const rows = await rowsOf(template);
  const box = template.parentElement;
  // Another call was faster.
  if (box === null) return;
  template.remove();
  box.querySelector("tbody")!.insertAdjacentHTML("beforeend", rows);
  box.querySelector(":scope > .more-rows")?.remove();
}

/** Adds the missing rows of every table in an element; returns whether there were any. */
export async function fillRows(root: ParentNode): Promise<boolean> {
  const missing = missingIn(root);
  await Promise.all(missing.map(fill));
  return missing.length > 0;
}

/** Adds the rows of the table that has an element of this id; null if no table has. */
export async function fillRowsWith(id: string): Promise<HTMLElement | null> {
  const quoted = ` id="${id.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"`;
  for (const template of missingIn(document)) {
    if (!(await rowsOf(template)).includes(quoted)) continue;
    await fill(template);
    return document.getElementById(id);
  }
  return null;
}

/** A button below every table that lacks rows; `after` runs when they are there. */
export function addRowButtons(root: ParentNode, after: (box: HTMLElement) => void): void {
  for (const template of missingIn(root)) {
    const box = template.parentElement!;
    const note = box.querySelector<HTMLElement>(":scope > .more-rows")!;
    if (note.querySelector("button") !== null) continue;
    note.append(
      " ",
      button("Show all", "Show every row of this table", async () => {
        await fill(template);
        box.focus();
        after(box);
      }),
    );
  }
}
