/**
 * The plan of a training step: every buffer with its bytes, and the work, before anything is
 * allocated.
 *
 * Kept between the passes by mode: `none` keeps what the backward pass reads; `light` keeps x, the
 * output of dense attention or the attended rows of Lighthouse, and their log-sum-exp; `least`
 * keeps x. x stays in f32 in all of them, since the rest is computed again from it and has to get
 * the same bits. The selections of Lighthouse layers are always kept: they are small, and scoring
 * is dear.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import { showBytes, showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { planLayerAttention } from "../attention/layer_attention.ts";
import { type AttentionPlan, RECOMPUTE_MODES } from "../attention/types.ts";
import { planEmbeddingBackward } from "../embedding/embedding_backward.ts";
import { HISTORY_BYTES } from "../optimizer/finish_gradients.ts";
import { gradientBlocks } from "../optimizer/square_gradients.ts";
import { STEP_STATE_BYTES } from "../optimizer/step_state.ts";
import { planRmsNormBackward } from "../rms_norm/rms_norm_backward.ts";
import { fillModel, type Model, type ModelOptions } from "./model_options.ts";
import { type ModelProducts, planModelProducts, qkvLayout } from "./model_products.ts";
import {
  type BufferGroup,
  fitChunks,
  requireBuffers,
  rowBuffers,
  type TrainingBuffer,
} from "./model_buffers.ts";
import { requirePositive, requireRecord, requireWhole } from "../../gpu/require.ts";
import { layerParameters, modelParameters, type Parameter, parameterSize } from "./parameters.ts";

export type { BufferGroup, TrainingBuffer };

/** Everything about a training step that can be known without a device. */
export interface TrainingPlan {
  /** Options with all defaults. */
  readonly model: Model;
  /** In the order of the forward pass. */
  readonly parameters: readonly Parameter[];
  /** Number of parameters. */
  readonly parameterCount: number;
  /** Of each layer; equal ones are one object. */
  readonly attention: readonly AttentionPlan[];
  /** All matrix products. */
  readonly products: ModelProducts;
  /** Every buffer that the model allocates, one by one. */
  readonly buffers: readonly TrainingBuffer[];
  /** Bytes that attention kernels allocate for themselves. */
  readonly kernelBytes: number;
  /** All of both. */
  readonly peakBytes: number;
  /**
   * FLOP of one step: products, attention forward and backward, scorers; of what is computed again.
   */
  readonly flops: {
    readonly products: number;
    readonly attention: number;
    readonly scorers: number;
    readonly recomputed: number;
  };
  /** Tokens of one step. */
  readonly tokens: number;
}

/** Options of {@linkcode planTraining}. */
export interface PlanOptions {
  /** What the model may take. Default: no limit. */
  readonly memoryBytes?: number;
  /** Bytes of a corpus that lies on the device. Default: none. */
  readonly corpusBytes?: number;
}

/**
 * Plans the training of a model.
 *
 * @throws {TypeError} when something is missing or of an unknown kind.
 * @throws {RangeError} one line: a value out of range, a buffer beyond the device's limit, or a
 * model that does not fit, with the option that would make it fit.
 */
