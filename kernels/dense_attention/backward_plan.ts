/**
 * The plan of the backward passes of dense attention, and what its parts share.
 * `dense_attention_backward.ts` documents the computation.
 *
 * @module
 */
import type { Dispatch, DType } from "../gpu/buffers.ts";
import type { Pipeline, PipelineSource } from "../gpu/pipeline.ts";
import type { MatrixBackwardScratch } from "./matrix/dense_matrix_backward.ts";
import type { MatrixBackwardSchedule } from "./matrix/matrix_schedule.ts";
import type { TileRange } from "./portable/tile_ranges.ts";
import { pairFlops, type TileWalk, type WalkTile } from "./tile_walk.ts";
import type { DenseBackwardBuffers, DenseBackwardOptions, DenseKernel } from "./types.ts";

/** Everything about the launch that is known without a device. */
export interface DenseBackwardPlan extends DenseBackwardOptions {
  /** Storage of dO, dQ, dK and dV. */
  readonly gradientType: DType;
  /** The chosen kernels. */
  readonly kernel: DenseKernel;
  /** The kernels and their tilings, in a few words. */
  readonly variant: string;
  /** Softmax scale. */
  readonly scale: number;
  /** The shaders to compile, by pass. */
  readonly pipelines: {
    readonly delta: PipelineSource;
    readonly query: PipelineSource;
    readonly keyValue: PipelineSource;
    /** Matrix units only: sums of parts, if a walk's long lists are split. */
    readonly sum?: PipelineSource;
  };
  /** Portable kernels only: tile ranges, one per dispatch, heaviest first. */
  readonly ranges: {
    readonly query: readonly TileRange[];
    readonly keyValue: readonly TileRange[];
  };
  /** The tilings of the two passes, in the form that a walk uses. */
  readonly tiles: { readonly query: WalkTile; readonly keyValue: WalkTile };
  /** Matrix units only: the schedule of the two passes. */
  readonly schedule?: MatrixBackwardSchedule;
  /**
   * Bytes of buffers that the kernel allocates for itself, independent of the number of bindings.
   */
  readonly scratchBytes: number;
  /** By convention: 2.5 times the forward FLOP. */
  readonly flops: number;
  /** Minimum bytes that must move. */
  readonly bytes: number;
}

/** Dispatches of the passes over one block of heads. */
export interface BackwardPasses {
  /** The first pass. */
  readonly delta: Dispatch;
  /** dQ. */
  readonly query: readonly Dispatch[];
  /** dK and dV. */
  readonly keyValue: readonly Dispatch[];
  /** Matrix units only: the dispatches of both tiled passes, in execution order. */
  readonly inOrder?: readonly Dispatch[];
}

/** What the portable kernels and the kernels on matrix units each plan. */
export type TiledPlan =
  & Pick<DenseBackwardPlan, "kernel" | "variant" | "ranges" | "tiles" | "schedule" | "scratchBytes">
  & { readonly pipelines: Omit<DenseBackwardPlan["pipelines"], "delta"> };

/** The two tiled passes, bound. */
export interface TiledPasses {
  readonly scratch?: MatrixBackwardScratch;
  readonly bind: (buffers: DenseBackwardBuffers) => Omit<BackwardPasses, "delta">;
  readonly destroy: () => void;
}

/** The two tiled passes, compiled. */
export interface TiledPipelines {
  readonly query: Pipeline;
  readonly keyValue: Pipeline;
  readonly sum?: Pipeline;
}

/** Names a pass in errors. */
export function labelOf(
  pass: string,
  { headDim, dtype, gradientType = dtype, walk }: DenseBackwardOptions,
): string {
  const types = gradientType === dtype ? dtype : `${dtype}, gradients ${gradientType}`;
  return `${walk?.kind ?? "dense"} attention backward, ${pass}, d=${headDim} ${types}`;
}

/** FLOP of one product. */
export function productFlops(
  options: { heads: number; rows: number; headDim: number; walk?: TileWalk },
): number {
  return pairFlops(options.walk, options);
}
