import assert from "node:assert/strict";
import { long } from "../../tools/_cases.ts";
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "../dense_attention/matrix/_matrix_gpu.ts";
import { worstRatio } from "../dense_attention/dense_attention_reference.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { fillSeeded, pcgSum4 } from "../gpu/random.ts";
import { flushesHalves } from "../gpu/subnormals.ts";
import { lighthouseNorm } from "./lighthouse_attention.ts";
import { lighthouseBackwardReference } from "./lighthouse_backward_reference.ts";
import { planGeometry } from "./lighthouse_geometry.ts";

const NAMES = ["q", "k", "v"] as const;

/** The nearest number of 11 significant bits, ties to even: f16 with an unlimited exponent. */
function roundToHalf(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const scale = 2 ** Math.floor(Math.log2(Math.abs(x)));
  return Math.f16round(x / scale) * scale;
}

interface Layer {
  readonly heads: number;
  readonly context: number;
  readonly levels: number;
  readonly pooling: number;
  readonly headDim: number;
}

/** dO with one window of rows of 40,000, whose sums do not fit f16. */
const REST = { "normal numbers": 1, "halves": 0.5, "small numbers": 2 ** -7 };

async function checkGradients(gpu: Gpu, { heads, context, levels, pooling, headDim }: Layer) {
  const shape = { heads, context, headDim, dtype: "f16" } as const;
  const options = { levels, pooling, k: 128 };
  const geometry = planGeometry(context, options);
  const tensors: Record<string, Tensor> = {};
  for (const [i, label] of [...NAMES, "outputGradient"].entries()) {
    const size = { heads, rows: context, dim: headDim, dtype: "f16" } as const;
    tensors[label] = await createTensor(gpu, size, { label });
    await fillSeeded(gpu, tensors[label], 60 + i);
  }
  const { q, k, v, outputGradient } = tensors;
  const problem = { shape, options, direction: "forward-backward" } as const;
  const layer = await lighthouseNorm.prepare(gpu, problem, {
    inputs: { q, k, v, outputGradient },
  });
  const flushes = await flushesHalves(gpu);
  const backward = layer.plan.stages.find(({ name }) => name === "attention-backward")!;
  assert.match(backward.variant!, /^matrix units/);
  for (const [what, size] of Object.entries(REST)) {
    const loud = (row: number) => size < 1 && Math.floor(row / geometry.windowRows) === 90;
    const gradient = Float16Array.from(
      { length: heads * context * headDim },
      (_, i) => loud(Math.floor(i / headDim) % context) ? 40000 : pcgSum4(63, i) * size,
    );
    writeTensor(gpu, outputGradient, gradient);
    await layer.execute();
    const selection = await layer.outputs.readSelection!();
    const given = await Promise.all(NAMES.map((name) => readTensor(gpu, tensors[name])));
    const got = await Promise.all(
      NAMES.map((name) => readTensor(gpu, layer.outputs.gradients![name])),
    );
    for (let head = 0; head < heads; head++) {
      const of = <T extends { subarray: (a: number, b: number) => T; length: number }>(all: T) =>
        all.subarray(head * all.length / heads, (head + 1) * all.length / heads);
      const [hq, hk, hv] = given.map((all) => of(all as Float16Array));
      const want = lighthouseBackwardReference(
        { q: hq, k: hk, v: hv, outputGradient: of(gradient) },
        geometry,
        {
          headDim,
          selection: of(selection),
          dtype: "f16",
          store: Math.f16round,
          storeGradient: roundToHalf,
          weights: "f16",
          flushes,
        },
      );
      for (const [n, name] of NAMES.entries()) {
        const ratio = worstRatio(
          of(got[n] as Float16Array),
          want[name].gradient,
          want[name].tolerance,
        );
        assert.ok(ratio <= 1, `${what}, head ${head}: d${name} is ${ratio} of its tolerance off`);
      }
    }
  }
  layer.destroy();
  Object.values(tensors).forEach((tensor) => tensor.destroy());
}

// Each compiles three large kernels, which takes most of its time.
const LAYERS: readonly Layer[] = [
  { heads: 1, context: 2048, levels: 3, pooling: 4, headDim: 128 },
  { heads: 2, context: 774, levels: 2, pooling: 2, headDim: 64 },
];

for (const layer of LAYERS) {
  Deno.test(`gradients of a Lighthouse layer on matrix units are right if some sums exceed f16, d ${layer.headDim}`, async () => {
    const gpu = await matrixGpu();
    if (!gpu) return;
    await checkGradients(gpu, layer);
    gpu.destroy();
  });
}

Deno.test({
  ...long(
    "gradients of a Lighthouse layer on emulated matrix units are right if some sums exceed f16",
  ),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const layer = { heads: 2, context: 258, levels: 2, pooling: 2, headDim: 64 };
    await checkGradients(withEmulatedMatrices(gpu), layer);
    gpu.destroy();
  },
});
