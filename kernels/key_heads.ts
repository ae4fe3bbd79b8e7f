/**
 * Grouped-query attention: consecutive query heads that read the same head of keys and values.
 * Query head h reads key head ⌊h / G⌋, where G = H / Hkv is the number of query heads in a group.
 *
 * Tensors of keys, values and their gradients have Hkv heads, all others H. A block of heads holds
 * whole groups, so block b of Q goes with block b of K and V.
 *
 * @module
 */
import { requireWhole, show, showCount } from "./gpu/require.ts";
import type { DType } from "./gpu/buffers.ts";
import { headsPerBlock, type TensorShape } from "./gpu/tensors.ts";
import type { Gpu } from "./gpu/device.ts";

/** Query heads and key heads of a layer or of a block of it. */
export interface HeadCounts {
  /** H. */
  readonly heads: number;
  /** Hkv, divides H. Default: H. */
  readonly kvHeads?: number;
}

/** Hkv. */
export function kvHeadsOf({ heads, kvHeads = heads }: HeadCounts): number {
  return kvHeads;
}

/** G, query heads that share a key head. */
export function groupOf(counts: HeadCounts): number {
  return counts.heads / kvHeadsOf(counts);
}

/** The key head that a query head reads. */
export function keyHeadOf(counts: HeadCounts, head: number): number {
  return Math.floor(head / groupOf(counts));
}

/**
 * Checks that key heads divide the query heads.
 *
 * @throws {RangeError} one line with both numbers.
 */
export function requireKeyHeads(action: string, { heads, kvHeads }: HeadCounts): void {
  if (kvHeads === undefined) return;
  requireWhole(action, "kvHeads", kvHeads);
  if (heads % kvHeads !== 0) {
    throw new RangeError(
      `${action}: kvHeads ${show(kvHeads)} does not divide ${showCount(heads, "head")}`,
    );
  }
}

/**
 * Query heads of a block: as many as {@linkcode headsPerBlock} allows, in whole groups.
 *
 * @param shapes tensors of one block of query heads.
 * @throws {RangeError} when a group does not fit one binding.
 */
export function groupedHeadsPerBlock(
  gpu: Pick<Gpu, "capabilities">,
  shapes: readonly TensorShape[],
  counts: HeadCounts,
): number {
  const group = groupOf(counts);
  const most = headsPerBlock(gpu, shapes);
  if (most < group) {
    throw new RangeError(
      `plan tensor: the ${group} query heads of a key head do not fit one binding, which takes ${most}`,
    );
  }
  return most - most % group;
}

/**
 * The heads of a small layer that runs the same code as one with these: two key heads with their
 * groups, or the only one.
 */
export function fewHeads(counts: HeadCounts): HeadCounts {
  if (counts.kvHeads === undefined) return { heads: 2 };
  const group = groupOf(counts);
  const kvHeads = Math.min(2, kvHeadsOf(counts));
  return { heads: group * kvHeads, kvHeads };
}

/** The tensor shapes of a layer's inputs, `[H or Hkv, N, d]`, by name. */
export function inputShapes(
  shape: HeadCounts & { readonly context: number; readonly headDim: number; readonly dtype: DType },
): Record<"q" | "k" | "v" | "outputGradient", TensorShape> {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const queries = { heads, rows, dim, dtype };
  const keys = { ...queries, heads: kvHeadsOf(shape) };
  return { q: queries, k: keys, v: keys, outputGradient: queries };
}
