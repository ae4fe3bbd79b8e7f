/**
 * The catalog of kernels of sparse attention: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { createDenseAttention, planDenseAttention } from "../dense_attention/dense_attention.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../dense_attention/dense_attention_backward.ts";
import { MATRIX_UNITS } from "../dense_attention/matrix/_matrix_gpu.ts";
import {
  MATRIX_HEAD_DIMS,
  takesWalks,
  walksBackward,
} from "../dense_attention/matrix/dense_matrix.ts";
import type { TileWalk } from "../dense_attention/tile_walk.ts";
import {
  MATRIX_BACKWARD_TILINGS,
  MATRIX_TILINGS,
  PORTABLE_TILINGS,
  tilingName,
} from "../dense_attention/tilings.ts";
import { buffersOf, type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { createTensor, type DType } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { inputShapes } from "../key_heads.ts";
import type { Implementation, LayerOptions } from "../implementation.ts";
import { bigBirdLists } from "./bigbird/bigbird_pattern.ts";
import { TOKEN_CATALOG } from "./_token_catalog.ts";
import { blockWalk } from "./tile_lists/block_walk.ts";
import { moba } from "./moba/moba.ts";
import { nsa } from "./nsa/nsa.ts";
import { windowWalk } from "./sliding_window/window_walk.ts";

const ROWS = 300;

/** A limit of bindings that the entries of so many queries exceed, and no other buffer. */
const TURN_BYTES = 2 ** 18;

const LISTS = bigBirdLists({
  heads: 2,
  rows: ROWS,
  block: 32,
  globalBlocks: 1,
  windowBlocks: 2,
  randomBlocks: 2,
  patternSeed: 1,
});

/** A walk of each kind. */
const WALKS: readonly TileWalk[] = [
  blockWalk(LISTS, { name: "blocks of 32", kind: "blocks of tiles" }),
  windowWalk({ heads: 2, rows: ROWS, window: 70, sinks: 4 }),
];

async function buffers(gpu: Gpu, headDim: number) {
  const rows = 2 * ROWS * headDim * 4;
  const statistic = 2 * ROWS * 4;
  return await buffersOf(gpu, {
    q: rows,
    k: rows,
    v: rows,
    o: rows,
    lse: statistic,
    outputGradient: rows,
    delta: statistic,
    queryGradient: rows,
    keyGradient: rows,
    valueGradient: rows,
  });
}

function portable(walk: TileWalk): CatalogEntry[] {
  const shapes = [32, 64].flatMap((headDim) =>
    DTYPES.map((dtype) => ({ heads: 2, rows: ROWS, headDim, dtype, walk }))
  );
  const forward = PORTABLE_TILINGS.map((tiling): CatalogEntry => ({
    name: `${walk.kind} forward portable ${tilingName(tiling)} d=64 f16`,
    run: async (gpu) => {
      const options = { ...shapes[2], kernel: "portable", tiling } as const;
      const kernel = await createDenseAttention(gpu, planDenseAttention(gpu, options));
      kernel.bind(await buffers(gpu, 64));
    },
  }));
  const both = shapes.map((shape): CatalogEntry => ({
    name: `${walk.kind} portable d=${shape.headDim} ${shape.dtype}`,
    run: async (gpu) => {
      const kernel = { ...shape, kernel: "portable" } as const;
      const bound = await buffers(gpu, shape.headDim);
      (await createDenseAttention(gpu, planDenseAttention(gpu, kernel))).bind(bound);
      (await createDenseBackward(gpu, planDenseBackward(gpu, kernel))).bind(bound);
    },
  }));
  return [...forward, ...both];
}

function matrix(walk: TileWalk): CatalogEntry[] {
  return MATRIX_HEAD_DIMS.flatMap((headDim) => {
    const shape = { heads: 2, rows: ROWS, headDim, dtype: "f16", walk } as const;
    const forward = MATRIX_TILINGS.filter(takesWalks).map((matrixTiling): CatalogEntry => ({
      name: `${walk.kind} forward matrix ${tilingName(matrixTiling)} d=${headDim}`,
      capabilities: MATRIX_UNITS,
      run: async (gpu) => {
        const plan = planDenseAttention(gpu, { ...shape, matrixTiling });
        (await createDenseAttention(gpu, plan)).bind(await buffers(gpu, headDim));
      },
    }));
    const { query, "key-value": all } = MATRIX_BACKWARD_TILINGS;
    const queries = query.filter(walksBackward("query"))
      .toSorted((a, b) => (a.columns ?? 0) - (b.columns ?? 0));
    const keyValues = all.filter(walksBackward("key-value"));
    const backward = queries.flatMap((query, i) => {
      const keyValue = keyValues.at(-1 - i)!;
      return (["f16", "f32"] as const).map((gradientType): CatalogEntry => ({
        name: `${walk.kind} backward matrix ${tilingName(query)} and ${tilingName(keyValue)} ` +
          `d=${headDim} gradients ${gradientType}`,
        capabilities: MATRIX_UNITS,
        run: async (gpu) => {
          const matrixTilings = { query, keyValue };
          const plan = planDenseBackward(gpu, { ...shape, matrixTilings, gradientType });
          (await createDenseBackward(gpu, plan)).bind(await buffers(gpu, headDim));
        },
      }));
    });
    return [...forward, ...backward];
  });
}

