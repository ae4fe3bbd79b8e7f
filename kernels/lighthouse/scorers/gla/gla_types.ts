/**
 * Types of gla scores (`gla_scores.ts`).
 *
 * @module
 */
import type { DenseKernel } from "../../../dense_attention/types.ts";
import type { BufferSlice, Dispatch, DType } from "../../../gpu/buffers.ts";
import type { PipelineSource } from "../../../gpu/pipeline.ts";

/** Options of `planGlaScores`. */
export interface GlaScoresOptions {
  /** Heads in one binding. */
  readonly heads: number;
  /** d, one of `GLA_HEAD_DIMS`. */
  readonly headDim: number;
  readonly dtype: DType;
  /** δ; divides N. */
  readonly dilation: number;
  /** C, 64 or 128 (only 64 for d = 32). Default 64. */
  readonly chunkRows?: number;
  /** Maximum bytes for the states of a segment. Default 128 MiB, one binding of any device. */
  readonly scratchBytes?: number;
  /**
   * Workgroup memory of the device, bytes. Default 16 KiB, which every device has; with more, more
   * is staged at a time, and chunks may have 128 rows.
   */
  readonly maxWorkgroupBytes?: number;
  /** Maximum FLOP of one dispatch; longer work gets shorter segments. Default: no limit. */
  readonly flopsPerDispatch?: number;
  /** `matrix` multiplies on matrix units: f16 storage, d from 64, C = 64. Default `portable`. */
  readonly kernel?: DenseKernel;
}

/** Chunks `firstChunk …` of sequences `firstLane …`, processed together. */
export interface GlaSegment {
  readonly firstLane: number;
  readonly lanes: number;
  readonly firstChunk: number;
  readonly chunks: number;
}

/** The plan of gla scores for a block of heads. */
export interface GlaScoresPlan extends GlaScoresOptions {
  readonly chunkRows: number;
  readonly kernel: DenseKernel;
  readonly pipelines: {
    /** On matrix units: cumulative gates. */
    readonly gates?: PipelineSource;
    readonly states: PipelineSource;
    /** Portable: the state before each chunk. */
    readonly scan?: PipelineSource;
    readonly scores: PipelineSource;
  };
  /**
   * In order: segments of the same sequences follow each other from the first chunk to the last.
   */
  readonly segments: readonly GlaSegment[];
  /** N, P. */
  readonly context: number;
  readonly entries: number;
  readonly rowBytes: number;
  readonly gateBytes: number;
  readonly scoreBytes: number;
  /**
   * Bytes of the buffers that one block needs at a time, on matrix units for both directions, else
   * for one; all blocks share them.
   */
  readonly scratch: {
    readonly states: number;
    /** Of chunks; on matrix units cumulative gates of their rows. */
    readonly decays: number;
    readonly carry: number;
    /** On matrix units: of states. */
    readonly scales?: number;
  };
  readonly workgroupBytes: number;
  /** FLOP of both directions: `glaFlops`. */
  readonly flops: number;
  /** Minimum bytes: Q, K, V and gates once, scores of base rows once. States are not counted. */
  readonly bytes: number;
}

/** Scratch of {@linkcode GlaScoresPlan}; contents are undefined before and after. */
export interface GlaScratch {
  readonly states: BufferSlice;
  readonly decays: BufferSlice;
  readonly carry: BufferSlice;
  readonly scales?: BufferSlice;
}

/** Buffers of one block of heads. */
export interface GlaBindings extends GlaScratch {
  /** `[heads, N, d]`. */
  readonly q: BufferSlice;
  /** `[heads, N, d]`. */
  readonly k: BufferSlice;
  /** `[heads, N, d]`. */
  readonly v: BufferSlice;
  /** f32 `[heads, N]`, log gates, at most 0. */
  readonly gates: BufferSlice;
  /** f32 `[heads, P]`; the first N of each head are written. */
  readonly queryScores: BufferSlice;
  /** f32 `[heads, P]`; the first N of each head are written. */
  readonly keyScores: BufferSlice;
}

/** Compiled gla scores. */
export interface GlaScores {
  readonly plan: GlaScoresPlan;
  readonly bind: (buffers: GlaBindings) => Dispatch[];
  readonly destroy: () => void;
}
