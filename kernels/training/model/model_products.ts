/**
 * The matrix products of a training step, planned: four of a layer in three forms each, and those
 * of the head for every size of a chunk of rows.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { planProduct, whyNoMatrixProduct } from "../matrix_product/matrix_product.ts";
import type { HeadLayout, ProductOptions, ProductPlan } from "../matrix_product/types.ts";
import type { Model } from "./model_options.ts";

/** Products of a layer by name: forward, the gradient of the input, that of the weights. */
export interface LayerProducts {
  /** Q, K and V, rotated. */
  readonly qkv: ProductPlan;
  /** Of attention, added to the residual stream. */
  readonly output: ProductPlan;
  /** Gates and values, with the activation. */
  readonly gateUp: ProductPlan;
  /** Of the feed-forward part, added to the residual stream. */
  readonly down: ProductPlan;
  /** Gradient of what Q, K and V are made of. */
  readonly qkvInput: ProductPlan;
  /** Gradient of attention's output, by heads. */
  readonly outputInput: ProductPlan;
  /** Gradient of what gates and values are made of. */
  readonly gateUpInput: ProductPlan;
  /** Gradient of the activation. */
  readonly downInput: ProductPlan;
  /** Gradient of the weights of Q, K and V. */
  readonly qkvWeights: ProductPlan;
  /** Gradient of the weights of attention's output. */
  readonly outputWeights: ProductPlan;
  /** Gradient of the weights of gates and values. */
  readonly gateUpWeights: ProductPlan;
  /** Gradient of the weights of the feed-forward output. */
  readonly downWeights: ProductPlan;
}

/** Products of the head over a chunk of rows. */
export interface HeadProducts {
  /** The logits. */
  readonly logits: ProductPlan;
  /** Gradient of what the head reads. */
  readonly input: ProductPlan;
  /** Gradient of its weights. */
  readonly weights: ProductPlan;
}

/** A chunk of rows whose logits exist at once. */
export interface Chunk {
  /** The first token. */
  readonly firstRow: number;
  /** How many tokens. */
  readonly rows: number;
}

/** All products of a step. */
export interface ModelProducts {
  /** Those of a layer. */
  readonly layer: LayerProducts;
  /**
   * Whether a layer's forward products read transposed copies of the weights: matrix units load
   * factors faster whose rows do not lie along the depth.
   */
  readonly transposed: boolean;
  /** All rows, chunk by chunk. */
  readonly chunks: readonly Chunk[];
  /** By the rows of a chunk. */
  readonly head: ReadonlyMap<number, HeadProducts>;
  /** Bytes of the largest partial sums. */
  readonly partialBytes: number;
  /** FLOP of one layer, all forms. */
  readonly layerFlops: number;
  /** FLOP of the head, all forms and chunks. */
  readonly headFlops: number;
  /** FLOP of what `light` and `least` compute again in a layer. */
  readonly rebuildFlops: number;
  /** Kernels and tilings that run, each once. */
  readonly variants: readonly string[];
}

/** How q, k and v of a layer lie side by side: parts begin at multiples of 256 bytes. */
export function qkvLayout(
  { batch, heads, context, headDim, dtype }: Model,
): HeadLayout & { partStride: number } {
  const each = batch * heads * context * headDim;
  const aligned = 256 / bytesPerElement(dtype);
  const partStride = Math.ceil(each / aligned) * aligned;
  return { parts: 3, sequences: batch, heads, context, headDim, partStride };
}

/** How the output of attention lies. */
export function outputLayout({ batch, heads, context, headDim }: Model): HeadLayout {
  return { parts: 1, sequences: batch, heads, context, headDim };
}

