/**
 * Every kernel over a declared set of options, each as a function that creates and binds it: what
 * tests of shaders and of their uniforms go over.
 *
 * @module
 */
import { createDenseAttention, planDenseAttention } from "./dense_attention/dense_attention.ts";
import { HEAD_DIMS } from "./dense_attention/types.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "./dense_attention/dense_attention_backward.ts";
import { compileDense } from "./dense_attention/dense_layer.ts";
import { createSquaredNorms, planSquaredNorms } from "./dense_attention/dense_squared_norms.ts";
import { MATRIX_BACKWARD_TILINGS, MATRIX_TILINGS, tilingName } from "./dense_attention/tilings.ts";
import { MATRIX_HEAD_DIMS } from "./dense_attention/matrix/dense_matrix.ts";
import { denseNaive } from "./dense_attention/naive/dense_attention_naive.ts";
import { createRingAttention, planRingAttention } from "./dense_attention/ring/ring_attention.ts";
import { tilingSpace } from "./dense_attention/tuning.ts";
import { DESK } from "./gpu/_desk_device.ts";
import { openRecordingDevice, type RecordedShader } from "./gpu/_recording_device.ts";
import {
  type BufferSlice,
  createStorageBuffer,
  createTensor,
  slice,
  type TensorShape,
} from "./gpu/buffers.ts";
import type { Capabilities, Gpu } from "./gpu/device.ts";
import { inspectTensor } from "./gpu/inspect.ts";
import { perturbTensor } from "./gpu/noise.ts";
import { fillSeeded } from "./gpu/random.ts";
import { flushesHalves } from "./gpu/subnormals.ts";
import { planGeometry } from "./lighthouse/lighthouse_geometry.ts";
import { createGather, planGather } from "./lighthouse/passes/gather.ts";
import { createGatherGradient, planGatherGradient } from "./lighthouse/passes/gather_gradient.ts";
import { createPyramid, planPyramid } from "./lighthouse/passes/pyramid.ts";
import { createScatter, planScatter } from "./lighthouse/passes/scatter.ts";
import { createScoreMaxima, planScoreMaxima } from "./lighthouse/passes/score_maxima.ts";
import { createSelection, planSelection } from "./lighthouse/passes/select.ts";
import { fillGates, requireGates } from "./lighthouse/scorers/gla/gla_gates.ts";
import { createGlaScores, planGlaScores } from "./lighthouse/scorers/gla/gla_scores.ts";
import { dilatedScorer } from "./lighthouse/scorers/dilated/dilated_scorer.ts";
import { createLastRow, planLastRow } from "./retrieval/last_row.ts";
import { scaleTensor } from "./retrieval/scale_tensor.ts";
import { randomScorer } from "./lighthouse/scorers/random/random_scorer.ts";

/** A kernel with one choice of its options. */
export interface CatalogEntry {
  /** Unique in the catalog. */
  readonly name: string;
  /** What the device has beyond a plain desktop GPU. */
  readonly capabilities?: Partial<Capabilities>;
  /** Creates and binds the kernel. */
  readonly run: (gpu: Gpu) => Promise<unknown>;
}

/** Runs an entry on a recording device of its own and returns the shaders that it compiled. */
export async function recordEntry(entry: CatalogEntry): Promise<RecordedShader[]> {
  const { gpu, shaders } = openRecordingDevice({ capabilities: entry.capabilities });
  await entry.run(gpu);
  return shaders;
}

const DTYPES = ["f16", "f32"] as const;
const ROWS = 300;
/** δ of the kernels that read residue classes in place. */
const DILATION = 4;

const MATRIX_UNITS: Partial<Capabilities> = {
  subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  subgroupsDirective: "enable subgroups;",
};

async function bufferOf(gpu: Gpu, bytes: number): Promise<BufferSlice> {
  return slice(await createStorageBuffer(gpu, bytes));
}

