/**
 * The catalog of kernels of attention over gathered tokens: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { MATRIX_UNITS } from "../dense_attention/matrix/_matrix_gpu.ts";
import { type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { createTensor } from "../gpu/buffers.ts";
import type { AttentionShape, Implementation } from "../implementation.ts";
import { inputShapes } from "../key_heads.ts";
import { dsa } from "./dsa/dsa.ts";
import { hisa } from "./hisa/hisa.ts";

/** Creates and binds all kernels of a layer. */
function layer(
  implementation: Implementation,
  { shape, options, matrix = false }: {
    shape: Omit<AttentionShape, "context">;
    options: Readonly<Record<string, number>>;
    matrix?: boolean;
  },
): CatalogEntry {
  const { heads, kvHeads = heads, headDim, dtype } = shape;
  const given = Object.entries(options).map(([name, value]) => `${name}=${value}`).join(" ");
  return {
    name: `${implementation.name} ${heads} heads on ${kvHeads} d=${headDim} ${dtype} ${given}` +
      (matrix ? " matrix units" : ""),
    ...matrix && { capabilities: MATRIX_UNITS },
    run: async (gpu) => {
      const problem = {
        shape: { ...shape, context: 300 },
        direction: "forward-backward",
        options,
      } as const;
      const { q, k, v, outputGradient } = inputShapes(problem.shape);
      await implementation.prepare(gpu, problem, {
        inputs: {
          q: await createTensor(gpu, q),
          k: await createTensor(gpu, k),
          v: await createTensor(gpu, v),
          outputGradient: await createTensor(gpu, outputGradient),
        },
      });
    },
  };
}

const INDEX = { indexHeads: 4, indexDim: 64, topk: 40 };
const BLOCKS = { ...INDEX, indexBlock: 16, indexBlocks: 4 };

/** What a layer compiles ahead of `prepare`. */
function compiledAhead(
  implementation: Implementation,
  options: Readonly<Record<string, number>>,
): CatalogEntry {
  return {
    name: `compiled ahead, ${implementation.name}`,
    run: async (gpu) => {
      const shape = { heads: 2, context: 300, headDim: 64, dtype: "f16" } as const;
      await implementation.compile!(gpu, { shape, options, direction: "forward-backward" });
    },
  };
}

/** Every kernel of dsa and hisa. */
export const TOKEN_CATALOG: readonly CatalogEntry[] = [
  ...[32, 64, 96, 128].flatMap((headDim) =>
    DTYPES.flatMap((dtype) =>
      [[2, 2], [8, 1]].map(([heads, kvHeads]) =>
        layer(dsa, { shape: { heads, kvHeads, headDim, dtype }, options: INDEX })
      )
    )
  ),
  ...DTYPES.map((dtype) =>
    layer(hisa, { shape: { heads: 2, headDim: 64, dtype }, options: BLOCKS })
  ),
  ...[[4, 64], [2, 32]].map(([indexHeads, indexDim]) =>
    layer(hisa, {
      shape: { heads: 2, headDim: 64, dtype: "f16" },
      options: { ...BLOCKS, indexHeads, indexDim },
      matrix: true,
    })
  ),
  compiledAhead(dsa, INDEX),
  compiledAhead(hisa, BLOCKS),
  ...[[8, 1, 128], [4, 1, 64]].map(([heads, kvHeads, headDim]) =>
    layer(dsa, { shape: { heads, kvHeads, headDim, dtype: "f16" }, options: INDEX, matrix: true })
  ),
  // Left matrices of four index heads stay in registers; those of eight are loaded for each 16
  // keys.
  ...[[4, 128], [8, 128], [1, 32]].map(([indexHeads, indexDim]) =>
    layer(dsa, {
      shape: { heads: 2, headDim: 64, dtype: "f16" },
      options: { ...INDEX, indexHeads, indexDim },
      matrix: true,
    })
  ),
];
