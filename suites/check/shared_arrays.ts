/**
 * Arrays that worker threads read without a copy.
 *
 * Their memory is lent and returned: a thread that has seen shared memory keeps it until its own
 * garbage collection, which does not count memory outside its heap.
 *
 * @module
 */

/** Unused memory, by its size in bytes. */
const idle = new Map<number, ArrayBufferLike[]>();

/** Arrays of one piece of work; their memory is reused once it is disposed of. */
export class SharedArrays implements Disposable {
  readonly #lent: ArrayBufferLike[] = [];

  /** The numbers in f32. */
  float32(numbers: ArrayLike<number>): Float32Array {
    const array = new Float32Array(this.#lend(4 * numbers.length), 0, numbers.length);
    if (numbers instanceof Float16Array) widenHalves(numbers, array);
    else array.set(numbers);
    return array;
  }

  /** The numbers unchanged. */
  copy<T extends Float32Array | Float16Array>(numbers: T): T {
    const memory = this.#lend(numbers.byteLength);
    const Numbers = numbers.constructor as new (...given: unknown[]) => T;
    const array = new Numbers(memory, 0, numbers.length);
    array.set(numbers);
    return array;
  }

  /** The numbers in float64. */
  float64(numbers: ArrayLike<number>): Float64Array {
    const array = new Float64Array(this.#lend(8 * numbers.length), 0, numbers.length);
    array.set(numbers);
    return array;
  }

  /** Returns the memory. The arrays must not be used any more. */
  [Symbol.dispose](): void {
    for (const memory of this.#lent) idle.get(memory.byteLength)?.push(memory);
    this.#lent.length = 0;
  }

  #lend(bytes: number): ArrayBufferLike {
    // Few sizes, so that returned memory fits the next request.
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)));
    const found = idle.get(size) ?? [];
    idle.set(size, found);
    const memory = found.pop() ?? new (globalThis.SharedArrayBuffer ?? ArrayBuffer)(size);
    this.#lent.push(memory);
    return memory;
  }
}

/** All values of f16 by their bits. */
const HALVES = new Float32Array(
  new Float16Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer),
);

/** Uses a table, which takes a third of the time of a conversion. */
function widenHalves(numbers: Float16Array, into: Float32Array): void {
  const bits = new Uint16Array(numbers.buffer, numbers.byteOffset, numbers.length);
  for (let i = 0; i < bits.length; i++) into[i] = HALVES[bits[i]];
}

/** Frees unused memory. */
export function freeSharedArrays(): void {
  idle.clear();
}
