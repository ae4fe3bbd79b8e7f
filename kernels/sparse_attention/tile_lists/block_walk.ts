/**
 * Walks from lists of blocks: for every block of queries of every head, the ascending blocks of
 * keys that it holds. Of the own block a query sees the keys up to itself.
 *
 * A kernel's tiles may be larger or smaller than a block. The host unites the lists of the blocks
 * of a tile; an entry says which tile of columns is visited, and in a mask of at most 32 bits which
 * of the blocks in it are seen: bit (block of own rows in the tile) × (blocks of a column tile) +
 * (block of columns). For dK and dV it transposes the lists: to each tile of keys the ascending
 * tiles of queries that hold it.
 *
 * On the device a walk's list is one buffer: where each own tile's entries begin,
 * `[H × tiles + 1]`, then the entries, two words each.
 *
 * @module
 */
import { causalPairs } from "../../dense_attention/matrix/matrix_schedule.ts";
import type { TileWalk, WalkBuffers, WalkTile } from "../../dense_attention/tile_walk.ts";
import { createStorageBuffer, slice, writeBuffer } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";

/** Lists of blocks of one layer. */
export interface BlockLists {
  /** H. */
  readonly heads: number;
  /** N. */
  readonly rows: number;
  /** Rows of a block, a power of two, at least 16. The last block may be short. */
  readonly block: number;
  /** Most blocks in a list. */
  readonly width: number;
  /** Blocks in front that all later lists hold. */
  readonly globalBlocks: number;
  /** Key blocks `[H, M, width]`, ascending, padded with -1; every list ends with its own block. */
  readonly lists: Int32Array;
}

/** Bits of a mask. */
const MASK_BITS = 32;

const PARAMS = {
  firstHead: "u32",
  tiles: "u32",
  entries: "u32",
  shift: "u32",
  mostKeys: "u32",
} as const;

/** How blocks lie in the tiles of one side. */
interface Side {
  /** Rows of a tile. */
  readonly size: number;
  /** Tiles of a block, 1 where a tile holds several blocks. */
  readonly tilesOfBlock: number;
  /** Blocks of a tile, 1 where a block holds several tiles. */
  readonly blocksOfTile: number;
}

function sideOf(size: number, block: number): Side {
  return {
    size,
    tilesOfBlock: Math.max(1, block / size),
    blocksOfTile: Math.max(1, size / block),
  };
}

/** Entries of all own tiles of all heads, in order. */
interface TileLists {
  /** `[H × tiles + 1]`. */
  readonly starts: Uint32Array;
  /** Column tiles. */
  readonly tiles: Uint32Array;
  /** Which blocks in them are seen. */
  readonly masks: Uint32Array;
}

/** (query, key) pairs of all heads. */
export function blockPairs({ heads, rows, block, width, lists }: BlockLists): number {
  const blocks = Math.ceil(rows / block);
  let pairs = 0;
  for (let list = 0; list < heads * blocks; list++) {
    const own = Math.min(block, rows - list % blocks * block);
    let count = 0;
    while (count < width && lists[list * width + count] >= 0) count++;
    pairs += own * block * (count - 1) + own * (own + 1) / 2;
  }
  return pairs;
}

/** The walk of lists of blocks. */
export function blockWalk(
  pattern: BlockLists,
  { name, kind }: { readonly name: string; readonly kind: string },
): TileWalk {
  const { heads, rows, block, width } = pattern;
  const pairs = blockPairs(pattern);
  const known = new Map<string, ListSizes>();
  let latest: { readonly tile: WalkTile; readonly found: ListSizes } | undefined;
  const sizesOf = (tile: WalkTile) => {
    if (latest?.tile === tile) return latest.found;
    const key = `${tile.ownRows} ${tile.columns} ${tile.own}`;
    let found = known.get(key);
    if (!found) known.set(key, found = measureLists(pattern, tile));
    latest = { tile, found };
    return found;
  };
  return {
    name,
    kind,
    pairs,
    heads,
    listBytes: (tile) => sizesOf(tile).bytes,
    bindings: ["uniform", "read"],
    fits: ({ ownRows, columns }) =>
      sideOf(ownRows, block).blocksOfTile * sideOf(columns, block).blocksOfTile <= MASK_BITS,
    tilePairs: (index, tile) => sizesOf(tile).perTile[index],
    longKeys: pattern.globalBlocks * block,
    // Random blocks lie everywhere: in proportion.
    pairsWithin: (rectangle) => 2 * pairs / heads * causalPairs(rectangle) / (rows * (rows + 1)),
    code: blockCode,
    create: (gpu, tile) =>
      createLists(gpu, tileLists(pattern, tile), {
        tiles: Math.ceil(rows / tile.ownRows),
        shift: Math.log2(block),
        mostKeys: width * block,
      }),
  };
}

