/**
 * The catalog entries of dense attention: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { DESK } from "../gpu/_desk_device.ts";
import { createDenseAttention, planDenseAttention } from "./dense_attention.ts";
import type { Gpu } from "../gpu/device.ts";
import { createRingAttention, planRingAttention } from "./ring/ring_attention.ts";
import { MATRIX_BACKWARD_TILINGS, tilingName } from "./tilings.ts";
import { buffersOf, type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { HEAD_DIMS } from "./types.ts";
import { compileDense } from "./dense_layer.ts";
import { createSquaredNorms, planSquaredNorms } from "./dense_squared_norms.ts";
import { createTensor } from "../gpu/buffers.ts";
import { denseNaive } from "./naive/dense_attention_naive.ts";
import { MATRIX_UNITS } from "./matrix/_matrix_gpu.ts";
import { MATRIX_HEAD_DIMS } from "./matrix/dense_matrix.ts";
import { createDenseBackward, planDenseBackward } from "./dense_attention_backward.ts";
import { inputShapes } from "../key_heads.ts";
import { tilingSpace } from "./tuning.ts";

const ROWS = 300;
/** δ of the kernels that read residue classes in place. */
const DILATION = 4;

/** The buffers of dense attention in either direction. */
async function denseBuffers(gpu: Gpu, headDim: number) {
  const rows = 8 * ROWS * headDim * 4;
  return await buffersOf(gpu, {
    q: rows,
    k: rows,
    v: rows,
    o: rows,
    lse: 8 * ROWS * 4,
    outputGradient: rows,
    delta: 8 * ROWS * 4,
    queryGradient: rows,
    keyGradient: rows,
    valueGradient: rows,
  });
}

const KERNELS_OF_SUBGROUPS = [
  { capabilities: { subgroups: true }, subgroups: "subgroups" },
  { capabilities: { subgroups: false }, subgroups: "no subgroups" },
];

/** Every portable tiling that fits a desktop GPU, with head dimensions and storage types. */
function portableShapes(pass: "forward" | "query" | "key-value") {
  return HEAD_DIMS.flatMap((headDim) =>
    tilingSpace(DESK.capabilities, { kernel: "portable", pass, headDim }).flatMap((tiling) =>
      DTYPES.map((dtype) => ({
        shape: { heads: 2, rows: ROWS, headDim, dtype },
        tiling,
        name: `${tilingName(tiling)} d=${headDim} ${dtype}`,
      }))
    )
  );
}

function densePortable(): CatalogEntry[] {
  return portableShapes("forward").flatMap(({ shape, tiling, name }) =>
    KERNELS_OF_SUBGROUPS.flatMap(({ capabilities, subgroups }): CatalogEntry[] => [
      {
        name: `dense forward portable ${name} ${subgroups}`,
        capabilities,
        run: async (gpu) => {
          const plan = planDenseAttention(gpu, { ...shape, kernel: "portable", tiling });
          const kernel = await createDenseAttention(gpu, plan);
          kernel.bind(await denseBuffers(gpu, shape.headDim));
        },
      },
      {
        name: `dense squared norms portable ${name} ${subgroups}`,
        capabilities,
        run: async (gpu) => {
          const options = { ...shape, dilation: DILATION, kernel: "portable", tiling } as const;
          const kernel = await createSquaredNorms(gpu, planSquaredNorms(gpu, options));
          const { lse: squaredNorms, ...buffers } = await denseBuffers(gpu, shape.headDim);
          kernel.bind({ ...buffers, squaredNorms });
        },
      },
      {
        name: `ring attention ${name} ${subgroups}`,
        capabilities,
        run: async (gpu) => {
          const ring = await createRingAttention(gpu, planRingAttention(gpu, { ...shape, tiling }));
          const run = { first: 0, end: ROWS };
          const buffers = await denseBuffers(gpu, shape.headDim);
          ring.bind(buffers, { queries: run, keys: run, fresh: true });
        },
      },
    ])
  );
}

/** Storage of Q, K and V, and of dO and the gradients. */
const GRADIENT_TYPES = [
  { dtype: "f16", gradientType: "f16", types: "f16" },
  { dtype: "f16", gradientType: "f32", types: "f16, gradients f32" },
  { dtype: "f32", gradientType: "f32", types: "f32" },
] as const;

function denseBackwardPortable(): CatalogEntry[] {
  return HEAD_DIMS.flatMap((headDim) =>
    GRADIENT_TYPES.flatMap(({ types, ...storage }) => {
      const shape = { heads: 2, rows: ROWS, headDim, ...storage };
      const passes = (["query", "key-value"] as const).flatMap((pass) =>
        tilingSpace(DESK.capabilities, { kernel: "portable", pass, headDim }).map((
          tiling,
        ): CatalogEntry => ({
          name: `dense backward portable ${pass} ${tilingName(tiling)} d=${headDim} ${types}`,
          run: async (gpu) => {
            const tilings = { query: tiling, keyValue: tiling };
            const plan = planDenseBackward(gpu, { ...shape, kernel: "portable", tilings });
            const { delta, query, keyValue } = plan.pipelines;
            const pipelines = pass === "query"
              ? { delta, query, keyValue: query }
              : { delta, query: keyValue, keyValue };
            await createDenseBackward(gpu, { ...plan, pipelines });
          },
        }))
      );
      const whole: CatalogEntry = {
        name: `dense backward portable d=${headDim} ${types}`,
        run: async (gpu) => {
          const plan = planDenseBackward(gpu, { ...shape, kernel: "portable" });
          (await createDenseBackward(gpu, plan)).bind(await denseBuffers(gpu, headDim));
        },
      };
      return [...passes, whole];
    })
  );
}