export function planTraining(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: ModelOptions,
  { memoryBytes, corpusBytes = 0 }: PlanOptions = {},
): TrainingPlan {
  requirePositive("plan training", "memoryBytes", memoryBytes);
  requireWhole("plan training", "corpusBytes", corpusBytes, { least: 0, most: 2 ** 32 - 1 });
  const { maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  const most = Math.min(maxBindingBytes, maxBufferBytes);
  const filled = fillModel(options);
  const model = options.chunkRows === undefined ? fitChunks(filled, most) : filled;
  requireBuffers(rowBuffers(model), { model, most });
  const attention = planAttention(gpu, model);
  const products = planModelProducts(gpu, model);
  const parameters = modelParameters(model);
  const buffers = [
    ...weightBuffers(model, parameters),
    ...keptBuffers(model, attention),
    ...scratchBuffers(model, { attention, products }),
    ...dataBuffers(model, { parameters, corpusBytes }),
  ];
  requireBuffers(buffers, { model, most });
  const kernelBytes = [...new Set(attention)].reduce(
    (sum, { scratchBytes }) => sum + scratchBytes,
    0,
  );
  const peakBytes = buffers.reduce((sum, { bytes }) => sum + bytes, kernelBytes);
  if (memoryBytes !== undefined && peakBytes > memoryBytes) {
    const { bytes, limit } = showExcess(peakBytes, memoryBytes);
    const remedy = findRemedy(gpu, options, { memoryBytes, corpusBytes });
    throw new RangeError(
      `plan training: the model needs ${bytes}, ${limit} may be used: ${remedy}`,
    );
  }
  return {
    model,
    parameters,
    parameterCount: parameters.reduce((sum, parameter) => sum + parameterSize(parameter), 0),
    attention,
    products,
    buffers,
    kernelBytes,
    peakBytes,
    flops: flopsOf(model, { attention, products }),
    tokens: model.rows * model.accumulate,
  };
}

/**
 * The first option that would make a model fit into so many bytes, in words: more recomputing, then
 * smaller batches.
 */
export function findRemedy(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: ModelOptions,
  limits: Required<PlanOptions>,
): string {
  const { recompute = "none", batch = 1, accumulate = 1 } = options;
  const needs = (changed: Partial<ModelOptions>) => {
    try {
      const { corpusBytes } = limits;
      return planTraining(gpu, { ...options, ...changed }, { corpusBytes }).peakBytes;
    } catch (error) {
      // Some contexts are no context of several batches.
      if (error instanceof RangeError) return Infinity;
      throw error;
    }
  };
  for (const mode of RECOMPUTE_MODES.slice(RECOMPUTE_MODES.indexOf(recompute) + 1)) {
    const bytes = needs({ recompute: mode });
    if (bytes <= limits.memoryBytes) return `recompute ${mode} needs ${showBytes(bytes)}`;
  }
  if (batch > 1) {
    const changed = { recompute: "least", batch: 1, accumulate: accumulate * batch } as const;
    const bytes = needs(changed);
    if (bytes <= limits.memoryBytes) {
      return `recompute least with batch 1 and accumulate ${changed.accumulate} needs ` +
        showBytes(bytes);
    }
  }
  return "no option makes it fit, a smaller model or context would";
}

/** Attention of each layer; layers with equal options share a plan. */
function planAttention(gpu: Pick<Gpu, "capabilities" | "adapter">, model: Model): AttentionPlan[] {
  const { batch, heads, context, headDim, dtype, flopsPerDispatch } = model;
  const size = { heads: batch * heads, context, headDim, dtype, flopsPerDispatch };
  const known: AttentionPlan[] = [];
  return model.attention.map((attention) => {
    const same = known.find(({ attention: other }) =>
      other === attention || JSON.stringify(other) === JSON.stringify(attention) &&
        (attention.kind !== "lighthouse" || typeof attention.scorer === "string")
    );
    if (same) return same;
    const plan = planLayerAttention(gpu, attention, size);
    known.push(plan);
    return plan;
  });
}

function weightBuffers({ dtype }: Model, parameters: readonly Parameter[]): TrainingBuffer[] {
  return parameters.flatMap((parameter): TrainingBuffer[] => {
    const { name, multiplied } = parameter;
    const bytes = parameterSize(parameter) * 4;
    const copy = multiplied && dtype === "f16"
      ? [{ name: `${name} copy`, bytes: bytes / 2, group: "weights" as const }]
      : [];
    return [
      { name: `${name} weights`, bytes, group: "weights" },
      ...copy,
      { name: `${name} gradient`, bytes, group: "optimizer" },
      { name: `${name} first moment`, bytes, group: "optimizer" },
      { name: `${name} second moment`, bytes, group: "optimizer" },
    ];
  });
}

/** Bytes of q, k and v side by side. */
function qkvBytes(model: Model): number {
  const { partStride } = qkvLayout(model);
  return 3 * partStride * bytesPerElement(model.dtype);
}

/** What the norms of a layer leave for its backward pass. */
const NORM_INVERSES = ["attention_norm inverse", "ffn_norm inverse"] as const;

/** Buffers that each layer has of its own; `layer <n> <name>`. */
function keptBuffers(model: Model, attention: readonly AttentionPlan[]): TrainingBuffer[] {
  const { recompute, rows, width, ffn, dtype } = model;
  const size = bytesPerElement(dtype);
  const isAll = recompute === "none";
  return [
    ...attention.flatMap(({ buffers, keeps }, layer): TrainingBuffer[] => {
      const own = (name: string, bytes: number): TrainingBuffer => ({
        name: `layer ${layer} ${name}`,
        bytes,
        group: "kept",
      });
      return [
        own("x", rows * width * 4),
        ...isAll
          ? [own("h", rows * width * 4), ...NORM_INVERSES.map((name) => own(name, rows * 4))]
          : [],
        ...keeps.qkv.includes(recompute) ? [own("qkv", qkvBytes(model))] : [],
        ...keeps.o.includes(recompute) ? [own("o", rows * width * size)] : [],
        ...isAll ? [own("gate-up", 2 * rows * ffn * size)] : [],
        ...buffers.filter(({ keptIn }) => keptIn.includes(recompute)).map(({ name, bytes }) =>
          own(name, bytes)
        ),
      ];
    }),
    { name: `layer ${model.layers} x`, bytes: rows * width * 4, group: "kept" },
  ];
}

/**
 * The matrices that the forward products of a layer read transposed: those of the first, all are
 * alike.
 */
export function transposedWeights(
  model: Model,
  { transposed }: Pick<ModelProducts, "transposed">,
): Parameter[] {
  return layerParameters(model, 0).filter(({ multiplied }) => transposed && multiplied);
}

/** Buffers that all layers share. */
function scratchBuffers(
  model: Model,
  { attention, products }: { attention: readonly AttentionPlan[]; products: ModelProducts },
): TrainingBuffer[] {
  const { recompute, rows, width, ffn, dtype, vocabulary, chunkRows } = model;
  const size = bytesPerElement(dtype);
  const isShared = (modes: readonly string[]) => !modes.includes(recompute);
  const shared = new Map<string, number>();
  const add = (name: string, bytes: number) => {
    if (bytes > 0) shared.set(name, Math.max(bytes, shared.get(name) ?? 0));
  };
  add(
    "transposed weights",
    Math.max(0, ...transposedWeights(model, products).map(parameterSize)) * size,
  );
  add("normed", rows * width * size);
  add("norm inverse", rows * 4);
  if (recompute !== "none") {
    for (const name of NORM_INVERSES) add(name, rows * 4);
    add("h", rows * width * 4);
    add("gate-up", 2 * rows * ffn * size);
  }
  add("activation", rows * ffn * size);
  for (const plan of attention) {
    if (isShared(plan.keeps.qkv)) add("qkv", qkvBytes(model));
    if (isShared(plan.keeps.o)) add("o", rows * width * size);
    for (const { name, bytes, keptIn } of plan.buffers) if (isShared(keptIn)) add(name, bytes);
  }
  add("x gradient", rows * width * 4);
  add("x gradient copy", rows * width * size);
  add("normed gradient", rows * width * 4);
  // Those of the feed-forward part are gone when those of attention come.
  add("wide gradient", Math.max(2 * rows * ffn * size, qkvBytes(model)));
  add("narrow gradient", rows * Math.max(width, ffn) * size);
  add("logits", chunkRows * vocabulary * 4);
  add("logit gradient", chunkRows * vocabulary * size);
  const norm = planRmsNormBackward({ rows, columns: width, dtype });
  add("partial sums", Math.max(products.partialBytes, norm.partialBytes));
  const { scratch } = planEmbeddingBackward({ rows, vocabulary, columns: width });
  add("sorted tokens", scratch.sorted);
  add("sorted tokens, other", Math.max(16, scratch.other));
  add("digit counts", scratch.counts);
  return [...shared].map(([name, bytes]) => ({ name, bytes, group: "scratch" }));
}

function dataBuffers(
  { rows, accumulate, context, headDim }: Model,
  { parameters, corpusBytes }: { parameters: readonly Parameter[]; corpusBytes: number },
): TrainingBuffer[] {
  const blocks = parameters.reduce((sum, one) => sum + gradientBlocks(parameterSize(one)), 0);
  const buffers = [
    { name: "tokens", bytes: rows * accumulate * 4 },
    { name: "targets", bytes: rows * accumulate * 4 },
    { name: "losses", bytes: rows * 4 },
    { name: "rope table", bytes: context * headDim * 4 },
    { name: "squares of gradients", bytes: blocks * 8 },
    { name: "step state", bytes: STEP_STATE_BYTES },
    { name: "history", bytes: HISTORY_BYTES },
    ...corpusBytes > 0 ? [{ name: "corpus", bytes: Math.ceil(corpusBytes / 4) * 4 }] : [],
  ];
  return buffers.map((buffer) => ({ ...buffer, group: "data" }));
}

function flopsOf(
  { recompute, accumulate }: Model,
  { attention, products }: { attention: readonly AttentionPlan[]; products: ModelProducts },
): TrainingPlan["flops"] {
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  const again = recompute === "none" ? 0 : attention.length * products.rebuildFlops +
    (recompute === "least" ? sum(attention.map(({ flops }) => flops.forward)) : 0);
  return {
    products: accumulate * (attention.length * products.layerFlops + products.headFlops),
    attention: accumulate *
      sum(attention.map(({ flops }) => flops.forward + flops.backward)),
    scorers: accumulate * sum(attention.map(({ flops }) => flops.scorer)),
    recomputed: accumulate * again,
  };
}

const GROUPS: Readonly<Record<BufferGroup, string>> = {
  weights: "weights and their copies",
  optimizer: "gradients and moments",
  kept: "kept for the backward pass",
  scratch: "shared by all layers",
  data: "batch, tables, state",
};

/**
 * A plan in lines to print: every buffer, those of equal layers in one line, and the sums of
 * groups.
 */
export function describeTrainingPlan(plan: TrainingPlan): string[] {
  requireRecord("describe plan", "the plan", plan);
  const { model, buffers, kernelBytes, peakBytes, parameterCount, flops, tokens } = plan;
  const kinds = new Map<string, number>();
  for (const { name, detail } of plan.attention) {
    const text = detail ? `${name} (${detail})` : name;
    kinds.set(text, (kinds.get(text) ?? 0) + 1);
  }
  const lines = [
    `${model.layers} layers of width ${model.width}, ${model.heads} heads of ${model.headDim}, ` +
    `FFN ${model.ffn}, V ${model.vocabulary}: ${parameterCount.toLocaleString("en")} parameters`,
    `attention: ${[...kinds].map(([kind, count]) => `${count} × ${kind}`).join(", ")}`,
    `${
      tokens.toLocaleString("en")
    } tokens a step: ${model.accumulate} × ${model.batch} sequences ` +
    `of ${model.context.toLocaleString("en")}; ${model.dtype}, recompute ${model.recompute}`,
    `products: ${plan.products.variants.join("; ")}`,
    `TFLOP a step: products ${tera(flops.products)}, attention ${tera(flops.attention)}, ` +
    `scorers ${tera(flops.scorers)}, computed again ${tera(flops.recomputed)}`,
  ];
  for (const group of Object.keys(GROUPS) as BufferGroup[]) {
    const own = buffers.filter((buffer) => buffer.group === group);
    lines.push(`${GROUPS[group]}: ${showBytes(own.reduce((sum, { bytes }) => sum + bytes, 0))}`);
    for (const [name, { count, bytes }] of joinLayers(own)) {
      lines.push(`  ${name}: ${count > 1 ? `${count} × ` : ""}${showBytes(bytes)}`);
    }
  }
  if (kernelBytes > 0) lines.push(`scratch of attention kernels: ${showBytes(kernelBytes)}`);
  lines.push(`together: ${showBytes(peakBytes)}`);
  return lines;
}

function tera(flops: number): string {
  return String(Number((flops / 1e12).toPrecision(3)));
}

/** Buffers of equal size whose names differ in the number of a layer alone. */
function joinLayers(buffers: readonly TrainingBuffer[]) {
  const joined = new Map<string, { count: number; bytes: number }>();
  for (const { name, bytes } of buffers) {
    const plain = name.replace(/^layers?[ .]\d+[ .]/, "of a layer: ");
    const clash = joined.get(plain);
    const key = clash && clash.bytes !== bytes ? `${plain} (${showBytes(bytes)})` : plain;
    const known = joined.get(key);
    joined.set(key, { count: (known?.count ?? 0) + 1, bytes });
  }
  return joined;
}
