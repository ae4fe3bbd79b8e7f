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
import { createTransposeWeights, planTransposeWeights } from "../weights/transpose_weights.ts";
import { type TrainingPlan, transposedWeights } from "./model_plan.ts";
import { type HeadProducts, type LayerProducts, qkvLayout } from "./model_products.ts";
import { parameterSize } from "./parameters.ts";

/** Products of a record of plans. */
type Compiled<Plans> = { readonly [Name in keyof Plans]: Product };

/** The products of the head over a chunk of rows, compiled. */
export type CompiledHead = Compiled<HeadProducts>;

/** Everything that a step runs, but for what samples its batch. */
export type StepKernels = Awaited<ReturnType<typeof compileStep>>;

/** Values of a record of promises. */
async function resolveAll<Record extends object>(
  record: Record,
): Promise<{ -readonly [Name in keyof Record]: Awaited<Record[Name]> }> {
  const entries = Object.entries(record).map(async ([name, one]) => [name, await one] as const);
  return Object.fromEntries(await Promise.all(entries)) as never;
}

/** Compiles all kernels of a step, at once: a driver takes seconds for the large ones. */
export async function compileStep(gpu: Gpu, plan: TrainingPlan) {
  const { model, products, parameters } = plan;
  const { rows, width, ffn, vocabulary, dtype, normEpsilon: epsilon, optimizer } = model;
  const { own: keep, destroy } = collectOwned();
  const started: Promise<unknown>[] = [];
  const own = <T extends { destroy: () => void }>(made: Promise<T>): Promise<T> => {
    const kept = made.then(keep);
    started.push(kept);
    return kept;
  };
  const compileAll = <Plans extends LayerProducts | HeadProducts>(plans: Plans) =>
    resolveAll(
      Object.fromEntries(
        Object.entries(plans).map(([name, one]) => [name, own(createProduct(gpu, one))]),
      ),
    ) as unknown as Promise<Compiled<Plans>>;
  const compileMap = async <Key, Plan, Made>(
    plans: Iterable<readonly [Key, Plan]>,
    compile: (plan: Plan) => Promise<Made>,
  ) =>
    new Map(
      await Promise.all([...plans].map(async ([key, one]) => [key, await compile(one)] as const)),
    );
  try {
    const norm = { rows, columns: width, dtype, epsilon };
    const sizes = parameters.map((parameter) => ({
      size: parameterSize(parameter),
      copy: parameter.multiplied && dtype === "f16",
    }));
    let first = 0;
    const squares = sizes.map(({ size }) => {
      const made = own(createSquareGradients(gpu, planSquareGradients({ size, first })));
      first += gradientBlocks(size);
      return made;
    });
    const table = { rows, vocabulary, columns: width };
    const attention = [...new Set(plan.attention)].map((one) => [one, one] as const);
    return {
      ...await resolveAll({
        layer: compileAll(products.layer),
        head: compileMap(products.head, compileAll) as Promise<Map<number, CompiledHead>>,
        attention: compileMap<AttentionPlan, AttentionPlan, CompiledAttention>(
          attention,
          (one) => own(compileLayerAttention(gpu, one)),
        ),
        losses: Promise.all(
          products.chunks.map(({ firstRow, rows }) =>
            own(createCrossEntropy(gpu, planCrossEntropy({ firstRow, rows, vocabulary, dtype })))
          ),
        ),
        squares: Promise.all(squares),
        updates: Promise.all(
          sizes.map((size) => own(createAdamw(gpu, planAdamw({ ...size, optimizer })))),
        ),
        transposes: compileMap(
          transposedWeights(model, products).map(({ name, shape }) => [name, shape]),
          ([rows, columns]) =>
            own(createTransposeWeights(gpu, planTransposeWeights({ rows, columns }))),
        ),
        norm: own(createRmsNorm(gpu, planRmsNorm(norm))),
        normBackward: own(
          createRmsNormBackward(gpu, planRmsNormBackward({ ...norm, remakes: true })),
        ),
        lastNormBackward: own(
          createRmsNormBackward(gpu, planRmsNormBackward({ ...norm, adds: false })),
        ),
        rope: own(createRopeBackward(gpu, planRopeBackward({ layout: qkvLayout(model), dtype }))),
        swiglu: own(createSwigluBackward(gpu, planSwigluBackward({ rows, width: ffn, dtype }))),
        embedding: own(createEmbedding(gpu, planEmbedding(table))),
        embeddingBackward: own(createEmbeddingBackward(gpu, planEmbeddingBackward(table))),
        sumLosses: own(createSumLosses(gpu, planSumLosses({ rows }))),
        finish: own(
          createFinishGradients(
            gpu,
            planFinishGradients({ count: first, tokens: plan.tokens, optimizer }),
          ),
        ),
      }),
      destroy,
    };
  } catch (error) {
    // What still compiles is freed too.
    await Promise.allSettled(started);
    destroy();
    throw error;
  }
}
