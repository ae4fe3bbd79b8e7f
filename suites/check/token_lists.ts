/**
 * Lists of tokens, as a device selected them: what each query sees.
 *
 * @module
 */
import type { Visible } from "./row_spans.ts";

/** The tokens of one query: a row of lists, without its padding. */
export function tokensOf(lists: Int32Array, width: number, row: number): Int32Array {
  const own = lists.subarray(row * width, (row + 1) * width);
  const end = own.indexOf(-1);
  return end < 0 ? own : own.subarray(0, end);
}

/**
 * What the queries of lists `[context, width]` see, ascending and padded with -1.
 *
 * @example
 * ```ts
 * import { visibleTokens } from "./token_lists.ts";
 * import assert from "node:assert/strict";
 * const visible = visibleTokens(Int32Array.of(0, -1, -1, 0, 1, 5), 3);
 * assert.deepEqual(visible(1), [{ first: 0, end: 2 }, { first: 5, end: 6 }]);
 * assert.deepEqual([0, 1, 2].map((key) => visible.sees!(1, key)), [true, true, false]);
 * ```
 */
export function visibleTokens(lists: Int32Array, width: number): Visible {
  const spansOf = (row: number) => {
    const spans: { first: number; end: number }[] = [];
    for (const token of tokensOf(lists, width, row)) {
      const last = spans.at(-1);
      if (last?.end === token) last.end++;
      else spans.push({ first: token, end: token + 1 });
    }
    return spans;
  };
  const sees = (row: number, key: number) => {
    const own = tokensOf(lists, width, row);
    let [low, high] = [0, own.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (own[middle] < key) low = middle + 1;
      else high = middle;
    }
    return own[low] === key;
  };
  return Object.assign(spansOf, { sees });
}
