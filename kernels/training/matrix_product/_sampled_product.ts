/**
 * Checks a product of any size by a sample of its elements: some rows, and some blocks of columns
 * in each, against float64.
 *
 * @module
 */
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type DType,
  readBuffer,
  runDispatches,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { fillSeeded, pcgSum4 } from "../../gpu/random.ts";
import type { Product } from "./matrix_product.ts";
import { type Judged, placeOf, productReference } from "./matrix_product_reference.ts";
import type { HeadLayout, ProductBuffers, ProductOptions, ProductPlan } from "./types.ts";

/** Seeds of the tensors. */
const SEEDS = { left: 1, right: 2, residual: 3, table: 4 } as const;

/** Elements that are compared. */
export interface Sample {
  /** Rows of the result. */
  readonly rows: readonly number[];
  /** First columns of blocks. */
  readonly blocks: readonly number[];
  /** Columns of a block. */
  readonly width: number;
}

/** Seeded tensors on the device, and the check of what a product made of them. */
export interface SampledProduct {
  /** To bind. */
  readonly buffers: ProductBuffers;
  /**
   * Runs a product and returns the largest difference from float64, as a share of the tolerance.
   */
  readonly check: (product: Product) => Promise<number>;
  /** Frees the buffers. */
  readonly destroy: () => void;
}

/** Whole numbers from 0 to `size - 1`, both among them, at uneven distances. */
export function spread(size: number, count: number): number[] {
  if (size <= count) return Array.from({ length: size }, (_, i) => i);
  const step = Math.floor((size - 1) / (count - 1));
  return Array.from(
    { length: count },
    (_, i) => i === 0 ? 0 : i === count - 1 ? size - 1 : i * step - i * 5 % step,
  );
}

/** Which elements are compared: fewer where sums are long. */
export function sampleOf({ rows, columns, depth, result }: ProductOptions): Sample {
  if (result.kind === "rope") {
    const { parts, heads, headDim } = result.heads;
    const blocks = Array.from({ length: parts }, (_, part) => part * heads + part % heads);
    return {
      rows: spread(rows, 16),
      blocks: blocks.map((head) => head * headDim),
      width: headDim,
    };
  }
  const long = depth > 2 ** 14;
  // A block lies side by side, so it ends with its head.
  const side = result.kind === "store" && result.heads ? result.heads.headDim : columns;
  const width = Math.min(long ? 8 : 64, side);
  const blocks = spread(Math.floor(columns / width), long ? 2 : 3).map((at) => at * width);
  return { rows: spread(rows, long ? 8 : 16), blocks, width };
}

/** What float64 makes of a sample, in the order of rows, blocks, columns. */
export function sampleReference(
  options: ProductOptions,
  { sample, matrix }: { sample: Sample; matrix: boolean },
): { result: Judged; activation?: Judged } {
  const { form, rows: allRows, columns: allColumns, depth, dtype, leftHeads, rightHeads } = options;
  const { result } = options;
  const { rows, blocks, width } = sample;
  const columns = blocks.flatMap((first) => Array.from({ length: width }, (_, i) => first + i));
  const seededAt = (seed: number, places: readonly number[], type: DType, at: Place) => {
    const values = type === "f16"
      ? new Float16Array(places.length * depth)
      : new Float32Array(places.length * depth);
    for (const [i, place] of places.entries()) {
      for (let k = 0; k < depth; k++) values[i * depth + k] = pcgSum4(seed, at(place, k));
    }
    return values;
  };
  const left = seededAt(
    SEEDS.left,
    rows,
    dtype,
    (row, k) =>
      form === "TN"
        ? placeOf(leftHeads, { token: k, feature: row, width: allRows })
        : placeOf(leftHeads, { token: row, feature: k, width: depth }),
  );
  const right = seededAt(
    SEEDS.right,
    columns,
    dtype,
    (column, k) =>
      form === "NT"
        ? column * depth + k
        : placeOf(rightHeads, { token: k, feature: column, width: allColumns }),
  );
  const size = { form: "NT", rows: rows.length, columns: columns.length, depth, dtype } as const;
  const added = new Float32Array(rows.length * columns.length);
  if (result.kind === "residual") {
    for (let i = 0; i < added.length; i++) {
      const [row, column] = [rows[Math.floor(i / columns.length)], columns[i % columns.length]];
      added[i] = pcgSum4(SEEDS.residual, row * allColumns + column);
    }
  }
  if (result.kind !== "rope") {
    const plain = result.kind === "store" ? { ...result, heads: undefined } : result;
    return productReference({ ...size, result: plain }, { left, right, added }, { matrix });
  }
  const { headDim, context } = result.heads;
  const table = new Float32Array(rows.length * headDim);
  for (let i = 0; i < table.length; i++) {
    const position = rows[Math.floor(i / headDim)] % context;
    table[i] = pcgSum4(SEEDS.table, position * headDim + i % headDim);
  }
  const heads: HeadLayout = {
    parts: blocks.length,
    sequences: 1,
    heads: 1,
    context: rows.length,
    headDim,
  };
  const judged = productReference({ ...size, result: { kind: "rope", heads } }, {
    left,
    right,
    added,
    table,
  }, { matrix }).result;
  return { result: byRows(judged, { rows: rows.length, blocks: blocks.length, width }) };
}

