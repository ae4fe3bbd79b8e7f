/**
 * Buffers, tensors cut into blocks of heads, and dispatches bound to them.
 *
 * Layout of every tensor is `[heads, rows, dim]`. A storage binding has a device limit (2 GiB - 4
 * on many GPUs, 128 MiB on software drivers), so a tensor is a list of blocks of whole heads, each
 * a buffer of its own that fits one binding.
 *
 * @module
 */
import type { Gpu } from "./device.ts";
import type { BindingKind, Pipeline } from "./pipeline.ts";

/** Element type in memory. Arithmetic is always accumulated in f32. */
export type DType = "f16" | "f32";

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
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
  /** The buffer that the range lies in. */
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

/** Out of device memory. */
export class MemoryError extends Error {
  /** Tells this error by name. */
  override readonly name = "MemoryError";
}

/**
 * Allocates a storage buffer that can also be copied from and to.
 *
 * @throws {RangeError} when the device does not allow a buffer of that size.
 * @throws {MemoryError} when the device has no room for it.
 */
export async function createStorageBuffer(
  gpu: Gpu,
  bytes: number,
  options: { label?: string } = {},
): Promise<GPUBuffer> {
  const size = Math.max(16, Math.ceil(bytes / 16) * 16);
  const what = options.label ?? "buffer";
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  if (bytes > limit) {
    throw new RangeError(`allocate ${what}: ${bytes} bytes exceed the device's limit of ${limit}`);
  }
  gpu.device.pushErrorScope("out-of-memory");
  gpu.device.pushErrorScope("validation");
  const buffer = gpu.device.createBuffer({
    label: what,
    size: Math.min(size, limit),
    usage: USAGE.storage | USAGE.copySrc | USAGE.copyDst,
  });
  const invalid = await gpu.device.popErrorScope();
  const full = await gpu.device.popErrorScope();
  if (full || invalid) {
    const text = (full ?? invalid)!.message.split("\n", 1)[0];
    throw new MemoryError(`allocate ${what}: ${bytes} bytes: ${text}`);
  }
  return buffer;
}

/** Shape of a tensor `[heads, rows, dim]`. */
export interface TensorShape {
  /** H. */
  readonly heads: number;
  /** Rows of each head; N, or S for a gathered tensor. */
  readonly rows: number;
  /** Elements of a row; d. */
  readonly dim: number;
  /** Type that elements are stored in. */
  readonly dtype: DType;
}

/** Bytes of one head of a tensor. */
export function bytesPerHead(shape: TensorShape): number {
  return shape.rows * shape.dim * bytesPerElement(shape.dtype);
}

/**
 * The most heads whose largest tensor still fits one storage binding.
 *
 * @throws {RangeError} when one head alone does not fit.
 */
