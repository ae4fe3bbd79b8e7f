import assert from "node:assert/strict";
import { formatBytes, formatContext, formatFlopRate, formatSeconds } from "../../text/format.ts";
import { compareKeys, sortKey } from "./sort_key.ts";

Deno.test("sortKey: formatted quantities are sorted by their value", () => {
  const ascending = (texts: string[]) =>
    texts.forEach((text, i) => {
      const [key, next] = [sortKey(text), sortKey(texts[i + 1] ?? "")];
      assert.equal(typeof key, "number", text);
      if (next !== null) assert.ok(key! < next, `${text} before ${texts[i + 1]}`);
    });
  ascending([3e-9, 4.2e-5, 1.32e-3, 0.245, 1.12, 77.8].map(formatSeconds));
  ascending([193, 512, 1024, 8192, 98_304, 524_288, 1_048_576].map(formatContext));
  ascending([12, 2 ** 12, 2 ** 21, 1.5 * 2 ** 30, 2 ** 41].map(formatBytes));
  ascending([1e6, 4e9, 3.6e11, 6.1e13, 9e14].map(formatFlopRate));
  ascending(["−3.2 %", "0.1 %", "56.3 %", "100 %"]);
  ascending(["1,536", "2,048", "16,384"]);
  ascending(["2.01× (n = 2, range 2.00–2.02×)", "32.0× (31.9–32.1×)"]);
});

Deno.test("sortKey: texts, dates and words that start like a unit", () => {
  assert.equal(sortKey("2026-11-22 04:34 UTC"), "2026-11-22 04:34 utc");
  assert.equal(sortKey(" lighthouse-norm "), "lighthouse-norm");
  assert.equal(sortKey("3 missing"), 3);
  assert.equal(sortKey("2 more"), 2);
  for (const absent of ["–", "", "  "]) assert.equal(sortKey(absent), null);
});

Deno.test("compareKeys: absent values stay last, in both directions", () => {
  const sorted = (descending: boolean) =>
    [null, 2, "b", 1, "a", null].sort((a, b) => compareKeys(a, b, descending));
  assert.deepEqual(sorted(false), [1, 2, "a", "b", null, null]);
  assert.deepEqual(sorted(true), ["b", "a", 2, 1, null, null]);
});
