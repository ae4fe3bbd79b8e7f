/**
 * The rectangles into which the backward passes on matrix units split a shape, and the memory that
 * they need. `dense_matrix_backward.ts` gives the reasons.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Capabilities } from "../../gpu/device.ts";
import type { TileWalk, WalkRectangle } from "../tile_walk.ts";
import type { MatrixBackwardTilings } from "../tilings.ts";
import { matrixTileRows } from "./matrix_layout.ts";

/** A list longer than this multiple of the average list is split. */
const LONG_LIST = 3;

/** Maximum number of ranges that a list of queries is split into. */
const MOST_PARTS = 64;

/** Maximum bytes of dS: more was not faster on an H100. */
const MOST_SCORE_BYTES = 2 ** 30;

/** Bytes of one f32 matrix, the smallest binding that a shader may load one from. */
const LEAST_BYTES = 16 * 16 * 4;

/** Queries and keys whose dS is in the buffer at the same time; ends are exclusive. */
export interface ScoreRectangle {
  /** The first key. */
  readonly firstKey: number;
  /** Past the last key. */
  readonly endKey: number;
  /** The first query. */
  readonly firstQuery: number;
  /** Past the last query. */
  readonly endQuery: number;
  /** Visible query-key pairs; approximate for some walks, but zero only if there are none. */
  readonly pairs: number;
  /**
   * Ranges of queries, each with its own workgroups and partial sums, for keys that all queries
   * attend to; a pass after that over keys and values adds them. Default 1.
   */
  readonly parts?: number;
  /** Queries of a range. */
  readonly partQueries?: number;
  /** Queries before this one have sums of earlier rectangles. */
  readonly carried: number;
  /** Whether no later rectangle has the same keys. */
  readonly complete: boolean;
}

/** All queries, in `carried`. */
const ALL = 2 ** 32 - 1;

/** The schedule, and the memory that it takes. */
export interface MatrixBackwardSchedule {
  /** Tilings of the two kernels. */
  readonly tilings: MatrixBackwardTilings;
  /** Heads that share a rectangle. */
  readonly groupHeads: number;
  /** Keys of a whole rectangle. */
  readonly keys: number;
  /** Queries of a whole rectangle. */
  readonly queries: number;
  /** N, rounded up to whole tiles of both passes. */
  readonly paddedRows: number;
  /** In order, for each group of heads. */
  readonly rectangles: readonly ScoreRectangle[];
  /** Bytes of buffers between the passes. */
  readonly bytes: {
    readonly scoreGradients: number;
    readonly exponents: number;
    readonly keyPartials: number;
    readonly queryPartials: number;
    /** The scaled f16 copy of dO and its scales; only if dO is f32. */
    readonly scaledGradients?: number;
    readonly classMasks?: number;
  };
}

/**
 * Splits a shape into rectangles.
 *
 * @param options `pairsAtMost`: maximum number of query-key pairs in one dispatch of one head; a
 * rectangle has at least one tile of each. `gradientType`: type of dO and the results, default f16.
 * `walk`: a sparse pattern. Where it says how far a key's queries reach, a rectangle holds all
 * queries of its keys; else all rectangles remain, with the pairs of the pattern in them.
 * @throws {RangeError} when one head's partial sums do not fit one binding.
 */
