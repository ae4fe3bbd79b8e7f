/**
 * Loaded before the tests of a file: `assert.deepEqual` of large values says where they first differ.
 * Node's own describes all differences; the time and memory of that grow with the square of their
 * number. Two arrays of 20,000 numbers, such as a wrong kernel gives, took 40 s and 12 GB.
 *
 * @module
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

/** Entries of both values up to which Node's description is kept. */
const MOST_ENTRIES = 2000;

const original = assert.deepEqual;

function deepEqual(actual: unknown, expected: unknown, message?: string | Error): void {
  if (Math.max(countEntries(actual), countEntries(expected)) <= MOST_ENTRIES) {
    return original(actual, expected, message);
  }
  if (isDeepStrictEqual(actual, expected)) return;
  if (message instanceof Error) throw message;
  const where = firstDifference(actual, expected);
  throw new assert.AssertionError({
    message: message === undefined ? where : `${message}\n${where}`,
    operator: "fail",
    stackStartFn: deepEqual,
  });
}

/** Entries of arrays and objects inside a value, counted until there are too many. */
function countEntries(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value !== "object" || value === null || seen.has(value)) return 1;
  seen.add(value);
  if (ArrayBuffer.isView(value)) return 1 + value.byteLength;
  let count = 1;
  const entries = value instanceof Map || value instanceof Set ? [...value] : Object.values(value);
  for (const entry of entries) {
    count += countEntries(entry, seen);
    if (count > MOST_ENTRIES) break;
  }
  return count;
}

/** The path of the first entry that differs, both values there, and how many of its array do. */
function firstDifference(actual: unknown, expected: unknown, path = ""): string {
  const own = [actual, expected].map((value) =>
    typeof value === "object" && value !== null ? value as Record<string, unknown> : undefined
  );
  const [a, b] = own;
  if (a && b && Object.getPrototypeOf(a) === Object.getPrototypeOf(b)) {
    const keys = Object.keys(a);
    const others = Object.keys(b);
    if (keys.length !== others.length) {
      return `${path || "the values"}: ${keys.length} entries, ${others.length} were expected`;
    }
    const differing = keys.filter((key) => !isDeepStrictEqual(a[key], b[key]));
    if (differing.length > 0) {
      const [key] = differing;
      const where = firstDifference(a[key], b[key], `${path}[${key}]`);
      return differing.length === 1
        ? where
        : `${where} (${differing.length} of ${keys.length} differ)`;
    }
  }
  return `${path || "the values"}: ${show(actual)}, expected ${show(expected)}`;
}

function show(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    return `a ${value.constructor?.name ?? "object"}`;
  }
  return Object.is(value, -0) ? "-0" : String(value).slice(0, 80);
}

assert.deepEqual = deepEqual as typeof original;
assert.deepStrictEqual = deepEqual as typeof original;
