/**
 * The block pattern of causal BigBird attention (arXiv 2007.14062, its left half as DeepSpeed cuts
 * it): global blocks in front, a window of blocks up to the own one, and seeded random blocks of
 * the rest.
 *
 * @module
 */
import { pcg } from "../../gpu/random.ts";
import type { BlockLists } from "../tile_lists/block_walk.ts";

/** A pattern over one layer. */
export interface BigBirdPattern {
  /** H. */
  readonly heads: number;
  /** N. */
  readonly rows: number;
  /** Rows of a block. */
  readonly block: number;
  /** Blocks in front that all queries see. */
  readonly globalBlocks: number;
  /** Blocks up to and with the own one, at least 1. */
  readonly windowBlocks: number;
  /** Blocks drawn of those between. */
  readonly randomBlocks: number;
  /** Seed of the draws. */
  readonly patternSeed: number;
}

/**
 * Draws for one block of queries; the lowest blocks that were not kept take the place of what
 * lacks.
 */
const DRAWS = 64;

/** Lists of all heads: they depend on the seed and the shape alone. */
export function bigBirdLists(pattern: BigBirdPattern): BlockLists {
  const { heads, rows, block, globalBlocks: g, windowBlocks: w, randomBlocks: r } = pattern;
  const blocks = Math.ceil(rows / block);
  const width = g + w + r;
  const lists = new Int32Array(heads * blocks * width).fill(-1);
  const base = pcg(pattern.patternSeed >>> 0);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < blocks; i++) {
      const held = new Set<number>();
      for (let c = 0; c < Math.min(g, i + 1); c++) held.add(c);
      for (let c = Math.max(0, i - w + 1); c <= i; c++) held.add(c);
      const list = head * blocks + i;
      for (const c of drawBlocks({ first: g, count: i - w + 1 - g, r, base, list })) held.add(c);
      lists.set([...held].sort((a, b) => a - b), list * width);
    }
  }
  return { heads, rows, block, width, globalBlocks: g, lists };
}

/** `r` different blocks of `first … first + count - 1`, or all of them. */
function drawBlocks(
  { first, count, r, base, list }: {
    readonly first: number;
    readonly count: number;
    readonly r: number;
    readonly base: number;
    readonly list: number;
  },
): Set<number> {
  const kept = new Set<number>();
  for (let n = 0; n < DRAWS && kept.size < r && count > r; n++) {
    const u = pcg((base + list * DRAWS + n) >>> 0);
    kept.add(first + Math.floor(u * count / 2 ** 32));
  }
  for (let c = first; c < first + count && kept.size < r; c++) kept.add(c);
  return kept;
}
