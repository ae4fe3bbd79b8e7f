import assert from "node:assert/strict";
import { chooseCases, long, LONG_CASES } from "../tools/_cases.ts";
import { checkOutputs } from "../suites/check/check.ts";
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "./dense_attention/matrix/_matrix_gpu.ts";
import { dense } from "./dense_attention/dense_layer.ts";
import { createTensor, type Tensor, writeTensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import { pcgSum4 } from "./gpu/random.ts";
import type { Implementation, Problem } from "./implementation.ts";
import { lighthouseNorm } from "./lighthouse/lighthouse_attention.ts";
import "../suites/check/_shared_workers.ts";

const SHAPE = { heads: 2, headDim: 64, dtype: "f16" } as const;

/** Layers whose attention covers at least ten blocks of 16 rows. */
const LAYERS: readonly { readonly implementation: Implementation; readonly problem: Problem }[] = [
  {
    implementation: dense,
    problem: { shape: { ...SHAPE, context: 170 }, direction: "forward-backward" },
  },
  {
    implementation: lighthouseNorm,
    problem: {
      shape: { ...SHAPE, context: 258 },
      options: { levels: 2, pooling: 2, k: 128 },
      direction: "forward-backward",
    },
  },
];

/** Elements of Q and K by row. Logits grow with the product of both. */
const INPUTS: Readonly<Record<string, (drawn: number, row: number) => number>> = {
  ...Object.fromEntries(
    [2 ** -10, 1, 8, 64, 512, 4096, 2 ** 14].map((size) => [
      `× ${size}`,
      (drawn: number) => drawn * size,
    ]),
  ),
  "one row far above the others": (drawn, row) => row === 37 ? 3000 * Math.sign(drawn) : drawn,
  "rows of all magnitudes": (drawn, row) => drawn * 2 ** (row * 7 % 21 - 10),
};

const CHOSEN = chooseCases(
  Object.entries(INPUTS),
  ([what]) => ["× 1", "one row far above the others"].includes(what),
  ([what]) => what === "× 64" || what.includes("row"),
);

async function checkScales(
  t: Deno.TestContext,
  gpu: Gpu,
  { layers = LAYERS, cases = CHOSEN.cases } = {},
) {
  for (const { implementation, problem } of layers) {
    const { heads, context, headDim, dtype } = problem.shape;
    const names = ["q", "k", "v", "outputGradient"] as const;
    const size = { heads, rows: context, dim: headDim, dtype };
    const tensors: Tensor[] = [];
    for (const label of names) tensors.push(await createTensor(gpu, size, { label }));
    const [q, k, v, outputGradient] = tensors;
    const inputs = { q, k, v, outputGradient };
    const layer = await implementation.prepare(gpu, problem, { inputs });
    assert.ok(layer.plan.stages.some(({ variant }) => variant?.startsWith("matrix units")));
    for (const [what, change] of cases) {
      await t.step(`${implementation.name}, ${what}`, async () => {
        for (const [n, tensor] of tensors.entries()) {
          const elements = Float16Array.from({ length: heads * context * headDim }, (_, i) => {
            const drawn = pcgSum4(70 + n, i);
            return n < 2 ? change(drawn, Math.floor(i / headDim) % context) : drawn;
          });
          writeTensor(gpu, tensor, elements);
        }
        await layer.execute();
        const { check } = await checkOutputs(gpu, layer, {
          problem,
          implementation,
          inputs,
          seed: 70,
          extent: "whole",
        });
        const failed = check.parts!.filter(({ name, passed }) => !passed && name !== "inputs");
        assert.deepEqual(failed, []);
      });
    }
    layer.destroy();
    for (const tensor of tensors) tensor.destroy();
  }
  gpu.destroy();
}

Deno.test(`layers on matrix units are right at any scale of the logits${CHOSEN.note}`, async (t) => {
  const gpu = await matrixGpu();
  if (gpu) await checkScales(t, gpu);
});

/** A software adapter compiles a layer's emulated passes for half a minute. */
const EMULATED = LONG_CASES ? LAYERS : LAYERS.slice(0, 1);

Deno.test(`layers on emulated matrix units are right at any scale of the logits${CHOSEN.note}`, async (t) => {
  const gpu = await emulatingGpu(t);
  if (gpu) await checkScales(t, withEmulatedMatrices(gpu), { layers: EMULATED });
});

Deno.test({
  ...long("dense attention is right where matrix units cut off sums, as tensor cores do"),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const cutting = withEmulatedMatrices(gpu, { cut: true });
    const cases = Object.entries(INPUTS).filter(([what]) => /× 64$|one row/.test(what));
    await checkScales(t, cutting, { layers: LAYERS.slice(0, 1), cases });
  },
});
