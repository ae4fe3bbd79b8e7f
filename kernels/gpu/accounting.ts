/**
 * Counts the bytes of buffers that a device allocates, to check plans against them.
 *
 * @module
 */

/** Bytes of the live buffers of a device, from the time it is first watched. */
export class Allocations {
  #bytes = 0;
  #peak = 0;

  /** Bytes of the buffers that are alive now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Peak of live bytes since the last {@linkcode restart}. */
  get peakBytes(): number {
    return this.#peak;
  }

  /** Resets the peak. */
  restart(): void {
    this.#peak = this.#bytes;
  }

  /** Counts a buffer until it is destroyed. */
  count(buffer: GPUBuffer): void {
    const { size } = buffer;
    const destroy = buffer.destroy.bind(buffer);
    let alive = true;
    this.#bytes += size;
    this.#peak = Math.max(this.#peak, this.#bytes);
    buffer.destroy = () => {
      if (alive) this.#bytes -= size;
      alive = false;
      destroy();
    };
  }
}

const watched = new WeakMap<GPUDevice, Allocations>();

/**
 * Watches every buffer that a device creates from now on; returns the same counter for the same
 * device.
 *
 * A buffer that is dropped without `destroy` counts as alive, as in a plan.
 *
 * @example
 * ```ts
 * import { watchAllocations } from "./accounting.ts";
 * import assert from "node:assert/strict";
 * // Any object with createBuffer works here.
 * const device = { createBuffer: ({ size }: { size: number }) => ({ size, destroy() {} }) };
 * const allocations = watchAllocations(device as unknown as GPUDevice);
 * const buffer = device.createBuffer({ size: 64 });
 * assert.equal(allocations.bytes, 64);
 * buffer.destroy();
 * assert.deepEqual([allocations.bytes, allocations.peakBytes], [0, 64]);
 * ```
 */
export function watchAllocations(device: GPUDevice): Allocations {
  const known = watched.get(device);
  if (known) return known;
  const allocations = new Allocations();
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    allocations.count(buffer);
    return buffer;
  };
  watched.set(device, allocations);
  return allocations;
}
