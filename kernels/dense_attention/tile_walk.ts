/**
 * Tile walks: the tiles of columns that a tile of own rows visits, if these are not all tiles up to
 * the diagonal. With a walk the kernels of dense attention compute a sparse pattern: the loop over
 * keys iterates over the positions of the walk, and each position is a key.
 *
 * Own rows are queries and columns keys in the forward pass and the pass that computes dQ; in the
 * pass that computes dK and dV own rows are keys and columns queries.
 *
 * @module
 */
import type { BufferSlice } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BindingKind } from "../gpu/pipeline.ts";

/** The part of a tiling that a walk uses. */
export interface WalkTile {
  /** Rows of a workgroup. */
  readonly ownRows: number;
  /** Rows of a tile of the other operand. */
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

/** The buffers of a walk on the device, for one kernel. */
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
 * A pattern of one layer, for kernels that walk over tiles.
 *
 * Its WGSL declares `struct Walk` with a field `rows`, the positions of a walk, and:
 *
 * - `openWalk(head: u32, first: u32, begin: u32, end: u32) -> Walk`: of own rows from `first` on,
 *   over the columns `begin … end - 1`; `head` counts within a block of heads, `begin` is a
 *   multiple of both sizes of the tile. Uniform where its arguments are.
 * - `walkedRow(walk, at: u32) -> u32`: the column at a position. Columns of a tile are consecutive
 *   and begin at a multiple of their number; positions past the end give any column.
 * - `walkedMask(walk, at: u32) -> u32`: the visible parts of the tile at a position, for the next
 *   two.
 * - `walkSees(walk, mask: u32, own: vec4u, column: vec4u) -> vec4<bool>`: which pairs are visible.
 * - `walkSeesAll(walk, mask: u32, own: u32, owns: u32, column: u32, columns: u32) -> bool`: whether
 *   all pairs of some own rows and columns are visible. False if unknown.
 * - `walkTouches(walk, mask: u32, own: u32, column: u32) -> bool`: whether any pair of 16 own rows
 *   and 16 columns, both from a multiple of 16 on, is visible.
 * - `walkedKeys(query: u32) -> u32`: maximum number of keys that a query attends to.
 *
 * If own rows and columns are rows of different tensors ({@linkcode TileWalk.apart}), `params.rows`
 * is the number of own rows of a head, and instead of `walkedKeys` it declares:
 *
 * - `walkedKeysOf(walk, query: u32) -> u32`: the same.
 * - `nearKey(walk, query: u32) -> u32`: of 16 queries from one on, the first of 16 keys of which
 *   each query sees some, and most of them many: they stand for all in the first reference of the
 *   softmax on matrix units, with the first keys of the walk where 16 queries see any of these.
 * - `ownHead(head: u32) -> u32`, `columnHead(head: u32) -> u32`: the first own row and the first
 *   column of a head in their tensors.
 * - `columnCount() -> u32`: columns of a head.
 * - where own rows are queries, in `struct Walk` a field `origin`: the key at which a tile's
 *   gradients of scores begin on matrix units;
 * - where own rows are keys, in `struct Walk` `seeing` and `past`: the columns that a walk over all
 *   of them would visit, from the one, a multiple of a tile, up to before the other; and
 *   `walkOrigin(walk, query: u32) -> u32`: the key at which the gradients of scores of a query's
 *   tile begin.
 *
 * If the lists of queries are packed ({@linkcode TileWalk.packed}), columns are cut at the same
 * places into parts, and a piece is what a list has of a part. A list that follows another, or a
 * part that does, has the next number, so list l in packing order and part p have piece l + p, and
 * it also declares:
 *
 * - where own rows are keys, `pieceAt(head: u32, piece: u32, columns: u32) -> vec2u`: the first key
 *   of the list, and the part, with so many columns to a part. A part that the list has nothing of
 *   where there is no such piece.
 * - `slotAt(walk, part: u32) -> u32`: the number of the piece of a walk's list in a part; in both
 *   directions `struct Walk` has `origin`, the first key of the list.
 */
export interface TileWalk {
  /**
   * Own rows and columns are rows of different tensors, with different numbers of rows. Default: of
   * the same sequence.
   */
  readonly apart?: boolean;
  /**
   * With `apart`: own rows are not consecutive rows of a tensor, and the kernel finds them by the
   * walk.
   */
  readonly gathers?: boolean;
  /**
   * Without `apart`: it declares `nearKey` all the same, since the first keys of a walk are not
   * those that all of its queries see; `walkSees` with a mask of 0 holds for any key then.
   */
  readonly near?: boolean;
  /** With `nearKey`: most queries see the first keys of their walk all the same. Default false. */
  readonly seesFirst?: boolean;
  /**
   * With `apart`: lists of queries lie one after another, each with the queries of some keys.
   * Default: the queries of some keys follow from their positions.
   */
  readonly packed?: {
    /** Lists of a head. */
    readonly lists: number;
    /** Keys of a list. */
    readonly keys: number;
  };
  /**
   * With `apart`: columns of a part where own rows are keys, so that the passes over keys and
   * values have about as much work in each workgroup, for dispatches over so many columns. Default:
   * all.
   */
  readonly partColumns?: (tile: WalkTile, columns: number) => number;
  /** Readable name, also in errors: `window 512, sinks 4`. */
  readonly name: string;
  /** Names the shaders, which all walks of a kind share. */
  readonly kind: string;
  /** (query, key) pairs of all heads of the layer. */
  readonly pairs: number;
  /** Heads of the layer. */
  readonly heads: number;
  /** Bytes of the lists of all heads, for one kernel; 0 if the pattern has a closed form. */
  readonly listBytes: (tile: WalkTile) => number;
  /** Bindings in addition to those of the kernel. */
  readonly bindings: readonly BindingKind[];
  /** Whether the pattern can be walked in such tiles. */
  readonly fits: (tile: WalkTile) => boolean;
  /** Pairs of all heads that a tile of own rows computes, masked ones included. */
  readonly tilePairs: (index: number, tile: WalkTile) => number;
  /**
   * First keys that all later queries attend to: their lists of queries are as long as the context.
   */
  readonly longKeys: number;
  /**
   * Queries from a key on of which none later sees it, but for {@linkcode TileWalk.longKeys}.
   * Default: any later query may.
   */
  readonly reach?: number;
  /** Pairs of a head within a rectangle, possibly approximate; 0 only if there are none. */
  readonly pairsWithin: (rectangle: WalkRectangle) => number;
  /** WGSL to append; `binding` is the index of its first binding. */
  readonly code: (tile: WalkTile, binding: number) => string;
  /**
   * Allocates and fills the buffers that a kernel needs.
   *
   * @throws {MemoryError} when the device is out of memory; nothing stays allocated then.
   */
  readonly create: (gpu: Gpu, tile: WalkTile) => Promise<WalkBuffers>;
}

/**
 * Throws if a requested tiling cannot be walked.
 *
 * @throws {RangeError} naming the pattern and the tile.
 */
export function requireWalkable(walk: TileWalk | undefined, tile: WalkTile): void {
  if (!walk || walk.fits(tile)) return;
  throw new RangeError(
    `plan attention: ${walk.name} cannot be walked in tiles of ${tile.ownRows} × ${tile.columns} rows`,
  );
}

/**
 * FLOP of a product over the pairs of a block of heads, or over all pairs up to the diagonal: 2·d
 * per pair.
 */
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

/** FLOP of a number of products over the pairs that a tile of a block of heads computes. */
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

/** ` of 1.25 × the pairs`: the ratio of computed to visible pairs; empty without a walk. */
export function describeWalk(walk: TileWalk | undefined, rows: number, tile: WalkTile): string {
  if (!walk) return "";
  return `, tiles of ${(walkedPairs(walk, rows, tile) / walk.pairs).toFixed(2)} × the pairs`;
}

/** Maximum computed pairs per visible pair of a tiling, if another tiling has fewer. */
const MOST_PAIRS = 1.5;

/**
 * The same of the forward kernel on matrix units. A window of 512 took 2.05 ms with tiles of 1.5
 * times its pairs, which the widest tilings compute, and 1.79 with 4/32/1/2, of 1.25 (`TUNING.md`).
 */
export const MOST_FORWARD_PAIRS = 1.35;

/**
 * The tilings that suit a walk: those that compute at most so many times its pairs, or the one that
 * computes the fewest. Empty if none can be walked.
 *
 * @param options `most`: computed pairs per visible pair. Default 1.5.
 */
export function suitedTilings<T>(
  walk: TileWalk,
  tilings: readonly T[],
  { tileOf, rows, most = MOST_PAIRS }: {
    readonly tileOf: (tiling: T) => WalkTile;
    readonly rows: number;
    readonly most?: number;
  },
): readonly T[] {
  const found = tilings.filter((tiling) => walk.fits(tileOf(tiling)));
  const pairs = found.map((tiling) => walkedPairs(walk, rows, tileOf(tiling)));
  const limit = Math.max(most * walk.pairs, Math.min(...pairs));
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
 * @throws {TypeError} when a line does not occur exactly once.
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
