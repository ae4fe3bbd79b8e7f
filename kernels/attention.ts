/**
 * Attention in one call: numbers or tensors in, numbers out, in either direction.
 *
 * Each call compiles (once per device and shape), allocates, runs once and frees. To run the same
 * layer repeatedly, or to keep results on the device, prepare an {@linkcode Implementation}.
 *
 * Shapes: Q, dO, the output and dQ `[heads, context, headDim]`, heads outermost; K, V, dK and dV
 * `[kvHeads, context, headDim]`, where `kvHeads` is `heads` unless an option or a tensor says
 * otherwise.
 *
 * @module
 */
import {
  ACTION,
  type AttentionGradientInputs,
  type AttentionInputs,
  type AttentionOptions,
  type GivenInputs,
  isTensor,
  shapeOf,
} from "./attention_inputs.ts";
import { dense } from "./dense_attention/dense_layer.ts";
import { type Gpu, requireDevice } from "./gpu/device.ts";
import { collectOwned } from "./gpu/owned.ts";
import { requireNumbers, requirePositive, requireRecord } from "./gpu/require.ts";
import {
  createTensor,
  readTensor,
  requireTensor,
  type Tensor,
  writeTensor,
} from "./gpu/buffers.ts";
import type { Timing } from "./gpu/timing.ts";
import type {
  Implementation,
  LayerInputs,
  LighthouseOptions,
  Prepared,
  Problem,
} from "./implementation.ts";
import { inputShapes } from "./key_heads.ts";
import { lighthouseImplementation } from "./lighthouse/lighthouse_attention.ts";
import { findScorer, SCORERS } from "./lighthouse/scorers/scorers.ts";

/** Options of {@linkcode lighthouseAttention}. */
export interface LighthouseAttentionOptions
  extends AttentionOptions, Partial<Omit<LighthouseOptions, "k">> {
  /** L, at least 2. Default 3. */
  readonly levels?: number;
  /** p, a power of two, at least 2. Default 4. */
  readonly pooling?: number;
  /** k, a multiple of 128; at most context / p^(L-1). */
  readonly k: number;
  /** The scorer that ranks the entries of the pyramid. Default `norm`. */
  readonly scorer?: string;
  /** Log gates `[heads, context]`, at most 0, for a scorer that has gates. Default: seeded ones. */
  readonly gates?: Float32Array;
}

/** Results of a forward pass. */
export interface AttentionResult {
  /** `[heads, context, headDim]`. */
  readonly output: Float32Array | Float16Array;
  /** Natural log-sum-exp of the scaled logits, `[heads, context]`; for Lighthouse `[heads, S]`. */
  readonly lse: Float32Array;
  /** Times of the passes; copies are not included. */
  readonly timing: Timing;
}

/** Additional results of a backward pass. */
export interface AttentionGradients {
  /** dQ, `[heads, context, headDim]`; dK and dV, `[kvHeads, context, headDim]` each. */
  readonly gradients: {
    readonly q: Float32Array | Float16Array;
    readonly k: Float32Array | Float16Array;
    readonly v: Float32Array | Float16Array;
  };
}

/** Results of a forward pass of Lighthouse attention. */
export interface LighthouseAttentionResult extends AttentionResult {
  /** Pyramid indices in gathered order, `[heads, S]`. */
  readonly selection: Int32Array;
  /** S, rows of the gathered sequence. */
  readonly gathered: number;
}

