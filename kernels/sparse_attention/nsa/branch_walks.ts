/**
 * The walks of the two branches of NSA whose keys follow from a query's position: the seen windows
 * of compressed keys, and the sliding window. Queries are packed by key head: row t·G + g is query
 * t of the g-th query head of a group (`TileWalk.apart`).
 *
 * Compressed key i is seen from query i·s + l - 1 on; key j of the window from query j on, by w of
 * them.
 *
 * @module
 */
import type { TileWalk, WalkTile } from "../../dense_attention/tile_walk.ts";
import type { QueryTurn } from "../gathered_queries/list_sizes.ts";
import { slice } from "../../gpu/buffers.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import { MOST_ROWS } from "../apart/apart_plan.ts";

/** A branch over the queries of some key heads. */
export interface BranchShape {
  /** Key heads of a dispatch. */
  readonly heads: number;
  /** G, query heads to a key head. */
  readonly group: number;
  /** N. */
  readonly rows: number;
  /** One of several turns of queries, of one key head at a time. Default: all queries at once. */
  readonly turn?: QueryTurn;
}

/** Windows of rows that are compressed to one key each. */
export interface Compression {
  /** l, rows of a window. */
  readonly window: number;
  /** s, rows from one window to the next. */
  readonly stride: number;
}

/** C, the number of windows. */
export function windowCount(rows: number, { window, stride }: Compression): number {
  return rows < window ? 0 : Math.floor((rows - window) / stride) + 1;
}

/** (query, compressed key) pairs of one query head. */
export function compressedPairs(rows: number, compression: Compression): number {
  const { window, stride } = compression;
  let pairs = 0;
  for (let i = 0; i < windowCount(rows, compression); i++) pairs += rows - i * stride - window + 1;
  return pairs;
}

/**
 * Columns of tiles begin at multiples of this where gradients of scores have a place: any tile's
 * columns.
 */
const ORIGIN_UNIT = 64;

/** Keys that a tile of queries of the sliding window may see, from its origin on. */
export function bandWidth(window: number, group: number): number {
  const tokens = Math.ceil(MOST_ROWS / group) + 1;
  return Math.ceil((tokens + window + ORIGIN_UNIT) / 16) * 16;
}

const PARAMS = {
  firstHead: "u32",
  rows: "u32",
  keys: "u32",
  firstRow: "u32",
  endRow: "u32",
  window: "u32",
  stride: "u32",
  near: "u32",
} as const;

/** What a branch says about a query's keys. */
interface BranchCode {
  /** Names the shaders. */
  readonly kind: string;
  readonly name: string;
  /** Keys of a key head. */
  readonly keys: number;
  /** Pairs of one query head. */
  readonly pairs: number;
  /** How far before the end of a query's keys those begin that stand for all: `nearKey`. */
  readonly near: number;
  /** Whether most queries see the first keys. Default false. */
  readonly seesFirst?: boolean;
  /** Keys that a tile of queries visits on average. */
  readonly keysOfQuery: number;
  /**
   * Workgroups of a dispatch over keys and values, about: queries are cut into parts. Default: a
   * tile each.
   */
  readonly workgroups?: number;
  /** l, or w. */
  readonly window: number;
  /** s. */
  readonly stride: number;
  /**
   * WGSL: `firstKey(t: u32) -> u32` and `pastKey(t: u32) -> u32`, monotone; `firstQuery(key)`,
   * `pastQuery(key)`.
   */
  readonly functions: string;
}

/** Some of them are empty, and the others fill a device a few times over. */
const PARTED_WORKGROUPS = 1024;

/** The walk over compressed keys. */
export function compressedWalk(shape: BranchShape, compression: Compression): TileWalk {
  const { rows } = shape;
  const { window, stride } = compression;
  const keys = windowCount(rows, compression);
  return branchWalk(shape, {
    kind: "compressed keys",
    name: `windows of ${window} keys every ${stride}`,
    keys,
    pairs: compressedPairs(rows, compression),
    near: 16,
    window,
    stride,
    keysOfQuery: keys / 2,
    seesFirst: true,
    workgroups: PARTED_WORKGROUPS,
    functions: wgsl`
      fn firstKey(t: u32) -> u32 { return 0u; }
      fn pastKey(t: u32) -> u32 {
        let before = max(t + 1u, walkParams.window) - walkParams.window;
        return select(0u, before / walkParams.stride + 1u, t + 1u >= walkParams.window);
      }
      fn firstQuery(key: u32) -> u32 { return key * walkParams.stride + walkParams.window - 1u; }
      fn pastQuery(key: u32) -> u32 { return walkParams.rows; }
    `,
  });
}

