/**
 * The passes of a layer that do the same to Q, K and V, over a block of heads: the pyramid with
 * norm scores, and the gather. In one dispatch each, or in one for each tensor.
 *
 * @module
 */
import type { BufferSlice, Dispatch, DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { LighthouseGeometry } from "../lighthouse_geometry.ts";
import type { LighthouseTuning } from "../lighthouse_tuning.ts";
import { createGather, planGather } from "./gather.ts";
import {
  createMergedGather,
  createMergedPyramid,
  MERGED_BINDINGS,
  planMergedGather,
  planMergedPyramid,
} from "./merged_passes.ts";
import { createPyramid, planPyramid } from "./pyramid.ts";

/** A block of each tensor. */
export interface TensorSlices {
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
}

/** The compiled passes. */
export interface TensorPasses {
  /** Pools all tensors; with norm scores also scores Q and K. */
  readonly pool: (
    rows: TensorSlices,
    to: {
      readonly pooled: TensorSlices;
      readonly queryScores: BufferSlice;
      readonly keyScores: BufferSlice;
    },
  ) => Dispatch[];
  /** Gathers the selected rows of all tensors. */
  readonly gather: (
    rows: TensorSlices,
    options: {
      readonly pooled: TensorSlices;
      readonly indices: BufferSlice;
      readonly gathered: TensorSlices;
    },
  ) => Dispatch[];
}

/** What the passes are compiled for. */
export interface TensorPassOptions {
  readonly geometry: LighthouseGeometry;
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Whether the pyramid also writes norm scores. */
  readonly scored: boolean;
  readonly tuning: LighthouseTuning;
  /** Is given everything that must be destroyed with the layer. */
  readonly own: <T extends { readonly destroy: () => void }>(thing: T) => T;
}

/** Compiles them: merged if the device binds enough buffers and the tuning does not forbid it. */
export function createTensorPasses(gpu: Gpu, options: TensorPassOptions): Promise<TensorPasses> {
  const { merged: allowed = true } = options.tuning;
  const merged = allowed && gpu.capabilities.maxStorageBuffers >= MERGED_BINDINGS;
  return merged ? createMerged(gpu, options) : createSingle(gpu, options);
}

async function createMerged(
  gpu: Gpu,
  { geometry, tuning, scored, own, ...size }: TensorPassOptions,
): Promise<TensorPasses> {
  const pyramidPlan = planMergedPyramid(geometry, { ...size, ...tuning.pyramid, scored });
  const gatherPlan = planMergedGather(geometry, { ...size, ...tuning.gather });
  const pyramid = own(await createMergedPyramid(gpu, pyramidPlan));
  const gather = own(await createMergedGather(gpu, gatherPlan));
  const pooledOf = ({ q, k, v }: TensorSlices) => ({ pooledQ: q, pooledK: k, pooledV: v });
  return {
    pool: (rows, { pooled, queryScores, keyScores }) =>
      pyramid.bind({ ...rows, ...pooledOf(pooled), queryScores, keyScores }),
    gather: (rows, { pooled, indices, gathered: { q, k, v } }) =>
      gather.bind({
        ...rows,
        ...pooledOf(pooled),
        indices,
        gatheredQ: q,
        gatheredK: k,
        gatheredV: v,
      }),
  };
}

async function createSingle(
  gpu: Gpu,
  { geometry, tuning, scored, own, ...size }: TensorPassOptions,
): Promise<TensorPasses> {
  const pyramid = async (scored: boolean) =>
    own(await createPyramid(gpu, planPyramid(geometry, { ...size, ...tuning.pyramid, scored })));
  const plain = await pyramid(false);
  // The pyramid pass over Q and K also writes norm scores.
  const ranked = scored ? await pyramid(true) : plain;
  const gather = own(await createGather(gpu, planGather(geometry, { ...size, ...tuning.gather })));
  return {
    pool: ({ q, k, v }, { pooled, queryScores, keyScores }) => [
      ...ranked.bind({ rows: q, pooled: pooled.q, scores: queryScores }),
      ...ranked.bind({ rows: k, pooled: pooled.k, scores: keyScores }),
      ...plain.bind({ rows: v, pooled: pooled.v }),
    ],
    gather: (rows, { pooled, indices, gathered }) =>
      (["q", "k", "v"] as const).flatMap((name) =>
        gather.bind({ rows: rows[name], pooled: pooled[name], indices, gathered: gathered[name] })
      ),
  };
}
