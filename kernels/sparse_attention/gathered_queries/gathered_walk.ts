/**
 * The walk of gathered queries: own rows are queries packed by the block of keys that they selected
 * (`query_lists.ts`), columns the keys of that block, or the other way round for dK and dV.
 *
 * The list of block c holds the queries that selected it, ascending. Every query selects its own
 * block, so the list begins with the block's own queries: entry i may see the keys up to the i-th
 * of the block (with G query heads to a key head, entry i belongs to query i / G). That one
 * comparison is the causal mask of the own block, and true for all later queries. Lists begin at
 * multiples of `tileRows`; entries past a list's end have an unbounded log-sum-exp and dO of zero.
 *
 * Where queries come in turns (`turns.ts`), lists of blocks before a turn's first query begin with
 * later queries, which see all of the block. The walk places the start of such a list as far back
 * as the block's own queries would take, so that the same comparison holds; sums of u32 numbers
 * wrap around.
 *
 * @module
 */
import type { TileWalk, WalkTile } from "../../dense_attention/tile_walk.ts";
import { type BufferSlice, slice } from "../../gpu/buffers.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import type { ListSizes } from "./list_sizes.ts";

const PARAMS = {
  firstHead: "u32",
  keys: "u32",
  packed: "u32",
  block: "u32",
  blocks: "u32",
  tiles: "u32",
  tileRows: "u32",
  firstBlock: "u32",
} as const;

/**
 * The walk over the lists of some key heads.
 *
 * @param options `heads`: key heads of a dispatch. `tables`: where tiles and lists begin, of all
 * key heads of a block; a plan needs none. `turn`: whose lists these are, default the first.
 * `gathers`: whether the kernel reads queries itself, from the rows that `sources` has for the
 * entries. Its code also declares `sourceOf(head: u32, entry: u32) -> u32`, all bits of which are
 * set where no query is, and `queryRowOf(head: u32, source: u32) -> u32`, the row of queries.
 */
export function gatheredWalk(
  sizes: ListSizes,
  { heads, tables, turn = 0, gathers = false, sources }: {
    readonly heads: number;
    readonly tables?: BufferSlice;
    readonly turn?: number;
    readonly gathers?: boolean;
    readonly sources?: BufferSlice;
  },
): TileWalk {
  const { block, blocks, packed, tileRows, group, forced, entries, turns } = sizes;
  return {
    apart: true,
    gathers,
    seesFirst: true,
    // Lists that are as long as the context are cut. Others begin in the order of their length,
    // which ends with less idle than pieces of a part, and needs no sums.
    ...forced > 0 && {
      packed: { lists: blocks, keys: block },
      // Of most lists less than two parts: each has partial sums of its own.
      partColumns: () => 2 * packed / blocks,
    },
    name: `blocks of ${block} keys`,
    kind: "gathered queries",
    pairs: heads * sizes.turnPairs,
    heads,
    listBytes: () => 0,
    bindings: ["uniform", "read", ...gathers ? ["read" as const] : []],
    fits: ({ ownRows, columns, own }) =>
      own === "queries"
        ? tileRows % ownRows === 0
        : block % ownRows === 0 && tileRows % columns === 0,
    tilePairs: (_, { ownRows, own }) =>
      heads * ownRows * (own === "queries" ? block : entries * group / blocks),
    longKeys: 0,
    pairsWithin: () => heads * sizes.turnPairs,
    code: (tile, binding) =>
      gatheredCode(tile, { binding, group }) + (gathers ? sourceCode(binding + 2, group) : ""),
    create: (gpu) => {
      const uniforms = new Map<number, GPUBuffer>();
      return Promise.resolve({
        slices: (firstHead) => {
          let uniform = uniforms.get(firstHead);
          if (!uniform) {
            uniform = createParams(gpu, PARAMS, {
              firstHead,
              keys: sizes.rows,
              packed,
              block,
              blocks,
              tiles: packed / tileRows,
              tileRows,
              firstBlock: turns[turn].first / block,
            });
            uniforms.set(firstHead, uniform);
          }
          return [slice(uniform), tables!, ...gathers ? [sources!] : []];
        },
        destroy: () => uniforms.forEach((uniform) => uniform.destroy()),
      });
    },
  };
}

