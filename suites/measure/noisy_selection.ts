/**
 * Selects again from inputs that got a little noise, for the stability of a selection.
 *
 * Noise: every element of Q and K is multiplied by 1 + ε, ε seeded with standard deviation
 * {@linkcode NOISE}, the largest relative rounding error of bf16; V stays. The inputs are restored
 * from their seeds.
 *
 * @module
 */
import { perturbTensor } from "../../kernels/gpu/noise.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { LayerInputs, Prepared } from "../../kernels/implementation.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { Session } from "./session.ts";

/** Standard deviation of the relative noise on Q and K. */
export const NOISE = 2 ** -8;

/** Seeds of the noise lie this far above those of the inputs. */
const NOISE_SEED_STEP = 0x10000;

/** Share of the budget still left that the execution on noisy inputs may take. */
const PROBE_SHARE = 0.02;

/**
 * What a layer selects from noisy inputs. Executes it once more; its outputs afterwards are those
 * of the noisy inputs.
 *
 * @param options `read`: reads the selection.
 * @returns undefined where the execution would take too much of the budget.
 */
export async function selectFromNoise(
  session: Session,
  entry: PlannedCase,
  { prepared, inputs, read }: {
    prepared: Prepared;
    inputs: LayerInputs;
    read: () => Promise<Int32Array>;
  },
): Promise<Int32Array | undefined> {
  const { budget, seed, gpu, signal } = session;
  if (budget.predict(entry) > PROBE_SHARE * budget.left) return undefined;
  session.step(`${entry.id}: selecting from noisy inputs`);
  const perturbed = [inputs.q, inputs.k];
  try {
    for (const [i, tensor] of perturbed.entries()) {
      await perturbTensor(gpu, tensor, {
        seed: (seed + NOISE_SEED_STEP + i) >>> 0,
        deviation: NOISE,
      });
    }
    await prepared.execute({ flopsPerSecond: budget.flopsPerSecond(entry), signal });
    return await read();
  } finally {
    for (const [i, tensor] of perturbed.entries()) await fillSeeded(gpu, tensor, seed + i);
  }
}