/** Whole layers that select blocks, in both passes. */
function blockLayers(): CatalogEntry[] {
  const branches = {
    compressBlock: 16,
    compressStride: 8,
    block: 32,
    count: 4,
    initBlocks: 1,
    localBlocks: 2,
    window: 40,
  };
  const entry = (
    name: string,
    { headDim, dtype, options, capabilities, kvHeads = 2, layer = moba }: {
      readonly headDim: number;
      readonly dtype: DType;
      readonly options: LayerOptions;
      readonly capabilities?: CatalogEntry["capabilities"];
      readonly kvHeads?: number;
      readonly layer?: Implementation;
    },
  ): CatalogEntry => ({
    name: `${layer.name} ${name} d=${headDim} ${dtype}`,
    capabilities,
    run: async (gpu) => {
      const shape = { heads: 2, kvHeads, context: ROWS, headDim, dtype };
      const { q, k, v, outputGradient } = inputShapes(shape);
      const inputs = {
        q: await createTensor(gpu, q),
        k: await createTensor(gpu, k),
        v: await createTensor(gpu, v),
        outputGradient: await createTensor(gpu, outputGradient),
      };
      await layer.prepare(gpu, { shape, direction: "forward-backward", options }, { inputs });
    },
  });
  const portable = [32, 64, 128].flatMap((headDim) =>
    DTYPES.flatMap((dtype) => [
      entry("portable", { headDim, dtype, options: { block: 32, topk: 3 } }),
      entry("portable", { headDim, dtype, options: branches, layer: nsa }),
      ...headDim === 64
        ? [
          entry("portable 2 heads on 1", {
            headDim,
            dtype,
            options: branches,
            kvHeads: 1,
            layer: nsa,
          }),
        ]
        : [],
    ])
  );
  const matrix = MATRIX_HEAD_DIMS.flatMap((headDim) => {
    const shared = { headDim, dtype: "f16", capabilities: MATRIX_UNITS } as const;
    return [
      entry("matrix", { ...shared, options: { block: 64, topk: 3 } }),
      entry("matrix blocks of 128", { ...shared, options: { block: 128, topk: 2 } }),
      entry("matrix", { ...shared, options: { ...branches, block: 64 }, layer: nsa }),
      entry("matrix 2 heads on 1", {
        ...shared,
        options: { ...branches, block: 64 },
        kvHeads: 1,
        layer: nsa,
      }),
    ];
  });
  const ahead = ([[moba, { block: 32, topk: 3 }], [nsa, branches]] as const).map((
    [layer, options],
  ): CatalogEntry => ({
    name: `compiled ahead, ${layer.name}`,
    run: async (gpu) => {
      const shape = { heads: 2, context: ROWS, headDim: 32, dtype: "f16" } as const;
      await layer.compile!(gpu, { shape, direction: "forward-backward", options });
    },
  }));
  // A limit of bindings that takes the entries of some queries at a time.
  const turned = ([
    ["portable", 32, { maxBindingBytes: TURN_BYTES }],
    ["matrix", 64, { ...MATRIX_UNITS, maxBindingBytes: TURN_BYTES }],
  ] as const).flatMap(([name, block, capabilities]) => {
    const shared = { headDim: 64, dtype: "f16", capabilities } as const;
    return [
      entry(`${name} in turns`, { ...shared, options: { block, topk: 4 } }),
      entry(`${name} in turns, 2 heads on 1`, {
        ...shared,
        options: { ...branches, block },
        kvHeads: 1,
        layer: nsa,
      }),
    ];
  });
  return [
    ...portable,
    ...matrix,
    ...turned,
    ...ahead,
    entry("own blocks", { headDim: 32, dtype: "f32", options: { block: 32, topk: 1 } }),
  ];
}

/** Every kernel of sparse attention. */
export const SPARSE_CATALOG: readonly CatalogEntry[] = [
  ...WALKS.flatMap((walk) => [...portable(walk), ...matrix(walk)]),
  ...blockLayers(),
  ...TOKEN_CATALOG,
];
