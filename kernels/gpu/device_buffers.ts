/**
 * Creates, checks, writes and reads buffers on the device, and ranges of them.
 *
 * A buffer created here is recorded with its device, so that a destroyed or foreign buffer is
 * rejected in one line before any work is submitted.
 *
 * @module
 */
import { showBytes, showExcess } from "./bytes.ts";
import { type Gpu, requireDevice } from "./device.ts";
import { requireDType, requireRecord, requireWhole, show } from "./require.ts";
import { guard, guardUnattended, MemoryError, RefusedError, submit, waitFor } from "./submit.ts";

/** Element type in memory. Accumulation is always in f32. */
export type DType = "f16" | "f32";

/**
 * Bytes of one element.
 *
 * @throws {TypeError} when the element type is unknown.
 */
export function bytesPerElement(dtype: DType): number {
  requireDType("count bytes", dtype);
  return dtype === "f16" ? 2 : 4;
}

/** Usage flags by value, since not every host defines the global constants. */
export const USAGE = {
  mapRead: 0x1,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;

/** A range of a buffer, in bytes. */
export interface BufferSlice {
  /** The buffer that contains the range. */
  readonly buffer: GPUBuffer;
  /** First byte. */
  readonly offset: number;
  /** Number of bytes. */
  readonly size: number;
}

/** A whole buffer as a slice. */
export function slice(buffer: GPUBuffer): BufferSlice {
  return { buffer, offset: 0, size: buffer.size };
}

/** The recorded state of a buffer that was created here. */
interface BufferState {
  readonly device: GPUDevice;
  destroyed: boolean;
}

const states = new WeakMap<GPUBuffer, BufferState>();

/** Creates a buffer, and records its device and whether it was destroyed. */
function createBuffer(gpu: Gpu, descriptor: GPUBufferDescriptor): GPUBuffer {
  const { device } = gpu;
  const buffer = device.createBuffer(descriptor);
  const state = { device, destroyed: false };
  const destroy = buffer.destroy.bind(buffer);
  buffer.destroy = () => {
    state.destroyed = true;
    destroy();
  };
  states.set(buffer, state);
  return buffer;
}

/**
 * Checks that the device can use a buffer. For a buffer that was created elsewhere nothing is known
 * here; the device reports its faults when work is submitted.
 *
 * @throws {DeviceLostError} when the device was lost or destroyed.
 * @throws {RangeError} when the buffer belongs to another device, or was destroyed.
 */
export function requireBuffer(gpu: Gpu, action: string, buffer: GPUBuffer): void {
  const state = states.get(buffer);
  requireDevice(gpu, action);
  if (!state) return;
  const name = buffer.label || "buffer";
  if (state.device !== gpu.device) {
    throw new RangeError(`${action}: ${name} belongs to another device`);
  }
  if (state.destroyed) throw new RangeError(`${action}: ${name} was destroyed`);
}

/** The same for a range, whose offset and size must be multiples of 4 and within the buffer. */
export function requireSlice(gpu: Gpu, action: string, part: BufferSlice): void {
  requireRecord(action, "the slice", part);
  const { buffer, offset, size } = part;
  requireRecord(action, "the slice's buffer", buffer);
  requireBuffer(gpu, action, buffer);
  const most = buffer.size;
  requireWhole(action, "offset", offset, { least: 0, most });
  requireWhole(action, "size", size, { least: 0, most: most - offset });
  for (const [name, value] of [["offset", offset], ["size", size]] as const) {
    if (value % 4 !== 0) {
      throw new RangeError(`${action}: ${name} ${value} is not a multiple of 4 bytes`);
    }
  }
}

/**
 * Checks that a slice holds everything that a kernel addresses.
 *
 * @throws {TypeError} when it is missing.
 * @throws {RangeError} naming the slice, its bytes and the bytes needed.
 */
export function requireBytes(what: string, slice: BufferSlice, bytes: number): void {
  requireRecord(`bind ${what}`, "the slice", slice);
  if (!(slice.size >= bytes)) {
    throw new RangeError(`bind ${what}: ${slice.size} bytes given, ${bytes} needed`);
  }
}

/**
 * Allocates a storage buffer that can also be the source or target of copies.
 *
 * @throws {RangeError} when the device does not allow a buffer of that size.
 * @throws {MemoryError} when the device is out of memory.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function createStorageBuffer(
  gpu: Gpu,
  bytes: number,
  options: { label?: string } = {},
): Promise<GPUBuffer> {
  const what = options.label ?? "buffer";
  const action = `allocate ${what}`;
  requireWhole(action, "bytes", bytes, { least: 0 });
  const size = Math.max(16, Math.ceil(bytes / 16) * 16);
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  if (bytes > limit) {
    const sizes = showExcess(bytes, limit);
    throw new RangeError(`${action}: needs ${sizes.bytes}; the device's limit is ${sizes.limit}`);
  }
  const { value: buffer, settled } = guard(
    gpu,
    `${action} of ${showBytes(bytes)}`,
    () =>
      createBuffer(gpu, {
        label: what,
        size: Math.min(size, limit),
        usage: USAGE.storage | USAGE.copySrc | USAGE.copyDst,
      }),
  );
  try {
    await settled;
  } catch (error) {
    // If the device rejects a buffer of an allowed size, it is out of memory.
    throw error instanceof RefusedError ? new MemoryError(error.message, { cause: error }) : error;
  }
  return buffer;
}

/**
 * Creates a small buffer without waiting: if the device is out of memory, it rejects the work that
 * uses the buffer.
 */
export function createSmallBuffer(gpu: Gpu, descriptor: GPUBufferDescriptor): GPUBuffer {
  return guard(gpu, `allocate ${descriptor.label ?? "buffer"}`, () => createBuffer(gpu, descriptor))
    .value;
}

/**
 * Creates a uniform buffer with the given 32-bit words.
 *
 * @throws {RangeError} when a word is not a whole number from 0 to 2^32 - 1.
 */
export function createUniform(
  gpu: Gpu,
  words: ArrayLike<number> | Uint32Array,
  options: { label?: string } = {},
): GPUBuffer {
  const data = words instanceof Uint32Array ? words : Uint32Array.from(words);
  for (let i = 0; i < words.length; i++) {
    requireWhole("create uniform", `word ${i}`, words[i], { least: 0, most: 2 ** 32 - 1 });
  }
  return guardUnattended(gpu, "create uniform", () => {
    const buffer = createBuffer(gpu, {
      label: options.label ?? "uniform",
      size: Math.max(16, Math.ceil(data.byteLength / 16) * 16),
      usage: USAGE.uniform | USAGE.copyDst,
    });
    gpu.device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
    return buffer;
  });
}

/** The bits of a float, for mixing floats and integers in one uniform. */
export function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/**
 * Copies a slice back to the host, in pieces no larger than 256 MiB.
 *
 * @param source its offset and size are multiples of 4 bytes.
 * @returns the bytes of the slice.
 * @throws {RangeError} when the slice is not in the buffer, or the buffer was destroyed or belongs
 * to another device.
 * @throws {RefusedError} when the device refused the copy, or an earlier write.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function readBuffer(gpu: Gpu, source: BufferSlice): Promise<Uint8Array<ArrayBuffer>> {
  requireSlice(gpu, "read buffer", source);
  const action = `read ${source.buffer.label || "buffer"}`;
  const bytes = new Uint8Array(source.size);
  const piece = Math.min(source.size, 256 * 2 ** 20);
  const staging = createSmallBuffer(gpu, {
    label: "readback",
    size: Math.ceil(piece / 4) * 4,
    usage: USAGE.mapRead | USAGE.copyDst,
  });
  try {
    for (let done = 0; done < source.size; done += piece) {
      const size = Math.min(piece, source.size - done);
      const encoder = gpu.device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(source.buffer, source.offset + done, staging, 0, size);
      const submitted = submit(gpu, encoder, action);
      const mapped = guard(gpu, action, () => staging.mapAsync(1, 0, size));
      mapped.value.catch(() => {});
      await submitted;
      await mapped.settled;
      await waitFor(gpu, mapped.value, action);
      bytes.set(new Uint8Array(staging.getMappedRange(0, size)), done);
      staging.unmap();
    }
  } finally {
    staging.destroy();
  }
  return bytes;
}

/**
 * Writes bytes into a slice, from its start. The length must be a multiple of 4.
 *
 * Does not wait for the device: if the device refuses the write, later work fails with that reason.
 *
 * @throws {RangeError} when the data or the slice do not fit the buffer, or it was destroyed or
 * belongs to another device.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function writeBuffer(gpu: Gpu, target: BufferSlice, data: ArrayBufferView): void {
  requireSlice(gpu, "write buffer", target);
  if (!ArrayBuffer.isView(data)) {
    throw new TypeError(`write buffer: the data are ${show(data)}, not a typed array`);
  }
  if (data.byteLength % 4 !== 0) {
    throw new RangeError(`write buffer: ${data.byteLength} bytes are not a multiple of 4`);
  }
  if (data.byteLength > target.size) {
    throw new RangeError(
      `write buffer: ${data.byteLength} bytes exceed the slice's ${target.size}`,
    );
  }
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const piece = 64 * 2 ** 20;
  guardUnattended(gpu, `write ${target.buffer.label || "buffer"}`, () => {
    for (let done = 0; done < bytes.length; done += piece) {
      const part = bytes.subarray(done, Math.min(bytes.length, done + piece));
      gpu.device.queue.writeBuffer(target.buffer, target.offset + done, part);
    }
  });
}