/** WGSL of the rows of queries that entries are copies of. */
function sourceCode(binding: number, group: number): string {
  return wgsl`
    @group(0) @binding(${binding}) var<storage, read> walkSources: array<u32>; // [key heads, packed]
    fn sourceOf(head: u32, entry: u32) -> u32 {
      return walkSources[(walkParams.firstHead + head) * walkParams.packed + entry];
    }
    fn queryRowOf(head: u32, source: u32) -> u32 {
      let queryHead = (walkParams.firstHead + head) * ${group}u + source % ${group}u;
      return queryHead * walkParams.keys + source / ${group}u;
    }
  `;
}

/** WGSL of the order that lists are packed in: from the first and from the last block in turns. */
const PACKING_ORDER = wgsl`
  fn blockAt(place: u32) -> u32 {
    return select(walkParams.blocks - 1u - place / 2u, place / 2u, place % 2u == 0u);
  }
  fn placeOf(block: u32) -> u32 {
    let first = 2u * block < walkParams.blocks;
    return select(2u * (walkParams.blocks - 1u - block) + 1u, 2u * block, first);
  }
`;

function gatheredCode(
  { ownRows, columns, own }: WalkTile,
  { binding, group }: { readonly binding: number; readonly group: number },
): string {
  const queries = own === "queries";
  // The key of the own block that the entry at a distance from its list's start sees last.
  const keyAt = (entry: string) => group === 1 ? entry : `(${entry}) / ${group}u`;
  const keysAt = (entry: string) => group === 1 ? entry : `(${entry}) / vec4u(${group}u)`;
  const entryOf = (key: string) => group === 1 ? key : `(${key}) * ${group}u`;
  const ownBlock = "first / walkParams.block";
  const ownEntry = `start + ${entryOf("first - origin")} / ${columns}u * ${columns}u`;
  const seeing = `select(start, ${ownEntry}, ${ownBlock} >= walkParams.firstBlock)`;
  const heads = queries
    ? wgsl`
      fn ownHead(head: u32) -> u32 { return head * walkParams.packed; }
      fn columnHead(head: u32) -> u32 { return (walkParams.firstHead + head) * walkParams.keys; }
      fn columnCount() -> u32 { return walkParams.keys; }
    `
    : wgsl`
      fn ownHead(head: u32) -> u32 { return (walkParams.firstHead + head) * walkParams.keys; }
      fn columnHead(head: u32) -> u32 { return head * walkParams.packed; }
      fn columnCount() -> u32 { return walkParams.packed; }
    `;
  const body = queries
    ? wgsl`
      struct Walk {
        origin: u32, // first key of the block
        start: u32,  // first entry of its list
        rows: u32,   // keys in all, whole tiles of them
      }
      fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
        let table = tableOf(head);
        let block = walkTables[table + first / walkParams.tileRows];
        if (block == 0xffffffffu) { return Walk(0u, 0u, 0u); }
        let start = walkTables[table + walkParams.tiles + block] - skipped(block);
        let origin = block * walkParams.block;
        let last = ${keyAt(`first + ${ownRows - 1}u - start`)};
        let seen = min(min(last + 1u, walkParams.block), walkParams.keys - origin);
        return Walk(origin, start, (seen + ${columns - 1}u) / ${columns}u * ${columns}u);
      }
      fn walkedRow(walk: Walk, at: u32) -> u32 { return walk.origin + at; }
      fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
        let key = column - vec4u(walk.origin);
        let last = ${keysAt("own - vec4u(walk.start)")};
        return (key <= last) & (key < vec4u(walkParams.block)) & (column < vec4u(walkParams.keys));
      }
      fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
        let past = column + columns;
        let inside = column >= walk.origin && past <= min(walk.origin + walkParams.block, walkParams.keys);
        return inside && past - 1u - walk.origin <= ${keyAt("own - walk.start")};
      }
      fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
        let key = column - walk.origin;
        let near = key <= ${keyAt("own + 15u - walk.start")};
        return near && key < walkParams.block && column < walkParams.keys;
      }
      fn nearKey(walk: Walk, query: u32) -> u32 {
        let own = ${keyAt("query - walk.start")};
        return walk.origin + min(own, walkParams.block - 16u);
      }
      fn walkedKeysOf(walk: Walk, query: u32) -> u32 {
        let last = ${keyAt("query - walk.start")};
        return min(min(last + 1u, walkParams.block), walkParams.keys - walk.origin);
      }
    `
    : wgsl`
      struct Walk {
        origin: u32, // first key of the block
        start: u32,  // first entry of its list
        first: u32,  // first entry that this walk visits
        rows: u32,   // entries in all, whole tiles of them
        seeing: u32, // the first entry that any walk visits
        past: u32,   // past the last
      }
      fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
        let table = tableOf(head) + walkParams.tiles + first / walkParams.block;
        let start = walkTables[table];
        let past = walkTables[table + walkParams.blocks];
        let origin = first / walkParams.block * walkParams.block;
        let seeing = ${seeing};
        let visited = max(seeing, begin);
        let rows = max(min(past, end), visited) - visited;
        let whole = (rows + ${columns - 1}u) / ${columns}u * ${columns}u;
        return Walk(origin, start - skipped(${ownBlock}), visited, whole, seeing, past);
      }
      // The largest place in packing order whose list begins at a piece up to this one.
      fn pieceAt(head: u32, piece: u32, columns: u32) -> vec2u {
        let starts = tableOf(head) + walkParams.tiles;
        var place = 0u;
        var end = walkParams.blocks;
        while (end - place > 1u) {
          let middle = (place + end) / 2u;
          let first = walkTables[starts + blockAt(middle)] / columns + middle;
          if (first <= piece) { place = middle; } else { end = middle; }
        }
        return vec2u(blockAt(place) * walkParams.block, piece - place);
      }
      fn walkOrigin(walk: Walk, query: u32) -> u32 { return walk.origin; }
      fn walkedRow(walk: Walk, at: u32) -> u32 { return walk.first + at; }
      fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
        let last = ${keysAt("column - vec4u(walk.start)")};
        return own - vec4u(walk.origin) <= last;
      }
      fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
        let last = ${keyAt("column - walk.start")};
        return own >= walk.origin && own + owns - 1u - walk.origin <= last;
      }
      fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
        return own - walk.origin <= ${keyAt("column + 15u - walk.start")};
      }
    `;
  const skipped = wgsl`
    // Entries of a block's own queries, where these are in an earlier turn.
    fn skipped(block: u32) -> u32 {
      return select(0u, walkParams.block * ${group}u, block < walkParams.firstBlock);
    }
  `;
  return wgsl`

    // The walk of gathered queries: gathered_walk.ts.
    struct WalkParams {
      firstHead: u32, // key head of the block that is the dispatch's first
      keys: u32,      // N
      packed: u32,    // entries of a head
      block: u32,     // keys of a block
      blocks: u32,    // blocks of a head
      tiles: u32,     // tiles of entries of a head
      tileRows: u32,  // entries of a tile
      firstBlock: u32, // the first that a query of this turn may have as its own
    }
    @group(0) @binding(${binding}) var<uniform> walkParams: WalkParams;
    // Of each head the block of each tile, then where each block's list starts, then where it ends.
    @group(0) @binding(${binding + 1}) var<storage, read> walkTables: array<u32>;
    fn tableOf(head: u32) -> u32 {
      return (walkParams.firstHead + head) * (walkParams.tiles + 2u * walkParams.blocks);
    }
    ${skipped}
    ${heads}
    ${PACKING_ORDER}
    ${body}
    fn slotAt(walk: Walk, part: u32) -> u32 { return placeOf(walk.origin / walkParams.block) + part; }
    fn walkedMask(walk: Walk, at: u32) -> u32 { return 0u; }
  `;
}
