/**
 * The catalog of kernels of training: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { MATRIX_UNITS } from "../dense_attention/matrix/_matrix_gpu.ts";
import { bufferOf, buffersOf, type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { DESK } from "../gpu/_desk_device.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Pass } from "../lighthouse/passes/pass.ts";
import { createCrossEntropy, planCrossEntropy } from "./cross_entropy/cross_entropy.ts";
import { createEmbedding, planEmbedding } from "./embedding/embedding.ts";
import { createEmbeddingBackward, planEmbeddingBackward } from "./embedding/embedding_backward.ts";
import { createProduct, planProduct } from "./matrix_product/matrix_product.ts";
import {
  DECLARED_MATRIX_TILINGS,
  MATRIX_PRODUCT_TILINGS,
  PORTABLE_PRODUCT_TILINGS,
  productTilingName,
} from "./matrix_product/product_tilings.ts";
import type { HeadLayout, ProductOptions, ProductResult } from "./matrix_product/types.ts";
import { createAdamw, planAdamw } from "./optimizer/adamw.ts";
import { createFinishGradients, planFinishGradients } from "./optimizer/finish_gradients.ts";
import { fillOptimizer } from "./optimizer/optimizer_options.ts";
import { createSquareGradients, planSquareGradients } from "./optimizer/square_gradients.ts";
import { createSumLosses, planSumLosses } from "./optimizer/sum_losses.ts";
import { createRmsNorm, planRmsNorm } from "./rms_norm/rms_norm.ts";
import { createRmsNormBackward, planRmsNormBackward } from "./rms_norm/rms_norm_backward.ts";
import { createRopeBackward, planRopeBackward } from "./rope/rope.ts";
import { createSampleBatch, planSampleBatch } from "./sampler/sample_batch.ts";
import { createDrawStream, planDrawStream } from "./stream/draw_stream.ts";
import { createSwigluBackward, planSwigluBackward } from "./swiglu/swiglu_backward.ts";
import { createInitWeights, planInitWeights } from "./weights/init_weights.ts";
import { createRoundWeights, planRoundWeights } from "./weights/round_weights.ts";
import { createTransposeWeights, planTransposeWeights } from "./weights/transpose_weights.ts";

/** The products of a layer, by what they are: tokens by heads where attention is beside them. */
function layerProducts(sequences: number): [string, Omit<ProductOptions, "dtype">][] {
  const context = 160 / sequences;
  const heads: HeadLayout = { parts: 1, sequences, heads: 2, context, headDim: 32 };
  const parts = { ...heads, parts: 3 };
  const accumulate: ProductResult = { kind: "accumulate" };
  const size = { rows: 160, columns: 64, depth: 64 };
  const whole = { rows: 256, columns: 128, depth: 64 };
  const weights = { form: "TN", rows: 64, columns: 64, depth: 160, result: accumulate } as const;
  const where = sequences === 1 ? "" : `, ${sequences} sequences`;
  return [
    // Forward, with weights transposed and not.
    ...(["NT", "NN"] as const).flatMap((form): [string, Omit<ProductOptions, "dtype">][] => [
      [`${form} rope${where}`, {
        form,
        ...size,
        columns: 192,
        result: { kind: "rope", heads: parts },
      }],
      [`${form} residual by heads${where}`, {
        form,
        ...size,
        leftHeads: heads,
        result: { kind: "residual" },
      }],
      ...(sequences > 1 ? [] : [
        [`${form} residual`, { form, ...size, result: { kind: "residual" } }],
        [`${form} swiglu`, { form, ...size, result: { kind: "swiglu" } }],
      ] as [string, Omit<ProductOptions, "dtype">][]),
    ]),
    [`NN store by heads${where}`, {
      form: "NN",
      ...size,
      result: { kind: "store", dtype: "f16", heads },
    }],
    [`NN by heads${where}`, {
      form: "NN",
      ...size,
      depth: 192,
      leftHeads: parts,
      result: { kind: "store", dtype: "f32" },
    }],
    [`TN accumulate left by heads${where}`, { ...weights, rows: 192, leftHeads: parts }],
    [`TN accumulate right by heads${where}`, { ...weights, rightHeads: heads }],
    ...(sequences > 1 ? [] : [
      ["NT store", { form: "NT", ...size, result: { kind: "store", dtype: "f32" } }],
      ["NN store", { form: "NN", ...size, result: { kind: "store", dtype: "f16" } }],
      ["TN accumulate", weights],
      ["TN accumulate one slice", { ...weights, slices: 1 }],
      // Sizes of whole tiles, where loads may have no bounds.
      ["NT store whole", { form: "NT", ...whole, result: { kind: "store", dtype: "f16" } }],
      ["NN store whole", { form: "NN", ...whole, result: { kind: "store", dtype: "f32" } }],
      ["TN accumulate whole", { form: "TN", ...whole, result: accumulate }],
    ] as [string, Omit<ProductOptions, "dtype">][]),
  ];
}

function products(): CatalogEntry[] {
  return [1, 2].flatMap(layerProducts).flatMap(([name, product]): CatalogEntry[] => {
    const entry = (
      options: ProductOptions,
      capabilities?: CatalogEntry["capabilities"],
    ): CatalogEntry => {
      const tiling = (options.tiling ?? options.matrixTiling)!;
      const [form, ...rest] = name.split(" ");
      return {
        name: `product ${form} ${options.dtype} ${rest.join(" ")} ${productTilingName(tiling)}`,
        capabilities,
        run: async (gpu) => {
          const plan = planProduct({ ...DESK, capabilities: gpu.capabilities }, options);
          const made = await createProduct(gpu, plan);
          const { left, right, result, ...rest } = plan.bufferBytes;
          made.bind({
            ...await buffersOf(gpu, { left, right, result }),
            ...await buffersOf(gpu, rest),
          });
        },
      };
    };
    const plain = name.indexOf("sequences") < 0;
    return [
      ...DTYPES.flatMap((dtype) =>
        PORTABLE_PRODUCT_TILINGS.slice(plain ? 0 : -1).map((tiling) =>
          entry({ slices: sliced(product), ...product, dtype, tiling })
        )
      ),
      ...(plain ? DECLARED_MATRIX_TILINGS : MATRIX_PRODUCT_TILINGS.slice(-1)).map((matrixTiling) =>
        entry(
          { slices: sliced(product), ...product, dtype: "f16", matrixTiling },
          MATRIX_UNITS,
        )
      ),
    ];
  });
}

