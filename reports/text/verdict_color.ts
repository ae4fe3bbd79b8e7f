/**
 * Colours of verdicts on a terminal.
 *
 * @module
 */

/** ANSI codes. */
const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** Text in bold or in a colour. */
export function ansi(style: keyof typeof CODES, text: string): string {
  return `\u001b[${CODES[style]}m${text}\u001b[0m`;
}

const STYLES: Readonly<Record<string, keyof typeof CODES>> = {
  "reproduced": "green",
  "partly": "yellow",
  "not reproduced": "red",
  "not run": "dim",
  "ok": "green",
  "same": "green",
  "faster": "green",
  "slower": "red",
  "slower (fails)": "red",
  "failed": "red",
  "missing": "red",
  "inconclusive": "yellow",
  "skipped": "yellow",
};

/** A verdict or a state in its colour; any other text unchanged. */
export function paintVerdict(text: string): string {
  const style = STYLES[text.toLowerCase()];
  return style ? ansi(style, text) : text;
}
