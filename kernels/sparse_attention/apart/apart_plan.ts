/**
 * Plans the tiled backward passes where queries and keys are rows of different tensors (a walk with
 * `apart`): tilings, and on matrix units the ranges of queries whose gradients of scores are in memory
 * at the same time. The kernels are those of dense attention.
 *
 * @module
 */
import {
  chooseMatrixBackward,
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
}

/** Queries whose gradients of scores are in memory at the same time. */
export interface QueryRange {
  /** The first query. */
  readonly first: number;
  /** Past the last query. */
  readonly end: number;
}

/** Kernels of the two tiled passes. */
export type ApartBackward =
  & { readonly variant: string; readonly tiles: { query: WalkTile; keyValue: WalkTile } }
  & (
    | { readonly kernel: "portable"; readonly tilings: BackwardTilings }
    | {
      readonly kernel: "matrix";
      readonly tilings: MatrixBackwardTilings;
      /** In order. */
      readonly ranges: readonly QueryRange[];
    }
  );

/** Bytes of gradients of scores, at most, where a binding may be as large. */
const MOST_SCORE_BYTES = 2 ** 31;

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
  const { heads, queries, keys, width, tileRows, headDim } = shape;
  const rowsOf = { query: queries, keyValue: keys };
  if (kernel === "portable") {
    const dense = chooseBackwardTilings(gpu, headDim);
    const suited = (name: keyof BackwardTilings) => {
      const pass = name === "query" ? "query" : "key-value";
      const space = tilingSpace(gpu.capabilities, { kernel, pass, headDim });
      return firstSuited(walk, [dense[name], ...space], {
        tileOf: (tiling: Tiling) => portableTile(name, tiling),
        rows: rowsOf[name],
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
  const tilings = chooseMatrixBackward(
    gpu.capabilities,
    { heads, rows: keys, headDim },
    (pass, all) => {
      const name = pass === "query" ? "query" : "keyValue";
      // Two blocks of keys have no walk.
      const walkable = all.filter(({ blocks }) => name === "query" || blocks === 1);
      return suitedTilings(walk, walkable, {
        tileOf: (tiling) => matrixTile(name, tiling),
        rows: rowsOf[name],
      });
    },
  );
  const { maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  const { flopsPerDispatch = Infinity } = shape;
  // Four products of 2·d FLOP a pair in the longer of the two passes.
  const scores = Math.min(
    Math.min(MOST_SCORE_BYTES, maxBindingBytes, maxBufferBytes) / 2,
    flopsPerDispatch / (8 * headDim),
  );
  const most = Math.max(1, Math.floor(scores / heads / width / tileRows)) * tileRows;
  // As few ranges as have room, of the same length: a short one would leave the device idle.
  const length = Math.ceil(queries / Math.ceil(queries / most) / tileRows) * tileRows;
  const ranges: QueryRange[] = [];
  for (let first = 0; first < queries; first += length) {
    ranges.push({ first, end: Math.min(first + length, queries) });
  }
  return {
    kernel,
    tilings,
    ranges,
    variant: `matrix units ${tilingName(tilings.query)} and ${tilingName(tilings.keyValue)}`,
    tiles: {
      query: matrixTile("query", tilings.query),
      keyValue: matrixTile("keyValue", tilings.keyValue),
    },
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
  const { heads, keys, width, headDim } = shape;
  const { ranges, tilings } = plan;
  return {
    scoreGradients: heads * width * rangeRows(shape, ranges) * 2,
    exponents: Math.max(16, heads * Math.ceil(keys / matrixTileRows(tilings.keyValue)) * 4),
    keyPartials: ranges.length === 1 ? LEAST_BYTES : 2 * heads * paddedKeys(keys) * headDim * 4,
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
