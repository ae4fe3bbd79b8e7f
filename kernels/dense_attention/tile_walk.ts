/**
 * Tile walks: which tiles of columns a tile of own rows visits, where that is not all up to the
 * diagonal. With a walk the kernels of dense attention compute a sparse pattern: the loop over keys runs
 * over the walk's positions, and each position is a key.
 *
 * Own rows are queries and columns keys in the forward pass and the pass that gives dQ; in the pass that
 * gives dK and dV own rows are keys and columns queries.
 *
 * @module
 */
import type { BufferSlice } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BindingKind } from "../gpu/pipeline.ts";

/** A tiling as a walk sees it. */
export interface WalkTile {
  /** Rows of a workgroup. */
  readonly ownRows: number;
  /** Rows of a tile that they are multiplied with. */
  readonly columns: number;
  /** What the own rows are. */
  readonly own: "queries" | "keys";
}

/** Some keys and some queries; ends are exclusive. */
export interface WalkRectangle {
  /** The first key. */
  readonly firstKey: number;
  /** Past the last key. */
  readonly endKey: number;
  /** The first query. */
  readonly firstQuery: number;
  /** Past the last query. */
  readonly endQuery: number;
}

/** What a walk has on the device for one kernel. */
export interface WalkBuffers {
  /**
   * One for each of {@linkcode TileWalk.bindings}.
   *
   * @param firstHead the layer's head that is the first of the block.
   */
  readonly slices: (firstHead: number) => readonly BufferSlice[];
  /** Frees them. */
  readonly destroy: () => void;
}

/**
 * A pattern of one layer, for kernels that walk tiles.
 *
 * Its WGSL declares `struct Walk` with a field `rows`, the positions of a walk, and:
 *
 * - `openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk`: of own rows from `first` on, over
 *   the columns `begin … end - 1`; `head` counts within a block of heads, `begin` is a multiple of both
 *   sizes of the tile. Uniform where its arguments are.
 * - `walkedRow(walk, at: u32) -> u32`: the column at a position. Columns of a tile lie side by side and
 *   begin at a multiple of their number; positions past the end give any column.
 * - `walkedMask(walk, at: u32) -> u32`: which parts of the tile at a position are seen, for the next two.
 * - `walkSees(walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool>`: which pairs are attended to.
 * - `walkSeesAll(walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool`: whether all
 *   pairs of some own rows and columns are. False where it is not known.
 * - `walkTouches(walk, mask: u32, own: u32, column: u32) -> bool`: whether any pair of 16 own rows and
 *   16 columns, both from a multiple of 16 on, is.
 * - `walkedKeys(query: u32) -> u32`: most keys that a query sees.
 */
export interface TileWalk {
  /** For people and errors: `window 512, sinks 4`. */
  readonly name: string;
  /** Names the shaders, which are the same for all walks of a kind. */
  readonly kind: string;
  /** (query, key) pairs of all heads of the layer. */
  readonly pairs: number;
  /** Heads of the layer. */
  readonly heads: number;
  /** Bytes of lists of all heads, of one kernel; 0 where the pattern has a closed form. */
  readonly listBytes: (tile: WalkTile) => number;
  /** What a kernel binds beyond its own. */
  readonly bindings: readonly BindingKind[];
  /** Whether it can be walked in such tiles. */
  readonly fits: (tile: WalkTile) => boolean;
  /** Pairs of all heads that a tile of own rows computes, masked ones included. */
  readonly tilePairs: (index: number, tile: WalkTile) => number;
  /** Keys in front that all later queries see: their lists of queries are as long as the context. */
  readonly longKeys: number;
  /** Pairs of a head within a rectangle, or about as many; 0 only where there are none. */
  readonly pairsWithin: (rectangle: WalkRectangle) => number;
  /** WGSL to append; `binding` is the index of its first binding. */
  readonly code: (tile: WalkTile, binding: number) => string;
  /**
   * Puts on the device what a kernel needs.
   *
   * @throws {MemoryError} when the device has no room; nothing stays allocated then.
   */
  readonly create: (gpu: Gpu, tile: WalkTile) => Promise<WalkBuffers>;
}

