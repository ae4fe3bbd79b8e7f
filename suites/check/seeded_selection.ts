/**
 * The selection by the kernel from scores that are the same on every device. Scores of a real layer
 * are sums that devices may round differently; these are seeded numbers, and selection is integer
 * arithmetic on their bits, so the digest must be the same on every device.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import type { Problem } from "../../kernels/implementation.ts";
import {
  type LighthouseGeometry,
  planGeometry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import { sha256 } from "../result/digest.ts";
import { selectOnDevice } from "./select_on_device.ts";

/** Scores of one head, `[P]` each: |pcg-sum4| of the seed and of the next one. */
export function seededScores(
  { entries }: LighthouseGeometry,
  seed: number,
): { query: Float32Array; key: Float32Array } {
  const draw = (seed: number) =>
    Float32Array.from({ length: entries }, (_, i) => Math.abs(pcgSum4(seed, i)));
  return { query: draw(seed), key: draw(seed + 1) };
}

/** SHA-256 of the int32 indices that the device selects for one head of a Lighthouse problem. */
export async function digestSeededSelection(
  gpu: Gpu,
  problem: Pick<Problem, "shape" | "options">,
  options: { seed: number },
): Promise<string> {
  const geometry = planGeometry(problem.shape.context, lighthouseOptions(problem));
  return await sha256(await selectOnDevice(gpu, geometry, seededScores(geometry, options.seed)));
}
