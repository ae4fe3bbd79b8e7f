/**
 * Plans attention over gathered queries: which kernels, how many heads at a time, and the memory.
 *
 * Each key head's queries are packed by the block that they selected (`query_lists.ts`); the
 * kernels of dense attention compute every entry against the keys of its block, with a walk
 * (`gathered_walk.ts`). In the forward pass an entry leaves its normalised row in f32 and its
 * log-sum-exp, or sums of short blocks (`short_blocks.ts`), and a merge joins a query's entries in
 * the order of blocks. In the backward pass entries have the log-sum-exp and delta of their query,
 * so dK and dV are sums over a block's list, and dQ is added by a merge.
 *
 * Where the entries of a key head do not fit a binding, queries come in turns (`turns.ts`).
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
import { showCount } from "../../gpu/require.ts";
import type { GatheredCuts } from "../../implementation.ts";
import {
  type ApartBackward,
  apartScratch,
  type ApartShape,
  LEAST_ROWS,
  planApartBackward,
  whyNotApart,
} from "../apart/apart_plan.ts";
import { gatheredWalk } from "./gathered_walk.ts";
import {
  type BlockSelection,
  bytesOfTurns,
  type ListSizes,
  listSizes,
  turnUnit,
} from "./list_sizes.ts";
import { listBytes } from "./query_lists.ts";
import { planShortBlocks } from "./short_blocks.ts";

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
  /** Default: by room and work. */
  readonly cuts?: GatheredCuts;
}

/** Bytes of the buffers of one block of heads, by name. */
export type GatheredBytes = Readonly<Record<string, number>>;

/** Everything that is known without a device. */
export interface GatheredPlan extends GatheredOptions {
  readonly sizes: ListSizes;
  /** Whether dK and dV are sums of turns in f32 that are rounded at the end. */
  readonly rounds: boolean;
  /** Key heads of a dispatch; the last ones may be fewer. */
  readonly groupHeads: number;
  readonly forward: DenseAttentionPlan;
  readonly gradients?: ApartBackward;
  /** Buffers of all key heads. */
  readonly listBytes: GatheredBytes;
  /** Buffers of the key heads of a dispatch, used by one group after another. */
  readonly scratchBytes: GatheredBytes;
}

/**
 * Bytes of one tensor of the entries that are in memory at a time, at most: fewer dispatches end in
 * fewer idle processors, and fewer turns clear and add dK and dV less often.
 */
