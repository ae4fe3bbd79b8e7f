/**
 * Running one layer on given or seeded inputs, and reading everything back.
 *
 * @module
 */
import { createTensor, readTensor, type Tensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type {
  AttentionShape,
  Implementation,
  LayerInputs,
  Prepared,
  Problem,
} from "../../kernels/implementation.ts";

/** Elements `[heads, rows, dim]`, in the storage type. */
export type Elements = Float32Array | Float16Array;

/** Q, K and V on the host. */
export interface HostInputs {
  readonly q: Elements;
  readonly k: Elements;
  readonly v: Elements;
}

/** Inputs and outputs of one execution, read back from the device. */
export interface LayerRun {
  readonly inputs: HostInputs;
  readonly output: Elements;
  readonly lse: Elements;
  /** `[heads, S]`, for Lighthouse. */
  readonly selection?: Int32Array;
}

/** Q, K and V: from three consecutive seeds, or given as `[heads, context, headDim]`. */
export type LayerSource = { readonly seed: number } | {
  readonly data: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
};

/** Allocates and fills Q, K and V. */
export async function createLayerInputs(
  gpu: Gpu,
  shape: AttentionShape,
  source: LayerSource,
): Promise<LayerInputs> {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const tensors: Tensor[] = [];
  for (const [i, label] of ["q", "k", "v"].entries()) {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype }, { label });
    tensors.push(tensor);
    if ("seed" in source) await fillSeeded(gpu, tensor, source.seed + i);
    else writeTensor(gpu, tensor, source.data[i]);
  }
  const [q, k, v] = tensors;
  return { q, k, v };
}

/** Frees Q, K and V. */
export function destroyInputs({ q, k, v }: LayerInputs): void {
  for (const tensor of [q, k, v]) tensor.destroy();
}

/** Prepares a layer, calls `use` and frees everything again. */
export async function withLayer<T>(
  gpu: Gpu,
  implementation: Implementation,
  options: {
    problem: Problem;
    source: LayerSource;
    use: (prepared: Prepared, inputs: LayerInputs) => Promise<T>;
  },
): Promise<T> {
  const { problem, source, use } = options;
  const inputs = await createLayerInputs(gpu, problem.shape, source);
  try {
    const prepared = await implementation.prepare(gpu, problem, { inputs });
    try {
      return await use(prepared, inputs);
    } finally {
      prepared.destroy();
    }
  } finally {
    destroyInputs(inputs);
  }
}

/** Runs a layer once on outputs filled with NaN, so that an element nobody writes is seen. */
export function runLayer(
  gpu: Gpu,
  implementation: Implementation,
  options: { problem: Problem; source: LayerSource },
): Promise<LayerRun> {
  return withLayer(gpu, implementation, {
    ...options,
    use: async (prepared, inputs) => {
      const { output, lse, readSelection } = prepared.outputs;
      for (const tensor of [output, lse]) {
        const size = tensor.heads * tensor.rows * tensor.dim;
        writeTensor(gpu, tensor, new Float32Array(size).fill(NaN));
      }
      await prepared.execute();
      return {
        inputs: {
          q: await readTensor(gpu, inputs.q),
          k: await readTensor(gpu, inputs.k),
          v: await readTensor(gpu, inputs.v),
        },
        output: await readTensor(gpu, output),
        lse: await readTensor(gpu, lse),
        selection: await readSelection?.(),
      };
    },
  });
}

/**
 * The part of a tensor that belongs to one head, in float64: the references' loops are several times
 * faster where they only ever see one type of array.
 */
export function exactHead(
  data: ArrayLike<number>,
  options: { head: number; heads: number },
): Float64Array {
  const each = data.length / options.heads;
  const first = options.head * each;
  return Float64Array.from({ length: each }, (_, i) => data[first + i]);
}

/** The part of a tensor that belongs to one head. */
export function headOf<T extends Elements | Int32Array>(
  data: T,
  options: { head: number; heads: number },
): T {
  const each = data.length / options.heads;
  return data.subarray(options.head * each, (options.head + 1) * each) as T;
}
