/**
 * Compiles ahead: drivers take up to fifteen seconds for one large kernel and compile several at
 * once, while a run that compiles each kernel on first use waits for one after the other.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { findImplementation, type Measurable } from "../plan/measurable.ts";
import type { PlannedCase } from "../plan/planned_case.ts";

/**
 * Starts compiling the kernels of all cases. A software adapter compiles on the cores that it
 * computes on, so there this does nothing.
 *
 * @returns when all compilation has ended; the case of a shader that does not compile reports it.
 */
export async function compileAhead(
  gpu: Gpu,
  registry: readonly Measurable[],
  cases: readonly PlannedCase[],
): Promise<void> {
  if (gpu.adapter.software) return;
  const open = cases.filter(({ plan, skip, predictedOnly }) => plan && !skip && !predictedOnly);
  await Promise.allSettled(open.map(async ({ implementation, problem }) => {
    await findImplementation(registry, implementation).compile?.(gpu, problem);
  }));
}
