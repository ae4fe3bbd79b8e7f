/**
 * Reads many small results at once. Waiting for a buffer costs milliseconds on some stacks,
 * regardless of its size, so results are copied on the device into one buffer and mapped together;
 * several reads may be in flight.
 *
 * @module
 */
import { type BufferSlice, createSmallBuffer, USAGE } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { guard, submit, waitFor } from "../gpu/submit.ts";

/** One buffer that the host reads, filled by copies. */
export class Readback {
  readonly #gpu: Gpu;
  readonly #buffer: GPUBuffer;
  readonly #size: number;
  readonly #submitted: Promise<void>[] = [];
  #used = 0;

  /** Allocates `bytes`; all of them must be taken before reading. */
  constructor(gpu: Gpu, bytes: number) {
    this.#size = Math.max(4, bytes);
    this.#gpu = gpu;
    this.#buffer = createSmallBuffer(gpu, {
      label: "readback",
      size: this.#size,
      usage: USAGE.mapRead | USAGE.copyDst,
    });
  }

  /**
   * Records a copy and returns its offset in the bytes that {@linkcode Readback.read} returns.
   *
   * @throws {RangeError} when there is no room left.
   */
  take(encoder: GPUCommandEncoder, { buffer, offset, size }: BufferSlice): number {
    const place = this.#used;
    if (place + size > this.#size) {
      throw new RangeError(`read back: ${size} bytes exceed the ${this.#size - place} left`);
    }
    encoder.copyBufferToBuffer(buffer, offset, this.#buffer, place, size);
    this.#used += size;
    return place;
  }

  /** Submits the commands of an encoder, copies into this buffer included. */
  submit(encoder: GPUCommandEncoder, action: string): void {
    this.#submitted.push(submit(this.#gpu, encoder, action));
  }

  /**
   * Waits for the copies, all of which must have been submitted; frees the buffer.
   *
   * @throws {RefusedError} when the device refused a submission, or an earlier write.
   * @throws {DeviceLostError} when the device was lost or destroyed.
   */
  async read(): Promise<ArrayBuffer> {
    const action = "read back";
    try {
      const mapped = guard(this.#gpu, action, () => this.#buffer.mapAsync(1, 0, this.#size));
      mapped.value.catch(() => {});
      await Promise.all(this.#submitted);
      await mapped.settled;
      await waitFor(this.#gpu, mapped.value, action);
      return this.#buffer.getMappedRange(0, this.#size).slice(0);
    } finally {
      this.#buffer.destroy();
    }
  }

  /** Frees the buffer of a read that is cancelled. */
  destroy(): void {
    this.#buffer.destroy();
  }
}
