/**
 * Selection: scores in, gathered order out.
 *
 * Shapes: scores f32 `[heads, P]`, indices u32 `[heads, S]` (pyramid indices in gathered order),
 * slots u32 `[heads, P]` (gathered position of each pyramid entry, {@linkcode NOT_SELECTED} for the
 * others). Scores may be any f32: -0 counts as +0, NaN ranks last, equal scores rank by smaller
 * pyramid index. Integer arithmetic on the bits alone, so devices agree exactly.
 *
 * @module
 */
import code from "./select.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, type Dispatch, requireBytes } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createParams } from "../../gpu/uniform.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";

/** The slot of a pyramid entry that was not selected. */
export const NOT_SELECTED = 0xffffffff;

const PARAMS = {
  context: "u32",
  logPooling: "u32",
  levels: "u32",
  tiles: "u32",
  tileEntries: "u32",
  entries: "u32",
  gathered: "u32",
  gatheredPerTile: "u32",
  gridWidth: "u32",
} as const;

/** What a selection needs to know before a device is there. */
export interface SelectionPlan {
  /** Heads of the block. */
  readonly heads: number;
  /** Sizes of the layer. */
  readonly geometry: LighthouseGeometry;
  /** One for each tile of each head. */
  readonly workgroups: readonly [number, number, number];
  /** Of either buffer of scores. */
  readonly scoreBytes: number;
  /** Of the indices. */
  readonly indexBytes: number;
  /** Of the slots. */
  readonly slotBytes: number;
}

/** Buffers of one block of heads. */
export interface SelectionBindings {
  /** f32 `[heads, P]`. */
  readonly queryScores: BufferSlice;
  /** f32 `[heads, P]`. */
  readonly keyScores: BufferSlice;
  /** u32 `[heads, S]`, written. */
  readonly indices: BufferSlice;
  /** u32 `[heads, P]`, written. */
  readonly slots: BufferSlice;
}

/** A compiled selection. */
export interface Selection {
  /** The dispatches that select for one block. */
  readonly bind: (slices: SelectionBindings) => Dispatch[];
  /** Frees what selection holds. */
  readonly destroy: () => void;
}

/**
 * Plans the selection of a block of heads.
 *
 * @throws {RangeError} when the number of heads is not a whole number from 1 to 65,535.
 */
export function planSelection(geometry: LighthouseGeometry, heads: number): SelectionPlan {
  requireWhole("plan selection", "heads", heads, { most: 65535 });
  const [x, y] = foldGrid(geometry.tiles);
  return {
    heads,
    geometry,
    workgroups: [x, y, heads],
    scoreBytes: heads * geometry.entries * 4,
    indexBytes: heads * geometry.gathered * 4,
    slotBytes: heads * geometry.entries * 4,
  };
}

/** Compiles the selection kernel. */
export async function createSelection(gpu: Gpu, plan: SelectionPlan): Promise<Selection> {
  const pipeline = await createPipeline(gpu, {
    label: "lighthouse select",
    code,
    bindings: ["read", "read", "read-write", "read-write", "uniform"],
  });
  const { geometry, workgroups: [gridWidth] } = plan;
  const uniform = createParams(gpu, PARAMS, {
    context: geometry.context,
    logPooling: Math.log2(geometry.pooling),
    levels: geometry.levels,
    tiles: geometry.tiles,
    tileEntries: geometry.tileEntries,
    entries: geometry.entries,
    gathered: geometry.gathered,
    gatheredPerTile: geometry.gatheredPerTile,
    gridWidth,
  });
  return {
    bind({ queryScores, keyScores, indices, slots }) {
      requireBytes("select: query scores", queryScores, plan.scoreBytes);
      requireBytes("select: key scores", keyScores, plan.scoreBytes);
      requireBytes("select: indices", indices, plan.indexBytes);
      requireBytes("select: slots", slots, plan.slotBytes);
      return [bindDispatch(gpu, pipeline, {
        slices: [
          queryScores,
          keyScores,
          indices,
          slots,
          { buffer: uniform, offset: 0, size: uniform.size },
        ],
        workgroups: plan.workgroups,
      })];
    },
    destroy: () => uniform.destroy(),
  };
}
