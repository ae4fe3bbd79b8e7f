/**
 * Heads of a case: of queries, and of keys and values where these are fewer.
 *
 * @module
 */

/** H and Hkv of a shape or a series; without Hkv it is H. */
interface HeadCounts {
  readonly heads: number;
  readonly kvHeads?: number | undefined;
}

/** A key for cases with the same heads: `8`, or `8/2`. */
export function headsKey({ heads, kvHeads }: HeadCounts): string {
  return kvHeads === undefined ? String(heads) : `${heads}/${kvHeads}`;
}

/** `H = 8`, or `H = 8, Hkv = 2`. */
export function headsText({ heads, kvHeads }: HeadCounts): string {
  return kvHeads === undefined ? `H = ${heads}` : `H = ${heads}, Hkv = ${kvHeads}`;
}
