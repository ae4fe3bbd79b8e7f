/**
 * Plans attention over gathered queries: which kernels, how many heads at a time, and the memory.
 *
 * Each key head's queries are packed by the block that they selected (`packing.ts`); the kernels of
 * dense attention compute every entry against the keys of its block, with a walk (`gathered_walk.ts`).
 * In the forward pass an entry leaves its normalised row in f32 and its log-sum-exp, and a merge joins a
 * query's entries in the order of blocks. In the backward pass entries have the log-sum-exp and delta of
 * their query, so dK and dV are sums over a block's list, and dQ is added by a merge.
 *
 * On matrix units the gradients of scores go through memory, a range of entries at a time: for each
 * entry the keys of its block.
 *
 * @module
 */
import { planVariant } from "../../dense_attention/dense_attention.ts";
import type { DenseAttentionPlan, DenseKernel } from "../../dense_attention/types.ts";
import { bytesPerElement, type DType } from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import {
  type ApartBackward,
  apartScratch,
  type ApartShape,
  LEAST_ROWS,
  paddedKeys,
  planApartBackward,
  whyNotApart,
} from "../apart/apart_plan.ts";
import { gatheredWalk } from "./gathered_walk.ts";
import { type BlockSelection, type ListSizes, listSizes } from "./list_sizes.ts";
import { listBytes } from "./packing.ts";

/** What to plan for: one block of heads. */
export interface GatheredOptions extends BlockSelection {
  /** Key heads of a block. */
  readonly heads: number;
  /** d. */
  readonly headDim: number;
  readonly dtype: DType;
  /** Type of dK and dV. Default: that of the tensors. */
  readonly keyResultType?: DType;
  /** Whether gradients are computed too. */
  readonly backward: boolean;
  /** Default: matrix units if the device and the shape allow them. */
  readonly kernel?: DenseKernel;
  readonly flopsPerDispatch?: number;
}

/** Bytes of the buffers of one block of heads, by name. */
export type GatheredBytes = Readonly<Record<string, number>>;

/** Everything that is known without a device. */
export interface GatheredPlan extends GatheredOptions {
  readonly sizes: ListSizes;
  /** Key heads of a dispatch; the last ones may be fewer. */
  readonly groupHeads: number;
  readonly forward: DenseAttentionPlan;
  readonly gradients?: ApartBackward;
  /** Buffers of all key heads. */
  readonly listBytes: GatheredBytes;
  /** Buffers of the key heads of a dispatch, used by one group after another. */
  readonly scratchBytes: GatheredBytes;
}

/** Bytes of one tensor of the heads of a dispatch, at most: enough work to fill a device. */
const MOST_PACKED_BYTES = 2 ** 30;

/** Key rows of a block must be whole tiles of keys. */
export const BLOCK_UNIT: number = LEAST_ROWS.portable;

/**
 * Plans a block of heads.
 *
 * @throws {RangeError} naming the value and the limit, when a head does not fit the device.
 */
export function planGathered(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: GatheredOptions,
): GatheredPlan {
  const { heads, rows, headDim, dtype, block, group = 1, backward } = options;
  const kernel = kernelOf(gpu, options);
  const sizes = listSizes(options, { least: LEAST_ROWS[kernel] });
  const { packed } = sizes;
  const lists = listBytes(sizes);
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  const perHead: Record<string, number> = {
    "lists of blocks": lists.lists,
    "bits of lists": lists.bits,
    "gathered queries": packed * headDim * bytesPerElement(dtype),
    "results of entries": packed * headDim * 4,
    ...kernel === "matrix" && backward && {
      "partial sums of keys and values": 2 * paddedKeys(rows) * headDim * 4,
      "gradients of scores": LEAST_ROWS.matrix * 4 * block * 2,
    },
  };
  for (const [name, bytes] of Object.entries(perHead)) {
    const all = name === "lists of blocks" ? bytes * heads : bytes;
    if (all <= limit) continue;
    const excess = showExcess(all, limit);
    throw new RangeError(
      `plan attention over gathered queries: ${name} need a binding of ${excess.bytes}; the limit ` +
        `is ${excess.limit}`,
    );
  }
  const fitting = Object.entries(perHead).flatMap(([name, bytes]) =>
    name === "lists of blocks" ? [] : [Math.floor(Math.min(limit, MOST_PACKED_BYTES) / bytes)]
  );
  const most = Math.max(1, Math.min(heads, ...fitting));
  const groupHeads = Math.ceil(heads / Math.ceil(heads / most));
  const walk = gatheredWalk(sizes, { heads: groupHeads });
  const forward = planVariant(gpu, {
    heads: groupHeads,
    rows: packed,
    headDim,
    dtype,
    kernel,
    walk,
    flopsPerDispatch: options.flopsPerDispatch,
  }, { result: "rows", rowStride: 1, outputType: "f32" });
  const shape = apartShape({ ...options, sizes }, groupHeads);
  const gradients = backward ? planApartBackward(gpu, shape, { kernel, walk }) : undefined;
  const tensors = packed * headDim * groupHeads;
  const elements = tensors * bytesPerElement(dtype);
  const statistic = 4 * packed * groupHeads;
  return {
    ...options,
    kernel,
    sizes,
    groupHeads,
    forward,
    gradients,
    listBytes: {
      lists: heads * lists.lists,
      tables: heads * lists.tables,
      sources: heads * lists.sources,
      places: heads * lists.places,
    },
    scratchBytes: {
      bits: groupHeads * lists.bits,
      before: groupHeads * lists.before,
      queries: elements,
      results: tensors * 4,
      entryLse: statistic,
      ...backward && { outputGradients: elements, entryDelta: statistic },
      ...gradients && apartScratch(gradients, shape),
    },
    group,
  };
}

/** The passes over entries and keys of some heads, as attention between different tensors. */
export function apartShape(
  { sizes, headDim, dtype, flopsPerDispatch }: Pick<
    GatheredPlan,
    "sizes" | "headDim" | "dtype" | "flopsPerDispatch"
  >,
  heads: number,
): ApartShape {
  return {
    heads,
    queries: sizes.packed,
    keys: sizes.rows,
    width: sizes.block,
    tileRows: sizes.tileRows,
    pairs: sizes.pairs,
    headDim,
    dtype,
    flopsPerDispatch: flopsPerDispatch,
  };
}

/** Matrix units where all passes run there. */
function kernelOf(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { rows, headDim, dtype, block, kernel }: GatheredOptions,
): DenseKernel {
  const unfit = block % LEAST_ROWS.matrix !== 0
    ? `blocks of ${block} keys are not a multiple of ${LEAST_ROWS.matrix}`
    : whyNotApart(gpu, { rows, headDim, dtype });
  if (kernel === "matrix" && unfit) {
    throw new RangeError(`plan attention over gathered queries on matrix units: ${unfit}`);
  }
  return unfit || kernel === "portable" ? "portable" : "matrix";
}
