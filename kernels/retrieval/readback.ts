/**
 * Reading many small results at once. A wait for a buffer costs milliseconds on some stacks whatever
 * its size, so results are collected by copies on the device and mapped together; several may be
 * under way.
 *
 * @module
 */
import { type BufferSlice, USAGE } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";

/** One buffer that the host reads, filled by copies. */
export class Readback {
  readonly #buffer: GPUBuffer;
  readonly #size: number;
  #used = 0;

  /** Room for `bytes`, all of which must be taken before reading. */
  constructor(gpu: Gpu, bytes: number) {
    this.#size = Math.max(4, bytes);
    this.#buffer = gpu.device.createBuffer({
      label: "readback",
      size: this.#size,
      usage: USAGE.mapRead | USAGE.copyDst,
    });
  }

  /**
   * Records a copy and returns its place in what {@linkcode Readback.read} gives.
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

  /** Waits for the copies, which must have been submitted; frees the buffer. */
  async read(): Promise<ArrayBuffer> {
    try {
      await this.#buffer.mapAsync(1, 0, this.#size);
      return this.#buffer.getMappedRange(0, this.#size).slice(0);
    } finally {
      this.#buffer.destroy();
    }
  }

  /** Frees the buffer of a read that will not happen. */
  destroy(): void {
    this.#buffer.destroy();
  }
}
