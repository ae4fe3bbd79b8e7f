/**
 * The pass that adds the partial sums of dK and dV of parts of queries, where queries and keys are
 * rows of different tensors. `apart_plan.ts` says when it is needed.
 *
 * @module
 */
import code from "./sum_parts.wgsl" with { type: "text" };
import { generateEight } from "../../dense_attention/matrix/matrix_sum_parts.ts";
import type { TileWalk, WalkTile } from "../../dense_attention/tile_walk.ts";
import { bindDispatch, type BufferSlice, type Dispatch, type DType } from "../../gpu/buffers.ts";
import { slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Owned } from "../../gpu/owned.ts";
import type { Pipeline, PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import { foldGroups } from "../gathered_queries/packing.ts";

const PARAMS = {
  rows: "u32",
  partialRows: "u32",
  slots: "u32",
  partQueries: "u32",
  heads: "u32",
  scale: "f32",
  gridWidth: "u32",
} as const;

const THREADS = 64;

/**
 * Slots of a tile of keys that sees parts `first … end - 1`: pieces of a list, or parts of any
 * range.
 */
function slotCode(packed: boolean): string {
  return packed
    ? wgsl`
      fn slotKey(walk: Walk) -> u32 { return walk.origin; }
      fn firstSlot(walk: Walk, first: u32) -> u32 { return slotAt(walk, first); }
      fn endSlot(walk: Walk, end: u32) -> u32 { return slotAt(walk, end); }
      fn hasSums(slot: u32, first: u32, end: u32) -> bool { return true; }
    `
    : wgsl`
      fn slotKey(walk: Walk) -> u32 { return 0u; }
      fn firstSlot(walk: Walk, first: u32) -> u32 { return 0u; }
      fn endSlot(walk: Walk, end: u32) -> u32 { return params.slots; }
      fn hasSums(slot: u32, first: u32, end: u32) -> bool {
        return (slot + params.slots - first % params.slots) % params.slots < end - first;
      }
    `;
}

/** The shader. */
export function sumApartSource(
  walk: TileWalk,
  { label, tile, headDim, resultType }: {
    readonly label: string;
    /** Of the pass over keys and values. */
    readonly tile: WalkTile;
    readonly headDim: number;
    /** Type of dK and dV. */
    readonly resultType: DType;
  },
): PipelineSource {
  return {
    label,
    code: wgsl`
      ${code}
      ${slotCode(walk.packed !== undefined)}
      const ROW_VECTORS = ${headDim / 8}u;
      const OWN_ROWS = ${tile.ownRows}u;
      ${generateEight(resultType)}
      ${walk.code(tile, 4)}
    `,
    bindings: ["read", "read-write", "read-write", "uniform", ...walk.bindings],
  };
}

/** Binds the pass for some heads. */
export function bindSumApart(
  gpu: Gpu,
  pipeline: Pipeline,
  { slices, walk, own, headDim, ...values }: {
    readonly rows: number;
    readonly partialRows: number;
    readonly slots: number;
    readonly partQueries: number;
    readonly heads: number;
    /** Softmax scale. */
    readonly scale: number;
    readonly headDim: number;
    /** Partial sums, dK, dV. */
    readonly slices: readonly BufferSlice[];
    /** The walk's bindings. */
    readonly walk: readonly BufferSlice[];
    readonly own: Owned["own"];
  },
): Dispatch {
  const [x, y] = foldGroups(Math.ceil(values.rows * headDim / 8 / THREADS));
  const uniform = own(createParams(gpu, PARAMS, { ...values, gridWidth: x }));
  return bindDispatch(gpu, pipeline, {
    slices: [...slices, slice(uniform), ...walk],
    workgroups: [x, y, 2 * values.heads],
  });
}