/** The walk of a sliding window of keys, the query's own included. */
export function slidingWalk(shape: BranchShape, window: number): TileWalk {
  const { rows } = shape;
  const w = Math.min(window, rows);
  return branchWalk(shape, {
    kind: "window of keys",
    name: `window ${window}`,
    keys: rows,
    pairs: w * (w + 1) / 2 + (rows - w) * w,
    // The 15 queries after a query see 16 keys up to its own, where the window reaches so far.
    near: w > 30 ? 16 : 1,
    window: w,
    stride: 1,
    keysOfQuery: w,
    functions: wgsl`
      fn firstKey(t: u32) -> u32 { return max(t + 1u, walkParams.window) - walkParams.window; }
      fn pastKey(t: u32) -> u32 { return t + 1u; }
      fn firstQuery(key: u32) -> u32 { return key; }
      fn pastQuery(key: u32) -> u32 { return key + walkParams.window; }
    `,
  });
}

function branchWalk(shape: BranchShape, branch: BranchCode): TileWalk {
  const { heads, group, rows, turn = { first: 0, end: rows } } = shape;
  const { keys, keysOfQuery } = branch;
  // Pairs of a turn, as if all queries saw as many keys.
  const share = (turn.end - turn.first) / rows;
  const { workgroups } = branch;
  return {
    apart: true,
    seesFirst: branch.seesFirst,
    ...workgroups !== undefined && {
      partColumns: ({ ownRows }, columns) =>
        heads * columns * Math.ceil(keys / ownRows) / workgroups,
    },
    name: branch.name,
    kind: branch.kind,
    pairs: heads * group * branch.pairs * share,
    heads,
    listBytes: () => 0,
    bindings: ["uniform"],
    fits: ({ ownRows, columns }) =>
      MOST_ROWS % ownRows === 0 && ORIGIN_UNIT % Math.min(columns, ORIGIN_UNIT) === 0,
    tilePairs: (_, { ownRows, columns, own }) =>
      own === "queries"
        ? heads * ownRows * (keysOfQuery + columns + ownRows / group)
        : heads * ownRows * (keysOfQuery * rows * share / keys * group + columns),
    longKeys: 0,
    pairsWithin: () => heads * group * branch.pairs * share,
    code: (tile, binding) => branchCode(tile, { ...branch, binding, group }),
    create: (gpu) => {
      const uniforms = new Map<number, GPUBuffer>();
      return Promise.resolve({
        slices: (firstHead) => {
          let uniform = uniforms.get(firstHead);
          if (!uniform) {
            const { window, stride, near } = branch;
            uniform = createParams(gpu, PARAMS, {
              firstHead,
              rows,
              keys,
              firstRow: turn.first * group,
              endRow: turn.end * group,
              window,
              stride,
              near,
            });
            uniforms.set(firstHead, uniform);
          }
          return [slice(uniform)];
        },
        destroy: () => uniforms.forEach((uniform) => uniform.destroy()),
      });
    },
  };
}

