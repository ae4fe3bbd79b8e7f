/**
 * Buffers of tests: numbers to the device, dispatches, words back.
 *
 * @module
 */
import {
  type BufferSlice,
  createStorageBuffer,
  type Dispatch,
  readBuffer,
  runDispatches,
  slice,
  writeBuffer,
} from "./buffers.ts";
import type { Gpu } from "./device.ts";

/** A storage buffer holding the data. */
export async function upload(
  gpu: Gpu,
  data: Float32Array | Uint32Array | Float16Array,
): Promise<BufferSlice> {
  const target = slice(await createStorageBuffer(gpu, data.byteLength));
  const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  writeBuffer(gpu, target, padded);
  return target;
}

/** A storage buffer of 0xa5 bytes, so that a kernel which forgets to write is detected. */
export function uploadGarbage(gpu: Gpu, bytes: number): Promise<BufferSlice> {
  return upload(gpu, new Uint32Array(Math.ceil(bytes / 4)).fill(0xa5a5a5a5));
}

/** Runs dispatches in one pass. */
export function submit(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<void> {
  return runDispatches(gpu, "test", dispatches);
}

/** The first `count` 32-bit words of a slice. */
export async function readWords(
  gpu: Gpu,
  source: BufferSlice,
  count: number,
): Promise<Uint32Array<ArrayBuffer>> {
  return new Uint32Array((await readBuffer(gpu, { ...source, size: count * 4 })).buffer);
}
