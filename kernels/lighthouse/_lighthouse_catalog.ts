/**
 * The catalog entries of Lighthouse layers: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { dilatedScorer } from "./scorers/dilated/dilated_scorer.ts";
import { type LighthouseGeometry, planGeometry } from "./lighthouse_geometry.ts";
import { createGatherGradient, planGatherGradient } from "./passes/gather_gradient.ts";
import { createGlaScores, type GlaScoresOptions, planGlaScores } from "./scorers/gla/gla_scores.ts";
import { createMergedScatter, planMergedScatter } from "./passes/merged_scatter.ts";
import { createScatter, planScatter } from "./passes/scatter.ts";
import { bufferOf, buffersOf, type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { fillGates, requireGates } from "./scorers/gla/gla_gates.ts";
import { createTensor, type DType } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createGather, planGather } from "./passes/gather.ts";
import { randomScorer } from "./scorers/random/random_scorer.ts";
import {
  createMergedGather,
  createMergedPyramid,
  planMergedGather,
  planMergedPyramid,
} from "./passes/merged_passes.ts";
import { createSelection, planSelection } from "./passes/select.ts";
import { createScoreMaxima, planScoreMaxima } from "./passes/score_maxima.ts";
import { createPyramid, planPyramid } from "./passes/pyramid.ts";

/** Sizes of layers. */
export const LAYERS = [
  { context: 2048, levels: 3, pooling: 4, k: 128 },
  { context: 262, levels: 2, pooling: 2, k: 128 },
  { context: 2048, levels: 5, pooling: 2, k: 128 },
  { context: 8192, levels: 3, pooling: 8, k: 128 },
  { context: 8192, levels: 4, pooling: 4, k: 128 },
  { context: 2064, levels: 2, pooling: 16, k: 128 },
  // Windows long enough for several lanes to share one.
  { context: 32768, levels: 2, pooling: 256, k: 128 },
];

/** Divisions of the passes of a layer among threads: the default, and others. */
const CUTS = [
  { name: "", tuning: {} },
  { name: " 64 threads", tuning: { threads: 64, rowsPerThread: 2, rowsInFlight: 4 } },
  { name: " 32 rows", tuning: { threads: 512, rowsPerThread: 16, rowsInFlight: 32 } },
];

/** The passes over Q, K and V in one dispatch. */
function mergedPasses(
  geometry: LighthouseGeometry,
  size: { heads: number; headDim: number; dtype: DType },
  name: string,
): CatalogEntry[] {
  return [
    ...[true, false].map((scored): CatalogEntry => ({
      name: `pyramid merged ${scored ? "scored" : "plain"} ${name}`,
      run: async (gpu) => {
        const plan = planMergedPyramid(geometry, { ...size, scored });
        (await createMergedPyramid(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
      },
    })),
    {
      name: `gather merged ${name}`,
      run: async (gpu) => {
        const plan = planMergedGather(geometry, size);
        (await createMergedGather(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
      },
    },
    {
      name: `scatter gradient merged ${name}`,
      run: async (gpu) => {
        const plan = planMergedScatter(geometry, size);
        (await createMergedScatter(gpu, plan)).bind(await buffersOf(gpu, plan.bytes));
      },
    },
  ];
}

const SELECTIONS = [
  { name: "", options: {} },
  { name: " cached", options: { cached: true } },
  { name: " cached, 4 workgroups a tile", options: { cached: true, parts: 4 } },
  {
    name: " cached, 4 workgroups a tile, gathers",
    options: { cached: true, parts: 4, gathers: { headDim: 64, dtype: "f16" } },
  },
] as const;

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
            ...cut === "" && dtype === "f16" ? mergedPasses(geometry, size, name) : [],
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
      ...SELECTIONS.map(({ name, options }): CatalogEntry => ({
        name: `select ${where}${name}`,
        run: async (gpu) => {
          const plan = planSelection(geometry, 2, options);
          const gather = planMergedGather(geometry, { heads: 2, headDim: 64, dtype: "f16" });
          (await createSelection(gpu, plan)).bind(
            await buffersOf(gpu, {
              queryScores: plan.scoreBytes,
              keyScores: plan.scoreBytes,
              indices: plan.indexBytes,
              slots: plan.slotBytes,
              ...plan.gathers && gather.bytes,
            }),
          );
        },
      })),
    ];
  });
}

/** Chunks of the gla scorer, by head dimension, chunk rows and bytes of workgroup memory. */
const GLA = [32, 64, 128].flatMap((headDim) =>
  [64, 128].flatMap((chunkRows) =>
    [16384, 32768, 49152].map((maxWorkgroupBytes) => ({ headDim, chunkRows, maxWorkgroupBytes }))
  )
).filter(({ headDim, chunkRows, maxWorkgroupBytes }) =>
  chunkRows === 64 || headDim > 32 && (headDim < 128 || maxWorkgroupBytes > 16384)
);

function glaScorerEntries(): CatalogEntry[] {
  const geometry = planGeometry(262, { levels: 2, pooling: 2, k: 128 });
  const entryOf = (name: string, options: Omit<GlaScoresOptions, "heads" | "dilation">) => ({
    name: `gla scores d=${options.headDim} ${options.dtype} ${name}`,
    run: async (gpu: Gpu) => {
      const plan = planGlaScores(geometry, { ...options, heads: 2, dilation: 2 });
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
  });
  const scores = [
    ...GLA.flatMap((options) =>
      DTYPES.map((dtype) =>
        entryOf(`C=${options.chunkRows} ${options.maxWorkgroupBytes} bytes`, { ...options, dtype })
      )
    ),
    ...[64, 128].map((headDim) =>
      entryOf("on matrix units", { headDim, dtype: "f16", kernel: "matrix" })
    ),
  ];
  const gates = { heads: 2, rows: 300, dim: 1, dtype: "f32" } as const;
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

function dilatedScorerEntry(): CatalogEntry {
  return {
    name: "compiled ahead, dilated scorer",
    run: async (gpu) => {
      const shape = { heads: 2, context: 262, headDim: 64, dtype: "f16" } as const;
      const options = { levels: 2, pooling: 2, k: 128, dilation: 2 };
      const geometry = planGeometry(shape.context, options);
      const problem = { shape, options, geometry, headsPerBlock: 2 };
      await dilatedScorer.pass!.compile!(gpu, problem);
    },
  };
}

/** Every pass and scorer of a Lighthouse layer. */
export const LIGHTHOUSE_CATALOG: readonly CatalogEntry[] = [
  ...lighthousePasses(),
  ...glaScorerEntries(),
  randomScorerEntry(),
  dilatedScorerEntry(),
];
