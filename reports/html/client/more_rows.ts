/// <reference lib="dom" />
/**
 * What the page has packed: the rows of long tables, added by a button, before a table is sorted or
 * filtered, and when the address names one of them; of a large page the content of what is folded,
 * added when it opens, and when the address names a part of it.
 *
 * @module
 */
import { button } from "./button.ts";
import { unpack } from "./packed.ts";

let packed: Promise<readonly string[]> | undefined;

/** The texts of the page: rows come in their cells. */
export async function unpackTexts(text: string): Promise<string[]> {
  const all = await unpack(text) as (string | Record<string, string>[])[];
  return all.map((one) =>
    typeof one === "string" ? one : one.flatMap((row) => Object.values(row)).join("")
  );
}

/** The markup that a template stands for. */
async function markupOf(template: HTMLTemplateElement): Promise<string> {
  const { at } = template.dataset;
  if (at === undefined) return template.innerHTML;
  const text = document.getElementById("more-rows")?.textContent;
  packed ??= text ? unpackTexts(text) : Promise.resolve([]);
  return (await packed)[Number(at)] ?? "";
}

/** Rows that are not there yet, in an element. */
function missingIn(root: ParentNode): HTMLTemplateElement[] {
  return [...root.querySelectorAll<HTMLTemplateElement>(".scroll > template.rows")];
}

/** Folded parts that are not there yet, in an element. */
function foldedIn(root: ParentNode): HTMLTemplateElement[] {
  return [...root.querySelectorAll<HTMLTemplateElement>("details > template.folded")];
}

async function fill(template: HTMLTemplateElement): Promise<void> {
  const rows = await markupOf(template);
  const box = template.parentElement;
  // Another call was faster.
  if (box === null) return;
  template.remove();
  box.querySelector("tbody")!.insertAdjacentHTML("beforeend", rows);
  box.querySelector(":scope > .more-rows")?.remove();
}

/** Gives new parts of the page what the script adds to all others. */
type Enhance = (part: Element) => Promise<void>;

let enhance: Enhance = () => Promise.resolve();

async function unfold(template: HTMLTemplateElement): Promise<void> {
  const content = await markupOf(template);
  const box = template.parentElement;
  if (box === null) return;
  box.querySelector(":scope > .packed")?.remove();
  template.insertAdjacentHTML("beforebegin", content);
  template.remove();
  await enhance(box);
}

/** Adds the content of what is opened, from now on; `after` runs when it is there. */
export function unfoldOnOpen(own: Enhance, after: () => Promise<void>): void {
  enhance = own;
  // The event does not bubble.
  document.addEventListener("toggle", async ({ target }) => {
    if (!(target instanceof HTMLDetailsElement) || !target.open) return;
    const template = target.querySelector<HTMLTemplateElement>(":scope > template.folded");
    if (template !== null) await unfold(template);
    if (template !== null || hasPacked(target)) await after();
  }, true);
}

/** Adds the missing rows of tables in an element; returns whether there were any. */
export async function fillRows(
  root: ParentNode,
  { inView = false }: {
    /** Only those of tables that are not folded away. */
    inView?: boolean;
  } = {},
): Promise<boolean> {
  const missing = missingIn(root)
    .filter((one) => !inView || one.closest("details:not([open])") === null);
  await Promise.all(missing.map(fill));
  return missing.length > 0;
}

/** Whether an element has rows or folded parts that are not there yet. */
export function hasPacked(root: ParentNode): boolean {
  return foldedIn(root).length + missingIn(root).length > 0;
}

/** Adds the part or the rows of the table that has an element of this id; null if none has. */
export async function fillRowsWith(id: string): Promise<HTMLElement | null> {
  const quoted = ` id="${id.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"`;
  const holds = async (markup: string): Promise<boolean> =>
    markup.includes(quoted) ||
    (await Promise.all(
      [...markup.matchAll(/<template class="rows" data-at="(\d+)">/g)]
        .map(async ([, at]) => (await packed)![Number(at)].includes(quoted)),
    )).includes(true);
  for (const template of foldedIn(document)) {
    if (await holds(await markupOf(template))) await unfold(template);
  }
  for (const template of missingIn(document)) {
    if (!(await markupOf(template)).includes(quoted)) continue;
    await fill(template);
    break;
  }
  return document.getElementById(id);
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
