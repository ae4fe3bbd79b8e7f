/**
 * The kernels of a training step, compiled: each once, however many layers bind it.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { compileLayerAttention } from "../attention/layer_attention.ts";
import type { AttentionPlan, CompiledAttention } from "../attention/types.ts";
import { createCrossEntropy, planCrossEntropy } from "../cross_entropy/cross_entropy.ts";
import { createEmbedding, planEmbedding } from "../embedding/embedding.ts";
import { createEmbeddingBackward, planEmbeddingBackward } from "../embedding/embedding_backward.ts";
import { createProduct, type Product } from "../matrix_product/matrix_product.ts";
import { createAdamw, planAdamw } from "../optimizer/adamw.ts";
import { createFinishGradients, planFinishGradients } from "../optimizer/finish_gradients.ts";
import {
  createSquareGradients,
  gradientBlocks,
  planSquareGradients,
} from "../optimizer/square_gradients.ts";
import { createSumLosses, planSumLosses } from "../optimizer/sum_losses.ts";
import { createRmsNorm, planRmsNorm } from "../rms_norm/rms_norm.ts";
import { createRmsNormBackward, planRmsNormBackward } from "../rms_norm/rms_norm_backward.ts";
import { createRopeBackward, planRopeBackward } from "../rope/rope.ts";
import { createSwigluBackward, planSwigluBackward } from "../swiglu/swiglu_backward.ts";
import type { TrainingPlan } from "./model_plan.ts";
import { type HeadProducts, type LayerProducts, qkvLayout } from "./model_products.ts";
import { parameterSize } from "./parameters.ts";

/** Products of a record of plans. */
type Compiled<Plans> = { readonly [Name in keyof Plans]: Product };

/** The products of the head over a chunk of rows, compiled. */
export type CompiledHead = Compiled<HeadProducts>;

/** Everything that a step runs, but for what samples its batch. */
export type StepKernels = Awaited<ReturnType<typeof compileStep>>;

/** Compiles all kernels of a step. */
export async function compileStep(gpu: Gpu, plan: TrainingPlan) {
  const { model, products, parameters } = plan;
  const { rows, width, ffn, vocabulary, dtype, normEpsilon: epsilon, optimizer } = model;
  const { own: keep, destroy } = collectOwned();
  const own = async <T extends { destroy: () => void }>(made: Promise<T>): Promise<T> =>
    keep(await made);
  const compileAll = async <Plans extends LayerProducts | HeadProducts>(plans: Plans) =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(plans).map(async ([name, one]) =>
          [name, await own(createProduct(gpu, one))] as const
        ),
      ),
    ) as unknown as Compiled<Plans>;
  try {
    const norm = { rows, columns: width, dtype, epsilon };
    const attention = new Map<AttentionPlan, CompiledAttention>();
    for (const one of new Set(plan.attention)) {
      attention.set(one, await own(compileLayerAttention(gpu, one)));
    }
    const head = new Map<number, CompiledHead>();
    for (const [size, plans] of products.head) head.set(size, await compileAll(plans));
    const losses = [];
    for (const chunk of products.chunks) {
      const { firstRow, rows } = chunk;
      const size = { firstRow, rows, vocabulary, dtype };
      losses.push(await own(createCrossEntropy(gpu, planCrossEntropy(size))));
    }
    const squares = [];
    const updates = [];
    let first = 0;
    for (const parameter of parameters) {
      const size = parameterSize(parameter);
      squares.push(await own(createSquareGradients(gpu, planSquareGradients({ size, first }))));
      const copy = parameter.multiplied && dtype === "f16";
      updates.push(await own(createAdamw(gpu, planAdamw({ size, copy, optimizer }))));
      first += gradientBlocks(size);
    }
    const table = { rows, vocabulary, columns: width };
    return {
      layer: await compileAll(products.layer),
      head,
      attention,
      losses,
      squares,
      updates,
      norm: await own(createRmsNorm(gpu, planRmsNorm(norm))),
      normBackward: await own(createRmsNormBackward(gpu, planRmsNormBackward(norm))),
      lastNormBackward: await own(
        createRmsNormBackward(gpu, planRmsNormBackward({ ...norm, adds: false })),
      ),
      rope: await own(
        createRopeBackward(gpu, planRopeBackward({ layout: qkvLayout(model), dtype })),
      ),
      swiglu: await own(
        createSwigluBackward(gpu, planSwigluBackward({ rows, width: ffn, dtype })),
      ),
      embedding: await own(createEmbedding(gpu, planEmbedding(table))),
      embeddingBackward: await own(createEmbeddingBackward(gpu, planEmbeddingBackward(table))),
      sumLosses: await own(createSumLosses(gpu, planSumLosses({ rows }))),
      finish: await own(
        createFinishGradients(
          gpu,
          planFinishGradients({ count: first, tokens: plan.tokens, optimizer }),
        ),
      ),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
