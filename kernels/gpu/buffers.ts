/**
 * Buffers, tensors cut into blocks of heads, and dispatches bound to them.
 *
 * Layout of every tensor is `[heads, rows, dim]`. A storage binding has a device limit (2 GiB - 4
 * on many GPUs, 128 MiB on software drivers), so a tensor is a list of blocks of whole heads, each
 * a buffer of its own that fits one binding.
 *
 * @module
 */
import { showBytes, showExcess } from "./bytes.ts";
import { type Gpu, requireDevice } from "./device.ts";
import type { BindingKind, Pipeline } from "./pipeline.ts";
import { requireDType, requireNumbers, requireRecord, requireWhole, show } from "./require.ts";
import { guard, guardUnattended, MemoryError, RefusedError, submit, waitFor } from "./submit.ts";

export { MemoryError };

/** Element type in memory. Arithmetic is always accumulated in f32. */
export type DType = "f16" | "f32";

/**
 * Bytes of one element.
 *
 * @throws {TypeError} when there is no such element type.
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

/** What is known of a buffer that was made here. */
interface BufferState {
  readonly device: GPUDevice;
  destroyed: boolean;
}

const states = new WeakMap<GPUBuffer, BufferState>();

/** Creates a buffer, and remembers whose it is and whether it was destroyed. */
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
 * Checks that a buffer is one that the device can use. Of a buffer that was made elsewhere nothing is
 * known here: the device says what is wrong with it when work is submitted.
 *
 * @throws {DeviceLostError} when the device was lost or destroyed.
 * @throws {RangeError} when the buffer is another device's, or was destroyed.
 */
export function requireBuffer(gpu: Gpu, action: string, buffer: GPUBuffer): void {
  const state = states.get(buffer);
  requireDevice(gpu, action);
  if (!state) return;
  const name = buffer.label || "buffer";
  if (state.device !== gpu.device) throw new RangeError(`${action}: ${name} is another device's`);
  if (state.destroyed) throw new RangeError(`${action}: ${name} was destroyed`);
}

/** The same of a range, whose place and size must be multiples of 4 and within the buffer. */
function requireSlice(gpu: Gpu, action: string, part: BufferSlice): void {
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
 * Checks that a slice holds what a kernel will address.
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
 * Allocates a storage buffer that can also be copied from and to.
 *
 * @throws {RangeError} when the device does not allow a buffer of that size.
 * @throws {MemoryError} when the device has no room for it.
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
    // What the device finds wrong with a buffer of a size that it allows is that it has no room.
    throw error instanceof RefusedError ? new MemoryError(error.message, { cause: error }) : error;
  }
  return buffer;
}

/**
 * Creates a small buffer that needs no wait: should the device have no room for it, it refuses the
 * work that the buffer is part of.
 */
