/**
 * The walk of a sliding window with sinks, in closed form: no lists.
 *
 * Query t sees key j when j ≤ t and (t - j < window or j < sinks). A tile of queries visits the
 * tiles of the sinks, then those from the oldest key of its first row to the diagonal. A tile of
 * keys visits the queries from its own rows on: up to the last that a window reaches, or to the end
 * where it holds a sink.
 *
 * @module
 */
import type { TileWalk, WalkRectangle, WalkTile } from "../../dense_attention/tile_walk.ts";
import { slice } from "../../gpu/buffers.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";

/** A window over one layer. */
export interface WindowPattern {
  /** H. */
  readonly heads: number;
  /** N. */
  readonly rows: number;
  /** Keys up to and with the query itself. */
  readonly window: number;
  /** Keys in front that all queries see. */
  readonly sinks: number;
}

const PARAMS = { window: "u32", sinks: "u32" } as const;

/** (query, key) pairs of one head. */
export function windowPairs({ rows, window, sinks }: Omit<WindowPattern, "heads">): number {
  const w = Math.min(window, rows);
  const rest = rows - w;
  const s = Math.min(sinks, rest);
  return w * (w + 1) / 2 + rest * w + s * (s + 1) / 2 + (rest - s) * s;
}

/** The walk of a window. */
export function windowWalk(pattern: WindowPattern): TileWalk {
  const { heads, rows, sinks } = pattern;
  const window = Math.min(pattern.window, rows);
  return {
    near: true,
    name: `window ${pattern.window}, sinks ${sinks}`,
    kind: "sliding window",
    pairs: heads * windowPairs(pattern),
    heads,
    listBytes: () => 0,
    bindings: ["uniform"],
    fits: () => true,
    tilePairs: (index, tile) =>
      heads * tile.ownRows * walkedRows({ rows, window, sinks }, index, tile),
    longKeys: sinks,
    reach: window,
    pairsWithin: (rectangle) => pairsWithin({ window, sinks }, rectangle),
    code: windowCode,
    create: (gpu) => {
      const uniform = createParams(gpu, PARAMS, { window, sinks });
      const slices = [slice(uniform)];
      return Promise.resolve({ slices: () => slices, destroy: () => uniform.destroy() });
    },
  };
}

/** Pairs of a rectangle, key after key. */
function pairsWithin(
  { window, sinks }: Pick<WindowPattern, "window" | "sinks">,
  { firstKey, endKey, firstQuery, endQuery }: WalkRectangle,
): number {
  let pairs = 0;
  for (let key = firstKey; key < endKey; key++) {
    const end = key < sinks ? endQuery : Math.min(endQuery, key + window);
    pairs += Math.max(0, end - Math.max(firstQuery, key));
  }
  return pairs;
}

/** Columns that a tile of own rows visits, as the shader counts them. */
function walkedRows(
  { rows, window, sinks }: Omit<WindowPattern, "heads">,
  index: number,
  { ownRows, columns, own }: WalkTile,
): number {
  const first = index * ownRows;
  const down = (row: number) => Math.floor(row / columns) * columns;
  const up = (row: number) => Math.ceil(row / columns) * columns;
  if (own === "keys") {
    const stop = first < sinks ? rows : Math.min(rows, first + ownRows - 1 + window);
    return up(stop - down(first));
  }
  const later = down(Math.max(0, first + 1 - window));
  return up(Math.min(up(sinks), later) + Math.min(first + ownRows, rows) - later);
}

function windowCode({ ownRows, columns, own }: WalkTile, binding: number): string {
  const queries = own === "queries";
  const open = queries
    ? wgsl`
      let oldest = max(first + 1u, walkParams.window) - walkParams.window; // key of the first row
      let later = max(oldest / ${columns}u * ${columns}u, begin);
      let sinkTiles = (walkParams.sinks + ${columns - 1}u) / ${columns}u * ${columns}u;
      let early = max(min(min(sinkTiles, later), end), begin) - begin;
      return Walk(begin, early, later, early + max(min(first + ${ownRows}u, end), later) - later);
    `
    : wgsl`
      let start = max(first / ${columns}u * ${columns}u, begin);
      let reached = min(first + ${ownRows - 1}u + walkParams.window, end);
      let stop = select(reached, end, first < walkParams.sinks);
      return Walk(start, 0u, start, max(stop, start) - start);
    `;
  const [query, key] = queries ? ["own", "column"] : ["column", "own"];
  const [queryCount, keyCount] = queries ? ["owns", "columns"] : ["columns", "owns"];
  return wgsl`

    // The walk of a sliding window with sinks: window_walk.ts.
    struct WalkParams {
      window: u32, // keys up to and with the query itself
      sinks: u32,  // keys in front that all queries see
    }
    @group(0) @binding(${binding}) var<uniform> walkParams: WalkParams;
    struct Walk {
      begin: u32, // first column
      early: u32, // columns from there on, before those from "later" on
      later: u32,
      rows: u32,  // columns in all
    }
    fn openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk {
      ${open}
    }
    fn walkedRow(walk: Walk, at: u32) -> u32 {
      return select(walk.later + at - walk.early, walk.begin + at, at < walk.early);
    }
    fn walkedMask(walk: Walk, at: u32) -> u32 { return 0u; }
    fn walkSees(walk: Walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool> {
      let near = (${query} - ${key}) < vec4u(walkParams.window);
      return (${key} <= ${query}) & (near | (${key} < vec4u(walkParams.sinks)));
    }
    fn walkSeesAll(walk: Walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool {
      let past = ${key} + ${keyCount}; // its last key and its last query
      let near = ${query} + ${queryCount} - 1u - ${key} < walkParams.window;
      return past <= ${query} + 1u && (near || past <= walkParams.sinks);
    }
    fn walkTouches(walk: Walk, mask: u32, own: u32, column: u32) -> bool {
      let near = ${query} < ${key} + 15u + walkParams.window;
      return ${key} <= ${query} + 15u && (near || ${key} < walkParams.sinks);
    }
    fn walkedKeys(query: u32) -> u32 {
      return min(query + 1u, walkParams.window + walkParams.sinks);
    }
    // 16 keys up to a query's own: the 15 queries after it see them, too, where a window reaches so far.
    fn nearKey(walk: Walk, query: u32) -> u32 {
      return query - min(query, select(0u, 15u, walkParams.window > 30u));
    }
  `;
}