function branchCode(
  { ownRows, columns, own }: WalkTile,
  { binding, group, functions }: Pick<BranchCode, "functions"> & {
    readonly binding: number;
    readonly group: number;
  },
): string {
  const queries = own === "queries";
  // Rows of a turn are counted from its first one: `at` is a row among all queries, a factor or a
  // term.
  const at = (row: string) => `(${row} + walkParams.firstRow)`;
  const atFour = (rows: string) => `(${rows} + vec4u(walkParams.firstRow))`;
  const local = (row: string) => `(max(${row}, walkParams.firstRow) - walkParams.firstRow)`;
  const packedRows = "(walkParams.endRow - walkParams.firstRow)";
  const unit = Math.max(columns, ORIGIN_UNIT);
  const pastQueries = `min(pastQuery(min(first + ${
    ownRows - 1
  }u, walkParams.keys - 1u)), walkParams.rows)`;
  const body = queries
    ? wgsl`
      struct Walk {
        origin: u32, // first key that is visited, where the tile's gradients of scores begin
        rows: u32,   // keys in all, whole tiles of them
      }
      fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
        let last = min(${at(`first + ${ownRows - 1}u`)}, walkParams.endRow - 1u) / ${group}u;
        let past = pastKey(last);
        let origin = originOf(first);
        let seen = max(past, origin) - origin;
        return Walk(origin, (seen + ${columns - 1}u) / ${columns}u * ${columns}u);
      }
      fn walkedRow(walk: Walk, at: u32) -> u32 { return walk.origin + at; }
      fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
        // The four rows of a call are one query.
        let t = ${at("own.x")} / ${group}u;
        return (column >= vec4u(firstKey(t))) & (column < vec4u(pastKey(t)));
      }
      fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
        let last = ${at("own + owns - 1u")} / ${group}u;
        return column >= firstKey(last) && column + columns <= pastKey(${at("own")} / ${group}u);
      }
      fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
        let last = min(${at("own + 15u")}, walkParams.endRow - 1u) / ${group}u;
        return column < pastKey(last) && column + 15u >= firstKey(${at("own")} / ${group}u);
      }
      fn nearKey(walk: Walk, query: u32) -> u32 {
        let past = pastKey(${at("query")} / ${group}u);
        return max(past, walkParams.near) - walkParams.near;
      }
      fn walkedKeysOf(walk: Walk, query: u32) -> u32 {
        let t = ${at("query")} / ${group}u;
        return max(pastKey(t), firstKey(t)) - firstKey(t);
      }
      fn ownHead(head: u32) -> u32 { return head * ${packedRows}; }
      fn columnHead(head: u32) -> u32 { return (walkParams.firstHead + head) * walkParams.keys; }
      fn columnCount() -> u32 { return walkParams.keys; }
    `
    : wgsl`
      struct Walk {
        first: u32,  // first query row that this walk visits
        rows: u32,   // query rows in all, whole tiles of them
        seeing: u32, // the first row that any walk visits
        past: u32,   // past the last
      }
      fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
        let seeing = ${local(`firstQuery(first) * ${group}u`)} / ${columns}u * ${columns}u;
        let past = ${local(`min(${pastQueries} * ${group}u, walkParams.endRow)`)};
        let visited = max(seeing, begin);
        let rows = max(min(past, end), visited) - visited;
        return Walk(visited, (rows + ${columns - 1}u) / ${columns}u * ${columns}u, seeing, past);
      }
      fn walkedRow(walk: Walk, at: u32) -> u32 { return walk.first + at; }
      fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
        // The four rows of a call are one key.
        let t = ${atFour("column")} / vec4u(${group}u);
        return (t >= vec4u(firstQuery(own.x))) & (t < vec4u(pastQuery(own.x)));
      }
      fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
        let last = ${at("column + columns - 1u")} / ${group}u;
        return ${at("column")} / ${group}u >= firstQuery(own + owns - 1u) && last < pastQuery(own);
      }
      fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
        let last = ${at("column + 15u")} / ${group}u;
        return last >= firstQuery(own) && ${at("column")} / ${group}u < pastQuery(own + 15u);
      }
      fn walkOrigin(walk: Walk, query: u32) -> u32 { return originOf(query); }
      fn ownHead(head: u32) -> u32 { return (walkParams.firstHead + head) * walkParams.keys; }
      fn columnHead(head: u32) -> u32 { return head * ${packedRows}; }
      fn columnCount() -> u32 { return ${packedRows}; }
    `;
  return wgsl`

    // The walk of a branch of NSA: branch_walks.ts.
    struct WalkParams {
      firstHead: u32, // key head of the block that is the dispatch's first
      rows: u32,      // N
      keys: u32,      // keys of a head
      firstRow: u32,  // the turn's first query, times G
      endRow: u32,    // past its last one
      window: u32,    // rows of a compressed window, or of the sliding one
      stride: u32,    // rows from one compressed window to the next
      near: u32,      // how far before the end of a query's keys those begin that stand for all
    }
    @group(0) @binding(${binding}) var<uniform> walkParams: WalkParams;
    ${functions}
    // First key that the queries of a tile may see, in whole tiles of keys.
    fn originOf(query: u32) -> u32 {
      return firstKey(${
    at(`query / ${MOST_ROWS}u * ${MOST_ROWS}u`)
  } / ${group}u) / ${unit}u * ${unit}u;
    }
    ${body}
    fn walkedMask(walk: Walk, at: u32) -> u32 { return 0u; }
  `;
}