/** Sizes of a kernel's lists. */
interface ListSizes {
  /** Pairs that each own tile computes, of all heads. */
  readonly perTile: Float64Array;
  readonly bytes: number;
}

function measureLists(pattern: BlockLists, tile: WalkTile): ListSizes {
  const starts = countEntries(pattern, tile);
  const tiles = Math.ceil(pattern.rows / tile.ownRows);
  const perTile = new Float64Array(tiles);
  for (let list = 0; list + 1 < starts.length; list++) {
    perTile[list % tiles] += (starts[list + 1] - starts[list]) * tile.ownRows * tile.columns;
  }
  return { perTile, bytes: bytesOf(starts) };
}

/** Bytes of a list's buffer: one spare entry is read where a walk is empty. */
function bytesOf(starts: Uint32Array): number {
  return 4 * (starts.length + 2 * (starts.at(-1)! + 1));
}

/**
 * Calls `visit` for every column tile of every own tile, as often as blocks in it are seen: with
 * the index of the own tile's list, the column tile and the bit of the block.
 */
function visitTiles(
  pattern: BlockLists,
  tile: WalkTile,
  visit: (list: number, column: number, bit: number) => void,
): void {
  const { heads, rows, block } = pattern;
  const { ownRows, columns, own } = tile;
  const { blocksOfTile } = sideOf(ownRows, block);
  const others = sideOf(columns, block);
  const blocks = Math.ceil(rows / block);
  const tiles = Math.ceil(rows / ownRows);
  const columnTiles = Math.ceil(rows / columns);
  const { starts, blocks: held } = listsOf(pattern, own);
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < tiles; t++) {
      const list = head * tiles + t;
      const firstBlock = Math.floor(t * ownRows / block);
      const end = head * blocks + Math.min(blocks, firstBlock + blocksOfTile);
      let firstBit = 0;
      for (let from = head * blocks + firstBlock; from < end; from++) {
        for (let at = starts[from]; at < starts[from + 1]; at++) {
          const bit = firstBit + held[at] % others.blocksOfTile;
          const first = Math.floor(held[at] * block / columns);
          const end = Math.min(columnTiles, first + others.tilesOfBlock);
          for (let c = first; c < end; c++) if (mayHold(tile, t, c)) visit(list, c, bit);
        }
        firstBit += others.blocksOfTile;
      }
    }
  }
}

/** Where each own tile's entries begin, `[H × tiles + 1]`. */
function countEntries(pattern: BlockLists, tile: WalkTile): Uint32Array<ArrayBuffer> {
  const { heads, rows } = pattern;
  const starts = new Uint32Array(heads * Math.ceil(rows / tile.ownRows) + 1);
  // The last own tile, from 1 on, that held a column tile.
  const seen = new Uint32Array(Math.ceil(rows / tile.columns));
  visitTiles(pattern, tile, (list, column) => {
    if (seen[column] === list + 1) return;
    seen[column] = list + 1;
    starts[list + 1]++;
  });
  for (let list = 1; list < starts.length; list++) starts[list] += starts[list - 1];
  return starts;
}