export function headsPerBlock(
  gpu: Pick<Gpu, "capabilities">,
  shapes: readonly TensorShape[],
): number {
  const { maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  const limit = Math.min(maxBindingBytes, maxBufferBytes);
  const largest = Math.max(...shapes.map(bytesPerHead));
  const heads = Math.min(Math.floor(limit / largest), ...shapes.map((shape) => shape.heads));
  if (heads < 1) {
    throw new RangeError(
      `plan tensor: one head takes ${largest} bytes, the device binds at most ${limit}`,
    );
  }
  return heads;
}

/** A block of consecutive heads of a tensor, in one buffer. */
export interface TensorBlock {
  /** First head of the block in the tensor. */
  readonly firstHead: number;
  /** Heads in the block. */
  readonly heads: number;
  /** `[heads, rows, dim]` of these heads. */
  readonly data: BufferSlice;
}

/** A tensor `[heads, rows, dim]` in blocks of whole heads. */
export interface Tensor extends TensorShape {
  /** Names the tensor in errors. */
  readonly label: string;
  /** In the order of heads. */
  readonly blocks: readonly TensorBlock[];
  /** Bytes of all elements. */
  readonly bytes: number;
  /** Frees the buffers. */
  readonly destroy: () => void;
}

/**
 * Allocates a tensor. Contents are undefined until written.
 *
 * @throws {RangeError} when a block does not fit one binding.
 * @throws {MemoryError} when the device has no room for it; nothing stays allocated then.
 */
export async function createTensor(
  gpu: Gpu,
  shape: TensorShape,
  options: { label?: string; headsPerBlock?: number } = {},
): Promise<Tensor> {
  const label = options.label ?? "tensor";
  const each = options.headsPerBlock ?? headsPerBlock(gpu, [shape]);
  const blocks: TensorBlock[] = [];
  const destroy = () => blocks.forEach((block) => block.data.buffer.destroy());
  try {
    for (let firstHead = 0; firstHead < shape.heads; firstHead += each) {
      const heads = Math.min(each, shape.heads - firstHead);
      const size = heads * bytesPerHead(shape);
      const buffer = await createStorageBuffer(gpu, size, { label });
      blocks.push({ firstHead, heads, data: { buffer, offset: 0, size: buffer.size } });
    }
  } catch (error) {
    destroy();
    throw error;
  }
  return { ...shape, label, blocks, bytes: shape.heads * bytesPerHead(shape), destroy };
}

/** One dispatch with its bindings: ready to be recorded any number of times. */
export interface Dispatch {
  /** Names the dispatch in errors and traces. */
  readonly label: string;
  /** What runs. */
  readonly pipeline: GPUComputePipeline;
  /** On what it runs: group 0. */
  readonly bindGroup: GPUBindGroup;
  /** How many workgroups run. */
  readonly workgroups: readonly [number, number, number];
  /** FLOP of this dispatch, by which long work is cut into submissions. */
  readonly flops: number;
}

/** Creates a uniform buffer with the given 32-bit words. */
export function createUniform(gpu: Gpu, words: ArrayLike<number> | Uint32Array): GPUBuffer {
  const data = words instanceof Uint32Array ? words : Uint32Array.from(words);
  const buffer = gpu.device.createBuffer({
    size: Math.max(16, Math.ceil(data.byteLength / 16) * 16),
    usage: USAGE.uniform | USAGE.copyDst,
  });
  gpu.device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
  return buffer;
}

/** The bits of a float, for mixing floats and integers in one uniform. */
export function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/** Binds slices to a pipeline, in the order of its bindings. */
export function bindDispatch(
  gpu: Gpu,
  pipeline: Pipeline,
  options: {
    slices: readonly BufferSlice[];
    workgroups: readonly [number, number, number];
    flops?: number;
    label?: string;
  },
): Dispatch {
  const label = options.label ?? pipeline.source.label;
  const limit = gpu.capabilities.maxWorkgroupsPerDimension;
  for (const count of options.workgroups) {
    if (count > limit) {
      throw new RangeError(`dispatch ${label}: ${count} workgroups exceed the limit of ${limit}`);
    }
  }
  const { shared, source } = pipeline;
  const bound = shared && bindsTwice(source.bindings, options.slices) ? shared() : pipeline;
  return {
    label,
    pipeline: bound.pipeline,
    bindGroup: gpu.device.createBindGroup({
      label,
      layout: bound.layout,
      entries: options.slices.map(({ buffer, offset, size }, binding) => ({
        binding,
        resource: { buffer, offset, size },
      })),
    }),
    workgroups: options.workgroups,
    flops: options.flops ?? 0,
  };
}

/**
 * Whether a buffer is bound in a way that WebGPU forbids in one dispatch: for writing and otherwise,
 * or for writing with ranges that overlap.
 */
function bindsTwice(bindings: readonly BindingKind[], slices: readonly BufferSlice[]): boolean {
  return slices.some((one, i) =>
    slices.slice(0, i).some((other, j) =>
      one.buffer === other.buffer && [bindings[i], bindings[j]].includes("read-write") &&
      (bindings[i] !== bindings[j] ||
        one.offset < other.offset + other.size && other.offset < one.offset + one.size)
    )
  );
}

/** Records dispatches into a compute pass, in order. */
export function encodeDispatches(pass: GPUComputePassEncoder, dispatches: readonly Dispatch[]) {
  let pipeline: GPUComputePipeline | undefined;
  for (const dispatch of dispatches) {
    if (dispatch.pipeline !== pipeline) pass.setPipeline(pipeline = dispatch.pipeline);
    pass.setBindGroup(0, dispatch.bindGroup);
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }
}

/**
 * Copies a slice back to the host, in pieces no larger than 256 MiB.
 *
 * @returns the bytes of the slice.
 */
export async function readBuffer(gpu: Gpu, source: BufferSlice): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(source.size);
  const piece = Math.min(source.size, 256 * 2 ** 20);
  const staging = gpu.device.createBuffer({
    label: "readback",
    size: Math.ceil(piece / 4) * 4,
    usage: USAGE.mapRead | USAGE.copyDst,
  });
  try {
    for (let done = 0; done < source.size; done += piece) {
      const size = Math.min(piece, source.size - done);
      const encoder = gpu.device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(source.buffer, source.offset + done, staging, 0, size);
      gpu.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1, 0, size);
      bytes.set(new Uint8Array(staging.getMappedRange(0, size)), done);
      staging.unmap();
    }
  } finally {
    staging.destroy();
  }
  return bytes;
}

