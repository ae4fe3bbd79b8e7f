/// <reference lib="dom" />
/**
 * The buttons that the script adds.
 *
 * @module
 */

/** A button with a short text and a long name. */
export function button(
  text: string,
  name: string,
  run: (pressed: HTMLButtonElement) => unknown,
): HTMLButtonElement {
  const one = document.createElement("button");
  one.type = "button";
  one.textContent = text;
  one.title = name;
  // The text read aloud starts with the visible text.
  one.setAttribute("aria-label", `${text}. ${name}`);
  one.onclick = () => void run(one);
  return one;
}