export function createSmallBuffer(gpu: Gpu, descriptor: GPUBufferDescriptor): GPUBuffer {
  return guard(gpu, `allocate ${descriptor.label ?? "buffer"}`, () => createBuffer(gpu, descriptor))
    .value;
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

/**
 * Checks the shape of a tensor.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} naming the size that is not a whole number from 1.
 */
export function requireTensorShape(action: string, shape: TensorShape): void {
  requireRecord(action, "the shape", shape);
  for (const name of ["heads", "rows", "dim"] as const) requireWhole(action, name, shape[name]);
  requireDType(action, shape.dtype);
  requireWhole(action, "heads * rows * dim", shape.heads * shape.rows * shape.dim);
}

/**
 * Bytes of one head of a tensor.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} naming the size that is not a whole number from 1.
 */
export function bytesPerHead(shape: TensorShape): number {
  requireTensorShape("count bytes", shape);
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
  for (const shape of shapes) requireTensorShape("plan tensor", shape);
  if (shapes.length === 0) throw new RangeError("plan tensor: 0 shapes given, 1 is needed");
  const largest = Math.max(...shapes.map(bytesPerHead));
  const heads = Math.min(Math.floor(limit / largest), ...shapes.map((shape) => shape.heads));
  if (heads < 1) {
    const sizes = showExcess(largest, limit);
    throw new RangeError(
      `plan tensor: one head needs a binding of ${sizes.bytes}; the limit is ${sizes.limit}`,
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
 * Checks that something is a tensor whose buffers the device can use.
 *
 * @throws {TypeError} when it is no tensor.
 * @throws {RangeError} when it is another device's, or was destroyed.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function requireTensor(gpu: Gpu, action: string, tensor: Tensor): void {
  requireRecord(action, "the tensor", tensor);
  if (!Array.isArray(tensor.blocks) || tensor.blocks.length === 0) {
    throw new TypeError(`${action}: ${show(tensor)} is not a tensor`);
  }
  requireTensorShape(action, tensor);
  for (const { data } of tensor.blocks) requireSlice(gpu, action, data);
}

/**
 * Allocates a tensor. Contents are undefined until written.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} when a size is not a whole number from 1, or a block does not fit one binding.
 * @throws {MemoryError} when the device has no room for it; nothing stays allocated then.
 */
export async function createTensor(
  gpu: Gpu,
  shape: TensorShape,
  options: { label?: string; headsPerBlock?: number } = {},
): Promise<Tensor> {
  const label = options.label ?? "tensor";
  const action = `allocate ${label}`;
  requireDevice(gpu, action);
  requireTensorShape(action, shape);
  if (options.headsPerBlock !== undefined) {
    requireWhole(action, "headsPerBlock", options.headsPerBlock);
  }
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
  const { heads, rows, dim, dtype } = shape;
  return { heads, rows, dim, dtype, label, blocks, bytes: heads * bytesPerHead(shape), destroy };
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

/** Buffers of a bind group, to see before a dispatch runs whether they are still there. */
const bound = new WeakMap<GPUBindGroup, readonly GPUBuffer[]>();

/**
 * Checks that all buffers of dispatches are still there, before any of them runs.
 *
 * @throws {DeviceLostError} when the device was lost or destroyed.
 * @throws {RangeError} naming the buffer that was destroyed.
 */
export function requireDispatches(
  gpu: Gpu,
  action: string,
  dispatches: readonly Dispatch[],
): void {
  requireDevice(gpu, action);
  for (const { bindGroup } of dispatches) {
    for (const buffer of bound.get(bindGroup) ?? []) requireBuffer(gpu, action, buffer);
  }
}

/**
 * Binds slices to a pipeline, in the order of its bindings.
 *
 * @throws {RangeError} when there are too many workgroups, or slices do not fit the bindings: another
 * number of them, a place or size that the device does not bind, another device's or destroyed ones.
 */
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
  const action = `dispatch ${label}`;
  const { slices, workgroups } = options;
  const limit = gpu.capabilities.maxWorkgroupsPerDimension;
  for (const count of workgroups) {
    requireWhole(action, "workgroups", count, { least: 0 });
    if (count > limit) {
      throw new RangeError(`${action}: ${count} workgroups exceed the limit of ${limit}`);
    }
  }
  const { shared, source } = pipeline;
  if (slices.length !== source.bindings.length) {
    throw new RangeError(
      `${action}: ${slices.length} slices given, ${source.bindings.length} bindings`,
    );
  }
  for (const [i, part] of slices.entries()) {
    requireSlice(gpu, action, part);
    if (source.bindings[i] !== "uniform") requireStorage(gpu, action, part);
  }
  const chosen = shared && bindsTwice(source.bindings, slices) ? shared() : pipeline;
  // A group that the device finds fault with makes it refuse the work that it is part of.
  const { value: bindGroup } = guard(gpu, action, () =>
    gpu.device.createBindGroup({
      label,
      layout: chosen.layout,
      entries: slices.map(({ buffer, offset, size }, binding) => ({
        binding,
        resource: { buffer, offset, size },
      })),
    }));
  bound.set(bindGroup, slices.map(({ buffer }) => buffer));
  return {
    label,
    pipeline: chosen.pipeline,
    bindGroup,
    workgroups,
    flops: options.flops ?? 0,
  };
}

/** Checks a slice against what the device binds as storage. */
function requireStorage(gpu: Gpu, action: string, { buffer, offset, size }: BufferSlice): void {
  const { storageAlignment, maxBindingBytes } = gpu.capabilities;
  const name = buffer.label || "a slice";
  if (offset % storageAlignment !== 0) {
    throw new RangeError(
      `${action}: ${name} begins at byte ${offset}, not a multiple of ${storageAlignment}`,
    );
  }
  if (size > maxBindingBytes || size === 0) {
    throw new RangeError(
      `${action}: ${name} has ${size} bytes, the device binds from 4 to ${maxBindingBytes}`,
    );
  }
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

/**
 * Submits dispatches in one pass and waits until the device has taken them, not until they are done.
 *
 * @throws {RangeError} when a buffer that they need was destroyed; nothing runs then.
 * @throws {RefusedError} when the device refused them, or a write before them.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function runDispatches(
  gpu: Gpu,
  action: string,
  dispatches: readonly Dispatch[],
): Promise<void> {
  requireDispatches(gpu, action, dispatches);
  const encoder = gpu.device.createCommandEncoder({ label: action });
  const pass = encoder.beginComputePass();
  encodeDispatches(pass, dispatches);
  pass.end();
  await submit(gpu, encoder, action);
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
 * @param source its place and size are multiples of 4 bytes.
 * @returns the bytes of the slice.
 * @throws {RangeError} when the slice is not in the buffer, or the buffer is another device's or was
 * destroyed.
 * @throws {RefusedError} when the device refused the copy, or a write before it.
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
 * Does not wait for the device: should it refuse the write, later work fails with its reason.
 *
 * @throws {RangeError} when the data or the slice do not fit the buffer, or it is another device's or
 * was destroyed.
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

/**
 * Elements of a tensor, head after head, as `[heads, rows, dim]`.
 *
 * @throws {RangeError} when the tensor is another device's, or was destroyed.
 * @throws {RefusedError} when the device refused the copy, or a write before it.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array | Float16Array> {
  requireTensor(gpu, `read ${tensor?.label ?? "tensor"}`, tensor);
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

/**
 * Rows `first … first + count - 1` of one head, as `[count, dim]`.
 *
 * @throws {RangeError} when there are no such rows, or the tensor is another device's or was
 * destroyed.
 * @throws {RefusedError} when the device refused the copy, or a write before it.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function readRows(
  gpu: Gpu,
  tensor: Tensor,
  range: { head: number; first: number; count: number },
): Promise<Float32Array | Float16Array> {
  const { head, first, count } = range;
  const action = `read rows of ${tensor?.label ?? "tensor"}`;
  requireTensor(gpu, action, tensor);
  requireWhole(action, "count", count, { least: 0 });
  const block = tensor.blocks.find((b) => head >= b.firstHead && head < b.firstHead + b.heads);
  const whole = Number.isInteger(head) && Number.isInteger(first);
  if (!block || !whole || first < 0 || first + count > tensor.rows) {
    throw new RangeError(
      `${action}: head ${head}, rows ${first}…${first + count - 1} exceed ` +
        `[${tensor.heads}, ${tensor.rows}]`,
    );
  }
  const row = tensor.dim * bytesPerElement(tensor.dtype);
  const start = (head - block.firstHead) * bytesPerHead(tensor) + first * row;
  // Copies are of whole words: where a row of f16 begins or ends within one, its other half comes along.
  const skipped = start % 4;
  const bytes = await readBuffer(gpu, {
    buffer: block.data.buffer,
    offset: block.data.offset + start - skipped,
    size: Math.ceil((skipped + count * row) / 4) * 4,
  });
  return tensor.dtype === "f16"
    ? new Float16Array(bytes.buffer, skipped, count * tensor.dim).slice()
    : new Float32Array(bytes.buffer);
}

/**
 * Writes elements `[heads, rows, dim]` into a tensor, converted to its element type; what is beyond
 * f16 becomes infinite there.
 *
 * @throws {TypeError} when the data are no numbers.
 * @throws {RangeError} when they are not as many as the tensor has, or the tensor is another device's
 * or was destroyed.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function writeTensor(gpu: Gpu, tensor: Tensor, data: ArrayLike<number>): void {
  const action = `write ${tensor?.label ?? "tensor"}`;
  requireTensor(gpu, action, tensor);
  const perHead = tensor.rows * tensor.dim;
  requireNumbers(action, "the data", data, {
    count: tensor.heads * perHead,
    shape: `[${tensor.heads}, ${tensor.rows}, ${tensor.dim}]`,
  });
  for (const block of tensor.blocks) {
    const first = block.firstHead * perHead;
    const count = block.heads * perHead;
    const padded = Math.ceil(count / 2) * 2;
    const part = tensor.dtype === "f16" ? new Float16Array(padded) : new Float32Array(padded);
    for (let i = 0; i < count; i++) part[i] = data[first + i];
    writeBuffer(gpu, block.data, tensor.dtype === "f16" ? part : part.subarray(0, count));
  }
}
