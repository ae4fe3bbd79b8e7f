/**
 * The text of a result file that a page shows: plain and of bounded length.
 *
 * @module
 */
import { plainText } from "../../suites/result/plain_text.ts";

/** Longest text of a result file that a page shows; the embedded JSON keeps all of it. */
const TEXT_LIMIT = 2000;

/** A copy in which every string, including keys, is plain text of bounded length. */
export function harmless<T>(value: T): T {
  if (typeof value === "string") return bounded(value) as T;
  if (Array.isArray(value)) return value.map(harmless) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [bounded(key), harmless(inner)]);
  return Object.fromEntries(entries) as T;
}

function bounded(text: string): string {
  const plain = plainText(text);
  return plain.length > TEXT_LIMIT ? `${plain.slice(0, TEXT_LIMIT)}…` : plain;
}
