/**
 * Splits causal work into dispatches of bounded cost.
 *
 * @module
 */

/** Consecutive tiles of one dispatch. */
export interface TileRange {
  /** The first tile. */
  readonly firstTile: number;
  /** The number of tiles. */
  readonly tileCount: number;
  /** FLOP of the dispatch. */
  readonly flops: number;
}

/**
 * Splits `tiles` tiles whose cost grows in proportion to 2t + 1 (causal attention by query tile)
 * into ranges of at most `limit` FLOP and `most` tiles, heaviest range first. A single tile may
 * exceed the limit.
 */
export function splitTiles(
  options: {
    tiles: number;
    flops: number;
    limit?: number;
    most: number;
    /** Cost of a tile, in FLOP, if it is not proportional to 2t + 1. */
    costOf?: (tile: number) => number;
  },
): TileRange[] {
  const { tiles, flops, most, costOf } = options;
  const limit = options.limit ?? Infinity;
  const perUnit = flops / (tiles * tiles); // Σ (2t + 1) for t < tiles is tiles²
  const before = costOf ? [0] : [];
  if (costOf) { for (let t = 0; t < tiles; t++) before.push(before[t] + costOf(t)); }
  const ranges: TileRange[] = [];
  for (let end = tiles; end > 0;) {
    let first = end - 1;
    const cost = (from: number) =>
      costOf ? before[end] - before[from] : perUnit * (end * end - from * from);
    while (first > 0 && end - first < most && cost(first - 1) <= limit) first--;
    ranges.push({ firstTile: first, tileCount: end - first, flops: cost(first) });
    end = first;
  }
  return ranges;
}

/** The same for work that decreases from tile to tile (by key tile): the mirror image. */
export function splitTilesMirrored(options: Parameters<typeof splitTiles>[0]): TileRange[] {
  const { tiles, costOf } = options;
  const mirrored = costOf && ((tile: number) => costOf(tiles - 1 - tile));
  return splitTiles({ ...options, costOf: mirrored }).map((range) => ({
    ...range,
    firstTile: tiles - range.firstTile - range.tileCount,
  }));
}
