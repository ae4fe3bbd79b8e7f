/**
 * Runs a sparse layer and holds it against float64 of the keys that its descriptor says, for tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { checkOutputs, failureOf } from "../../../suites/check/check.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { fillSeeded } from "../../gpu/random.ts";
import { inputShapes } from "../../key_heads.ts";
import type { GatheredCuts, Implementation, LayerInputs, Problem } from "../../implementation.ts";
import "../../../suites/check/_shared_workers.ts";

/** Names of a layer's inputs, in the order of their seeds. */
export const INPUTS = ["q", "k", "v", "outputGradient"] as const;

/** Seeded inputs of a layer. */
export async function seededInputs(
  gpu: Gpu,
  { shape }: Problem,
  seed: number,
): Promise<Required<LayerInputs> & { destroy: () => void }> {
  const tensors: Tensor[] = [];
  for (const [i, label] of INPUTS.entries()) {
    tensors.push(await createTensor(gpu, inputShapes(shape)[label], { label }));
    await fillSeeded(gpu, tensors[i], seed + i);
  }
  const [q, k, v, outputGradient] = tensors;
  const destroy = () => tensors.forEach((tensor) => tensor.destroy());
  return { q, k, v, outputGradient, destroy };
}

/**
 * Runs both passes twice and checks every row of the last head and some of the first.
 *
 * @param options `kernel`: what the variant of both stages begins with. `flopsPerDispatch`: cuts
 * the work into dispatches. `cuts`: of layers that gather queries. `size`: factor of Q; on matrix
 * units large ones make workgroups start over. `anyRestarts`: workgroups may start over whatever
 * the size.
 */
export async function checkLayer(
  gpu: Gpu,
  implementation: Implementation,
  options: {
    readonly problem: Problem;
    readonly seed?: number;
    readonly kernel?: "portable" | "matrix units";
    readonly flopsPerDispatch?: number;
    readonly cuts?: GatheredCuts;
    readonly size?: number;
    readonly anyRestarts?: boolean;
  },
): Promise<void> {
  const { seed = 70, kernel, flopsPerDispatch, cuts, size = 1 } = options;
  const problem: Problem = { ...options.problem, direction: "forward-backward" };
  const inputs = await seededInputs(gpu, problem, seed);
  if (size !== 1) {
    writeTensor(gpu, inputs.q, Array.from(await readTensor(gpu, inputs.q), (x) => size * x));
  }
  const layer = await implementation.prepare(gpu, problem, { inputs, flopsPerDispatch, cuts });
  try {
    for (const { name, variant } of layer.plan.stages) {
      if (kernel && name !== "select") assert.ok(variant!.startsWith(kernel), variant);
    }
    const { output, lse, gradients } = layer.outputs;
    const digests: string[] = [];
    for (let run = 0; run < 2; run++) {
      // An element that nobody writes is seen.
      for (const tensor of [output, lse, ...Object.values(gradients!)]) {
        writeTensor(gpu, tensor, Array(tensor.heads * tensor.rows * tensor.dim).fill(NaN));
      }
      await layer.execute();
      const { check, digest } = await checkOutputs(gpu, layer, {
        problem,
        implementation,
        inputs,
        seed,
        extent: "whole",
        kernel: kernel === "portable" ? "portable" : undefined,
      });
      if (size === 1) assert.ok(check.passed, failureOf(check));
      // Larger queries are not those of the seed.
      const wrong = check.parts!.filter(({ name, passed }) => !passed && name !== "inputs");
      assert.deepEqual(wrong, []);
      digests.push(JSON.stringify(digest));
    }
    assert.equal(digests[0], digests[1], "two runs differ");
    const restarts = await layer.readRestarts?.();
    if (restarts !== undefined && !options.anyRestarts) assert.equal(restarts > 0, size > 1);
  } finally {
    layer.destroy();
    inputs.destroy();
  }
}