/** Two slices of what is accumulated, where nothing else is said. */
function sliced({ result }: Omit<ProductOptions, "dtype">): number | undefined {
  return result.kind === "accumulate" ? 2 : undefined;
}

/** An entry of a pass: created, and bound to buffers of the sizes that it names. */
function passEntry<Plan extends { readonly bytes: object }, Buffers>(
  name: string,
  plan: Plan,
  create: (gpu: Gpu, plan: Plan) => Promise<Pass<Buffers>>,
): CatalogEntry {
  return {
    name,
    run: async (gpu) => {
      const sizes = plan.bytes as Readonly<Record<string, number>>;
      (await create(gpu, plan)).bind(await buffersOf(gpu, sizes) as Buffers);
    },
  };
}

function norms(): CatalogEntry[] {
  return [64, 1024].flatMap((columns) =>
    DTYPES.flatMap((dtype): CatalogEntry[] => {
      const size = { rows: 70, columns, dtype };
      return [
        passEntry(`rms norm ${columns} ${dtype}`, planRmsNorm(size), createRmsNorm),
        ...[true, false].map((adds): CatalogEntry => ({
          name: `rms norm backward ${columns} ${dtype}${adds ? "" : " first"}`,
          run: async (gpu) => {
            // As a step binds them: only the last norm, whose gradient is the first, makes no y
            // again.
            const plan = planRmsNormBackward({ ...size, adds, remakes: adds });
            const made = await createRmsNormBackward(gpu, plan);
            const gainGradient = await bufferOf(gpu, columns * 4);
            made.bind({ ...await buffersOf(gpu, plan.rows.bytes), gainGradient });
          },
        })),
      ];
    })
  );
}

function elementwise(): CatalogEntry[] {
  return DTYPES.flatMap((dtype): CatalogEntry[] => [
    ...[32, 128].map((headDim) => {
      const layout = { parts: 3, sequences: 1, heads: 2, context: 70, headDim };
      return passEntry(
        `rope backward d=${headDim} ${dtype}`,
        planRopeBackward({ layout, dtype }),
        createRopeBackward,
      );
    }),
    passEntry(
      `swiglu backward ${dtype}`,
      planSwigluBackward({ rows: 70, width: 96, dtype }),
      createSwigluBackward,
    ),
    ...[256, 128256].map((vocabulary) =>
      passEntry(
        `cross-entropy V=${vocabulary} ${dtype}`,
        planCrossEntropy({ rows: 70, vocabulary, dtype }),
        createCrossEntropy,
      )
    ),
  ]);
}

function embeddings(): CatalogEntry[] {
  return [256, 128256].flatMap((vocabulary): CatalogEntry[] => {
    const size = { rows: 70, vocabulary, columns: 64 };
    return [
      passEntry(`embedding V=${vocabulary}`, planEmbedding(size), createEmbedding),
      {
        name: `embedding backward V=${vocabulary}`,
        run: async (gpu) => {
          const plan = planEmbeddingBackward(size);
          const made = await createEmbeddingBackward(gpu, plan);
          const { gradient, table, ...scratch } = {
            ...plan.sum.bytes,
            ...plan.scratch,
            tokens: size.rows * 4,
          };
          made.bind({
            ...await buffersOf(gpu, { gradient, ...scratch }),
            tableGradient: await bufferOf(gpu, table),
          });
        },
      },
    ];
  });
}

function optimizers(): CatalogEntry[] {
  const optimizer = fillOptimizer({}, { dtype: "f16" });
  const size = 96;
  return [
    passEntry("sum losses", planSumLosses({ rows: 70 }), createSumLosses),
    passEntry("square gradients", planSquareGradients({ size, first: 2 }), createSquareGradients),
    passEntry(
      "finish gradients",
      planFinishGradients({ count: 3, tokens: 70, optimizer }),
      createFinishGradients,
    ),
    ...[true, false].map((copy) =>
      passEntry(
        copy ? "adamw with a copy" : "adamw",
        planAdamw({ size, copy, optimizer }),
        createAdamw,
      )
    ),
    passEntry(
      "sample batch",
      planSampleBatch({ corpusBytes: 1000, sequences: 2, context: 35 }),
      createSampleBatch,
    ),
    passEntry(
      "draw stream",
      planDrawStream({ digitShare: 0.5 }, { sequences: 2, context: 70 }),
      createDrawStream,
    ),
    passEntry(
      "init weights",
      planInitWeights({ rows: 3, columns: 32, deviation: [0.02, 0.01], seed: 1 }),
      createInitWeights,
    ),
    passEntry("round weights", planRoundWeights({ size }), createRoundWeights),
    passEntry(
      "transpose weights",
      planTransposeWeights({ rows: 72, columns: 20 }),
      createTransposeWeights,
    ),
  ];
}

/** Every kernel, with every tiling and storage type that decides its shader. */
export const TRAINING_CATALOG: readonly CatalogEntry[] = [
  ...products(),
  ...norms(),
  ...elementwise(),
  ...embeddings(),
  ...optimizers(),
];
