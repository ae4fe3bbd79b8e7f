/**
 * Scorers: the exchangeable step of a Lighthouse layer. A scorer gives every pyramid entry of every
 * head a query score and a key score; only the selection reads them. No gradient flows through
 * scores, so the backward pass is the same for all scorers.
 *
 * @module
 */
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type {
  AttentionShape,
  ImplementationStyle,
  LighthouseOptions,
  OptionDescriptor,
  ScorerDescriptor,
} from "../../implementation.ts";
import type { LighthouseGeometry } from "../lighthouse_geometry.ts";

/** The problem to score. */
export interface ScorerProblem {
  /** Sizes of the layer. */
  readonly shape: AttentionShape;
  /** Options of the layer. */
  readonly options: LighthouseOptions;
  /** The sizes derived from both. */
  readonly geometry: LighthouseGeometry;
  /** Heads of a block; the last block may have fewer. */
  readonly headsPerBlock: number;
}

/** Cost of scoring all heads, and the memory that it holds while the layer runs. */
export interface ScorerPlan {
  /** FLOP of scoring all heads. */
  readonly flops: number;
  /** Minimum bytes that scoring must move. */
  readonly bytes: number;
  /** Scratch, all block sizes together. */
  readonly buffers: readonly { readonly name: string; readonly bytes: number }[];
  /** The kernel variant, if it depends on the device. */
  readonly variant?: string;
}

/** Buffers of one block of heads. */
export interface ScorerBindings {
  /** First head of the block in the layer: a scorer may hold its own tensors by head. */
  readonly firstHead: number;
  /** Queries `[heads, N, d]`. */
  readonly q: BufferSlice;
  /** Keys `[heads, N, d]`. */
  readonly k: BufferSlice;
  /** Values `[heads, N, d]`. */
  readonly v: BufferSlice;
  /** Scores of the entries as queries: f32 `[heads, P]`, all levels written. */
  readonly queryScores: BufferSlice;
  /** Scores of the entries as keys: f32 `[heads, P]`, all levels written. */
  readonly keyScores: BufferSlice;
}

/**
 * A compiled scorer for blocks with a given number of heads. Blocks are scored one after another,
 * so they may share scratch memory.
 */
export interface BlockScorer {
  /** The dispatches that score one block. */
  readonly bind: (slices: ScorerBindings) => Dispatch[];
  /** Frees the scorer's buffers. */
  readonly destroy: () => void;
}

/** A scorer with its own passes, timed as the stage `score`. */
export interface ScoringPass {
  /**
   * Cost of scoring all heads; pure.
   *
   * @throws {RangeError} when the scorer cannot run the problem; one line that names the value and
   * the limit.
   */
  readonly plan: (gpu: Pick<Gpu, "capabilities" | "adapter">, problem: ScorerProblem) => ScorerPlan;
  /** Compiles slow kernels ahead. Default: nothing. */
  readonly compile?: (gpu: Gpu, problem: ScorerProblem) => Promise<unknown>;
  /** Compiles the pass for blocks of `heads` heads. */
  readonly create: (
    gpu: Gpu,
    problem: ScorerProblem,
    options: { heads: number; flopsPerDispatch?: number },
  ) => Promise<BlockScorer>;
}

/** How a layer scores: a descriptor, and the pass that it describes. */
export interface Scorer extends ScorerDescriptor {
  /** `control`: its layer runs only by name. */
  readonly role?: "control";
  /** Its cost grows with the square of N: measurements stop at shorter contexts. Default false. */
  readonly quadratic?: boolean;
  /** Options in addition to L, p and k, in the order of case ids. Default: none. */
  readonly options?: readonly OptionDescriptor[];
  /** How the layer is drawn. Default: the next free colour and mark. */
  readonly style?: ImplementationStyle;
  /** The same scorer with log gates f32 `[H, N]`, at most 0; absent if it has no gates. */
  readonly withGates?: (gates: Float32Array) => Scorer;
  /** Why a context cannot be split into shards that score separately; absent if it can. */
  readonly wholeHeads?: string;
  /** Absent for norm scores, which the pyramid pass over Q and K writes. */
  readonly pass?: ScoringPass;
}
