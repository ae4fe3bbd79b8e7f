/**
 * Tensors `[heads, rows, dim]`, split into blocks of heads.
 *
 * A storage binding has a device limit (2 GiB - 4 on many GPUs, 128 MiB on software drivers), so a
 * tensor is a list of blocks of whole heads, each in its own buffer that fits one binding.
 *
 * @module
 */
import { showExcess } from "./bytes.ts";
import { type Gpu, requireDevice } from "./device.ts";
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type DType,
  readBuffer,
  requireSlice,
  writeBuffer,
} from "./device_buffers.ts";
import { requireDType, requireNumbers, requireRecord, requireWhole, show } from "./require.ts";

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
 * The maximum number of heads whose largest tensor still fits one storage binding.
 *
 * @throws {RangeError} when a single head does not fit.
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
 * Checks that a value is a tensor whose buffers the device can use.
 *
 * @throws {TypeError} when it is not a tensor.
 * @throws {RangeError} when it was destroyed or belongs to another device.
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
 * @throws {RangeError} when a size is not a whole number from 1, or a block does not fit one
 * binding.
 * @throws {MemoryError} when the device is out of memory; nothing stays allocated then.
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

/**
 * Elements of a tensor, head after head, as `[heads, rows, dim]`.
 *
 * @throws {RangeError} when the tensor was destroyed or belongs to another device.
 * @throws {RefusedError} when the device refused the copy, or an earlier write.
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
 * @throws {RangeError} when there are no such rows, or the tensor was destroyed or belongs to
 * another device.
 * @throws {RefusedError} when the device refused the copy, or an earlier write.
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
  // Copies are whole words: if a row of f16 begins or ends inside a word, the other half is copied
  // too.
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
 * Writes elements `[heads, rows, dim]` into a tensor, converted to its element type; values beyond
 * the range of f16 become infinite.
 *
 * @throws {TypeError} when the data are not numbers.
 * @throws {RangeError} when their number differs from the tensor's, or the tensor was destroyed or
 * belongs to another device.
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