/**
 * Dense causal attention, softmax(Q·Kᵀ/√d)·V, and its gradients if dO is given.
 *
 * Inputs must be finite. A NaN or an infinity in row j of K or V reaches rows from j on, as
 * expected, and may also reach up to a tile of rows (at most 256) before it: their weight for it is
 * 0, and 0·NaN is NaN. The same holds for gradients and dO. `requireFinite` checks tensors.
 *
 * @throws {TypeError} when an input is missing or not numbers, the element type is unknown, or
 * inputs mix f16 and f32 without a `dtype` that says how to store them.
 * @throws {RangeError} when shapes do not match or the device cannot run them; one line that names
 * the value and the limit.
 * @throws {MemoryError} when the device is out of memory.
 * @throws {RefusedError} when the device refused the work.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 *
 * @example Forward and backward
 * ```ts
 * import { denseAttention } from "./attention.ts";
 * import { DeviceError, openDevice } from "./gpu/device.ts";
 * import assert from "node:assert/strict";
 *
 * const random = () => Float32Array.from({ length: 2 * 300 * 64 }, () => Math.random() - 0.5);
 * const [q, k, v, outputGradient] = [random(), random(), random(), random()];
 * try {
 *   const gpu = await openDevice();
 *   const shape = { heads: 2, headDim: 64 };
 *   const { output, gradients } = await denseAttention(gpu, { q, k, v, outputGradient }, shape);
 *   // The first row attends only to itself.
 *   assert.deepEqual([...output.subarray(0, 64)], [...v.subarray(0, 64)]);
 *   assert.equal(gradients.k.length, k.length);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 */
export function denseAttention(
  gpu: Gpu,
  inputs: AttentionGradientInputs,
  options?: AttentionOptions,
): Promise<AttentionResult & AttentionGradients>;
/** Without gradients. */
export function denseAttention(
  gpu: Gpu,
  inputs: AttentionInputs & { readonly outputGradient?: undefined },
  options?: AttentionOptions,
): Promise<AttentionResult>;
export async function denseAttention(
  gpu: Gpu,
  inputs: GivenInputs,
  options: AttentionOptions = {},
): Promise<AttentionResult> {
  requireRecord(ACTION, "the options", options);
  return await runLayer(gpu, inputs, {
    ...options,
    implementation: dense,
    read: (layer, timing) => readResult(gpu, layer, timing),
  });
}

/**
 * Lighthouse attention: attention over the S rows that each head selects from its pyramid,
 * scattered back to the context, and its gradients if dO is given.
 *
 * Inputs must be finite, as for {@linkcode denseAttention}: here a NaN or an infinity also reaches
 * the rows that share its window of the pyramid.
 *
 * @throws {TypeError} when an input is missing or not numbers, the element type is unknown, or
 * inputs mix f16 and f32 without a `dtype` that says how to store them.
 * @throws {RangeError} when shapes or options do not match or the device cannot run them; one line
 * that names the value and the limit.
 * @throws {MemoryError} when the device is out of memory.
 * @throws {RefusedError} when the device refused the work.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 *
 * @example Forward and backward
 * ```ts
 * import { lighthouseAttention } from "./attention.ts";
 * import { DeviceError, openDevice } from "./gpu/device.ts";
 * import assert from "node:assert/strict";
 *
 * const random = () => Float32Array.from({ length: 2048 * 32 }, () => Math.random() - 0.5);
 * const [q, k, v, outputGradient] = [random(), random(), random(), random()];
 * try {
 *   const gpu = await openDevice();
 *   const options = { headDim: 32, k: 128 };
 *   const { output, selection, gathered, gradients } = await lighthouseAttention(
 *     gpu,
 *     { q, k, v, outputGradient },
 *     options,
 *   );
 *   assert.equal(output.length, v.length);
 *   assert.equal(selection.length, gathered); // 1152 of 2048 rows and their 640 means
 *   assert.equal(gradients.v.length, v.length);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 */
export function lighthouseAttention(
  gpu: Gpu,
  inputs: AttentionGradientInputs,
  options: LighthouseAttentionOptions,
): Promise<LighthouseAttentionResult & AttentionGradients>;
/** Without gradients. */
export function lighthouseAttention(
  gpu: Gpu,
  inputs: AttentionInputs & { readonly outputGradient?: undefined },
  options: LighthouseAttentionOptions,
): Promise<LighthouseAttentionResult>;
export async function lighthouseAttention(
  gpu: Gpu,
  inputs: GivenInputs,
  options: LighthouseAttentionOptions,
): Promise<LighthouseAttentionResult> {
  requireRecord(ACTION, "the options", options);
  const { levels = 3, pooling = 4, k, scorer = "norm", dilation, gates } = options;
  return await runLayer(gpu, inputs, {
    ...options,
    implementation: withScorer(scorer, gates),
    layer: { levels, pooling, k, dilation },
    read: async (layer, timing) => ({
      ...await readResult(gpu, layer, timing),
      selection: await layer.outputs.readSelection!(),
      gathered: layer.plan.gathered!,
    }),
  });
}

