/**
 * Options of a model and of its training, and the paper's.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import {
  requireDType,
  requirePositive,
  requireRecord,
  requireWhole,
  show,
} from "../../gpu/require.ts";
import { DENSE, type LayerAttention, type Recompute, RECOMPUTE_MODES } from "../attention/types.ts";
import {
  fillOptimizer,
  type Optimizer,
  type OptimizerOptions,
} from "../optimizer/optimizer_options.ts";
import { NORM_EPSILON } from "../rms_norm/rms_norm.ts";
import { LLAMA_SCALING, type RopeScaling } from "../rope/rope.ts";

/**
 * A decoder as in Llama 3, pre-norm, without biases, and how it is trained. Sizes that lie side by
 * side in memory are multiples of 8.
 */
export interface ModelOptions {
  /** Layers. */
  readonly layers: number;
  /** Width of the residual stream: heads times head dimension. */
  readonly width: number;
  /** H. */
  readonly heads: number;
  /** Width of the feed-forward part. */
  readonly ffn: number;
  /** V: rows of the embedding and of the head, which are untied. */
  readonly vocabulary: number;
  /** N. */
  readonly context: number;
  /** Sequences that run at once. Default 1. */
  readonly batch?: number;
  /** Batches whose gradients are added up in a step. Default 1. */
  readonly accumulate?: number;
  /** Storage of what products read: f16 with f32 masters, or f32. */
  readonly dtype: DType;
  /** Of every layer, or one for each. Default: dense. */
  readonly attention?: LayerAttention | readonly LayerAttention[];
  /** What is computed again in the backward pass. Default `none`. Results do not depend on it. */
  readonly recompute?: Recompute;
  /** θ of rotary positions. Default 10,000. */
  readonly ropeTheta?: number;
  /** Scaling of their frequencies. Default Llama 3.1's; null: none. */
  readonly ropeScaling?: RopeScaling | null;
  /** ε of norms. Default 1e-5. */
  readonly normEpsilon?: number;
  /** Rows whose logits exist at once. Default: as many as take 512 MiB. */
  readonly chunkRows?: number;
  /** Default: the paper's recipe. */
  readonly optimizer?: OptimizerOptions;
  /** `portable`: no matrix units in products. Default: matrix units where the device has them. */
  readonly products?: "portable" | "matrix";
  /** Most FLOP of one dispatch of attention. Default: never cut. */
  readonly flopsPerDispatch?: number;
}

/** Options with all defaults. */
export interface Model
  extends
    Required<Omit<ModelOptions, "attention" | "optimizer" | "products" | "flopsPerDispatch">> {
  /** One for each layer. */
  readonly attention: readonly LayerAttention[];
  /** With all defaults. */
  readonly optimizer: Optimizer;
  /** d. */
  readonly headDim: number;
  /** Tokens of one batch. */
  readonly rows: number;
  /** Absent: matrix units where the device has them. */
  readonly products?: "portable" | "matrix";
  /** Absent: attention is never cut. */
  readonly flopsPerDispatch?: number;
}

const ACTION = "plan training";

/** Every layer has kernels, buffers and objects of its own: a million of them exhaust the host. */
export const MOST_LAYERS = 4096;

/** Bytes of the logits that exist at once by default. */
const LOGIT_BYTES = 2 ** 29;

/**
 * Checks options and fills in defaults.
 *
 * @throws {TypeError} when something is missing or of an unknown kind.
 * @throws {RangeError} one line that names the value and the limit.
 */
export function fillModel(options: ModelOptions): Model {
  requireRecord(ACTION, "the model", options);
  requireWhole(ACTION, "layers", options.layers, { most: MOST_LAYERS });
  const { layers, width, heads, ffn, vocabulary, context, dtype } = options;
  const { batch = 1, accumulate = 1, recompute = "none" } = options;
  for (
    const [name, value] of Object.entries({
      width,
      heads,
      ffn,
      vocabulary,
      context,
      batch,
      accumulate,
    })
  ) requireWhole(ACTION, name, value, { most: 2 ** 24 });
  requireDType(ACTION, dtype);
  for (const [name, value] of Object.entries({ width, ffn, vocabulary })) {
    if (value % 8 !== 0) throw new RangeError(`${ACTION}: ${name} ${value} is not a multiple of 8`);
  }
  if (width % heads !== 0) {
    throw new RangeError(`${ACTION}: width ${width} is not divided by ${heads} heads`);
  }
  if (!RECOMPUTE_MODES.includes(recompute)) {
    const list = RECOMPUTE_MODES.join(", ");
    throw new TypeError(`${ACTION}: recompute ${show(recompute)} is not one of ${list}`);
  }
  requireNumbersOf(options);
  const rows = batch * context;
  requireWhole(ACTION, "batch * context", rows, { most: 2 ** 31 });
  // Batches of a step are ranges of one buffer, which begin at multiples of 256 bytes.
  if (accumulate > 1 && rows % 64 !== 0) {
    throw new RangeError(
      `${ACTION}: batch * context ${rows} is not a multiple of 64, as accumulate ${accumulate} needs`,
    );
  }
  const fitting = Math.max(128, Math.floor(LOGIT_BYTES / 4 / vocabulary / 128) * 128);
  const chunkRows = options.chunkRows ?? Math.min(rows, fitting);
  requireWhole(ACTION, "chunkRows", chunkRows);
  // Chunks are ranges of buffers, which begin at multiples of 256 bytes.
  if (chunkRows < rows && chunkRows % 128 !== 0) {
    throw new RangeError(`${ACTION}: chunkRows ${chunkRows} is not a multiple of 128`);
  }
  return {
    layers,
    width,
    heads,
    ffn,
    vocabulary,
    context,
    batch,
    accumulate,
    dtype,
    recompute,
    attention: attentionOf(options),
    ropeTheta: options.ropeTheta ?? 10_000,
    ropeScaling: options.ropeScaling === undefined ? LLAMA_SCALING : options.ropeScaling,
    normEpsilon: options.normEpsilon ?? NORM_EPSILON,
    chunkRows: Math.min(chunkRows, rows),
    optimizer: fillOptimizer(options.optimizer ?? {}, { dtype }),
    products: options.products,
    flopsPerDispatch: options.flopsPerDispatch,
    headDim: width / heads,
    rows,
  };
}

