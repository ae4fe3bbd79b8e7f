/**
 * The tiled backward passes where queries and keys are rows of different tensors: shaders and
 * binding. `apart_plan.ts` plans them; the shaders are those of dense attention with a walk. dQ is
 * f32: a query's parts are added later.
 *
 * @module
 */
import keyValueCode from "../../dense_attention/portable/dense_attention_backward_key_value.wgsl" with {
  type: "text",
};
import queryCode from "../../dense_attention/portable/dense_attention_backward_query.wgsl" with {
  type: "text",
};
import { WALKED_PARAMS } from "../../dense_attention/matrix/dense_matrix_backward.ts";
import { generateMatrixKeyValue } from "../../dense_attention/matrix/dense_matrix_key_value_codegen.ts";
import { generateMatrixQuery } from "../../dense_attention/matrix/dense_matrix_query_codegen.ts";
import { matrixTileRows } from "../../dense_attention/matrix/matrix_layout.ts";
import {
  generateKeyValueBackward,
  generateQueryBackward,
} from "../../dense_attention/portable/dense_attention_backward_codegen.ts";
import { PORTABLE_BACKWARD_PARAMS } from "../../dense_attention/portable/portable_backward.ts";
import {
  walkKeyValueBackward,
  walkQueryBackward,
} from "../../dense_attention/portable/portable_walk.ts";
import { splitTiles } from "../../dense_attention/portable/tile_ranges.ts";
import type { TileWalk } from "../../dense_attention/tile_walk.ts";
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Owned } from "../../gpu/owned.ts";
import { createPipeline, type Pipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { type ApartBackward, type ApartShape, rangeRows } from "./apart_plan.ts";
import { bindSumApart, sumApartSource } from "./sum_parts.ts";

/** The shaders of the two tiled passes, and of the sums of parts. */
export interface ApartSources {
  readonly query: PipelineSource;
  readonly keyValue: PipelineSource;
  /** Only if queries of a key are cut into parts. */
  readonly sum?: PipelineSource;
}

/** The compiled passes. */
export type ApartPipelines = Readonly<Record<"query" | "keyValue", Pipeline>> & {
  readonly sum?: Pipeline;
};

/** Compiles the passes. */
export async function createApartPasses(
  gpu: Gpu,
  { query, keyValue, sum }: ApartSources,
): Promise<ApartPipelines> {
  const made = await Promise.all([query, keyValue].map((source) => createPipeline(gpu, source)));
  return { query: made[0], keyValue: made[1], sum: sum && await createPipeline(gpu, sum) };
}

/**
 * The shaders.
 *
 * @param options `keyResultType`: type of dK and dV, default that of the tensors.
 */
export function apartSources(
  plan: ApartBackward,
  options: {
    readonly walk: TileWalk;
    readonly headDim: number;
    readonly dtype: DType;
    readonly keyResultType?: DType;
  },
): ApartSources {
  const { walk, headDim, dtype, keyResultType = dtype } = options;
  const { tiles } = plan;
  const label = (pass: string) => `${walk.kind} backward, ${pass}, d=${headDim} ${dtype}`;
  const reads = (count: number) => Array<"read">(count).fill("read");
  const writes = (count: number) => Array<"read-write">(count).fill("read-write");
  if (plan.kernel === "portable") {
    const { query, keyValue } = plan.tilings;
    const shared = { headDim, dtype, apart: true };
    return {
      query: {
        label: label("queries"),
        code: walkQueryBackward(queryCode, walk.code(tiles.query, 8), { apart: true }) +
          generateQueryBackward(
            { ...shared, tiling: query },
            { walked: true, resultType: "f32" },
          ),
        bindings: [...reads(6), "read-write", "uniform", ...walk.bindings],
      },
      keyValue: {
        label: label("keys and values"),
        code: walkKeyValueBackward(keyValueCode, walk.code(tiles.keyValue, 9), { apart: true }) +
          generateKeyValueBackward(
            { ...shared, tiling: keyValue },
            { walked: true, resultType: keyResultType },
          ),
        bindings: [...reads(6), ...writes(2), "uniform", ...walk.bindings],
      },
    };
  }
  const { query, keyValue } = plan.tilings;
  const packed = walk.packed !== undefined;
  const shared = { headDim, gradientType: "f16", apart: true, packed } as const;
  return {
    query: {
      label: label("queries on matrix units"),
      code: generateMatrixQuery(query, {
        ...shared,
        keyRows: matrixTileRows(keyValue),
        resultType: "f32",
        walk: walk.code(tiles.query, 6),
      }),
      bindings: [...reads(3), ...writes(2), "uniform", ...walk.bindings],
    },
    keyValue: {
      label: label("keys and values on matrix units"),
      code: generateMatrixKeyValue(keyValue, {
        ...shared,
        resultType: keyResultType,
        walk: walk.code(tiles.keyValue, 12),
      }),
      bindings: [...reads(6), ...writes(5), "uniform", ...walk.bindings],
    },
    ...plan.sums && {
      sum: sumApartSource(walk, {
        label: label("sums of parts"),
        tile: tiles.keyValue,
        headDim,
        resultType: keyResultType,
      }),
    },
  };
}

/** Buffers of the two passes. */
export interface ApartBuffers {
  /** `[heads, queries, d]`. */
  readonly q: BufferSlice;
  /** `[key heads of a block, keys, d]`. */
  readonly k: BufferSlice;
  /** The same. */
  readonly v: BufferSlice;
  /** `[heads, queries, d]`. */
  readonly outputGradient: BufferSlice;
  /** `[heads, queries]` f32. */
  readonly lse: BufferSlice;
  /** `[heads, queries]` f32. */
  readonly delta: BufferSlice;
  /** `[heads, queries, d]` f32, written. */
  readonly queryGradient: BufferSlice;
  /** As the walk places keys, written. */
  readonly keyGradient: BufferSlice;
  /** The same. */
  readonly valueGradient: BufferSlice;
  /** Buffers by the names of `apartScratch`. */
  readonly scratch: Readonly<Record<string, BufferSlice>>;
}

/** Binds the two passes for some heads. */
export function bindApartBackward(
  gpu: Gpu,
  plan: ApartBackward,
  options: {
    readonly shape: ApartShape;
    readonly pipelines: ApartPipelines;
    readonly buffers: ApartBuffers;
    /** The walk's bindings. */
    readonly walk: readonly BufferSlice[];
    readonly own: Owned["own"];
  },
): Dispatch[] {
  return plan.kernel === "portable"
    ? bindPortable(gpu, plan, options)
    : bindMatrix(gpu, plan, options);
}

type BindOptions = Parameters<typeof bindApartBackward>[2];

function bindPortable(
  gpu: Gpu,
  plan: ApartBackward & { readonly kernel: "portable" },
  { shape, pipelines, buffers: b, walk, own }: BindOptions,
): Dispatch[] {
  const { heads, queries, keys, headDim, pairs, flopsPerDispatch } = shape;
  const scale = Math.LOG2E / Math.sqrt(headDim);
  const product = 2 * headDim * heads * pairs;
  const most = gpu.capabilities.maxWorkgroupsPerDimension;
  const shared = [b.q, b.k, b.v, b.outputGradient, b.lse, b.delta];
  const bind = (
    name: "query" | "keyValue",
    { rows, products, results }: {
      readonly rows: number;
      readonly products: number;
      readonly results: readonly BufferSlice[];
    },
  ) => {
    const tiles = Math.ceil(rows / plan.tilings[name].tileRows);
    const flops = products * product;
    const costOf = () => flops / tiles;
    return splitTiles({ tiles, flops, limit: flopsPerDispatch, most, costOf }).map((range) => {
      const { firstTile, tileCount } = range;
      const uniform = own(
        createParams(gpu, PORTABLE_BACKWARD_PARAMS, { rows, tileCount, firstTile, scale }),
      );
      return bindDispatch(gpu, pipelines[name], {
        slices: [...shared, ...results, slice(uniform), ...walk],
        workgroups: [heads, tileCount, 1],
        flops: range.flops,
      });
    });
  };
  return [
    ...bind("query", { rows: queries, products: 3, results: [b.queryGradient] }),
    ...bind("keyValue", { rows: keys, products: 4, results: [b.keyGradient, b.valueGradient] }),
  ];
}

function bindMatrix(
  gpu: Gpu,
  plan: ApartBackward & { readonly kernel: "matrix" },
  { shape, pipelines, buffers: b, walk, own }: BindOptions,
): Dispatch[] {
  const { heads, queries, keys, width, headDim, pairs } = shape;
  const product = 2 * headDim * heads * pairs;
  const { scratch } = b;
  const { partQueries, slots, slotKeys } = plan;
  const { packed } = plan;
  const tiles = Math.ceil((packed ? slotKeys : keys) / plan.tiles.keyValue.ownRows);
  const passes = plan.ranges.flatMap(({ first, end }) => {
    const parts = Math.ceil((end - first) / partQueries);
    // A piece of a packed list in each part, and one more where it goes on in the next.
    const pieces = packed ? parts + slots - Math.ceil(queries / partQueries) : slots;
    const uniform = (rows: number) =>
      slice(own(createParams(gpu, WALKED_PARAMS, {
        rows,
        scale: Math.LOG2E / Math.sqrt(headDim),
        firstKey: 0,
        endKey: keys,
        firstQuery: first,
        endQuery: end,
        keyBlocks: width / 16,
        queryBlocks: rangeRows(shape, plan.ranges) / 16,
        partialRows: slotKeys,
        firstHead: 0,
        parts: slots,
        partQueries,
        carried: 0,
        complete: 1,
      })));
    const flops = product * (end - first) / queries;
    const { query } = plan.tiles;
    return [
      bindDispatch(gpu, pipelines.keyValue, {
        slices: [
          b.q,
          b.k,
          b.v,
          b.outputGradient,
          b.lse,
          b.delta,
          b.keyGradient,
          b.valueGradient,
          scratch.scoreGradients,
          scratch.exponents,
          scratch.keyPartials,
          uniform(keys),
          ...walk,
        ],
        workgroups: [heads, pieces * tiles, 1],
        flops: 4 * flops,
      }),
      bindDispatch(gpu, pipelines.query, {
        slices: [
          b.k,
          scratch.scoreGradients,
          scratch.exponents,
          b.queryGradient,
          scratch.queryPartials,
          uniform(queries),
          ...walk,
        ],
        workgroups: [heads, Math.ceil((end - first) / query.ownRows), 1],
        flops,
      }),
    ];
  });
  if (!pipelines.sum) return passes;
  const sum = bindSumApart(gpu, pipelines.sum, {
    rows: keys,
    partialRows: slotKeys,
    slots,
    partQueries,
    heads,
    scale: 1 / Math.sqrt(headDim),
    headDim,
    slices: [scratch.keyPartials, b.keyGradient, b.valueGradient],
    walk,
    own,
  });
  return [...passes, sum];
}
