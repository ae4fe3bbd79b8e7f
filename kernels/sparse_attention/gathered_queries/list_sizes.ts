/**
 * Sizes of the lists of queries by block: for each block of keys the ascending queries that
 * selected it, packed one list after another.
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
  /** Blocks that every query selects: their lists are as long as the context. Default 0. */
  readonly forced?: number;
}

/** Sizes for one key head; all but the blocks' own are the same for any selection. */
export interface ListSizes extends Required<BlockSelection> {
  /** M. */
  readonly blocks: number;
  /**
   * Queries whose entries are in memory at the same time, in order; all but the last are as many.
   */
  readonly turns: readonly QueryTurn[];
  /** (query, block) pairs of the longest turn. */
  readonly entries: number;
  /** Lists begin at multiples of this many entries: at least the rows of any tile. */
  readonly tileRows: number;
  /** Entries of all lists of a turn with padding, of all query heads of a group; whole tiles. */
  readonly packed: number;
  /** (query, key) pairs, of all query heads of a group. */
  readonly pairs: number;
  /** Those of the longest turn. */
  readonly turnPairs: number;
}

/** A range of queries. */
export interface QueryTurn {
  /** The first query, at the beginning of a block. */
  readonly first: number;
  /** Past the last query. */
  readonly end: number;
}

/** The largest tiles of the kernels. */
const MOST_TILE_ROWS = 256;

/** Tiles of a list, at least, if tiles may be smaller: its last one is half empty. */
const TILES_OF_LIST = 4;

/**
 * Queries that see c whole blocks before their own, for c from 0 on: with the own one c + 1
 * selected.
 */
function* selected(
  { rows, block, count }: BlockSelection,
): Generator<[queries: number, c: number]> {
  const whole = Math.floor(rows / block);
  for (let c = 0; c < Math.min(count - 1, whole); c++) yield [block, c];
  const rest = rows - Math.min(count - 1, whole) * block;
  if (rest > 0) yield [rest, Math.min(count - 1, whole)];
}

/** (query, block) and (query, key) pairs of all queries before one. */
function pairsBefore(selection: BlockSelection): readonly [entries: number, pairs: number] {
  const { rows, block } = selection;
  const blocks = Math.ceil(rows / block);
  if (rows === 0) return [0, 0];
  let [entries, pairs] = [0, 0];
  for (const [queries, c] of selected(selection)) {
    entries += queries * (c + 1);
    pairs += queries * c * block;
  }
  // Own blocks, up to the diagonal.
  const last = rows - (blocks - 1) * block;
  pairs += (blocks - 1) * block * (block + 1) / 2 + last * (last + 1) / 2;
  return [entries, pairs];
}

/**
 * Queries of a turn are a multiple of this many: whole blocks, and whole steps of any binding's
 * offset.
 */
export function turnUnit(block: number): number {
  return block % 64 === 0 ? block : 2 * block;
}

/**
 * Derives the sizes.
 *
 * @param options `least`: entries of the smallest tile of the kernels, a power of two. `turnRows`:
 * queries of a turn, a multiple of {@linkcode turnUnit}; default all.
 */
export function listSizes(
  selection: BlockSelection,
  { least, turnRows = selection.rows }: { readonly least: number; readonly turnRows?: number },
): ListSizes {
  const { rows, block, count, group = 1, forced = 0 } = selection;
  const blocks = Math.ceil(rows / block);
  const turns: QueryTurn[] = [];
  let [entries, turnPairs, before] = [0, 0, pairsBefore({ ...selection, rows: 0 })];
  for (let first = 0; first < rows; first += turnRows) {
    const end = Math.min(first + turnRows, rows);
    const past = pairsBefore({ ...selection, rows: end });
    entries = Math.max(entries, past[0] - before[0]);
    turnPairs = Math.max(turnPairs, past[1] - before[1]);
    turns.push({ first, end });
    before = past;
  }
  const share = entries * group / blocks / TILES_OF_LIST;
  const tileRows = Math.max(
    least,
    Math.min(MOST_TILE_ROWS, 2 ** Math.floor(Math.log2(Math.max(1, share)))),
  );
  const packed = Math.ceil((entries * group + blocks * (tileRows - 1)) / tileRows) * tileRows;
  return {
    rows,
    block,
    count,
    group,
    forced,
    blocks,
    turns,
    entries,
    tileRows,
    packed,
    pairs: before[1] * group,
    turnPairs: turnPairs * group,
  };
}

/** Offsets of bindings are multiples of this many bytes on any device. */
const OFFSET_UNIT = 256;

/** Bytes of what each turn has of its own, for all turns. */
export function bytesOfTurns({ turns }: Pick<ListSizes, "turns">, bytes: number): number {
  return turns.length === 1 ? bytes : turns.length * Math.ceil(bytes / OFFSET_UNIT) * OFFSET_UNIT;
}
