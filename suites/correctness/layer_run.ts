/**
 * Runs one layer on given or seeded inputs, and reads everything back.
 *
 * @module
 */
import {
  createTensor,
  type DType,
  readTensor,
  type Tensor,
  writeTensor,
} from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { flushesHalves } from "../../kernels/gpu/subnormals.ts";
import type {
  AttentionShape,
  GatheredCuts,
  Implementation,
  ImplementationPlan,
  LayerInputs,
  Prepared,
  Problem,
} from "../../kernels/implementation.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import { readScored, type ScoredHead } from "./scorer_checks.ts";

/** Elements `[heads, rows, dim]`, in the storage type. */
export type Elements = Float32Array | Float16Array;

/** Q, K and V on the host, and dO if gradients are computed. */
export interface HostInputs {
  readonly q: Elements;
  readonly k: Elements;
  readonly v: Elements;
  readonly outputGradient?: Elements;
}

/** Inputs and outputs of one execution, read back from the device. */
export interface LayerRun {
  readonly inputs: HostInputs;
  readonly output: Elements;
  readonly lse: Elements;
  /** The type that softmax weights were rounded to: f16 on matrix units. */
  readonly weights: DType;
  /**
   * Whether the device flushes subnormals of the storage type to zero: only f16 can be affected.
   */
  readonly flushes: boolean;
  /** `[heads, S]`, for Lighthouse. */
  readonly selection?: Int32Array;
  /** Scores of the last head, if they are sums over the context and were requested. */
  readonly scored?: ScoredHead;
  /** dQ, dK, dV, when the problem's direction computes them. */
  readonly gradients?: { readonly q: Elements; readonly k: Elements; readonly v: Elements };
}

/**
 * Q, K and V (and dO, from a fourth seed): from three consecutive seeds, or given, in the layout of
 * the tensors.
 */
export type LayerSource = { readonly seed: number } | {
  readonly data: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
};

/**
 * Allocates and fills Q, K and V, and dO if requested.
 *
 * @throws {TypeError} when dO is requested but the data are given, which have none.
 */
export async function createLayerInputs(
  gpu: Gpu,
  shape: AttentionShape,
  source: LayerSource,
  options: { outputGradient?: boolean } = {},
): Promise<LayerInputs> {
  const shapes = Object.values(inputShapes(shape));
  if (options.outputGradient && !("seed" in source)) {
    throw new TypeError("create inputs: an output gradient needs a seed");
  }
  const tensors: Tensor[] = [];
  const labels = ["q", "k", "v", ...options.outputGradient ? ["output gradient"] : []];
  for (const [i, label] of labels.entries()) {
    const tensor = await createTensor(gpu, shapes[i], { label });
    tensors.push(tensor);
    if ("seed" in source) await fillSeeded(gpu, tensor, source.seed + i);
    else writeTensor(gpu, tensor, source.data[i]);
  }
  const [q, k, v, outputGradient] = tensors;
  return { q, k, v, outputGradient };
}

/** Frees the inputs. */
export function destroyInputs({ q, k, v, outputGradient }: LayerInputs): void {
  for (const tensor of [q, k, v, outputGradient]) tensor?.destroy();
}

/** Prepares a layer, calls `use` and frees everything again. */
export async function withLayer<T>(
  gpu: Gpu,
  implementation: Implementation,
  options: {
    problem: Problem;
    source: LayerSource;
    cuts?: GatheredCuts;
    use: (prepared: Prepared, inputs: LayerInputs) => Promise<T>;
  },
): Promise<T> {
  const { problem, source, cuts, use } = options;
  const inputs = await createLayerInputs(gpu, problem.shape, source, {
    outputGradient: (problem.direction ?? "forward") !== "forward",
  });
  try {
    const prepared = await implementation.prepare(gpu, problem, { inputs, cuts });
    try {
      return await use(prepared, inputs);
    } finally {
      prepared.destroy();
    }
  } finally {
    destroyInputs(inputs);
  }
}

/** What the kernel of a layer rounds softmax weights to: f16 on matrix units. */
function weightsOf(plan: ImplementationPlan): DType {
  const stage = plan.stages.find(({ name }) => name === "attention");
  return stage?.variant?.startsWith("matrix units") ? "f16" : "f32";
}

/**
 * Runs a layer once on outputs filled with NaN, so that an element that nobody writes is noticed.
 */
export function runLayer(
  gpu: Gpu,
  implementation: Implementation,
  options: { problem: Problem; source: LayerSource; scores?: boolean },
): Promise<LayerRun> {
  return withLayer(gpu, implementation, {
    ...options,
    use: async (prepared, inputs) => {
      const { output, lse, readSelection, gradients } = prepared.outputs;
      for (const tensor of [output, lse, ...Object.values(gradients ?? {})]) {
        const size = tensor.heads * tensor.rows * tensor.dim;
        writeTensor(gpu, tensor, new Float32Array(size).fill(NaN));
      }
      await prepared.execute();
      return {
        inputs: {
          q: await readTensor(gpu, inputs.q),
          k: await readTensor(gpu, inputs.k),
          v: await readTensor(gpu, inputs.v),
          outputGradient: inputs.outputGradient && await readTensor(gpu, inputs.outputGradient),
        },
        output: await readTensor(gpu, output),
        weights: weightsOf(prepared.plan),
        flushes: output.dtype === "f16" && await flushesHalves(gpu),
        lse: await readTensor(gpu, lse),
        selection: await readSelection?.(),
        scored: options.scores
          ? await readScored(gpu, prepared, {
            problem: options.problem,
            inputs,
            scorer: implementation.scorer,
          })
          : undefined,
        gradients: gradients && {
          q: await readTensor(gpu, gradients.q),
          k: await readTensor(gpu, gradients.k),
          v: await readTensor(gpu, gradients.v),
        },
      };
    },
  });
}

/**
 * The part of a tensor that belongs to one head, in float64: the references' loops are several
 * times faster when they only ever see one type of array.
 */
export function exactHead(
  data: Elements,
  options: { head: number; heads: number },
): Float64Array {
  return new Float64Array(headOf(data, options));
}

/** The part of a tensor that belongs to one head. */
export function headOf<T extends Elements | Int32Array>(
  data: T,
  options: { head: number; heads: number },
): T {
  const each = data.length / options.heads;
  return data.subarray(options.head * each, (options.head + 1) * each) as T;
}
