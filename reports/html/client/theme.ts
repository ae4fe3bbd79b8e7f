/// <reference lib="dom" />
/**
 * Light, dark, or the system's theme; the choice is remembered.
 *
 * @module
 */

const KEY = "lighthouse-theme";
const NAMES = { system: "as the system", light: "light", dark: "dark" } as const;
type Theme = keyof typeof NAMES;

/** The choice after the next click. */
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const ICONS: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

/** The theme of the original page, which stays unless a reader clicks the button. */
let written = "";

/** Before the first drawing, so that no page flashes in the other theme. */
export function applyStoredTheme(): void {
  written = document.documentElement.dataset.theme ?? "";
  if (written === "") show(stored());
}

/** The button, at the end of the first bar. */
export function addThemeToggle(): void {
  const bar = document.querySelector("nav");
  if (bar === null || bar.querySelector(".theme") !== null) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  let theme: Theme = written === "light" || written === "dark" ? written : stored();
  const name = () => {
    button.textContent = ICONS[theme];
    button.title = `Theme: ${NAMES[theme]}`;
    button.setAttribute("aria-label", `Theme: ${NAMES[theme]}. Change to ${NAMES[NEXT[theme]]}.`);
  };
  button.onclick = () => {
    theme = NEXT[theme];
    show(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch { /* A page from disk may have no storage: the choice holds for the page. */ }
    name();
  };
  name();
  bar.append(button);
}

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

function show(theme: Theme): void {
  const { dataset } = document.documentElement;
  if (theme === "system") delete dataset.theme;
  else dataset.theme = theme;
}
