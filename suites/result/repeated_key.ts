/**
 * Finds a key that an object of a JSON document has twice. `JSON.parse` takes the last one without a
 * word, so nobody can tell which was meant.
 *
 * @module
 */

/**
 * The first key that an object has twice; undefined if there is none.
 *
 * @param text JSON that can be parsed.
 * @example
 * ```ts
 * import { repeatedKey } from "./repeated_key.ts";
 * import assert from "node:assert/strict";
 * assert.equal(repeatedKey('[{"a": 1}, {"a": {"b": "a"}, "b": 2}]'), undefined);
 * assert.equal(repeatedKey('{"tolerance": 0.1, "cases": [], "toler\\u0061nce": 5}'), "tolerance");
 * ```
 */
export function repeatedKey(text: string): string | undefined {
  // The keys of each object that is open; null for an array.
  const open: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x7b) open.push(new Set());
    else if (code === 0x5b) open.push(null);
    else if (code === 0x7d || code === 0x5d) open.pop();
    if (code !== 0x22) continue;
    const start = i;
    for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
      if (text.charCodeAt(i) === 0x5c) i++;
    }
    const keys = open.at(-1);
    if (!keys || !isKey(text, i + 1)) continue;
    const raw = text.slice(start, i + 1);
    const key = raw.includes("\\") ? JSON.parse(raw) as string : raw.slice(1, -1);
    if (keys.has(key)) return key;
    keys.add(key);
  }
  return undefined;
}

/** Why a document that JSON can parse is refused nevertheless; undefined if it is not. */
export function whyAmbiguous(text: string): string | undefined {
  const twice = repeatedKey(text);
  return twice === undefined ? undefined : `it names ${twice.slice(0, 200)} twice`;
}

/** Whether a colon follows: a string of an object is a key or a value. */
function isKey(text: string, at: number): boolean {
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text.charCodeAt(at) === 0x3a;
}
