/**
 * Memory on the device, for the host side of kernels: buffers and slices of them
 * (`device_buffers.ts`), tensors in blocks of heads (`tensors.ts`), and pipelines bound to both
 * (`dispatches.ts`).
 *
 * @module
 */
export { MemoryError } from "./submit.ts";
export {
  type BufferSlice,
  bytesPerElement,
  createSmallBuffer,
  createStorageBuffer,
  createUniform,
  type DType,
  floatBits,
  readBuffer,
  requireBuffer,
  requireBytes,
  slice,
  USAGE,
  writeBuffer,
} from "./device_buffers.ts";
export {
  bytesPerHead,
  createTensor,
  headsPerBlock,
  readRows,
  readTensor,
  requireTensor,
  requireTensorShape,
  type Tensor,
  type TensorBlock,
  type TensorShape,
  writeTensor,
} from "./tensors.ts";
export {
  bindDispatch,
  type Dispatch,
  encodeDispatches,
  requireDispatches,
  runDispatches,
} from "./dispatches.ts";
