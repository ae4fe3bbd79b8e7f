/// <reference lib="dom" />
/**
 * Commands and links to copy, and opening the target of a link.
 *
 * @module
 */
import { button } from "./button.ts";
import { fillRowsWith } from "./more_rows.ts";

/** A link to an element of this page. */
export function linkTo(id: string): string {
  return `${location.href.split("#")[0]}#${encodeURIComponent(id).replaceAll("%2F", "/")}`;
}

/** Puts a text on the clipboard, and returns whether the browser allowed it. */
export async function putOnClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages opened from disk have no clipboard in some browsers, but can copy the selection.
    const focused = document.activeElement;
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}

/** Copies a text to the clipboard, and confirms it on the button for a moment. */
export async function copyText(text: string, pressed: HTMLButtonElement): Promise<void> {
  const before = pressed.dataset.label ??= pressed.textContent!;
  await putOnClipboard(text);
  pressed.textContent = "Copied";
  setTimeout(() => pressed.textContent = before, 1500);
}

/** A button behind every command. */
export function addCopyButtons(root: ParentNode): void {
  for (const code of root.querySelectorAll<HTMLElement>(".rerun code, code.command")) {
    if (code.nextElementSibling?.classList.contains("copy")) continue;
    const one = button(
      "Copy",
      "Copy the command",
      (pressed) => copyText(code.textContent!.trim(), pressed),
    );
    one.classList.add("copy");
    code.after(one);
  }
}

/** The id that the hash of an address names; as it stands where its escapes are malformed. */
export function idOfHash(hash: string): string {
  const text = hash.slice(1);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Opens whatever is folded around the target of the address, and shows it. */
export async function openTarget(): Promise<void> {
  const id = idOfHash(location.hash);
  if (id === "") return;
  const there = document.getElementById(id);
  const target = there ?? await fillRowsWith(id);
  if (target === null) return;
  let folded = there === null;
  for (
    let around = target.closest("details");
    around !== null;
    around = around.parentElement?.closest("details") ?? null
  ) {
    folded ||= !around.open;
    around.open = true;
  }
  if (folded) target.scrollIntoView();
}