export function planMatrixSchedule(
  { maxBindingBytes, maxBufferBytes }: Pick<Capabilities, "maxBindingBytes" | "maxBufferBytes">,
  options: {
    readonly heads: number;
    readonly rows: number;
    readonly headDim: number;
    readonly tilings: MatrixBackwardTilings;
    readonly pairsAtMost?: number;
    readonly gradientType?: DType;
    readonly walk?: TileWalk;
    /** Query heads that share a head of keys and values; they share a rectangle. Default 1. */
    readonly group?: number;
  },
): MatrixBackwardSchedule {
  const { heads, rows, headDim, tilings, pairsAtMost = Infinity, gradientType, walk } = options;
  const { group = 1 } = options;
  const limit = Math.min(maxBindingBytes, maxBufferBytes);
  const unit = [tilings.query, tilings.keyValue].flatMap((tiling) => [
    matrixTileRows(tiling),
    tiling.tileColumns,
  ]).reduce(leastCommonMultiple);
  const padded = Math.ceil(rows / unit) * unit;
  // A key's last query may be in a tile that begins a reach after the key.
  const reach = walk?.reach === undefined || walk.reach > rows / 2
    ? undefined
    : Math.ceil(walk.reach / unit) * unit;
  const cut = (groupHeads: number) => {
    const scores = Math.min(
      Math.floor(Math.min(limit, MOST_SCORE_BYTES) / 2 / groupHeads),
      pairsAtMost,
    );
    const down = (count: number) => Math.max(unit, Math.floor(count / unit) * unit);
    const banded = reach === undefined ? 0 : (Math.sqrt(reach ** 2 + 4 * scores) - reach) / 2;
    if (reach !== undefined && banded >= unit) {
      // As many rectangles as have room, of the same size.
      const most = Math.min(padded, down(banded));
      const keys = Math.ceil(padded / Math.ceil(padded / most) / unit) * unit;
      return { groupHeads, keys, queries: Math.min(padded, keys + reach), banded: true };
    }
    const keys = Math.min(padded, down(Math.sqrt(scores)));
    return { groupHeads, keys, queries: Math.min(padded, down(scores / keys)), banded: false };
  };
  let { groupHeads, keys, queries, banded } = cut(heads);
  const partialBytes = padded * headDim * 4;
  if (keys < padded) {
    const most = wholeGroups(Math.floor(limit / partialBytes), group);
    if (most < 1) {
      const sizes = showExcess(group * partialBytes, limit);
      throw new RangeError(
        `plan dense attention backward on matrix units: partial sums of ${
          headsText(group)
        } need a ` +
          `binding of ${sizes.bytes}; the limit is ${sizes.limit}`,
      );
    }
    const even = Math.ceil(heads / Math.ceil(heads / most));
    ({ groupHeads, keys, queries, banded } = cut(Math.ceil(even / group) * group));
  }
  const long = walk &&
    planLongKeys(walk, { rows, padded, unit, most: Math.min(limit / 2 / groupHeads, pairsAtMost) });
  if (walk && walk.longKeys > 0 && !long && banded) {
    return planMatrixSchedule({ maxBindingBytes, maxBufferBytes }, {
      ...options,
      walk: { ...walk, reach: undefined },
    });
  }
  const rectangles: ScoreRectangle[] = long ? [long] : [];
  for (let firstKey = long?.endKey ?? 0; firstKey < rows; firstKey += keys) {
    const endKey = Math.min(firstKey + keys, rows);
    // Queries before the first key attend to none of these keys.
    for (let firstQuery = firstKey; firstQuery < rows;) {
      const endQuery = Math.min(firstQuery + queries, rows);
      const edges = { firstKey, endKey, firstQuery, endQuery };
      const pairs = walk ? walk.pairsWithin(edges) : causalPairs(edges);
      const before = banded && !long ? rectangles.at(-1)?.endQuery ?? 0 : ALL;
      const carried = firstKey > 0 ? before : 0;
      rectangles.push({ ...edges, pairs, carried, complete: banded || endQuery === rows });
      if (banded) break;
      firstQuery = endQuery;
    }
  }
  const whole = rectangles.length === 1;
  const partKeys = long ? long.endKey * long.parts! : 0;
  return {
    tilings,
    groupHeads,
    keys,
    queries,
    paddedRows: padded,
    rectangles,
    bytes: {
      scoreGradients: groupHeads * Math.max(keys * queries, (long?.endKey ?? 0) * padded) * 2,
      exponents: Math.max(16, groupHeads * Math.max(keys, partKeys) / 16 * 4),
      keyPartials: whole && group === 1
        ? LEAST_BYTES
        : 2 * groupHeads * Math.max(keys, partKeys) * headDim * 4,
      queryPartials: whole ? LEAST_BYTES : groupHeads * partialBytes,
      ...gradientType === "f32" && {
        scaledGradients: heads * rows * headDim * 2,
        classMasks: heads * Math.ceil(rows / 16) * 4,
      },
    },
  };
}

/**
 * A rectangle of the first keys, which all later queries attend to, and all queries. Each of its
 * workgroups would visit the whole context, alone on the device; so the queries are split into
 * ranges about as long as the lists of other keys. Undefined if lists are short anyway, or the
 * rectangle is too large.
 */
function planLongKeys(
  walk: TileWalk,
  { rows, padded, unit, most }: {
    readonly rows: number;
    readonly padded: number;
    readonly unit: number;
    /** Maximum number of pairs of a rectangle. */
    readonly most: number;
  },
): ScoreRectangle | undefined {
  const up = (count: number) => Math.ceil(count / unit) * unit;
  const endKey = up(walk.longKeys);
  if (endKey === 0 || 2 * endKey > rows || endKey * padded > most) return undefined;
  const typical = walk.pairs / walk.heads / rows;
  if (rows < LONG_LIST * typical) return undefined;
  const partQueries = up(Math.max(typical, rows / MOST_PARTS));
  const parts = Math.ceil(rows / partQueries);
  if (parts === 1) return undefined;
  const edges = { firstKey: 0, endKey, firstQuery: 0, endQuery: rows };
  const pairs = walk.pairsWithin(edges);
  return { ...edges, pairs, parts, partQueries, carried: 0, complete: true };
}

/** The most heads up to a number that are whole groups. */
function wholeGroups(heads: number, group: number): number {
  return heads - heads % group;
}

/** "one head", or "a group of 4 heads". */
export function headsText(group: number): string {
  return group === 1 ? "one head" : `a group of ${group} heads`;
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => y === 0 ? x : divisor(y, x % y);
  return a / divisor(a, b) * b;
}

/** Pairs of a rectangle up to the diagonal. */
export function causalPairs(
  { firstKey, endKey, firstQuery, endQuery }: WalkRectangle,
): number {
  const whole = Math.max(0, Math.min(endKey, firstQuery) - firstKey);
  const from = Math.max(firstKey, firstQuery);
  const rest = Math.max(0, endKey - from); // keys from, …, endKey - 1: endQuery - key queries each
  return whole * (endQuery - firstQuery) + rest * (endQuery - from) - rest * (rest - 1) / 2;
}
