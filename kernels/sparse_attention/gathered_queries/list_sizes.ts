/**
 * Sizes of the lists of queries by block: for each block of keys the ascending queries that selected it,
 * packed one list after another.
 *
 * @module
 */

/** Which blocks queries select. */
export interface BlockSelection {
  /** N. */
  readonly rows: number;
  /** Keys of a block, a multiple of 32. The last block may be short. */
  readonly block: number;
  /** Blocks that a query selects, its own included; all up to its own where these are fewer. */
  readonly count: number;
  /** Query heads to a key head, which share the list. Default 1. */
  readonly group?: number;
}

/** Sizes for one key head; all but the blocks' own are the same for any selection. */
export interface ListSizes extends Required<BlockSelection> {
  /** M. */
  readonly blocks: number;
  /** (query, block) pairs. */
  readonly entries: number;
  /** Lists begin at multiples of this many entries: at least the rows of any tile. */
  readonly tileRows: number;
  /** Entries of all lists with padding, of all query heads of a group; whole tiles. */
  readonly packed: number;
  /** (query, key) pairs, of all query heads of a group. */
  readonly pairs: number;
}

/** The largest tiles of the kernels. */
const MOST_TILE_ROWS = 256;

/** Tiles of a list, at least, if tiles may be smaller: its last one is half empty. */
const TILES_OF_LIST = 4;

/** Queries that see c whole blocks before their own, for c from 0 on: with the own one c + 1 selected. */
function* selected(
  { rows, block, count }: BlockSelection,
): Generator<[queries: number, c: number]> {
  const whole = Math.floor(rows / block);
  for (let c = 0; c < Math.min(count - 1, whole); c++) yield [block, c];
  const rest = rows - Math.min(count - 1, whole) * block;
  if (rest > 0) yield [rest, Math.min(count - 1, whole)];
}

/**
 * Derives the sizes.
 *
 * @param options `least`: entries of the smallest tile of the kernels, a power of two.
 */
export function listSizes(
  selection: BlockSelection,
  { least }: { readonly least: number },
): ListSizes {
  const { rows, block, count, group = 1 } = selection;
  const blocks = Math.ceil(rows / block);
  let [entries, pairs] = [0, 0];
  for (const [queries, c] of selected(selection)) {
    entries += queries * (c + 1);
    pairs += queries * c * block;
  }
  // Own blocks, up to the diagonal.
  const last = rows - (blocks - 1) * block;
  pairs += (blocks - 1) * block * (block + 1) / 2 + last * (last + 1) / 2;
  const share = entries * group / blocks / TILES_OF_LIST;
  const tileRows = Math.max(
    least,
    Math.min(MOST_TILE_ROWS, 2 ** Math.floor(Math.log2(Math.max(1, share)))),
  );
  const packed = Math.ceil((entries * group + blocks * (tileRows - 1)) / tileRows) * tileRows;
  return { rows, block, count, group, blocks, entries, tileRows, packed, pairs: pairs * group };
}