/** The layer of a scorer; gates make a scorer with these gates. */
function withScorer(name: string, gates?: Float32Array): Implementation {
  const scorer = findScorer(name);
  if (gates === undefined) return lighthouseImplementation({ scorer });
  requireNumbers(ACTION, "gates", gates);
  if (!scorer.withGates) {
    const takers = SCORERS.filter(({ withGates }) => withGates).map(({ name }) => name);
    throw new RangeError(
      `attention: gates are for the scorer ${takers.join(", ")}, not ${name}`,
    );
  }
  return lighthouseImplementation({ scorer: scorer.withGates(gates) });
}

interface RunOptions<Result> extends AttentionOptions {
  readonly implementation: Implementation;
  readonly layer?: LighthouseOptions;
  readonly read: (layer: Prepared, timing: Timing) => Promise<Result>;
}

/** Default speed for splitting submissions: slow enough for an integrated GPU. */
const CAUTIOUS_FLOPS_PER_SECOND = 2e11;

/** Fraction of a second that a single dispatch may take at that speed. */
const DISPATCH_SECONDS = 0.1;

async function runLayer<Result>(
  gpu: Gpu,
  given: GivenInputs,
  options: RunOptions<Result>,
): Promise<Result> {
  const { implementation, layer: layerOptions, signal, read } = options;
  const { flopsPerSecond = CAUTIOUS_FLOPS_PER_SECOND } = options;
  requireRecord(ACTION, "inputs", given);
  requirePositive(ACTION, "flopsPerSecond", flopsPerSecond);
  const inputs = Object.entries({
    q: given.q,
    k: given.k,
    v: given.v,
    ...given.outputGradient !== undefined && { outputGradient: given.outputGradient },
  });
  const shape = shapeOf(inputs, options);
  if (shape.dtype === "f16" && !gpu.capabilities.f16) {
    throw new RangeError("attention: dtype f16: the device does not grant shader-f16");
  }
  const problem: Problem = {
    shape,
    options: layerOptions,
    direction: given.outputGradient === undefined ? "forward" : "forward-backward",
  };
  const plan = implementation.plan(gpu, problem);
  requireDevice(gpu, ACTION);
  for (const [name, input] of inputs) {
    if (isTensor(input)) requireTensor(gpu, `attention: ${name}`, input);
  }
  const tensors = inputs.map(([, input]) => input).filter(isTensor);
  const shapes = inputShapes(shape);
  const [known] = tensors;
  // Query heads of a block, where the first tensor is one of keys too.
  const headsPerBlock = known
    ? known.blocks[0].heads * shape.heads / known.heads
    : plan.headsPerBlock;
  const { own, destroy } = collectOwned();
  try {
    const uploaded: [string, Tensor][] = [];
    for (const [name, input] of inputs) {
      if (isTensor(input)) {
        uploaded.push([name, input]);
        continue;
      }
      const wanted = shapes[name as keyof typeof shapes];
      const tensor = own(
        await createTensor(gpu, wanted, {
          label: name,
          headsPerBlock: headsPerBlock * wanted.heads / shape.heads,
        }),
      );
      writeTensor(gpu, tensor, input);
      uploaded.push([name, tensor]);
    }
    const layer = own(
      await implementation.prepare(gpu, problem, {
        inputs: Object.fromEntries(uploaded) as unknown as LayerInputs,
        flopsPerDispatch: flopsPerSecond * DISPATCH_SECONDS,
      }),
    );
    const timing = await layer.execute({ flopsPerSecond, signal });
    return await read(layer, timing);
  } finally {
    destroy();
  }
}

async function readResult(
  gpu: Gpu,
  { outputs }: Prepared,
  timing: Timing,
): Promise<AttentionResult & Partial<AttentionGradients>> {
  const { output, lse, gradients } = outputs;
  return {
    output: await readTensor(gpu, output),
    lse: await readTensor(gpu, lse) as Float32Array,
    timing,
    ...gradients && {
      gradients: {
        q: await readTensor(gpu, gradients.q),
        k: await readTensor(gpu, gradients.k),
        v: await readTensor(gpu, gradients.v),
      },
    },
  };
}