function denseNaiveEntries(): CatalogEntry[] {
  return HEAD_DIMS.flatMap((headDim) =>
    DTYPES.map((dtype): CatalogEntry => ({
      name: `dense naive d=${headDim} ${dtype}`,
      run: async (gpu) => {
        const tensor = await createTensor(gpu, { heads: 2, rows: ROWS, dim: headDim, dtype });
        const inputs = { q: tensor, k: tensor, v: tensor };
        const shape = { heads: 2, context: ROWS, headDim, dtype };
        await denseNaive.prepare(gpu, { shape }, { inputs });
      },
    }))
  );
}

function denseMatrix(): CatalogEntry[] {
  return MATRIX_HEAD_DIMS.flatMap((headDim) => {
    const shape = { heads: 2, rows: ROWS, headDim, dtype: "f16" } as const;
    const space = tilingSpace(MATRIX_UNITS, { kernel: "matrix", pass: "forward", headDim });
    const forward = space.flatMap((matrixTiling): CatalogEntry[] => [
      {
        name: `dense forward matrix ${tilingName(matrixTiling)} d=${headDim}`,
        capabilities: MATRIX_UNITS,
        run: async (gpu) => {
          const plan = planDenseAttention(gpu, { ...shape, matrixTiling });
          const kernel = await createDenseAttention(gpu, plan);
          const buffers = await denseBuffers(gpu, headDim);
          kernel.bind(buffers);
          // Another shader runs where keys and values share a buffer.
          kernel.bind({ ...buffers, v: buffers.k });
        },
      },
      ...[1, DILATION].map((dilation): CatalogEntry => ({
        name: `dense squared norms matrix ${tilingName(matrixTiling)} d=${headDim} δ=${dilation}`,
        capabilities: MATRIX_UNITS,
        run: async (gpu) => {
          const plan = planSquaredNorms(gpu, { ...shape, dilation, matrixTiling });
          const kernel = await createSquaredNorms(gpu, plan);
          const { lse: squaredNorms, ...buffers } = await denseBuffers(gpu, headDim);
          kernel.bind({ ...buffers, squaredNorms });
          kernel.bind({ ...buffers, v: buffers.k, squaredNorms });
        },
      })),
    ]);
    const { query: queries, "key-value": all } = MATRIX_BACKWARD_TILINGS;
    const keyValues = all.filter(({ blocks }) => blocks === 1 || headDim === 64);
    const backward = queries.flatMap((query) =>
      keyValues.flatMap((keyValue) =>
        (["f16", "f32"] as const).map((gradientType): CatalogEntry => ({
          name: `dense backward matrix ${tilingName(query)} and ${tilingName(keyValue)} ` +
            `d=${headDim} gradients ${gradientType}`,
          capabilities: MATRIX_UNITS,
          run: async (gpu) => {
            const matrixTilings = { query, keyValue };
            const plan = planDenseBackward(gpu, { ...shape, matrixTilings, gradientType });
            (await createDenseBackward(gpu, plan)).bind(await denseBuffers(gpu, headDim));
          },
        }))
      )
    );
    return [...forward, ...backward];
  });
}

/** Kernels of query heads that share keys. */
function denseGrouped(): CatalogEntry[] {
  const shapes = [[2, 1], [8, 2]].flatMap(([heads, kvHeads]) =>
    GRADIENT_TYPES.map(({ types, ...storage }) => ({
      shape: { heads, kvHeads, rows: ROWS, headDim: 64, ...storage },
      name: `${heads} heads on ${kvHeads} d=64 ${types}`,
    }))
  );
  const both = (kernel: "portable" | "matrix") =>
    shapes.filter(({ shape }) => kernel === "portable" || shape.dtype === "f16").map((
      { shape, name },
    ): CatalogEntry => ({
      name: `dense ${kernel} ${name}`,
      ...kernel === "matrix" && { capabilities: MATRIX_UNITS },
      run: async (gpu) => {
        const options = { ...shape, kernel };
        const buffers = await denseBuffers(gpu, shape.headDim);
        (await createDenseAttention(gpu, planDenseAttention(gpu, options))).bind(buffers);
        (await createDenseBackward(gpu, planDenseBackward(gpu, options))).bind(buffers);
      },
    }));
  const naive: CatalogEntry = {
    name: "dense naive 4 heads on 2 d=64 f32",
    run: async (gpu) => {
      const shape = { heads: 4, kvHeads: 2, context: ROWS, headDim: 64, dtype: "f32" } as const;
      const { q, k, v } = inputShapes(shape);
      const inputs = {
        q: await createTensor(gpu, q),
        k: await createTensor(gpu, k),
        v: await createTensor(gpu, v),
      };
      await denseNaive.prepare(gpu, { shape }, { inputs });
    },
  };
  return [...both("portable"), ...both("matrix"), naive];
}

/** What a dense layer compiles ahead of `prepare`. */
function denseCompiledAhead(): CatalogEntry {
  return {
    name: "compiled ahead, dense",
    run: (gpu) => {
      const size = { heads: 2, rows: 262, headDim: 64, dtype: "f16" } as const;
      return compileDense(gpu, size, "forward-backward");
    },
  };
}

/** Every kernel of dense attention. */
export const DENSE_CATALOG: readonly CatalogEntry[] = [
  ...densePortable(),
  ...denseBackwardPortable(),
  ...denseNaiveEntries(),
  ...denseMatrix(),
  ...denseGrouped(),
  denseCompiledAhead(),
];
