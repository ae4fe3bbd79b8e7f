/**
 * Plans the tiled backward passes where queries and keys are rows of different tensors (a walk with
 * `apart`): tilings, and on matrix units the ranges of queries whose gradients of scores are in
 * memory at the same time. The kernels are those of dense attention.
 *
 * @module
 */
import {
  chooseMatrixBackward,
  walksBackward,
  whyNoMatrixBackward,
} from "../../dense_attention/matrix/dense_matrix.ts";
import { matrixTileRows } from "../../dense_attention/matrix/matrix_layout.ts";
import { chooseBackwardTilings } from "../../dense_attention/portable/portable_backward.ts";
import {
  firstSuited,
  suitedTilings,
  type TileWalk,
  type WalkTile,
} from "../../dense_attention/tile_walk.ts";
import { tilingSpace } from "../../dense_attention/tuning.ts";
import {
  type BackwardTilings,
  type MatrixBackwardTilings,
  type MatrixTiling,
  type Tiling,
  tilingName,
} from "../../dense_attention/tilings.ts";
import type { DenseKernel } from "../../dense_attention/types.ts";
import type { DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";

/** Sizes of attention between rows of different tensors, of some heads at a time. */
export interface ApartShape {
  /** Key heads of a dispatch. */
  readonly heads: number;
  /** Query rows of a key head. */
  readonly queries: number;
  /** Keys of a key head. */
  readonly keys: number;
  /** Keys that a tile of queries may see, from its `origin` on: a multiple of 16. */
  readonly width: number;
  /** A tile of queries begins at multiples of this many rows, at least the rows of any tile. */
  readonly tileRows: number;
  /** (query, key) pairs of a key head. */
  readonly pairs: number;
  /** d. */
  readonly headDim: number;
  readonly dtype: DType;
  readonly flopsPerDispatch?: number;
  /** Queries of a part, about. Default: by the work of a workgroup. */
  readonly partQueries?: number;
}

/** Queries whose gradients of scores are in memory at the same time. */
export interface QueryRange {
  /** The first query. */
  readonly first: number;
  /** Past the last query. */
  readonly end: number;
}

/** Ranges of queries on matrix units, and the partial sums of dK and dV. */
export interface QueryCuts {
  /** In order; whole parts. */
  readonly ranges: readonly QueryRange[];
  /** Queries of a part: no workgroup of the pass over keys and values visits more. */
  readonly partQueries: number;
  /**
   * Whether slots are pieces of packed lists. Else they are the parts of a range, and go on in the
   * next.
   */
  readonly packed: boolean;
  /** Partial sums of a head. */
  readonly slots: number;
  /** Keys of a slot. */
  readonly slotKeys: number;
  /** Whether a pass adds the partial sums of a key. */
  readonly sums: boolean;
}

/** Kernels of the two tiled passes. */
export type ApartBackward =
  & { readonly variant: string; readonly tiles: { query: WalkTile; keyValue: WalkTile } }
  & (
    | { readonly kernel: "portable"; readonly tilings: BackwardTilings }
    | {
      readonly kernel: "matrix";
      readonly tilings: MatrixBackwardTilings;
    } & QueryCuts
  );

/** Bytes of gradients of scores, at most, where a binding may be as large. */
const MOST_SCORE_BYTES = 2 ** 31;

/** Queries of a part, at least: fewer are less work than its sums. */
const LEAST_PART = 1024;

/** Bytes of one f32 matrix, the smallest binding that a shader may load one from. */
const LEAST_BYTES = 1024;

/** Rows of the smallest tiles: portable, and on matrix units. */
export const LEAST_ROWS = { portable: 32, matrix: 64 } as const;

/** Rows of the largest tiles of queries. */
export const MOST_ROWS = 256;

/** Why matrix units cannot take such a layer; undefined when they can. */
export function whyNotApart(
  { capabilities }: Pick<Gpu, "capabilities">,
  shape: { readonly rows: number; readonly headDim: number; readonly dtype: DType },
): string | undefined {
  const walk = { bindings: ["uniform", "read"] } as unknown as TileWalk;
  return whyNoMatrixBackward(capabilities, { ...shape, walk });
}

/** Plans the two passes. */
export function planApartBackward(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  shape: ApartShape,
  { kernel, walk }: { readonly kernel: DenseKernel; readonly walk: TileWalk },
): ApartBackward {
  const { heads, queries, keys, headDim } = shape;
  const countOf = { query: queries, keyValue: keys };
  if (kernel === "portable") {
    const dense = chooseBackwardTilings(gpu, headDim);
    const suited = (name: keyof BackwardTilings) => {
      const pass = name === "query" ? "query" : "key-value";
      const space = tilingSpace(gpu.capabilities, { kernel, pass, headDim });
      return firstSuited(walk, [dense[name], ...space], {
        tileOf: (tiling: Tiling) => portableTile(name, tiling),
        rows: countOf[name],
      });
    };
    const tilings = { query: suited("query"), keyValue: suited("keyValue") };
    return {
      kernel,
      tilings,
      variant: `portable ${tilingName(tilings.query)} and ${tilingName(tilings.keyValue)}`,
      tiles: {
        query: portableTile("query", tilings.query),
        keyValue: portableTile("keyValue", tilings.keyValue),
      },
    };
  }
  // Parts make workgroups of keys as many as the queries are.
  const rows = walk.partColumns ? Math.max(keys, queries) : keys;
  const tilings = chooseMatrixBackward(
    gpu.capabilities,
    { heads, rows, headDim },
    (pass, all) => {
      const name = pass === "query" ? "query" : "keyValue";
      const walkable = all.filter(walksBackward(pass));
      return suitedTilings(walk, walkable, {
        tileOf: (tiling) => matrixTile(name, tiling),
        rows: countOf[name],
      });
    },
  );
  const tiles = {
    query: matrixTile("query", tilings.query),
    keyValue: matrixTile("keyValue", tilings.keyValue),
  };
  return {
    kernel,
    tilings,
    ...cutQueries(gpu, shape, { walk, keyTile: tiles.keyValue }),
    variant: `matrix units ${tilingName(tilings.query)} and ${tilingName(tilings.keyValue)}`,
    tiles,
  };
}

/**
 * Cuts queries into ranges whose gradients of scores have room, and these into parts that are about
 * as much work for a workgroup of keys.
 */
function cutQueries(
  { capabilities }: Pick<Gpu, "capabilities">,
  shape: ApartShape,
  { walk, keyTile }: { readonly walk: TileWalk; readonly keyTile: WalkTile },
): QueryCuts {
  const { heads, queries, keys, width, tileRows, headDim, flopsPerDispatch = Infinity } = shape;
  const limit = Math.min(capabilities.maxBindingBytes, capabilities.maxBufferBytes);
  const { packed } = walk;
  const rowsOf = (scores: number) =>
    Math.max(1, Math.floor(scores / heads / width / tileRows)) * tileRows;
  const stored = rowsOf(Math.min(MOST_SCORE_BYTES, limit) / 2);
  // Four products of 2·d FLOP a pair in the longer of the two passes.
  const timed = rowsOf(flopsPerDispatch / (8 * headDim));
  // Each part adds a piece to the lists that are packed, and all pieces have room.
  const pieces = packed ? Math.floor(limit / (8 * heads * packed.keys * headDim)) : Infinity;
  const least = queries / Math.max(1, pieces - (packed?.lists ?? 0));
  const rowsUp = (count: number) => Math.ceil(count / tileRows) * tileRows;
  const most = Math.min(stored, Math.max(timed, rowsUp(least)));
  const ranged = queries / Math.ceil(queries / most);
  const wanted = shape.partQueries ??
    Math.max(LEAST_PART, walk.partColumns?.(keyTile, ranged) ?? Infinity);
  const whole = rowsUp(Math.min(Math.max(least, wanted), queries));
  // Ranges of less than a part are parts themselves.
  const unit = most >= whole ? whole : tileRows;
  // As few ranges as have room, of the same length: a short one would leave the device idle.
  const units = Math.ceil(queries / unit);
  const length = Math.ceil(units / Math.ceil(units / Math.floor(most / unit))) * unit;
  const partQueries = most >= whole ? whole : length;
  const ranges: QueryRange[] = [];
  for (let first = 0; first < queries; first += length) {
    ranges.push({ first, end: Math.min(first + length, queries) });
  }
  if (packed) {
    const parts = Math.ceil(queries / partQueries);
    const slots = packed.lists + parts;
    return { ranges, partQueries, packed: true, slots, slotKeys: packed.keys, sums: parts > 1 };
  }
  const slots = length / partQueries;
  return {
    ranges,
    partQueries,
    packed: false,
    slots,
    slotKeys: paddedKeys(keys),
    sums: slots > 1,
  };
}

/** Query rows of the longest range, in whole tiles. */
export function rangeRows(
  { tileRows }: Pick<ApartShape, "tileRows">,
  ranges: readonly QueryRange[],
) {
  const longest = Math.max(...ranges.map(({ first, end }) => end - first));
  return Math.ceil(longest / tileRows) * tileRows;
}

/** Keys of a head in partial sums: whole tiles of any tiling. */
export function paddedKeys(keys: number): number {
  return Math.ceil(keys / MOST_ROWS) * MOST_ROWS;
}

/** Buffers between the passes, by name; none for portable kernels. */
export function apartScratch(
  plan: ApartBackward,
  shape: ApartShape,
): Readonly<Record<string, number>> {
  if (plan.kernel === "portable") return {};
  const { heads, width, headDim } = shape;
  const { ranges, tilings, slots, slotKeys, sums } = plan;
  const slotTiles = Math.ceil(slotKeys / matrixTileRows(tilings.keyValue));
  return {
    scoreGradients: heads * width * rangeRows(shape, ranges) * 2,
    exponents: Math.max(16, heads * slots * slotTiles * 4),
    keyPartials: ranges.length === 1 && !sums
      ? LEAST_BYTES
      : 2 * heads * slots * slotKeys * headDim * 4,
    queryPartials: LEAST_BYTES,
  };
}

function portableTile(name: keyof BackwardTilings, { tileRows, tileColumns }: Tiling): WalkTile {
  return { ownRows: tileRows, columns: tileColumns, own: name === "query" ? "queries" : "keys" };
}

function matrixTile(name: keyof MatrixBackwardTilings, tiling: MatrixTiling): WalkTile {
  return {
    ownRows: matrixTileRows(tiling),
    columns: tiling.tileColumns,
    own: name === "query" ? "queries" : "keys",
  };
}