/** Unites the lists of the blocks of each own tile. */
export function tileLists(pattern: BlockLists, tile: WalkTile): TileLists {
  const starts = countEntries(pattern, tile);
  const tiles = new Uint32Array(starts.at(-1)!);
  const masks = new Uint32Array(tiles.length);
  // Masks by column tile, of the own tile at hand.
  const mask = new Uint32Array(Math.ceil(pattern.rows / tile.columns));
  let [current, count] = [0, 0];
  const close = () => {
    const mine = tiles.subarray(starts[current], starts[current + 1]).sort();
    mine.forEach((column, i) => {
      masks[starts[current] + i] = mask[column];
      mask[column] = 0;
    });
    count = 0;
  };
  visitTiles(pattern, tile, (list, column, bit) => {
    if (list !== current) {
      close();
      current = list;
    }
    if (mask[column] === 0) tiles[starts[list] + count++] = column;
    mask[column] |= 2 ** bit;
  });
  close();
  return { starts, tiles, masks };
}

/** Whether any pair of two tiles of rows lies on or before the diagonal. */
function mayHold({ ownRows, columns, own }: WalkTile, t: number, c: number): boolean {
  return own === "queries" ? c * columns < (t + 1) * ownRows : t * ownRows < (c + 1) * columns;
}

/** Lists of blocks without padding. */
interface CompactLists {
  /** Where the blocks of each list begin. */
  readonly starts: Uint32Array;
  readonly blocks: Uint32Array;
}

const compactLists = {
  queries: new WeakMap<BlockLists, CompactLists>(),
  keys: new WeakMap<BlockLists, CompactLists>(),
};

/** The lists of one side, made once: kernels of several tilings are weighed against each other. */
function listsOf(pattern: BlockLists, own: WalkTile["own"]): CompactLists {
  let known = compactLists[own].get(pattern);
  if (!known) {
    known = own === "queries" ? compact(pattern) : transpose(pattern);
    compactLists[own].set(pattern, known);
  }
  return known;
}

/** The lists without their padding. */
function compact({ heads, rows, block, width, lists }: BlockLists): CompactLists {
  const count = heads * Math.ceil(rows / block);
  const starts = new Uint32Array(count + 1);
  const blocks = new Uint32Array(lists.length);
  let held = 0;
  for (let list = 0; list < count; list++) {
    for (let n = 0; n < width && lists[list * width + n] >= 0; n++) {
      blocks[held++] = lists[list * width + n];
    }
    starts[list + 1] = held;
  }
  return { starts, blocks: blocks.subarray(0, held) };
}

/** To each block of keys the ascending blocks of queries that hold it: a counting sort. */
function transpose(pattern: BlockLists): CompactLists {
  const { heads, rows, block } = pattern;
  const count = Math.ceil(rows / block);
  const given = listsOf(pattern, "queries");
  const starts = new Uint32Array(heads * count + 1);
  const eachBlock = (visit: (target: number, list: number) => void) => {
    for (let list = 0; list < heads * count; list++) {
      const head = list - list % count;
      for (let at = given.starts[list]; at < given.starts[list + 1]; at++) {
        visit(head + given.blocks[at], list);
      }
    }
  };
  eachBlock((target) => starts[target + 1]++);
  for (let list = 0; list < heads * count; list++) starts[list + 1] += starts[list];
  const blocks = new Uint32Array(given.blocks.length);
  const next = starts.slice();
  eachBlock((target, list) => blocks[next[target]++] = list % count);
  return { starts, blocks };
}

async function createLists(
  gpu: Gpu,
  { starts, tiles, masks }: TileLists,
  sizes: { readonly tiles: number; readonly shift: number; readonly mostKeys: number },
): Promise<WalkBuffers> {
  const words = new Uint32Array(bytesOf(starts) / 4);
  words.set(starts);
  for (let i = 0; i < tiles.length; i++) {
    words[starts.length + 2 * i] = tiles[i];
    words[starts.length + 2 * i + 1] = masks[i];
  }
  const buffer = await createStorageBuffer(gpu, words.byteLength, { label: "lists of tiles" });
  writeBuffer(gpu, slice(buffer), words);
  const uniforms = new Map<number, GPUBuffer>();
  return {
    slices: (firstHead) => {
      let uniform = uniforms.get(firstHead);
      if (!uniform) {
        uniform = createParams(gpu, PARAMS, { firstHead, entries: starts.length, ...sizes });
        uniforms.set(firstHead, uniform);
      }
      return [slice(uniform), slice(buffer)];
    },
    destroy: () => {
      buffer.destroy();
      uniforms.forEach((uniform) => uniform.destroy());
    },
  };
}