/** Writes bytes into a slice, from its start. The length must be a multiple of 4. */
export function writeBuffer(gpu: Gpu, target: BufferSlice, data: ArrayBufferView): void {
  if (data.byteLength > target.size) {
    throw new RangeError(
      `write buffer: ${data.byteLength} bytes exceed the slice's ${target.size}`,
    );
  }
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const piece = 64 * 2 ** 20;
  for (let done = 0; done < bytes.length; done += piece) {
    const part = bytes.subarray(done, Math.min(bytes.length, done + piece));
    gpu.device.queue.writeBuffer(target.buffer, target.offset + done, part);
  }
}

/** Elements of a tensor, head after head, as `[heads, rows, dim]`. */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array | Float16Array> {
  const count = tensor.heads * tensor.rows * tensor.dim;
  const data = tensor.dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
  const bytes = new Uint8Array(data.buffer);
  for (const block of tensor.blocks) {
    const size = block.heads * bytesPerHead(tensor);
    const part = await readBuffer(gpu, { ...block.data, size: Math.ceil(size / 4) * 4 });
    bytes.set(part.subarray(0, size), block.firstHead * bytesPerHead(tensor));
  }
  return data;
}

/** Rows `first … first + count - 1` of one head, as `[count, dim]`. */
export async function readRows(
  gpu: Gpu,
  tensor: Tensor,
  range: { head: number; first: number; count: number },
): Promise<Float32Array | Float16Array> {
  const { head, first, count } = range;
  const block = tensor.blocks.find((b) => head >= b.firstHead && head < b.firstHead + b.heads);
  if (!block || first < 0 || first + count > tensor.rows) {
    throw new RangeError(
      `read rows of ${tensor.label}: head ${head}, rows ${first}…${first + count - 1} exceed ` +
        `[${tensor.heads}, ${tensor.rows}]`,
    );
  }
  const row = tensor.dim * bytesPerElement(tensor.dtype);
  const bytes = await readBuffer(gpu, {
    buffer: block.data.buffer,
    offset: block.data.offset + (head - block.firstHead) * bytesPerHead(tensor) + first * row,
    size: count * row,
  });
  return tensor.dtype === "f16" ? new Float16Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

/** Writes elements `[heads, rows, dim]` into a tensor, converted to its element type. */
export function writeTensor(gpu: Gpu, tensor: Tensor, data: ArrayLike<number>): void {
  const perHead = tensor.rows * tensor.dim;
  if (data.length !== tensor.heads * perHead) {
    throw new RangeError(
      `write ${tensor.label}: ${data.length} elements given, ` +
        `[${tensor.heads}, ${tensor.rows}, ${tensor.dim}] needs ${tensor.heads * perHead}`,
    );
  }
  for (const block of tensor.blocks) {
    const first = block.firstHead * perHead;
    const count = block.heads * perHead;
    const padded = Math.ceil(count / 2) * 2;
    const part = tensor.dtype === "f16" ? new Float16Array(padded) : new Float32Array(padded);
    for (let i = 0; i < count; i++) part[i] = data[first + i];
    writeBuffer(gpu, block.data, tensor.dtype === "f16" ? part : part.subarray(0, count));
  }
}
