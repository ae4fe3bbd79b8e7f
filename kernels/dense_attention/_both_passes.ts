/**
 * Both passes of dense attention over seeded tensors, for tests.
 *
 * @module
 */
import { createTensor, readTensor, type Tensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { Timer } from "../gpu/timing.ts";
import { createDenseAttention, planDenseAttention } from "./dense_attention.ts";
import { createDenseBackward, planDenseBackward } from "./dense_attention_backward.ts";
import { denseBackwardReference } from "./dense_attention_backward_reference.ts";
import { worstRatio } from "./dense_attention_reference.ts";
import type { BackwardTilings, Tiling } from "./tilings.ts";

/** Elements of a tensor. */
export function draw(count: number, salt: number): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, i) => Math.sin(i * 12.9898 + salt * 78.233) * 1.7,
  );
}

/**
 * Runs forward and backward; returns what both leave, and the gradients' worst error over its
 * tolerance.
 */
export async function backward(
  gpu: Gpu,
  options: {
    heads: number;
    rows: number;
    headDim: number;
    dtype: "f16" | "f32";
    flopsPerDispatch?: number;
    /** Of the portable forward pass. */
    tiling?: Tiling;
    tilings?: BackwardTilings;
    /** Of dO and the gradients. */
    gradientType?: "f32";
    /** Q, K, V and dO, each `[heads, rows, d]`. Default: drawn. */
    data?: readonly ArrayLike<number>[];
  },
) {
  const { heads, rows, headDim, dtype, gradientType = dtype } = options;
  const shape = { heads, rows, dim: headDim, dtype };
  const size = heads * rows * headDim;
  const tensors: Tensor[] = [];
  for (let i = 0; i < 8; i++) {
    const type = i === 3 || i > 4 ? gradientType : dtype;
    tensors.push(await createTensor(gpu, { ...shape, dtype: type }));
  }
  const [q, k, v, outputGradient, o, queryGradient, keyGradient, valueGradient] = tensors;
  const statistic = { heads, rows, dim: 1, dtype: "f32" } as const;
  const lse = await createTensor(gpu, statistic);
  const delta = await createTensor(gpu, statistic);
  const { data: drawn = [0, 1, 2, 3].map((i) => draw(size, i)) } = options;
  for (let i = 0; i < 4; i++) writeTensor(gpu, tensors[i], drawn[i]);
  for (let i = 4; i < 8; i++) writeTensor(gpu, tensors[i], new Float32Array(size).fill(NaN));
  const data = (tensor: Tensor) => tensor.blocks[0].data;
  const forward = await createDenseAttention(
    gpu,
    planDenseAttention(gpu, { ...shape, ...options }),
  );
  const kernels = await createDenseBackward(gpu, planDenseBackward(gpu, options));
  const buffers = { q: data(q), k: data(k), v: data(v), o: data(o), lse: data(lse) };
  const timer = new Timer(gpu);
  await timer.run([
    { name: "forward", dispatches: forward.bind(buffers) },
    {
      name: "backward",
      dispatches: kernels.bind({
        ...buffers,
        outputGradient: data(outputGradient),
        delta: data(delta),
        queryGradient: data(queryGradient),
        keyGradient: data(keyGradient),
        valueGradient: data(valueGradient),
      }),
    },
  ]);
  const inputs = await Promise.all(tensors.slice(0, 4).map((tensor) => readTensor(gpu, tensor)));
  const output = await readTensor(gpu, o);
  const got = await Promise.all(tensors.slice(5).map((tensor) => readTensor(gpu, tensor)));
  let ratio = 0;
  for (let head = 0; head < heads; head++) {
    const part = (all: Float32Array | Float16Array) =>
      all.subarray(head * rows * headDim, (head + 1) * rows * headDim);
    const [hq, hk, hv, hg] = inputs.map(part);
    const want = denseBackwardReference({ q: hq, k: hk, v: hv, outputGradient: hg, headDim }, {
      dtype,
      gradientType,
    });
    for (const [i, row] of [want.q, want.k, want.v].entries()) {
      ratio = Math.max(ratio, worstRatio(part(got[i]), row.gradient, row.tolerance));
    }
  }
  timer.destroy();
  kernels.destroy();
  forward.destroy();
  [...tensors, lse, delta].forEach((tensor) => tensor.destroy());
  return { ratio, inputs, output, gradients: got };
}
