/**
 * The one signature that dense attention, every Lighthouse variant and every peer share.
 *
 * Suites plan, prepare, execute and check all implementations alike. A plan is pure: it needs the
 * capability record of a device, not the device.
 *
 * Shape letters, used everywhere: B batch (1), H heads, N context length, d head dimension,
 * L levels, p pooling factor, k selection budget, S length of the gathered sub-sequence,
 * P pyramid entries per head.
 *
 * @module
 */
import type { DType, Tensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import type { RunOptions, Timing } from "./gpu/timing.ts";

/** Shape of one attention layer; Q, K, V and the output are `[heads, context, headDim]`. */
export interface AttentionShape {
  /** H. */
  readonly heads: number;
  /** N. */
  readonly context: number;
  /** d. */
  readonly headDim: number;
  /** Type that Q, K, V and the results are stored in. */
  readonly dtype: DType;
}

/** Options of a layer by name, for example `{ levels: 3, pooling: 4, k: 1536 }`. */
export type LayerOptions = Readonly<Record<string, number | undefined>>;

/** Options of a Lighthouse layer (specification, sections 1 to 4). */
export type LighthouseOptions = {
  /** L, at least 2. */
  readonly levels: number;
  /** p, a power of two, at least 2. */
  readonly pooling: number;
  /** k, a multiple of 128. */
  readonly k: number;
  /** δ of scorers that work in residue classes; divides N. */
  readonly dilation?: number;
};

/** One option of an implementation: everything that is derived from it, from the flag to the label. */
export interface OptionDescriptor {
  /** Key in {@linkcode Problem.options}, in profiles and in result files: `levels`. */
  readonly name: string;
  /** Written before the value in case ids and labels: `L`. */
  readonly letter: string;
  /** Name of the command line's flag, without the dashes. */
  readonly flag: string;
  /** Smallest value. */
  readonly least: number;
  /** The value is a multiple of this. Default 1. */
  readonly multipleOf?: number;
  /** The value is a power of two. Default false. */
  readonly powerOfTwo?: boolean;
  /** A rule such as `N/64` may stand for the value; it is rounded to `multipleOf`. Default false. */
  readonly rule?: boolean;
  /** Which way a rule is rounded. Default `up`. */
  readonly rounding?: "up" | "down";
  /** A layer may leave it out. Default false. */
  readonly optional?: boolean;
  /** What a layer takes where nothing else is said: a value, or a rule. */
  readonly initial: number | string;
  /** For people: what it is, a short phrase. */
  readonly help: string;
  /** Heading of a section that varies this option alone. */
  readonly sweep?: string;
}

/** Values of an implementation's options that belong together. */
export interface Preset {
  /** One word: `published`. */
  readonly name: string;
  /** A value or a rule for each option. */
  readonly options: Readonly<Record<string, number | string>>;
}

/** How an implementation is drawn: the same in every figure of every page. */
export interface ImplementationStyle {
  /** CSS colours on a light and on a dark page, apart from those of other implementations. */
  readonly color: { readonly light: string; readonly dark: string };
  /** Shape of its marks, so that colour alone carries no meaning. */
  readonly mark: "circle" | "square" | "triangle" | "diamond" | "cross" | "wye" | "star";
}

/** Rows `first … end - 1`. */
export interface RowSpan {
  /** The first row. */
  readonly first: number;
  /** One past the last row. */
  readonly end: number;
}

/** What is computed and timed: the layer, its gradients, or both in one. */
export type Direction = "forward" | "backward" | "forward-backward";

/** All directions. */
export const DIRECTIONS = [
  "forward",
  "backward",
  "forward-backward",
] as const satisfies readonly Direction[];

/** What is to be computed. */
export interface Problem {
  /** Sizes of the layer. */
  readonly shape: AttentionShape;
  /** Default `forward`. `backward` runs the forward pass once, untimed, when it is prepared. */
  readonly direction?: Direction;
  /** Values of the implementation's options; absent where it has none. */
  readonly options?: LayerOptions;
}

/** Cost of one stage of an implementation. */
export interface StagePlan {
  /** As {@linkcode Prepared.stages} names it. */
  readonly name: string;
  /** FLOP by the convention of the specification, section 8. */
  readonly flops: number;
  /** Least bytes that the stage must move. */
  readonly bytes: number;
  /** Which of several kernels runs, and its tiling, where that depends on the device. */
  readonly variant?: string;
}

/** Everything about a case that can be known before anything is allocated. */
export interface ImplementationPlan {
  /** In the order of execution. */
  readonly stages: readonly StagePlan[];
  /** FLOP of one execution, all stages together. */
  readonly flops: number;
  /** Least bytes that one execution must move. */
  readonly bytes: number;
  /** Buffers held while the case runs, inputs and outputs included. */
  readonly buffers: readonly { readonly name: string; readonly bytes: number }[];
  /** Bytes of all {@linkcode buffers}. */
  readonly peakBytes: number;
  /** Largest number of heads a tensor block may hold on this device. */
  readonly headsPerBlock: number;
  /** S, for Lighthouse. */
  readonly gathered?: number;
}

/** Seeded or given inputs, each `[heads, context, headDim]`, cut into the same head blocks. */
export interface LayerInputs {
  /** Queries. */
  readonly q: Tensor;
  /** Keys. */
  readonly k: Tensor;
  /** Values. */
  readonly v: Tensor;
  /** dO; needed for every direction but `forward`. */
  readonly outputGradient?: Tensor;
}

/** A prepared case: buffers allocated, pipelines compiled, ready to run any number of times. */
export interface Prepared {
  /** What the case was planned to take. */
  readonly plan: ImplementationPlan;
  /** Names of the stages that `Timing.stages` reports, in order. */
  readonly stages: readonly string[];
  /** Runs the layer once. */
  readonly execute: (options?: RunOptions) => Promise<Timing>;
  /**
   * Where attention runs on matrix units: workgroups that started over with a better softmax
   * reference, in all executions since the layer was prepared.
   */
  readonly readRestarts?: () => Promise<number>;
  /** Results of the last execution; they belong to this object. */
  readonly outputs: {
    /** `[heads, context, headDim]`. */
    readonly output: Tensor;
    /**
     * Natural-log-sum-exp of the scaled logits, f32 `[heads, rows, 1]`: rows are the context for
     * dense attention and S (gathered order) for Lighthouse.
     */
    readonly lse: Tensor;
    /** Pyramid indices in gathered order, `[heads, S]`, for Lighthouse. */
    readonly readSelection?: () => Promise<Int32Array>;
    /**
     * Squared scores of the base rows of one head, f32 `[context]` each, for Lighthouse: what
     * selection ranked by.
     */
    readonly readScores?: (head: number) => Promise<{ query: Float32Array; key: Float32Array }>;
    /** Attention over the gathered rows before the scatter, `[heads, S, headDim]`, for Lighthouse. */
    readonly gathered?: Tensor;
    /** dQ, dK, dV, each `[heads, context, headDim]`, unless the direction is `forward`. */
    readonly gradients?: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
  };
  /** Frees everything but the inputs. */
  readonly destroy: () => void;
}

/** What the suites need to know of a scorer. */
export interface ScorerDescriptor {
  /** `norm`, `dilated`, …; the name that results and the command line carry. */
  readonly name: string;
  /**
   * Whether every device ranks alike: scores are exact, or round so little that only ties differ. The
   * selection must then be the one that float64 scores choose.
   */
  readonly exactSelection: boolean;
}

/** One way of computing an attention layer, and everything that is derived from it. */
export interface Implementation {
  /** `dense`, `dense-naive`, `lighthouse-norm`, …; the name that results carry. */
  readonly name: string;
  /** For people: one short phrase. */
  readonly title: string;
  /** What it is one of: `dense`, `lighthouse`, `sparse`. Reports group by it. */
  readonly family: string;
  /** What it computes. */
  readonly directions: readonly Direction[];
  /** Its options, in the order of case ids. */
  readonly options: readonly OptionDescriptor[];
  /**
   * Settings that are measured, each as a case of its own, where nobody asks for values of its options.
   * Throughput takes the first. Default: what the options take where nothing is said.
   */
  readonly presets?: readonly Preset[];
  /** How it is drawn. Default: the next free colour and mark. */
  readonly style?: ImplementationStyle;
  /** What ranks the entries of the pyramid, for Lighthouse. */
  readonly scorer?: ScorerDescriptor;
  /**
   * `second-opinion`: checked beside the rest, timed only by name. `control`: runs only by name.
   * Default: checked and timed wherever a profile asks for all implementations.
   */
  readonly role?: "second-opinion" | "control";
  /**
   * Key rows that a query row of a head attends to, as ascending spans that do not touch. Forward and
   * gradient checks follow it. Default: all rows up to the query's own.
   */
  readonly visible?: (row: number, problem: Problem, head: number) => readonly RowSpan[];
  /**
   * The smallest problem that runs the same code as `problem`, where float64 for every row is
   * affordable. Default: 193 rows of 2 heads, an odd length past every tile size.
   */
  readonly smallest?: (problem: Problem) => Problem;
  /**
   * Options with which a short context runs the code that a long one runs with {@linkcode options}' initial
   * values. Default: those values.
   */
  readonly shortOptions?: (context: number) => LayerOptions;
  /**
   * What computing the problem takes; pure.
   *
   * @throws {RangeError} when the problem is not one this implementation can compute; one line that
   * names the value and the limit.
   */
  readonly plan: (
    gpu: Pick<Gpu, "capabilities" | "adapter">,
    problem: Problem,
  ) => ImplementationPlan;
  /**
   * Compiles ahead what {@linkcode prepare} would compile and takes long, nothing else. Drivers take
   * seconds for a large kernel and compile several at once. Default: nothing is compiled ahead.
   */
  readonly compile?: (gpu: Gpu, problem: Problem) => Promise<unknown>;
  /** Allocates, compiles and binds; the inputs stay the caller's. */
  readonly prepare: (
    gpu: Gpu,
    problem: Problem,
    options: { inputs: LayerInputs; flopsPerDispatch?: number },
  ) => Promise<Prepared>;
}
