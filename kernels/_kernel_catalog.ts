/**
 * Every kernel over a declared set of options, each as a function that creates and binds it. Tests
 * of shaders and of their uniforms iterate over it.
 *
 * @module
 */
import { createTensor, type TensorShape } from "./gpu/buffers.ts";
import { inspectTensor } from "./gpu/inspect.ts";
import { perturbTensor } from "./gpu/noise.ts";
import { fillSeeded } from "./gpu/random.ts";
import { flushesHalves } from "./gpu/subnormals.ts";
import { planGeometry } from "./lighthouse/lighthouse_geometry.ts";
import { createLastRow, planLastRow } from "./retrieval/last_row.ts";
import { scaleTensor } from "./retrieval/scale_tensor.ts";
import { createWeightedRows } from "./retrieval/weighted_rows.ts";
import { LAYERS, LIGHTHOUSE_CATALOG } from "./lighthouse/_lighthouse_catalog.ts";
import { buffersOf, type CatalogEntry, DTYPES } from "./gpu/_catalog_entry.ts";
import { DENSE_CATALOG } from "./dense_attention/_dense_catalog.ts";
import { SPARSE_CATALOG } from "./sparse_attention/_sparse_catalog.ts";
import { TRAINING_CATALOG } from "./training/_training_catalog.ts";

function lastRows(): CatalogEntry[] {
  return LAYERS.flatMap((layer): CatalogEntry[] => {
    const geometry = planGeometry(layer.context, layer);
    const where = `N=${layer.context} L=${layer.levels} p=${layer.pooling}`;
    return [undefined, geometry].flatMap((gathered) =>
      [32, 128].flatMap((headDim) =>
        DTYPES.map((dtype): CatalogEntry => ({
          name: `last row ${gathered ? "gathered" : "all rows"} ${where} d=${headDim} ${dtype}`,
          run: async (gpu) => {
            const { context } = layer;
            const plan = planLastRow({ heads: 2, headDim, dtype, context, geometry: gathered });
            const bytes = 2 * context * headDim * 4;
            const kernel = await createLastRow(gpu, plan);
            const { k, v, ...pooled } = await buffersOf(gpu, {
              k: bytes,
              v: bytes,
              pooledK: bytes,
              pooledV: bytes,
              indices: bytes,
              slots: bytes,
            });
            kernel.bind({ k, v, gathered: gathered && pooled });
          },
        }))
      )
    );
  });
}

function weightedRows(): CatalogEntry[] {
  return [32, 128].flatMap((headDim) =>
    DTYPES.map((dtype): CatalogEntry => ({
      name: `weighted rows d=${headDim} ${dtype}`,
      run: async (gpu) => {
        const { v } = await buffersOf(gpu, { v: 2 * 300 * headDim * 4 });
        await createWeightedRows(gpu, { heads: 2, context: 300, headDim, dtype, width: 40 }, v);
      },
    }))
  );
}

function tensorKernels(): CatalogEntry[] {
  const shape: TensorShape = { heads: 2, rows: 300, dim: 64, dtype: "f16" };
  return [
    {
      name: "seeded random",
      run: async (gpu) => await fillSeeded(gpu, await createTensor(gpu, shape), 7),
    },
    {
      name: "relative noise",
      run: async (gpu) => {
        const tensor = await createTensor(gpu, shape);
        await perturbTensor(gpu, tensor, { seed: 7, deviation: 1e-3 });
      },
    },
    {
      name: "subnormals",
      run: (gpu) => flushesHalves(gpu),
    },
    {
      name: "inspect",
      run: async (gpu) => await inspectTensor(gpu, await createTensor(gpu, shape)),
    },
    {
      name: "scale tensor",
      run: async (gpu) => await scaleTensor(gpu, await createTensor(gpu, shape), 0.5),
    },
  ];
}

/** Every kernel, with every tiling, storage type and head dimension that affects its shader. */
export const KERNEL_CATALOG: readonly CatalogEntry[] = [
  ...DENSE_CATALOG,
  ...LIGHTHOUSE_CATALOG,
  ...SPARSE_CATALOG,
  ...lastRows(),
  ...weightedRows(),
  ...tensorKernels(),
  ...TRAINING_CATALOG,
];
