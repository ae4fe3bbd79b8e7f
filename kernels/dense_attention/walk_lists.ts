/**
 * Memory for the lists of tile walks.
 *
 * @module
 */
import { showExcess } from "../gpu/bytes.ts";
import type { Gpu } from "../gpu/device.ts";
import type { DenseBackwardPlan } from "./backward_plan.ts";
import type { TileWalk, WalkTile } from "./tile_walk.ts";

/** Tiles of the two passes of a backward plan. */
export function tilesOf(plan: DenseBackwardPlan | undefined): WalkTile[] {
  return plan ? [plan.tiles.query, plan.tiles.keyValue] : [];
}

/** Throws if the lists of a kernel do not fit one binding. */
export function requireLists(
  { maxBindingBytes, maxBufferBytes }: Gpu["capabilities"],
  walk: TileWalk | undefined,
  tile: WalkTile,
): void {
  const bytes = walk?.listBytes(tile) ?? 0;
  const most = Math.min(maxBindingBytes, maxBufferBytes);
  if (bytes <= most) return;
  const sizes = showExcess(bytes, most);
  throw new RangeError(
    `plan attention over ${
      walk!.name
    }: lists of tiles need a binding of ${sizes.bytes}; the limit ` +
      `is ${sizes.limit}`,
  );
}

/** Lists of a walk: each kernel has its own, and a smaller last block has its own kernels. */
export function listBuffers(
  walk: TileWalk | undefined,
  { heads, headBlock, tiles }: {
    readonly heads: number;
    readonly headBlock: number;
    readonly tiles: readonly WalkTile[];
  },
): readonly { readonly name: string; readonly bytes: number }[] {
  const kernels = heads % headBlock === 0 ? 1 : 2;
  const bytes = tiles.reduce((sum, tile) => sum + (walk?.listBytes(tile) ?? 0), 0) * kernels;
  return bytes === 0 ? [] : [{ name: "lists of tiles", bytes }];
}
