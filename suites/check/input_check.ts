/**
 * Checks that a layer read the inputs that it was meant to read.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { inspectTensor } from "../../kernels/gpu/inspect.ts";
import { seededRows } from "../../kernels/gpu/random.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import { type Layer, readResultRows } from "../plan/measurable.ts";
import { maxDifference } from "./attention_rows.ts";
import type { CheckOptions } from "./check_options.ts";
import type { Part } from "./check_parts.ts";

/**
 * Checks that the inputs on the device are the seeded ones: first and last row of the last head.
 */
export async function checkInputs(
  gpu: Gpu,
  { inputs, problem, seed }: CheckOptions,
): Promise<Part> {
  const names = ["q", "k", "v", "outputGradient"] as const;
  const { context } = problem.shape;
  const shapes = inputShapes(problem.shape);
  const compared = await Promise.all(names.flatMap((name, i) => {
    const tensor = inputs[name];
    const { heads, dim, dtype } = shapes[name];
    const head = heads - 1;
    return tensor
      ? [0, context - 1].map(async (first) => {
        const have = await readResultRows(gpu, tensor, { head, first, count: 1 });
        const want = seededRows(seed + i, { head, heads, first, count: 1, dim, dtype });
        return maxDifference(have, want) === 0 ? [] : [`${name} row ${first}`];
      })
      : [];
  }));
  const wrong = compared.flat();
  return {
    name: "inputs",
    passed: wrong.length === 0,
    maxError: null,
    tolerance: null,
    detail: wrong.length === 0 ? "as seeded" : `not as seeded: ${wrong.join(", ")}`,
  };
}

/** Checks that a peer's own inputs are bitwise equal to ours. */
export async function checkPeerInputs(
  gpu: Gpu,
  { peer }: Layer,
  { inputs }: CheckOptions,
): Promise<Part[]> {
  if (!peer?.inputs) return [];
  const wrong: string[] = [];
  for (const name of ["q", "k", "v", "outputGradient"] as const) {
    const own = inputs[name];
    const theirs = peer.inputs[name];
    if (!own || !theirs) continue;
    const [want, have] = [await inspectTensor(gpu, own), await theirs.inspect()];
    if (want.digest !== have.digest) wrong.push(name);
  }
  return [{
    name: "peer's inputs",
    passed: wrong.length === 0,
    maxError: null,
    tolerance: null,
    detail: wrong.length === 0
      ? "same bits as ours"
      : `different bits from ours: ${wrong.join(", ")}`,
  }];
}
