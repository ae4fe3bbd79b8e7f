/**
 * Seeded inputs from the counter-based generator `pcg-sum4`, bit-identical in TypeScript and on
 * every device, so that 512K tokens need no upload.
 *
 * The value at counter i is a centred sum of four uniform 16-bit numbers: close to normal with
 * standard deviation 1.155, bounded by ±4, a multiple of 2^-15 and so exact in f32. In f16 storage
 * it is rounded to nearest even by integer arithmetic.
 *
 * @module
 */
import code from "./random.wgsl" with { type: "text" };
import {
  bindDispatch,
  bytesPerHead,
  requireTensor,
  runDispatches,
  type Tensor,
} from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { createPipeline } from "./pipeline.ts";
import { requireDType, requireWhole } from "./require.ts";
import { createParams } from "./uniform.ts";

const PARAMS = {
  seedHash: "u32",
  firstHead: "u32",
  allHeads: "u32",
  rows: "u32",
  dim: "u32",
  words: "u32",
  stride: "u32",
  half: "u32",
} as const;

/** The PCG output permutation of a 32-bit counter. Returns an unsigned 32-bit integer. */
export function pcg(x: number): number {
  const s = (Math.imul(x, 747796405) + 2891336453) >>> 0;
  const w = Math.imul((s >>> ((s >>> 28) + 4)) ^ s, 277803737) >>> 0;
  return ((w >>> 22) ^ w) >>> 0;
}

/**
 * The generator's value for a seed and a counter, exact in float32.
 *
 * @example
 * ```ts
 * import { pcgSum4 } from "./random.ts";
 * import assert from "node:assert/strict";
 * assert.equal(Math.fround(pcgSum4(1010, 0)), pcgSum4(1010, 0));
 * ```
 */
export function pcgSum4(seed: number, i: number): number {
  const b = pcg(seed >>> 0);
  const a = pcg((b + 2 * i) >>> 0);
  const c = pcg((b + 2 * i + 1) >>> 0);
  return ((a & 65535) + (a >>> 16) + (c & 65535) + (c >>> 16) - 131070) / 32768;
}

/**
 * Elements `[rows, dim]` of one head of a seeded tensor, rounded as a tensor of that type holds
 * them.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} naming the value that is not a valid count, index or seed.
 */
export function seededRows(
  seed: number,
  options: {
    head: number;
    heads: number;
    first: number;
    count: number;
    dim: number;
    dtype: "f16" | "f32";
  },
): Float32Array | Float16Array {
  const { head, heads, first, count, dim } = options;
  const action = "generate rows";
  requireSeed(action, seed);
  requireDType(action, options.dtype);
  for (const [name, value] of Object.entries({ heads, dim })) requireWhole(action, name, value);
  requireWhole(action, "head", head, { least: 0, most: heads - 1 });
  requireWhole(action, "first", first, { least: 0 });
  requireWhole(action, "count", count, { least: 0 });
  const data = options.dtype === "f16"
    ? new Float16Array(count * dim)
    : new Float32Array(count * dim);
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < dim; c++) {
      data[n * dim + c] = pcgSum4(seed, ((first + n) * heads + head) * dim + c);
    }
  }
  return data;
}

/** Seeds are taken modulo 2^32. */
function requireSeed(action: string, seed: unknown): void {
  requireWhole(action, "seed", seed, { least: -Number.MAX_SAFE_INTEGER });
}

/**
 * Fills a tensor on the device with `pcg-sum4` values of a seed.
 *
 * @throws {RangeError} when the seed is not a whole number, or the tensor was destroyed or belongs
 * to another device.
 * @throws {RefusedError} when the device refused the work.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function fillSeeded(gpu: Gpu, tensor: Tensor, seed: number): Promise<void> {
  const action = `fill ${tensor?.label ?? "tensor"}`;
  requireTensor(gpu, action, tensor);
  requireSeed(action, seed);
  const pipeline = await createPipeline(gpu, {
    label: "seeded random",
    code,
    bindings: ["read-write", "uniform"],
  });
  for (const block of tensor.blocks) {
    // An odd number of f16 ends in the middle of a word, whose other half is padding.
    const words = Math.ceil(block.heads * bytesPerHead(tensor) / 4);
    const groups = Math.ceil(words / 256);
    const x = Math.min(groups, 32768);
    const uniform = createParams(gpu, PARAMS, {
      seedHash: pcg(seed >>> 0),
      firstHead: block.firstHead,
      allHeads: tensor.heads,
      rows: tensor.rows,
      dim: tensor.dim,
      words,
      stride: x * 256,
      half: tensor.dtype === "f16" ? 1 : 0,
    });
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [block.data, { buffer: uniform, offset: 0, size: 32 }],
      workgroups: [x, Math.ceil(groups / x), 1],
    });
    try {
      await runDispatches(gpu, action, [dispatch]);
    } finally {
      uniform.destroy();
    }
  }
}