function blockCode({ ownRows, columns, own }: WalkTile, binding: number): string {
  const [query, key] = own === "queries" ? ["own", "column"] : ["column", "own"];
  const keyCount = own === "queries" ? "columns" : "owns";
  return wgsl`

    // The walk of lists of blocks: block_walk.ts.
    struct WalkParams {
      firstHead: u32, // of the block of heads
      tiles: u32,     // own tiles of a head
      entries: u32,   // where entries begin
      shift: u32,     // log2 of the rows of a block
      mostKeys: u32,  // that a query sees
    }
    @group(0) @binding(${binding}) var<uniform> walkParams: WalkParams;
    // Where the entries of each own tile begin, then entries: a column tile and a mask.
    @group(0) @binding(${binding + 1}) var<storage, read> walkLists: array<u32>;
    struct Walk {
      start: u32, // the first entry
      last: u32,  // the last entry
      rows: u32,  // columns in all
    }
    // The first entry from low on whose tile is not before one.
    fn entryFrom(low: u32, high: u32, tile: u32) -> u32 {
      var first = low;
      var count = high - low;
      while (count > 0u) {
        let half = count / 2u;
        let before = walkLists[walkParams.entries + 2u * (first + half)] < tile;
        first = select(first, first + half + 1u, before);
        count = select(half, count - half - 1u, before);
      }
      return first;
    }
    fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
      let list = (walkParams.firstHead + head) * walkParams.tiles + first / ${ownRows}u;
      let all = walkLists[list + 1u];
      let start = entryFrom(walkLists[list], all, begin / ${columns}u);
      let past = entryFrom(start, all, (end + ${columns - 1}u) / ${columns}u);
      return Walk(start, max(past, start + 1u) - 1u, (past - start) * ${columns}u);
    }
    fn entryAt(walk: Walk, at: u32) -> u32 {
      return walkParams.entries + 2u * min(walk.start + at / ${columns}u, walk.last);
    }
    fn walkedRow(walk: Walk, at: u32) -> u32 {
      return walkLists[entryAt(walk, at)] * ${columns}u + at % ${columns}u;
    }
    fn walkedMask(walk: Walk, at: u32) -> u32 { return walkLists[entryAt(walk, at) + 1u]; }
    // Bit of the mask for a row of either side.
    fn maskBit(own: u32, column: u32) -> u32 {
      let width = max(${columns}u >> walkParams.shift, 1u);
      let ownBlock = (own % ${ownRows}u) >> walkParams.shift;
      return ownBlock * width + ((column % ${columns}u) >> walkParams.shift);
    }
    fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
      let width = max(${columns}u >> walkParams.shift, 1u);
      let ownBlock = (own % vec4u(${ownRows}u)) >> vec4u(walkParams.shift);
      let columnBlock = (column % vec4u(${columns}u)) >> vec4u(walkParams.shift);
      let held = (vec4u(mask) >> (ownBlock * width + columnBlock)) & vec4u(1u);
      return (${key} <= ${query}) & (held == vec4u(1u));
    }
    fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
      let before = ${key} + ${keyCount} <= ${query} + 1u;
      // Few rows lie in one block, or in two; more are a whole tile.
      let some = (mask >> maskBit(own, column)) & (mask >> maskBit(own + owns - 1u, column)) & 1u;
      let bits = maskBit(${ownRows - 1}u, ${columns - 1}u) + 1u;
      let held = select(some == 1u, mask == (0xffffffffu >> (32u - bits)), owns > 16u);
      return before && held;
    }
    fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
      return ${key} <= ${query} + 15u && ((mask >> maskBit(own, column)) & 1u) == 1u;
    }
    fn walkedKeys(query: u32) -> u32 { return min(query + 1u, walkParams.mostKeys); }
  `;
}
