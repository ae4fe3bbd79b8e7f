/**
 * How much memory a device gives, where nobody tells: browsers do not.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu/device.ts";

/** What is asked for at a time. */
const STEP_BYTES = 128 * 2 ** 20;

/**
 * Bytes that the device could hold at once, at most `wanted`: buffers are made one by one, written to,
 * so that a driver has to find memory for them, and freed again. An error ends it and nothing else.
 *
 * @param wanted bytes; asking for no more than a run needs keeps other programs' memory out of it.
 */
export async function probeMemory(gpu: Gpu, wanted: number): Promise<number> {
  const { device, capabilities } = gpu;
  const step = Math.min(STEP_BYTES, capabilities.maxBufferBytes);
  const buffers: GPUBuffer[] = [];
  try {
    while ((buffers.length + 1) * step <= wanted) {
      device.pushErrorScope("out-of-memory");
      device.pushErrorScope("validation");
      const buffer = device.createBuffer({
        label: "memory probe",
        size: step,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      encoder.clearBuffer(buffer);
      device.queue.submit([encoder.finish()]);
      const scopes = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
      if (scopes.some((error) => error !== null) || gpu.lost() !== undefined) {
        buffer.destroy();
        break;
      }
      buffers.push(buffer);
    }
    await device.queue.onSubmittedWorkDone();
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
  return Math.max(buffers.length, 1) * step;
}