type Place = (line: number, k: number) => number;

/** `[blocks, rows, width]` as `[rows, blocks, width]`. */
function byRows(
  judged: Judged,
  { rows, blocks, width }: { rows: number; blocks: number; width: number },
): Judged {
  const moved = (from: Float64Array) =>
    Float64Array.from(from, (_, i) => {
      const [row, block] = [Math.floor(i / (blocks * width)), Math.floor(i / width) % blocks];
      return from[(block * rows + row) * width + i % width];
    });
  return { values: moved(judged.values), tolerance: moved(judged.tolerance) };
}

/**
 * Makes seeded tensors on the device for a plan; other tilings of the same product may use them.
 *
 * @param options `partialBytes`: of the largest plan. `matrix`: whether matrix units compute the
 * sums.
 */
export async function createSampledProduct(
  gpu: Gpu,
  plan: ProductPlan,
  { partialBytes = plan.partialBytes, matrix }: { partialBytes?: number; matrix: boolean },
): Promise<SampledProduct> {
  const owned: { destroy: () => void }[] = [];
  const { result, columns, dtype } = plan;
  const seeded = async (name: keyof typeof SEEDS, type: DType): Promise<BufferSlice> => {
    const elements = plan.bufferBytes[name]! / bytesPerElement(type);
    const shape = { heads: 1, rows: elements / 8, dim: 8, dtype: type };
    const tensor = await createTensor(gpu, shape, { label: name });
    owned.push(tensor);
    await fillSeeded(gpu, tensor, SEEDS[name]);
    return tensor.blocks[0].data;
  };
  const zeros = async (label: string, bytes: number): Promise<BufferSlice> => {
    const buffer = await createStorageBuffer(gpu, bytes, { label });
    owned.push(buffer);
    return slice(buffer);
  };
  const destroy = () => owned.forEach((one) => one.destroy());
  try {
    const { bufferBytes: bytes } = plan;
    const buffers: ProductBuffers = {
      left: await seeded("left", dtype),
      right: await seeded("right", dtype),
      result: await zeros("result", bytes.result!),
      ...bytes.residual && { residual: await seeded("residual", "f32") },
      ...bytes.table && { table: await seeded("table", "f32") },
      ...bytes.activation && { activation: await zeros("activation", bytes.activation) },
      ...partialBytes > 0 && { partials: await zeros("partials", partialBytes) },
    };
    const sample = sampleOf(plan);
    const want = sampleReference(plan, { sample, matrix });
    const heads = result.kind === "store" || result.kind === "rope" ? result.heads : undefined;
    const stored = result.kind === "store"
      ? result.dtype
      : result.kind === "rope" || result.kind === "swiglu"
      ? dtype
      : "f32";
    const parts = [{ buffer: buffers.result, judged: want.result, type: stored, half: 1 }];
    if (want.activation) {
      parts.push({ buffer: buffers.activation!, judged: want.activation, type: dtype, half: 2 });
    }
    return {
      buffers,
      destroy,
      check: async (product) => {
        const encoder = gpu.device.createCommandEncoder({ label: "clear" });
        for (const { buffer } of parts) encoder.clearBuffer(buffer.buffer);
        gpu.device.queue.submit([encoder.finish()]);
        await runDispatches(gpu, "check a product", product.bind(buffers));
        const shares = await Promise.all(parts.map(async ({ buffer, judged, type, half }) => {
          const ranges = sample.rows.flatMap((token) =>
            sample.blocks.map((first) =>
              placeOf(heads, { token, feature: first / half, width: columns / half })
            )
          );
          const width = sample.width / half;
          return worstShare(await gather(gpu, buffer, { ranges, width, type }), judged);
        }));
        return Math.max(...shares);
      },
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** `width` elements from each place of a buffer. */
async function gather(
  gpu: Gpu,
  { buffer, offset }: BufferSlice,
  { ranges, width, type }: { ranges: readonly number[]; width: number; type: DType },
): Promise<Float16Array | Float32Array> {
  const each = width * bytesPerElement(type);
  const compact = await createStorageBuffer(gpu, ranges.length * each, { label: "sample" });
  try {
    const encoder = gpu.device.createCommandEncoder({ label: "sample" });
    for (const [i, place] of ranges.entries()) {
      const from = offset + place * bytesPerElement(type);
      encoder.copyBufferToBuffer(buffer, from, compact, i * each, each);
    }
    gpu.device.queue.submit([encoder.finish()]);
    const bytes = await readBuffer(gpu, { buffer: compact, offset: 0, size: ranges.length * each });
    return type === "f16" ? new Float16Array(bytes.buffer) : new Float32Array(bytes.buffer);
  } finally {
    compact.destroy();
  }
}

/** Largest difference as a share of the tolerance; infinite where a number is none. */
export function worstShare(have: ArrayLike<number>, { values, tolerance }: Judged): number {
  let worst = 0;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(have[i] - values[i]);
    if (Number.isNaN(error)) return Infinity;
    if (error > 0) worst = Math.max(worst, error / tolerance[i]);
  }
  return worst;
}
