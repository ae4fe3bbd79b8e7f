/**
 * Pipelines bound to buffers, which can be recorded and submitted any number of times.
 *
 * @module
 */
import { type Gpu, requireDevice } from "./device.ts";
import { type BufferSlice, requireBuffer, requireSlice } from "./device_buffers.ts";
import type { BindingKind, Pipeline } from "./pipeline.ts";
import { requireWhole } from "./require.ts";
import { guard, submit } from "./submit.ts";

/** One dispatch with its bindings, which can be recorded any number of times. */
export interface Dispatch {
  /** Names the dispatch in errors and traces. */
  readonly label: string;
  /** The compiled pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** The bindings of group 0. */
  readonly bindGroup: GPUBindGroup;
  /** The number of workgroups. */
  readonly workgroups: readonly [number, number, number];
  /** FLOP of this dispatch, used to split long work into submissions. */
  readonly flops: number;
}

/** Buffers of a bind group, to check before a dispatch runs that they still exist. */
const bound = new WeakMap<GPUBindGroup, readonly GPUBuffer[]>();

/**
 * Checks that all buffers of dispatches still exist, before any dispatch runs.
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
 * @throws {RangeError} when there are too many workgroups, or slices do not match the bindings:
 * wrong number, an offset or size that the device does not bind, destroyed, or of another device.
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
  // The device refuses the work that uses an invalid group.
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

/** Checks a slice against the device's limits for storage bindings. */
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
 * Whether a buffer is bound in a way that WebGPU forbids in one dispatch: for writing and for
 * reading, or for writing with overlapping ranges.
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
 * Submits dispatches in one pass and waits until the device has accepted them, not until they are
 * done.
 *
 * @throws {RangeError} when a buffer that they need was destroyed; nothing runs then.
 * @throws {RefusedError} when the device refused them, or an earlier write.
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
