/**
 * Submits the stages of a training step.
 *
 * @module
 */
import { type Dispatch, encodeDispatches, requireDispatches } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { submit, waitFor } from "../../gpu/submit.ts";
import type { Stage } from "../../gpu/timing.ts";

/**
 * Submits stages; resolves when the device has taken them.
 *
 * @param options `flopsPerSubmission`: longer work is cut, and each part waits for the one before.
 * Default: one submission.
 */
export async function runStages(
  gpu: Gpu,
  stages: readonly Stage[],
  { flopsPerSubmission = Infinity }: { readonly flopsPerSubmission?: number } = {},
): Promise<void> {
  const action = "run training step";
  const dispatches = stages.flatMap((stage) => stage.dispatches);
  requireDispatches(gpu, action, dispatches);
  const parts = cutDispatches(dispatches, flopsPerSubmission);
  for (const [i, part] of parts.entries()) {
    if (i > 0) await waitFor(gpu, gpu.device.queue.onSubmittedWorkDone(), action);
    const encoder = gpu.device.createCommandEncoder({ label: action });
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, part);
    pass.end();
    await submit(gpu, encoder, action);
  }
}

/** Dispatches in parts of at most so many FLOP, or of one dispatch. */
export function cutDispatches(dispatches: readonly Dispatch[], most: number): Dispatch[][] {
  const parts: Dispatch[][] = [[]];
  let flops = 0;
  for (const dispatch of dispatches) {
    if (flops > 0 && flops + dispatch.flops > most) {
      parts.push([]);
      flops = 0;
    }
    parts[parts.length - 1].push(dispatch);
    flops += dispatch.flops;
  }
  return parts;
}