/** Buffers by name, each of its own. */
async function buffersOf<Name extends string>(
  gpu: Gpu,
  sizes: { readonly [_ in Name]?: number },
): Promise<Record<Name, BufferSlice>> {
  const made: Partial<Record<Name, BufferSlice>> = {};
  for (const name in sizes) made[name] = await bufferOf(gpu, sizes[name]!);
  return made as Record<Name, BufferSlice>;
}

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
    const forward = MATRIX_TILINGS.flatMap((matrixTiling): CatalogEntry[] => [
      {
        name: `dense forward matrix ${tilingName(matrixTiling)} d=${headDim}`,
        capabilities: MATRIX_UNITS,
        run: async (gpu) => {
          const plan = planDenseAttention(gpu, { ...shape, matrixTiling });
          const kernel = await createDenseAttention(gpu, plan);
          const buffers = await denseBuffers(gpu, headDim);
          kernel.bind(buffers);
          // Where keys are values, another shader runs.
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
    const { query: queries, "key-value": keyValues } = MATRIX_BACKWARD_TILINGS;
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

const LAYERS = [
  { context: 2048, levels: 3, pooling: 4, k: 128 },
  { context: 262, levels: 2, pooling: 2, k: 128 },
  { context: 2048, levels: 5, pooling: 2, k: 128 },
  { context: 8192, levels: 3, pooling: 8, k: 128 },
  { context: 8192, levels: 4, pooling: 4, k: 128 },
  { context: 2064, levels: 2, pooling: 16, k: 128 },
  // Windows long enough to be shared by lanes.
  { context: 32768, levels: 2, pooling: 256, k: 128 },
];

/** How the passes of a layer are cut into threads: by themselves, and otherwise. */
const CUTS = [
  { name: "", tuning: {} },
  { name: " 64 threads", tuning: { threads: 64, rowsPerThread: 2, rowsInFlight: 4 } },
  { name: " 32 rows", tuning: { threads: 512, rowsPerThread: 16, rowsInFlight: 32 } },
];

function lighthousePasses(): CatalogEntry[] {
  return LAYERS.flatMap((layer): CatalogEntry[] => {
    const geometry = planGeometry(layer.context, layer);
    const where = `N=${layer.context} L=${layer.levels} p=${layer.pooling}`;
    const rows = [32, 128].flatMap((headDim) =>
      DTYPES.flatMap((dtype) =>
        CUTS.flatMap(({ name: cut, tuning }): CatalogEntry[] => {
          const size = { heads: 2, headDim, dtype, ...tuning };
          const name = `${where} d=${headDim} ${dtype}${cut}`;
          return [
            ...[true, false].map((scored): CatalogEntry => ({
              name: `pyramid ${scored ? "scored" : "plain"} ${name}`,
              run: async (gpu) => {
                const plan = planPyramid(geometry, { ...size, scored });
                (await createPyramid(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
              },
            })),
            {
              name: `gather ${name}`,
              run: async (gpu) => {
                const plan = planGather(geometry, size);
                (await createGather(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
              },
            },
            {
              name: `gather gradient ${name}`,
              run: async (gpu) => {
                const plan = planGatherGradient(geometry, size);
                (await createGatherGradient(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
              },
            },
            ...[false, true].map((gradient): CatalogEntry => ({
              name: `scatter ${gradient ? "gradient" : "forward"} ${name}`,
              run: async (gpu) => {
                const plan = planScatter(geometry, { ...size, gradient });
                (await createScatter(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
              },
            })),
          ];
        })
      )
    );
    return [
      ...rows,
      {
        name: `score maxima ${where}`,
        run: async (gpu) => {
          const plan = planScoreMaxima(geometry, 2);
          (await createScoreMaxima(gpu, plan)).bind(await bufferOf(gpu, plan.scoreBytes));
        },
      },
      {
        name: `select ${where}`,
        run: async (gpu) => {
          const plan = planSelection(geometry, 2);
          (await createSelection(gpu, plan)).bind(
            await buffersOf(gpu, {
              queryScores: plan.scoreBytes,
              keyScores: plan.scoreBytes,
              indices: plan.indexBytes,
              slots: plan.slotBytes,
            }),
          );
        },
      },
      ...[undefined, geometry].flatMap((gathered) =>
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
      ),
    ];
  });
}

/** Chunks of the gla scorer: by head dimension, rows of a chunk and bytes of workgroup memory. */
const GLA = [32, 64, 128].flatMap((headDim) =>
  [64, 128].flatMap((chunkRows) =>
    [16384, 32768, 49152].map((maxWorkgroupBytes) => ({ headDim, chunkRows, maxWorkgroupBytes }))
  )
).filter(({ headDim, chunkRows, maxWorkgroupBytes }) =>
  chunkRows === 64 || headDim > 32 && (headDim < 128 || maxWorkgroupBytes > 16384)
);

function glaScorerEntries(): CatalogEntry[] {
  const geometry = planGeometry(262, { levels: 2, pooling: 2, k: 128 });
  const scores = GLA.flatMap((options) =>
    DTYPES.map((dtype): CatalogEntry => ({
      name: `gla scores d=${options.headDim} ${dtype} C=${options.chunkRows} ` +
        `${options.maxWorkgroupBytes} bytes`,
      run: async (gpu) => {
        const plan = planGlaScores(geometry, { ...options, heads: 2, dtype, dilation: 2 });
        const { rowBytes, scoreBytes, gateBytes, scratch } = plan;
        (await createGlaScores(gpu, plan)).bind(
          await buffersOf(gpu, {
            q: rowBytes,
            k: rowBytes,
            v: rowBytes,
            gates: gateBytes,
            queryScores: scoreBytes,
            keyScores: scoreBytes,
            ...scratch,
          }),
        );
      },
    }))
  );
  const gates = { heads: 2, rows: ROWS, dim: 1, dtype: "f32" } as const;
  return [
    ...scores,
    {
      name: "gla gates",
      run: async (gpu) => {
        const tensor = await createTensor(gpu, gates);
        await fillGates(gpu, tensor, 7);
        await requireGates(gpu, tensor.blocks.map(({ data }) => data));
      },
    },
  ];
}

function randomScorerEntry(): CatalogEntry {
  return {
    name: "random scorer",
    run: async (gpu) => {
      const shape = { heads: 2, context: 262, headDim: 32, dtype: "f32" } as const;
      const options = { levels: 2, pooling: 2, k: 128 };
      const geometry = planGeometry(shape.context, options);
      const problem = { shape, options, geometry, headsPerBlock: 2 };
      const scorer = await randomScorer.pass!.create(gpu, problem, { heads: 2 });
      const rows = 2 * shape.context * shape.headDim * 4;
      const scores = 2 * geometry.entries * 4;
      const sizes = { q: rows, k: rows, v: rows, queryScores: scores, keyScores: scores };
      scorer.bind({ firstHead: 0, ...await buffersOf(gpu, sizes) });
    },
  };
}

/** What layers compile ahead of their preparation. */
function compiledAhead(): CatalogEntry[] {
  const shape = { heads: 2, context: 262, headDim: 64, dtype: "f16" } as const;
  const options = { levels: 2, pooling: 2, k: 128, dilation: 2 };
  const geometry = planGeometry(shape.context, options);
  return [
    {
      name: "compiled ahead, dense",
      run: (gpu) => compileDense(gpu, { ...shape, rows: shape.context }, "forward-backward"),
    },
    {
      name: "compiled ahead, dilated scorer",
      run: async (gpu) => {
        const problem = { shape, options, geometry, headsPerBlock: 2 };
        await dilatedScorer.pass!.compile!(gpu, problem);
      },
    },
  ];
}

function tensorKernels(): CatalogEntry[] {
  const shape: TensorShape = { heads: 2, rows: ROWS, dim: 64, dtype: "f16" };
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

/** Every kernel, with every tiling, storage type and head dimension that decides its shader. */
export const KERNEL_CATALOG: readonly CatalogEntry[] = [
  ...densePortable(),
  ...denseBackwardPortable(),
  ...denseNaiveEntries(),
  ...denseMatrix(),
  ...lighthousePasses(),
  ...glaScorerEntries(),
  randomScorerEntry(),
  ...compiledAhead(),
  ...tensorKernels(),
];
