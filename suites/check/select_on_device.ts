/**
 * Runs the selection kernel on given scores.
 *
 * @module
 */
import {
  createStorageBuffer,
  readBuffer,
  runDispatches,
  slice,
  writeBuffer,
} from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { createSelection, planSelection } from "../../kernels/lighthouse/passes/select.ts";

/** Scores of one head: a number for each entry of the pyramid. */
export interface Scores {
  readonly query: Float32Array;
  readonly key: Float32Array;
}

/** Runs the selection kernel on given scores of one head: pyramid indices in gathered order. */
export async function selectOnDevice(
  gpu: Gpu,
  geometry: LighthouseGeometry,
  scores: Scores,
): Promise<Int32Array<ArrayBuffer>> {
  const plan = planSelection(geometry, 1);
  const kernel = await createSelection(gpu, plan);
  const buffers: GPUBuffer[] = [];
  const allocate = async (label: string, bytes: number) => {
    const buffer = await createStorageBuffer(gpu, bytes, { label });
    buffers.push(buffer);
    return slice(buffer);
  };
  try {
    const queryScores = await allocate("query scores", plan.scoreBytes);
    const keyScores = await allocate("key scores", plan.scoreBytes);
    const indices = await allocate("indices", plan.indexBytes);
    const slots = await allocate("slots", plan.slotBytes);
    writeBuffer(gpu, queryScores, scores.query);
    writeBuffer(gpu, keyScores, scores.key);
    await runDispatches(gpu, "select", kernel.bind({ queryScores, keyScores, indices, slots }));
    const bytes = await readBuffer(gpu, { ...indices, size: geometry.gathered * 4 });
    return new Int32Array(bytes.buffer);
  } finally {
    kernel.destroy();
    for (const buffer of buffers) buffer.destroy();
  }
}