/**
 * Fails where a tiling that was asked for cannot be walked.
 *
 * @throws {RangeError} naming the pattern and the tile.
 */
export function requireWalkable(walk: TileWalk | undefined, tile: WalkTile): void {
  if (!walk || walk.fits(tile)) return;
  throw new RangeError(
    `plan attention: ${walk.name} cannot be walked in tiles of ${tile.ownRows} × ${tile.columns} rows`,
  );
}

/** FLOP of a product over the pairs of a block of heads, or over all up to the diagonal: 2·d a pair. */
export function pairFlops(
  walk: TileWalk | undefined,
  { heads, rows, headDim }: {
    readonly heads: number;
    readonly rows: number;
    readonly headDim: number;
  },
): number {
  const pairs = walk ? walk.pairs / walk.heads : rows * rows / 2;
  return 2 * headDim * heads * pairs;
}

/** FLOP of some products over what a tile of a block of heads computes. */
export function tileCost(
  walk: TileWalk | undefined,
  { tile, heads, headDim, products }: {
    readonly tile: WalkTile;
    readonly heads: number;
    readonly headDim: number;
    readonly products: number;
  },
): ((index: number) => number) | undefined {
  const perPair = 2 * headDim * products;
  return walk && ((index) => perPair * walk.tilePairs(index, tile) * heads / walk.heads);
}

/** Pairs that the tiles of a kernel compute, of all heads of the layer. */
export function walkedPairs(walk: TileWalk, rows: number, tile: WalkTile): number {
  let pairs = 0;
  for (let t = 0; t < Math.ceil(rows / tile.ownRows); t++) pairs += walk.tilePairs(t, tile);
  return pairs;
}

/** ` of 1.25 × the pairs`: how much of what tiles compute is masked; nothing without a walk. */
export function describeWalk(walk: TileWalk | undefined, rows: number, tile: WalkTile): string {
  if (!walk) return "";
  return `, tiles of ${(walkedPairs(walk, rows, tile) / walk.pairs).toFixed(2)} × the pairs`;
}

/** Pairs that a tiling may compute for each one that is attended to, where another has fewer. */
const MOST_PAIRS = 1.5;

/**
 * Those of some tilings that a walk should take: the ones that compute at most 1.5 times its pairs, or
 * the one that computes the fewest. None where none can be walked.
 */
export function suitedTilings<T>(
  walk: TileWalk,
  tilings: readonly T[],
  { tileOf, rows }: { readonly tileOf: (tiling: T) => WalkTile; readonly rows: number },
): readonly T[] {
  const found = tilings.filter((tiling) => walk.fits(tileOf(tiling)));
  const pairs = found.map((tiling) => walkedPairs(walk, rows, tileOf(tiling)));
  const limit = Math.max(MOST_PAIRS * walk.pairs, Math.min(...pairs));
  return found.filter((_, i) => pairs[i] <= limit);
}

/**
 * The first of {@linkcode suitedTilings}.
 *
 * @throws {RangeError} when there is none.
 */
export function firstSuited<T>(
  walk: TileWalk,
  tilings: readonly T[],
  options: { readonly tileOf: (tiling: T) => WalkTile; readonly rows: number },
): T {
  const [found] = suitedTilings(walk, tilings, options);
  if (found) return found;
  throw new RangeError(`plan attention: no tiling of this device can walk ${walk.name}`);
}

/**
 * A shader's text with some of its lines replaced.
 *
 * @throws {TypeError} when a line does not stand there exactly once.
 */
export function replaceLines(
  code: string,
  lines: Readonly<Record<string, readonly string[]>>,
): string {
  const found = new Map<string, number>();
  const result = code.split("\n").flatMap((line) => {
    const text = line.trim();
    if (!Object.hasOwn(lines, text)) return [line];
    found.set(text, (found.get(text) ?? 0) + 1);
    const indent = line.slice(0, line.length - line.trimStart().length);
    return lines[text].map((other) => indent + other);
  });
  for (const line of Object.keys(lines)) {
    if (found.get(line) !== 1) throw new TypeError(`replace lines of a shader: not once: ${line}`);
  }
  return result.join("\n");
}
