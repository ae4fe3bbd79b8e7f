/**
 * Inputs of {@linkcode denseAttention} and {@linkcode lighthouseAttention}, and the shape derived
 * from options and inputs.
 *
 * @module
 */
import type { DType, Tensor } from "./gpu/buffers.ts";
import {
  requireDType,
  requireNumbers,
  requireRecord,
  requireWhole,
  showCount,
} from "./gpu/require.ts";
import type { AttentionShape } from "./implementation.ts";
import { requireKeyHeads } from "./key_heads.ts";

/** A tensor on the device, which the caller keeps, or its elements on the host. */
export type AttentionInput = Tensor | ArrayLike<number>;

/** Inputs of a forward pass: `[heads, context, headDim]`, K and V `[kvHeads, context, headDim]`. */
export interface AttentionInputs {
  /** Queries. */
  readonly q: AttentionInput;
  /** Keys. */
  readonly k: AttentionInput;
  /** Values. */
  readonly v: AttentionInput;
}

/** Inputs of a forward and a backward pass, `[heads, context, headDim]` each. */
export interface AttentionGradientInputs extends AttentionInputs {
  /** dO, the gradient of the loss with respect to the output. */
  readonly outputGradient: AttentionInput;
}

/** Options of {@linkcode denseAttention}. Tensors determine their shape. */
export interface AttentionOptions {
  /** H. Default: 1, or that of the tensors. */
  readonly heads?: number;
  /**
   * Hkv, heads of keys and values; divides H. Query head h reads key head ⌊h / (H / Hkv)⌋. Default:
   * that of the tensors, else H.
   */
  readonly kvHeads?: number;
  /** d; needed if no input is a tensor. The context follows from the number of elements. */
  readonly headDim?: number;
  /**
   * Storage on the device; host elements are rounded to it. Default: that of the inputs, f16 for a
   * `Float16Array` and f32 for other arrays. Required if some inputs are f16 and some f32.
   */
  readonly dtype?: DType;
  /**
   * Work is split into submissions of a quarter of a second at this speed, since display drivers
   * reset a device that does not respond for long. Default 2e11, which suits an integrated GPU.
   */
  readonly flopsPerSecond?: number;
  /** Stops between submissions. */
  readonly signal?: AbortSignal;
}

/** Inputs of either direction. */
export interface GivenInputs extends AttentionInputs {
  readonly outputGradient?: AttentionInput;
}

/** The action that errors of a call name. */
export const ACTION = "attention";

/** Whether an input is already on the device. */
export function isTensor(input: AttentionInput): input is Tensor {
  return "blocks" in input;
}

/** The storage type that an input implies; plain arrays and integers imply none. */
function dtypeOf(input: AttentionInput): DType | undefined {
  if (isTensor(input)) return input.dtype;
  if (input instanceof Float16Array) return "f16";
  return input instanceof Float32Array || input instanceof Float64Array ? "f32" : undefined;
}

/** The shape derived from options and inputs. */
export function shapeOf(
  inputs: readonly (readonly [string, AttentionInput])[],
  options: AttentionOptions,
): AttentionShape {
  for (const [name, input] of inputs) {
    requireRecord(ACTION, name, input);
    if (!isTensor(input)) requireNumbers(ACTION, name, input);
  }
  const tensor = inputs.map(([, input]) => input).find(isTensor);
  const heads = options.heads ?? tensor?.heads ?? 1;
  const headDim = options.headDim ?? tensor?.dim;
  if (headDim === undefined) throw new RangeError("attention: headDim is missing");
  requireWhole(ACTION, "heads", heads);
  requireWhole(ACTION, "headDim", headDim);
  const tensorOf = (name: string) => {
    const found = inputs.find(([known]) => known === name)?.[1];
    return found && isTensor(found) ? found : undefined;
  };
  const kvHeads = options.kvHeads ?? (tensorOf("k") ?? tensorOf("v"))?.heads ?? heads;
  requireKeyHeads(ACTION, { heads, kvHeads });
  const dtype = options.dtype ?? commonDType(inputs);
  requireDType(ACTION, dtype);
  const elements = (input: AttentionInput) =>
    isTensor(input) ? input.heads * input.rows * input.dim : input.length;
  const [[, first]] = inputs;
  const context = elements(first) / (heads * headDim);
  if (!Number.isInteger(context) || context < 1) {
    throw new RangeError(
      `attention: the ${elements(first)} elements of q are not rows of ${headDim} for ` +
        showCount(heads, "head"),
    );
  }
  for (const [name, input] of inputs) {
    const own = name === "k" || name === "v" ? kvHeads : heads;
    const fits = isTensor(input)
      ? input.heads === own && input.rows === context && input.dim === headDim &&
        input.dtype === dtype
      : input.length === own * context * headDim;
    if (fits) continue;
    const found = isTensor(input)
      ? `${input.dtype} [${input.heads}, ${input.rows}, ${input.dim}]`
      : `${input.length} elements`;
    throw new RangeError(
      `attention: ${name} is ${found}, the layer needs ${dtype} [${own}, ${context}, ${headDim}]`,
    );
  }
  return { heads, ...(kvHeads !== heads && { kvHeads }), context, headDim, dtype };
}

/**
 * The storage type of inputs without a `dtype` option.
 *
 * @throws {TypeError} when some are f16 and some f32: the caller must choose.
 */
function commonDType(inputs: readonly (readonly [string, AttentionInput])[]): DType {
  const typed = inputs.map(([name, input]) => ({ name, dtype: dtypeOf(input) }))
    .filter(({ dtype }) => dtype !== undefined);
  const other = typed.find(({ dtype }) => dtype !== typed[0].dtype);
  if (other) {
    const [first] = typed;
    throw new TypeError(
      `attention: ${first.name} is ${first.dtype} and ${other.name} is ${other.dtype}: ` +
        "the option dtype, f16 or f32, says how to store all of them",
    );
  }
  return typed[0]?.dtype ?? "f32";
}
