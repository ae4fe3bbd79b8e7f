/**
 * Building blocks of the tables of bad layers: kinds of bad values, and good and bad tensors of a
 * device.
 *
 * @module
 */
import * as kernels from "./mod.ts";
import type { BufferSlice, DType } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";

// What a caller in plain JavaScript may pass.
// deno-lint-ignore no-explicit-any
export type Given = Record<string, any>;

/** One function, its arguments, and the ways in which each may be wrong. */
export interface Entry {
  readonly name: string;
  /** Exports of `mod.ts` that it covers. Default: the name. */
  readonly covers?: readonly string[];
  /** Arguments that work, so that a bad one is refused for its own fault. */
  readonly good: Given;
  /** Arguments by name, each with values that must be refused. */
  readonly bad: Record<string, readonly unknown[]>;
  readonly call: (given: Given) => unknown;
  /** True if it needs no device. Default false. */
  readonly pure?: boolean;
}

// Kinds of bad values.
export const NO_RECORD = [null, 7, "q", true];

export const NO_COUNT = [
  0,
  -1,
  1.5,
  NaN,
  Infinity,
  -Infinity,
  "4",
  null,
  true,
  {},
  [2],
  2n,
  2 ** 53,
];

export const NO_INDEX = [-1, 0.5, NaN, Infinity, "0", null, {}, 2 ** 31];

export const NO_WORD32 = [-1, 0.5, NaN, Infinity, "0", null, {}, 2 ** 32];

export const NO_QUANTITY = [0, -1, NaN, -Infinity, "1", null, {}];

export const NO_DTYPE = ["f64", "F16", "bf16", "", null, 16, {}, ["f16"]];

export const NO_WORD = ["sideways", "", null, 3, {}];

export const NO_NUMBERS = [null, 7, "abc", {}, { length: 1.5 }, { length: -1 }];

/** Elements that are numbers but too few or too many, or that are not all numbers. */
export function badElements(count: number): unknown[] {
  return [
    ...NO_NUMBERS,
    new Float32Array(count - 1),
    new Float32Array(count + 1),
    new Float32Array(0),
    [...Array(count - 1).fill(0), "1"],
    [...Array(count - 1).fill(0), undefined],
    new BigInt64Array(count),
  ];
}

export type Shape = { heads: number; rows: number; dim: number; dtype: DType };

/** Values of the entries: tensors of a device, good ones and all kinds of bad ones. */
export class World {
  constructor(readonly gpu: Gpu, readonly other: Gpu) {}

  async tensor(shape: Shape, options: { headsPerBlock?: number; gpu?: Gpu } = {}) {
    const gpu = options.gpu ?? this.gpu;
    const tensor = await kernels.createTensor(gpu, shape, { ...options, label: "given" });
    await kernels.fillSeeded(gpu, tensor, 5);
    return tensor;
  }

  /** Tensors that a layer of a given shape cannot accept, with the others in one block. */
  async badTensors(shape: Shape): Promise<unknown[]> {
    const destroyed = await this.tensor(shape);
    destroyed.destroy();
    const other = (change: Partial<Shape>) => this.tensor({ ...shape, ...change });
    return [
      ...NO_RECORD,
      {},
      [],
      { ...destroyed, blocks: [] },
      destroyed,
      await this.tensor(shape, { gpu: this.other }),
      // With one head these two would be right.
      ...shape.heads > 1
        ? [await this.tensor(shape, { headsPerBlock: 1 }), await other({ heads: 1 })]
        : [],
      await other({ heads: shape.heads + 1 }),
      await other({ rows: shape.rows + 1 }),
      await other({ dim: shape.dim * 2 }),
      await other({ dtype: shape.dtype === "f32" ? "f16" : "f32" }),
    ];
  }

  /** Tensors that a function on any tensor cannot accept. */
  async noTensors(): Promise<unknown[]> {
    const shape = { heads: 1, rows: 4, dim: 8, dtype: "f32" } as const;
    const destroyed = await this.tensor(shape);
    destroyed.destroy();
    const good = await this.tensor(shape);
    return [
      ...NO_RECORD,
      undefined,
      {},
      { ...good, blocks: [] },
      { ...good, rows: 1.5 },
      { ...good, dtype: "f64" },
      destroyed,
      await this.tensor(shape, { gpu: this.other }),
    ];
  }

  async slice(bytes: number, gpu = this.gpu): Promise<BufferSlice> {
    return kernels.slice(await kernels.createStorageBuffer(gpu, bytes, { label: "given" }));
  }

  /** Slices that a kernel which needs a given number of bytes cannot bind. */
  async badSlices(bytes: number): Promise<unknown[]> {
    const destroyed = await this.slice(bytes);
    destroyed.buffer.destroy();
    const good = await this.slice(bytes);
    return [
      ...NO_RECORD,
      undefined,
      {},
      destroyed,
      await this.slice(bytes, this.other),
      { ...good, size: bytes - 4 },
      { ...good, size: bytes + 4096 },
      { ...good, offset: 4 },
      { ...good, offset: -4 },
      { ...good, size: NaN },
    ];
  }
}

export const LIGHTHOUSE = { levels: 2, pooling: 2, k: 128 };

/** The same with another name for k, which is that of the keys too. */
export const GOOD_LIGHTHOUSE = { levels: 2, pooling: 2, budget: 128 };

export const BAD_LIGHTHOUSE = {
  levels: [...NO_COUNT, 1, 17],
  pooling: [...NO_COUNT, 1, 3],
  budget: [...NO_COUNT, 100, 128 * 1024],
};

export function denseShape(heads: number, rows: number, dtype: DType): Shape {
  return { heads, rows, dim: 32, dtype };
}
