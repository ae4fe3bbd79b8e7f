/**
 * What the attention of layers is planned for and bound to. `layer_attention.ts` says what is
 * computed.
 *
 * @module
 */
import type { BufferSlice, Dispatch, DType } from "../../gpu/buffers.ts";
import type { LayerOptions } from "../../implementation.ts";
import type { LighthouseGeometry } from "../../lighthouse/lighthouse_geometry.ts";
import type { Scorer } from "../../lighthouse/scorers/scorer.ts";

/** What is kept between the passes: all, what is dear to compute again, or the least. */
export type Recompute = "none" | "light" | "least";

/** All modes. */
export const RECOMPUTE_MODES: readonly Recompute[] = ["none", "light", "least"];

/** How a layer attends. */
export type LayerAttention =
  | { readonly kind: "dense" }
  | {
    readonly kind: "lighthouse";
    /** Name of the scorer, or one of your own. */
    readonly scorer: string | Scorer;
    /** `levels`, `pooling`, `k`, and what the scorer adds. */
    readonly options: LayerOptions;
  };

/** A layer that attends to every row before its own. */
export const DENSE: LayerAttention = { kind: "dense" };

/** Sizes of the attention of a layer. */
export interface AttentionSize {
  /** Heads of all sequences. */
  readonly heads: number;
  /** N. */
  readonly context: number;
  /** d. */
  readonly headDim: number;
  /** Storage of everything but statistics. */
  readonly dtype: DType;
  /** Most FLOP of one dispatch. Default: never cut. */
  readonly flopsPerDispatch?: number;
}

/** A buffer of a layer, and in which modes each layer has its own; else all layers share it. */
export interface AttentionBuffer {
  /** Unique in the plan. */
  readonly name: string;
  /** Its size. */
  readonly bytes: number;
  /** Modes in which each layer has its own. */
  readonly keptIn: readonly Recompute[];
}

/** What is known without a device. */
export interface AttentionPlan {
  /** `dense`, or `lighthouse-` and the scorer's name. */
  readonly name: string;
  /** Options of a Lighthouse layer in words; empty for a dense one. */
  readonly detail: string;
  /** How the layer attends. */
  readonly attention: LayerAttention;
  /** Sizes of the layer. */
  readonly size: AttentionSize;
  /** Buffers beside q, k, v, o and their gradients. */
  readonly buffers: readonly AttentionBuffer[];
  /** Bytes that kernels and the scorer allocate for themselves, once for all layers. */
  readonly scratchBytes: number;
  /** Modes in which q, k and v of a layer are kept, and o. */
  readonly keeps: { readonly qkv: readonly Recompute[]; readonly o: readonly Recompute[] };
  /** FLOP of attention forward, of its backward pass, and of the scorer. */
  readonly flops: { readonly forward: number; readonly backward: number; readonly scorer: number };
  /** Present for Lighthouse. */
  readonly geometry?: LighthouseGeometry;
  /** Present for Lighthouse. */
  readonly scorer?: Scorer;
}

/** Buffers of one layer: q, k, v, o, their gradients, and those of the plan by name. */
export interface AttentionBindings {
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  readonly o: BufferSlice;
  readonly outputGradient: BufferSlice;
  readonly queryGradient: BufferSlice;
  readonly keyGradient: BufferSlice;
  readonly valueGradient: BufferSlice;
  /** By the name that the plan gives. */
  readonly own: (name: string) => BufferSlice;
}

/** The dispatches of one layer. */
export interface BoundAttention {
  readonly forward: readonly Dispatch[];
  /** What must run again before the backward pass in each mode, after q, k and v are there. */
  readonly rebuild: Readonly<Record<Recompute, readonly Dispatch[]>>;
  readonly backward: readonly Dispatch[];
}

/** Attention compiled for all layers of a kind. */
export interface CompiledAttention {
  readonly bind: (buffers: AttentionBindings) => BoundAttention;
  readonly destroy: () => void;
}