const MOST_PACKED_BYTES = 2 ** 31;

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
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  const sizes = fittingSizes(options, { kernel, limit });
  const { packed, turns } = sizes;
  const lists = listBytes(sizes);
  const ofTurn = turnBytes(sizes, { headDim, dtype });
  const perHead: Record<string, number> = {
    ...ofTurn,
    ...kernel === "matrix" && backward && {
      // Of lists that are cut with a slot for each, and for every second part.
      "partial sums of keys and values": (sizes.forced > 0 ? 3 : 2) * sizes.blocks * block *
        headDim *
        4,
      "gradients of scores": LEAST_ROWS.matrix * 4 * block * 2,
    },
  };
  const sums = heads * rows * headDim * 4;
  // dK and dV of several turns are added in f32.
  const { keyResultType = dtype } = options;
  const rounds = turns.length > 1 && keyResultType !== "f32";
  const turnSums = backward && turns.length > 1
    ? {
      turnKeyGradients: sums,
      turnValueGradients: sums,
      ...rounds && { keySums: sums, valueSums: sums },
    }
    : {};
  const allHeads = {
    "lists of blocks": heads * lists.lists,
    "entries of lists": heads * lists.sources,
    ...Object.keys(turnSums).length > 0 && { "sums of dK of all key heads": sums },
  };
  const refuse = (what: string, { bytes, limit }: Record<"bytes" | "limit", string>) => {
    throw new RangeError(
      `plan attention over gathered queries: ${what} of ${bytes}; the limit is ${limit}`,
    );
  };
  for (const [name, bytes] of Object.entries({ ...perHead, ...allHeads })) {
    if (bytes <= limit) continue;
    const fewest = turns.length > 1 && name in ofTurn
      ? ` for ${turns[0].end} queries at a time`
      : "";
    refuse(`${name}${fewest} need a binding`, showExcess(bytes, limit));
  }
  const allLists = {
    lists: heads * lists.lists,
    tables: bytesOfTurns(sizes, heads * lists.tables),
    sources: bytesOfTurns(sizes, heads * lists.sources),
    places: heads * lists.places,
  };
  // All turns share a buffer, of which each binds its own part.
  const { maxBufferBytes } = gpu.capabilities;
  for (const [name, bytes] of Object.entries(allLists)) {
    if (bytes <= maxBufferBytes) continue;
    const what = `${name} of the lists of ${showCount(heads, "key head")}`;
    refuse(`${what} need a buffer`, showExcess(bytes, maxBufferBytes));
  }
  const fitting = Object.values(perHead).map((bytes) =>
    Math.floor(Math.min(limit, MOST_PACKED_BYTES) / bytes)
  );
  // A turn of one key head is enough to fill a device.
  const most = turns.length > 1 ? 1 : Math.max(1, Math.min(heads, ...fitting));
  const groupHeads = Math.ceil(heads / Math.ceil(heads / most));
  const walk = gatheredWalk(sizes, { heads: groupHeads });
  const planned = planVariant(gpu, {
    heads: groupHeads,
    rows: packed,
    headDim,
    dtype,
    kernel,
    walk,
    flopsPerDispatch: options.flopsPerDispatch,
  }, { result: "rows", rowStride: 1, outputType: "f32" });
  const forward = planShortBlocks(gpu, planned, {
    block,
    tileRows: sizes.tileRows,
    walk: gatheredWalk(sizes, { heads: groupHeads, gathers: true }),
  });
  const shape = apartShape({ ...options, sizes }, groupHeads);
  const gradients = backward ? planApartBackward(gpu, shape, { kernel, walk }) : undefined;
  const tensors = packed * headDim * groupHeads;
  const elements = tensors * bytesPerElement(dtype);
  const statistic = 4 * packed * groupHeads;
  return {
    ...options,
    keyResultType: turns.length > 1 ? "f32" : options.keyResultType,
    rounds,
    kernel,
    sizes,
    groupHeads,
    forward,
    gradients,
    listBytes: allLists,
    scratchBytes: {
      bits: groupHeads * lists.bits,
      before: groupHeads * lists.before,
      queries: elements,
      results: tensors * 4,
      // A reference and a sum of short blocks.
      entryStatistics: forward.walk?.gathers ? 2 * statistic : statistic,
      ...backward && { outputGradients: elements, entryLse: statistic, entryDelta: statistic },
      ...gradients && apartScratch(gradients, shape),
      ...turnSums,
    },
    group,
  };
}

/** Bytes of one key head of what the entries of a turn need, by name. */
function turnBytes(
  sizes: ListSizes,
  { headDim, dtype }: Pick<GatheredOptions, "headDim" | "dtype">,
): Record<string, number> {
  return {
    "bits of lists": listBytes(sizes).bits,
    "gathered queries": sizes.packed * headDim * bytesPerElement(dtype),
    "results of entries": sizes.packed * headDim * 4,
  };
}

/**
 * Sizes with all queries in one turn where a binding takes its entries, else in as few as have
 * room.
 */
function fittingSizes(
  options: GatheredOptions,
  { kernel, limit }: { readonly kernel: DenseKernel; readonly limit: number },
): ListSizes {
  const { rows, block } = options;
  const least = LEAST_ROWS[kernel];
  const unit = turnUnit(block);
  const most = (sizes: ListSizes) => Math.max(...Object.values(turnBytes(sizes, options)));
  const { turnQueries } = options.cuts ?? {};
  if (turnQueries !== undefined) {
    return listSizes(options, { least, turnRows: Math.ceil(turnQueries / unit) * unit });
  }
  let sizes = listSizes(options, { least });
  if (most(sizes) <= limit) return sizes;
  const budget = Math.min(limit, MOST_PACKED_BYTES);
  const cut = (count: number) => {
    const turnRows = Math.ceil(rows / count / unit) * unit;
    return listSizes(options, { least, turnRows });
  };
  // Lists end in part of a tile, so twice as many turns need more than half of the bytes.
  let count = 1;
  while (most(sizes) > budget && Math.ceil(rows / count / unit) > 1) {
    count = Math.max(count + 1, Math.ceil(count * 1.1));
    sizes = cut(count);
  }
  return sizes;
}

/** The passes over entries and keys of some heads, as attention between different tensors. */
export function apartShape(
  { sizes, headDim, dtype, flopsPerDispatch, cuts }: Pick<
    GatheredPlan,
    "sizes" | "headDim" | "dtype" | "flopsPerDispatch" | "cuts"
  >,
  heads: number,
): ApartShape {
  return {
    heads,
    queries: sizes.packed,
    keys: sizes.rows,
    width: sizes.block,
    tileRows: sizes.tileRows,
    pairs: sizes.turnPairs,
    headDim,
    dtype,
    flopsPerDispatch,
    partQueries: cuts?.partQueries,
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
