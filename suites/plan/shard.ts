/**
 * A part of a plan, so that several machines can share a run: `--shard 2/8`.
 *
 * @module
 */
import { UsageError } from "../errors.ts";

/** Shard `index` of `count`; the first is 1. */
export interface Shard {
  /** Which one; the first is 1. */
  readonly index: number;
  /** Of how many. */
  readonly count: number;
}

/** Most shards of a plan. */
export const MOST_SHARDS = 1000;

/**
 * Reads `2/8`.
 *
 * @throws {UsageError} one line.
 *
 * @example
 * ```ts
 * import { parseShard } from "./shard.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseShard("2/8"), { index: 2, count: 8 });
 * ```
 */
export function parseShard(text: string): Shard {
  const found = /^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text.trim());
  const [index, count] = found ? [Number(found[1]), Number(found[2])] : [0, 0];
  if (found && index > count && count <= MOST_SHARDS) {
    throw new UsageError(`shard "${text}": ${index} is above ${count}`);
  }
  if (!found || index > count || count > MOST_SHARDS) {
    throw new UsageError(
      `shard "${text}" is not like 2/8, with 1 to ${MOST_SHARDS} shards and the first one 1`,
    );
  }
  return { index, count };
}

/**
 * Distributes pieces of work over shards: the heaviest first, to the least loaded shard. It depends
 * on the weights alone.
 *
 * @returns the shard of each piece, the first being 1.
 */
export function dealOut(weights: readonly number[], { count }: Pick<Shard, "count">): number[] {
  const loads = new Array<number>(count).fill(0);
  const shards = new Array<number>(weights.length).fill(0);
  const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
  for (const at of order) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] += weights[at];
    shards[at] = least + 1;
  }
  return shards;
}
