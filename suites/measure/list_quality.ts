/**
 * Properties of lists of blocks that queries selected, as data: how evenly they use the blocks, how
 * near they are, and how far two selections agree. Pure functions of `[heads, context, width]`
 * lists.
 *
 * @module
 */
import type { BlockSelectionRecord } from "../result/result_schema.ts";

/** Sizes of lists. */
export interface ListShape {
  /** N. */
  readonly context: number;
  /** Blocks of a list, at most. */
  readonly width: number;
  /** Keys of a block. */
  readonly block: number;
}

/** The part of {@linkcode BlockSelectionRecord} that depends on one selection alone. */
export type ListsShape = Pick<
  BlockSelectionRecord,
  "lists" | "blocks" | "earlier" | "neighbours" | "longest" | "unused"
>;

/**
 * How lists use the blocks before a query's own.
 *
 * @example
 * ```ts
 * import { describeLists } from "./list_quality.ts";
 * import assert from "node:assert/strict";
 * // Four queries in blocks of one key; each selects its own and, from the second on, the first block.
 * const lists = Int32Array.of(0, -1, 0, 1, 0, 2, 0, 3);
 * const { earlier, neighbours, longest, unused } = describeLists(lists, { context: 4, width: 2, block: 1 });
 * assert.deepEqual([earlier, neighbours, longest, unused], [3, 1, 3, 2]);
 * ```
 */
export function describeLists(
  lists: Int32Array,
  { context, width, block }: ListShape,
): ListsShape {
  const blocks = Math.ceil(context / block);
  const heads = lists.length / context / width;
  let [earlier, neighbours, longest, unused] = [0, 0, 0, 0];
  for (let head = 0; head < heads; head++) {
    const counts = new Uint32Array(blocks);
    for (let row = 0; row < context; row++) {
      const own = Math.floor(row / block);
      const first = (head * context + row) * width;
      for (let n = 0; n < width && lists[first + n] >= 0; n++) {
        const held = lists[first + n];
        if (held === own) continue;
        counts[held]++;
        earlier++;
        if (held === own - 1) neighbours++;
      }
    }
    for (let c = 0; c < blocks - 1; c++) {
      longest = Math.max(longest, counts[c]);
      if (counts[c] === 0) unused++;
    }
  }
  return { lists: heads * context, blocks, earlier, neighbours, longest, unused };
}

/**
 * How far two selections agree on the blocks before a query's own: the Jaccard index |A ∩ B| / |A ∪
 * B| over all lists; 1 where there are none.
 */
export function compareLists(
  a: Int32Array,
  b: Int32Array,
  { context, width, block }: ListShape,
): number {
  let [shared, either] = [0, 0];
  for (let first = 0; first < a.length; first += width) {
    const own = Math.floor(first / width % context / block);
    const of = (lists: Int32Array) =>
      [...lists.subarray(first, first + width)].filter((held) => held >= 0 && held !== own);
    const [one, other] = [of(a), of(b)];
    const both = one.filter((held) => other.includes(held)).length;
    shared += both;
    either += one.length + other.length - both;
  }
  return either === 0 ? 1 : shared / either;
}