/** Checks the options that are no sizes. */
function requireNumbersOf(options: ModelOptions): void {
  const { ropeTheta, normEpsilon, ropeScaling, products, flopsPerDispatch, optimizer } = options;
  requirePositive(ACTION, "ropeTheta", ropeTheta);
  requirePositive(ACTION, "normEpsilon", normEpsilon);
  requirePositive(ACTION, "flopsPerDispatch", flopsPerDispatch);
  if (optimizer !== undefined) requireRecord(ACTION, "the optimizer", optimizer);
  if (products !== undefined && products !== "portable" && products !== "matrix") {
    throw new TypeError(`${ACTION}: products ${show(products)} is not one of portable, matrix`);
  }
  if (ropeScaling === undefined || ropeScaling === null) return;
  requireRecord(ACTION, "ropeScaling", ropeScaling);
  for (const name of ["factor", "lowFactor", "highFactor", "originalLength"] as const) {
    if (ropeScaling[name] === undefined) {
      throw new TypeError(`${ACTION}: ropeScaling has no ${name}`);
    }
    requirePositive(ACTION, `ropeScaling.${name}`, ropeScaling[name]);
  }
}

function attentionOf({ layers, attention = DENSE }: ModelOptions) {
  if (!Array.isArray(attention)) {
    return Array<LayerAttention>(layers).fill(attention as LayerAttention);
  }
  if (attention.length === layers) return attention as readonly LayerAttention[];
  throw new RangeError(`${ACTION}: attention is given for ${attention.length} of ${layers} layers`);
}

/**
 * Attention of all layers where the first and the last ones are dense.
 *
 * @param options `ends`: so many on each side. Default: two, as in the paper.
 */
export function endsDense(
  layers: number,
  inner: LayerAttention,
  { ends = 2 }: { readonly ends?: number } = {},
): LayerAttention[] {
  requireWhole("choose dense ends", "layers", layers, { most: MOST_LAYERS });
  requireRecord("choose dense ends", "the attention of inner layers", inner);
  requireWhole("choose dense ends", "ends", ends, { least: 0, most: 2 ** 24 });
  return Array.from(
    { length: layers },
    (_, layer): LayerAttention => layer < ends || layer >= layers - ends ? DENSE : inner,
  );
}

/**
 * The paper's model at its context, one sequence at a time, f16.
 *
 * @param options `vocabulary`: `bytes` for a head of 256 rows, `paper` for the 128,256 of the
 * published code. `attention`: of the inner 26 layers. Default: dense.
 *
 * @example
 * ```ts
 * import { paperModel } from "./model_options.ts";
 * import assert from "node:assert/strict";
 * const model = paperModel({ vocabulary: "bytes" });
 * assert.deepEqual([model.layers, model.width, model.vocabulary], [30, 1024, 256]);
 * ```
 */
export function paperModel(
  options:
    & { vocabulary: "bytes" | "paper"; attention?: LayerAttention }
    & Partial<
      Omit<ModelOptions, "vocabulary" | "attention">
    >,
): ModelOptions {
  requireRecord("plan the paper's model", "the options", options);
  const { vocabulary, attention, ...rest } = options;
  if (vocabulary !== "bytes" && vocabulary !== "paper") {
    throw new TypeError(
      `plan the paper's model: vocabulary ${show(vocabulary)} is not one of bytes, paper`,
    );
  }
  const layers = rest.layers ?? 30;
  return {
    width: 1024,
    heads: 8,
    ffn: 1536,
    context: 98304,
    dtype: "f16",
    ...rest,
    layers,
    vocabulary: vocabulary === "bytes" ? 256 : 128256,
    attention: attention && endsDense(layers, attention),
  };
}
