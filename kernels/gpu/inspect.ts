/**
 * Digest and finiteness of device data, computed on the device.
 *
 * The digest distinguishes results; it is not for security. Each 32-bit word is hashed with its
 * index by PCG, and hashes are summed modulo 2^32 in four lanes. The digest depends on every bit
 * and every position but not on the order of reading, so it is the same on every device for the
 * same bytes.
 *
 * @module
 */
import code from "./inspect.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerHead,
  createSmallBuffer,
  type Dispatch,
  readBuffer,
  requireTensor,
  runDispatches,
  type Tensor,
  USAGE,
} from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { createPipeline } from "./pipeline.ts";
import { pcg } from "./random.ts";
import { requireWhole, show } from "./require.ts";
import { createParams } from "./uniform.ts";

const PARAMS = { words: "u32", stride: "u32", kind: "u32", first: "u32" } as const;

/** The result of one pass over a tensor. */
export interface Inspection {
  /** 32 hexadecimal digits. */
  readonly digest: string;
  /** Elements that are NaN or infinite. */
  readonly notFinite: number;
}

/** NaN or infinity in data that must be finite. */
export class NotFiniteError extends RangeError {
  /** Identifies this error by name. */
  override readonly name = "NotFiniteError";
}

/** Element kinds that {@linkcode inspectSlices} distinguishes. */
export type InspectKind = "f16" | "f32" | "integer";

/**
 * Digest and count of non-finite elements of a tensor `[heads, rows, dim]`.
 *
 * @throws {RangeError} when the tensor was destroyed or belongs to another device, or one of its
 * blocks is an odd number of f16.
 * @throws {RefusedError} when the device refused the work, or an earlier write.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function inspectTensor(gpu: Gpu, tensor: Tensor): Promise<Inspection> {
  requireTensor(gpu, `inspect ${tensor?.label ?? "tensor"}`, tensor);
  const slices = tensor.blocks.map((block) => ({
    ...block.data,
    size: block.heads * bytesPerHead(tensor),
  }));
  return await inspectSlices(gpu, slices, tensor.dtype);
}

const KINDS: readonly InspectKind[] = ["f32", "f16", "integer"];

/**
 * Digest and count of non-finite elements of slices, hashed as one run of words.
 *
 * @throws {TypeError} when the kind of elements is unknown.
 * @throws {RangeError} when a slice is not a whole number of 4-byte words, or belongs to another
 * device.
 * @throws {RefusedError} when the device refused the work, or an earlier write.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function inspectSlices(
  gpu: Gpu,
  slices: readonly BufferSlice[],
  kind: InspectKind,
): Promise<Inspection> {
  if (!KINDS.includes(kind)) {
    throw new TypeError(`inspect: kind ${show(kind)} is not one of ${KINDS.join(", ")}`);
  }
  for (const { size } of slices) requireWhole("inspect", "4-byte words", size / 4);
  const pipeline = await createPipeline(gpu, {
    label: "inspect",
    code,
    bindings: ["read", "read-write", "uniform"],
  });
  const totals = createSmallBuffer(gpu, {
    label: "inspect totals",
    size: 32,
    usage: USAGE.storage | USAGE.copySrc,
  });
  const dispatches: Dispatch[] = [];
  const uniforms: GPUBuffer[] = [];
  let first = 0;
  for (const part of slices) {
    const words = part.size / 4;
    const groups = Math.min(4096, Math.ceil(words / 256));
    const uniform = createParams(gpu, PARAMS, {
      words,
      stride: groups * 256,
      kind: KINDS.indexOf(kind),
      first,
    });
    uniforms.push(uniform);
    first += words;
    dispatches.push(bindDispatch(gpu, pipeline, {
      slices: [
        part,
        { buffer: totals, offset: 0, size: 32 },
        { buffer: uniform, offset: 0, size: 16 },
      ],
      workgroups: [groups, 1, 1],
    }));
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    await runDispatches(gpu, "inspect", dispatches);
    bytes = await readBuffer(gpu, { buffer: totals, offset: 0, size: 32 });
  } finally {
    totals.destroy();
    uniforms.forEach((uniform) => uniform.destroy());
  }
  const words = new Uint32Array(bytes.buffer);
  return { digest: formatDigest(words), notFinite: words[4] };
}

/**
 * The same digest computed on the host, for tests and for checking a file.
 *
 * @throws {TypeError} when the words are of another type.
 */
export function digestWords(words: Uint32Array): string {
  if (!(words instanceof Uint32Array)) {
    throw new TypeError(`digest words: ${show(words)} is not a Uint32Array`);
  }
  const lanes = new Uint32Array(4);
  for (let i = 0; i < words.length; i++) {
    const index = pcg(i);
    const a = pcg(words[i] ^ index);
    const b = pcg((words[i] + Math.imul(index, 2654435769)) >>> 0);
    lanes[0] += a;
    lanes[1] += b;
    lanes[2] += pcg((a + 0x9e3779b9) >>> 0);
    lanes[3] += pcg((b ^ 0x85ebca6b) >>> 0);
  }
  return formatDigest(lanes);
}

function formatDigest(lanes: Uint32Array): string {
  return [...lanes.subarray(0, 4)].map((lane) => lane.toString(16).padStart(8, "0")).join("");
}

/**
 * Throws when any of the tensors holds NaN or infinity.
 *
 * @throws {NotFiniteError} naming the tensor and how many elements are not finite.
 */
export async function requireFinite(gpu: Gpu, tensors: readonly Tensor[]): Promise<void> {
  for (const tensor of tensors) {
    const { notFinite } = await inspectTensor(gpu, tensor);
    if (notFinite > 0) {
      const count = tensor.heads * tensor.rows * tensor.dim;
      throw new NotFiniteError(
        `check ${tensor.label}: ${notFinite} of ${count} elements are NaN or infinite`,
      );
    }
  }
}