/** Plans all products of a step. */
export function planModelProducts(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  model: Model,
): ModelProducts {
  const { rows, width, ffn, dtype } = model;
  const plan = planWith(gpu, model);
  const transposed = model.products !== "portable" &&
    whyNoMatrixProduct(gpu, { rows, columns: width, dtype }) === undefined;
  const form = transposed ? "NN" : "NT";
  const qkv = qkvLayout(model);
  const heads = outputLayout(model);
  const accumulate = { kind: "accumulate" } as const;
  const floats = { kind: "store", dtype: "f32" } as const;
  const layer: LayerProducts = {
    qkv: plan({
      form,
      rows,
      columns: 3 * width,
      depth: width,
      result: { kind: "rope", heads: qkv },
    }),
    output: plan({
      form,
      rows,
      columns: width,
      depth: width,
      leftHeads: heads,
      result: { kind: "residual" },
    }),
    gateUp: plan({
      form,
      rows,
      columns: 2 * ffn,
      depth: width,
      result: { kind: "swiglu" },
    }),
    down: plan({ form, rows, columns: width, depth: ffn, result: { kind: "residual" } }),
    qkvInput: plan({
      form: "NN",
      rows,
      columns: width,
      depth: 3 * width,
      leftHeads: qkv,
      result: floats,
    }),
    outputInput: plan({
      form: "NN",
      rows,
      columns: width,
      depth: width,
      result: { kind: "store", dtype, heads },
    }),
    gateUpInput: plan({ form: "NN", rows, columns: width, depth: 2 * ffn, result: floats }),
    downInput: plan({
      form: "NN",
      rows,
      columns: ffn,
      depth: width,
      result: { kind: "store", dtype },
    }),
    qkvWeights: plan({
      form: "TN",
      rows: 3 * width,
      columns: width,
      depth: rows,
      leftHeads: qkv,
      result: accumulate,
    }),
    outputWeights: plan({
      form: "TN",
      rows: width,
      columns: width,
      depth: rows,
      rightHeads: heads,
      result: accumulate,
    }),
    gateUpWeights: plan({
      form: "TN",
      rows: 2 * ffn,
      columns: width,
      depth: rows,
      result: accumulate,
    }),
    downWeights: plan({
      form: "TN",
      rows: width,
      columns: ffn,
      depth: rows,
      result: accumulate,
    }),
  };
  const chunks = cutRows(model);
  const head = new Map(chunks.map((chunk) => [chunk.rows, planHead(gpu, model, chunk.rows)]));
  const plans = [...Object.values(layer), ...[...head.values()].flatMap(Object.values)];
  const flops = (some: readonly ProductPlan[]) => some.reduce((sum, one) => sum + one.flops, 0);
  return {
    layer,
    transposed,
    chunks,
    head,
    partialBytes: Math.max(...plans.map(({ partialBytes }) => partialBytes)),
    layerFlops: flops(Object.values(layer)),
    headFlops: chunks.reduce((sum, { rows }) => sum + flops(Object.values(head.get(rows)!)), 0),
    rebuildFlops: flops([layer.qkv, layer.output, layer.gateUp]),
    variants: [...new Set(plans.map(({ form, variant }) => `${form} ${variant}`))],
  };
}

function planWith(gpu: Pick<Gpu, "capabilities" | "adapter">, { dtype, products }: Model) {
  return (options: Omit<ProductOptions, "dtype" | "kernel">) =>
    planProduct(gpu, { ...options, dtype, kernel: products });
}

function planHead(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  model: Model,
  rows: number,
): HeadProducts {
  const { width, vocabulary } = model;
  const plan = planWith(gpu, model);
  const floats = { kind: "store", dtype: "f32" } as const;
  return {
    logits: plan({ form: "NT", rows, columns: vocabulary, depth: width, result: floats }),
    input: plan({ form: "NN", rows, columns: width, depth: vocabulary, result: floats }),
    weights: plan({
      form: "TN",
      rows: vocabulary,
      columns: width,
      depth: rows,
      result: { kind: "accumulate" },
    }),
  };
}

/** Chunks of rows; only the last may be smaller. */
function cutRows({ rows, chunkRows }: Model): Chunk[] {
  return Array.from({ length: Math.ceil(rows / chunkRows) }, (_, i) => ({
    firstRow: i * chunkRows,
    rows: Math.min(chunkRows, rows - i * chunkRows),
  }));
}
