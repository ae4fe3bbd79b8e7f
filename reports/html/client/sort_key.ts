/**
 * Sort keys of table cells: the quantity in a cell, or its text.
 *
 * @module
 */

const PREFIXES: Record<string, number> = {
  n: 1e-9,
  µ: 1e-6,
  m: 1e-3,
  k: 1e3,
  K: 2 ** 10,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
};

/** A number, with a sign or a separator of thousands, and what follows it. */
const QUANTITY = /^([+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)\s*([nµmkKMGTP]?)(i?)(.*)$/s;

/**
 * The quantity at the start of a cell: `1.5 ms` is 0.0015, `32K` is 32768, `2 GiB` is 2 · 2³⁰; the
 * text itself where there is none; null for an empty cell and a dash.
 */
export function sortKey(cell: string): number | string | null {
  const text = cell.replace(/\s+/g, " ").trim();
  if (text === "" || /^[–—-]$/.test(text)) return null;
  const found = QUANTITY.exec(text);
  if (found === null) return text.toLowerCase();
  const [, digits, prefix, binary, rest] = found;
  const value = Number(digits.replaceAll(",", "").replace("−", "-"));
  // A letter of a word is not a prefix: `3 missing`, `2 more`; a prefix comes before a unit or alone.
  const isPrefix = prefix !== "" &&
    (binary !== "" || /^($|[\s(/]|s\b|B|FLOP|tok|W|J|Hz)/.test(rest));
  if (!isPrefix) {
    // Dates and the like are texts that start with a number.
    return /^[-/:.]\d/.test(rest) ? text.toLowerCase() : value;
  }
  const factor = binary === ""
    ? PREFIXES[prefix]
    : 2 ** (10 * (1 + "kMGTP".indexOf(prefix.replace("K", "k"))));
  return value * factor;
}

/** Numbers before texts, absent values last in both directions. */
export function compareKeys(
  a: number | string | null,
  b: number | string | null,
  descending: boolean,
): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  const order = typeof a === "number" && typeof b === "number"
    ? a - b
    : typeof a === typeof b
    ? String(a).localeCompare(String(b), "en", { numeric: true })
    : typeof a === "number"
    ? -1
    : 1;
  return descending ? -order : order;
}
