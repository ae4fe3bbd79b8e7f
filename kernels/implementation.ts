/**
 * The common signature of dense attention, every Lighthouse variant and every peer.
 *
 * Suites plan, prepare, execute and check all implementations alike. A plan is pure: it needs the
 * capability record of a device, not the device.
 *
 * Shape letters, used everywhere: B batch (1), H heads, Hkv heads of keys and values, N context length, d head dimension,
 * L levels, p pooling factor, k selection budget, S length of the gathered sub-sequence,
 * P pyramid entries per head.
 *
 * @module
 */
import type { DType, Tensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import type { RunOptions, Timing } from "./gpu/timing.ts";

/**
 * Shape of one attention layer: Q and the output are `[heads, context, headDim]`, K and V
 * `[kvHeads, context, headDim]`.
 */
export interface AttentionShape {
  /** H. */
  readonly heads: number;
  /**
   * Hkv, heads of K and V; divides H. Query head h reads key head ⌊h / (H / Hkv)⌋. Default: H; a layer
   * with as many key heads as heads leaves it out.
   */
  readonly kvHeads?: number;
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

/** One option of an implementation; everything from the flag to the label is derived from it. */
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
  /** The direction in which a rule is rounded. Default `up`. */
  readonly rounding?: "up" | "down";
  /** A layer may leave it out. Default false. */
  readonly optional?: boolean;
  /** Default of a layer: a value, or a rule. */
  readonly initial: number | string;
  /** Help text: a short phrase. */
  readonly help: string;
  /** Heading of a section that varies only this option. */
  readonly sweep?: string;
}

/** A named set of values of an implementation's options. */
export interface Preset {
  /** One word: `published`. */
  readonly name: string;
  /** A value or a rule for each option. */
  readonly options: Readonly<Record<string, number | string>>;
}

/** How an implementation is drawn, in every figure of every page. */
export interface ImplementationStyle {
  /** CSS colours on a light and on a dark page, distinct from those of other implementations. */
  readonly color: { readonly light: string; readonly dark: string };
  /** Shape of its marks, so that colour is not the only distinction. */
  readonly mark: "circle" | "square" | "triangle" | "diamond" | "cross" | "wye" | "star";
}

/** Rows `first … end - 1`. */
export interface RowSpan {
  /** The first row. */
  readonly first: number;
  /** One past the last row. */
  readonly end: number;
}

/** What is computed and timed: the layer, its gradients, or both together. */
export type Direction = "forward" | "backward" | "forward-backward";

/** All directions. */
export const DIRECTIONS = [
  "forward",
  "backward",
  "forward-backward",
] as const satisfies readonly Direction[];

/** The problem to compute. */
export interface Problem {
  /** Sizes of the layer. */
  readonly shape: AttentionShape;
  /** Default `forward`. `backward` runs the forward pass once, untimed, when it is prepared. */
  readonly direction?: Direction;
  /** Values of the implementation's options; absent if it has none. */
  readonly options?: LayerOptions;
}

/** Cost of one stage of an implementation. */
export interface StagePlan {
  /** Its name in {@linkcode Prepared.stages}. */
  readonly name: string;
  /** FLOP by the convention of the specification, section 8. */
  readonly flops: number;
  /** Minimum bytes that the stage must move. */
  readonly bytes: number;
  /** The kernel and its tiling, if they depend on the device. */
  readonly variant?: string;
}

/** Everything about a case that is known before anything is allocated. */
export interface ImplementationPlan {
  /** In the order of execution. */
  readonly stages: readonly StagePlan[];
  /** FLOP of one execution, all stages together. */
  readonly flops: number;
  /** Minimum bytes that one execution must move. */
  readonly bytes: number;
  /** Buffers held while the case runs, inputs and outputs included. */
  readonly buffers: readonly { readonly name: string; readonly bytes: number }[];
  /** Bytes of all {@linkcode buffers}. */
  readonly peakBytes: number;
  /** Maximum number of heads of a tensor block on this device. */
  readonly headsPerBlock: number;
  /** S, for Lighthouse. */
  readonly gathered?: number;
}

/** Seeded or given inputs, cut into the same head blocks: whole groups of query heads. */
export interface LayerInputs {
  /** Queries, `[heads, context, headDim]`. */
  readonly q: Tensor;
  /** Keys, `[kvHeads, context, headDim]`. */
  readonly k: Tensor;
  /** Values, `[kvHeads, context, headDim]`. */
  readonly v: Tensor;
  /** dO, `[heads, context, headDim]`; required unless the direction is `forward`. */
  readonly outputGradient?: Tensor;
}

/** A prepared case: buffers allocated, pipelines compiled, ready to run any number of times. */
export interface Prepared {
  /** The plan of the case. */
  readonly plan: ImplementationPlan;
  /** Names of the stages that `Timing.stages` reports, in order. */
  readonly stages: readonly string[];
  /** Runs the layer once. */
  readonly execute: (options?: RunOptions) => Promise<Timing>;
  /**
   * If attention runs on matrix units: workgroups that restarted with a better softmax reference,
   * in all executions since the layer was prepared.
   */
  readonly readRestarts?: () => Promise<number>;
  /** Results of the last execution; this object owns them. */
  readonly outputs: {
    /** `[heads, context, headDim]`. */
    readonly output: Tensor;
    /**
     * Natural-log-sum-exp of the scaled logits, f32 `[heads, rows, 1]`: rows are the context for
     * dense attention and S (gathered order) for Lighthouse.
     */
    readonly lse: Tensor;
    /**
     * For Lighthouse, pyramid indices in gathered order, `[heads, S]`; with a selector, lists of blocks
     * `[heads, context, width]`, padded with -1.
     */
    readonly readSelection?: () => Promise<Int32Array>;
    /**
     * Squared scores of the base rows of one head, f32 `[context]` each, for Lighthouse: the input
     * of the selection.
     */
    readonly readScores?: (head: number) => Promise<{ query: Float32Array; key: Float32Array }>;
    /** Of layers whose output is a sum of branches, each times a gate: f32, one tensor for each branch. */
    readonly branches?: {
      /** As generated, `[heads, context, branches]`; a gate is value/8 + ½. */
      readonly gates: Tensor;
      /** Log-sum-exp, `[heads, context, 1]`; -∞ where a branch sees no key. */
      readonly lse: readonly Tensor[];
      /** dg, `[heads, context, 1]`, unless the direction is `forward`. */
      readonly gateGradients?: readonly Tensor[];
    };
    /** Attention over the gathered rows before the scatter, `[heads, S, headDim]`, for Lighthouse. */
    readonly gathered?: Tensor;
    /**
     * dQ, `[heads, context, headDim]`, and dK, dV, `[kvHeads, context, headDim]`, unless the direction is
     * `forward`.
     */
    readonly gradients?: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
  };
  /** Frees everything except the inputs. */
  readonly destroy: () => void;
}

/** The part of a scorer that the suites use. */
export interface ScorerDescriptor {
  /** `norm`, `dilated`, …; the name in results and on the command line. */
  readonly name: string;
  /**
   * Whether every device ranks alike: scores are exact, or their rounding affects only ties. The
   * selection must then equal the one from float64 scores.
   */
  readonly exactSelection: boolean;
}

/** The blocks that a query may select, in float64: what its list is held against. */
export interface RankedBlocks {
  /** Scores of the blocks `0 … scores.length - 1`, of which the best are selected. */
  readonly scores: ArrayLike<number>;
  /** How far an f32 score may be from this one. */
  readonly tolerance: number;
  /** Blocks that are selected whatever their score, ascending; they count. */
  readonly forced: readonly number[];
}

/**
 * How an implementation chooses the keys of each query by the inputs: lists of blocks, the rows of
 * `readSelection`. The larger score is selected first, of equal ones the smaller block.
 */
export interface SelectorDescriptor {
  /** Most blocks of a list: the last axis of `readSelection`, `[heads, context, width]`. */
  readonly width: (problem: Problem) => number;
  /** Key rows that a query sees, from its list: ascending blocks, padded with -1. */
  readonly visible: (
    list: ArrayLike<number>,
    row: number,
    problem: Problem,
  ) => readonly RowSpan[];
  /**
   * What the queries of a head rank, in float64, from all its keys `[context, headDim]`. Not where the
   * layer's own reference says it.
   */
  readonly rank?: (
    keys: ArrayLike<number>,
    problem: Problem,
  ) => (row: number, query: ArrayLike<number>) => RankedBlocks;
}

/** A key head and its query heads, for a reference in float64. */
export interface ReferenceInputs {
  readonly problem: Problem;
  /** Rows to compute, ascending. */
  readonly rows: readonly number[];
  /** G, query heads of the key head. */
  readonly group: number;
  /** `[context, headDim]`. */
  readonly keys: ArrayLike<number>;
  /** The same. */
  readonly values: ArrayLike<number>;
  /** Row `rows[at]` of Q of a query head of the group. */
  readonly query: (member: number, at: number) => ArrayLike<number>;
  /** The same of dO, if gradients are compared. */
  readonly outputGradient?: (member: number, at: number) => ArrayLike<number>;
  /** Gates of the branches. */
  readonly gates: (member: number, at: number) => readonly number[];
  /** Blocks that a row selected on the device. */
  readonly list: (row: number) => ArrayLike<number>;
  /** Takes what a row ranks. */
  readonly ranked?: (row: number, blocks: RankedBlocks) => void;
  /** Softmax weights and gradients of scores are rounded to f16: matrix units. */
  readonly halves: boolean;
  /** Whether the rows are all, and dK and dV are computed. */
  readonly keyGradients: boolean;
}

/** One row of one query head in float64, with bounds of what f32 arithmetic may differ by. */
export interface ReferenceRow {
  readonly output: Float64Array;
  readonly outputTolerance: number;
  /** Of each branch; -∞ where it sees no key. */
  readonly lse: readonly number[];
  readonly lseTolerance: readonly number[];
  readonly queryGradient?: Float64Array;
  readonly queryTolerance?: number;
  /** Of each branch. */
  readonly gateGradients?: readonly number[];
  readonly gateTolerances?: readonly number[];
}

/** What a reference computes. */
export interface ReferenceResult {
  /** `[rows][query heads of the group]`. */
  readonly rows: readonly (readonly ReferenceRow[])[];
  /** Of every row of the context. */
  readonly keyGradients?: Readonly<
    Record<"k" | "v", readonly { readonly gradient: Float64Array; readonly tolerance: number }[]>
  >;
}

/** One way to compute an attention layer, and everything that is derived from it. */
export interface Implementation {
  /** `dense`, `dense-naive`, `lighthouse-norm`, …; the name in results. */
  readonly name: string;
  /** Readable title: one short phrase. */
  readonly title: string;
  /** What a reader of its numbers has to know: one sentence, which reports show. */
  readonly note?: string;
  /** Its group in reports: `dense`, `lighthouse`, `sparse`. */
  readonly family: string;
  /** The directions it computes. */
  readonly directions: readonly Direction[];
  /** Its options, in the order of case ids. */
  readonly options: readonly OptionDescriptor[];
  /**
   * Settings that are measured, each as a separate case, if a run sets none of its options. Throughput
   * uses the first. Default: the defaults of the options.
   */
  readonly presets?: readonly Preset[];
  /** How it is drawn. Default: the next free colour and mark. */
  readonly style?: ImplementationStyle;
  /** The scorer that ranks the entries of the pyramid, for Lighthouse. */
  readonly scorer?: ScorerDescriptor;
  /**
   * `second-opinion`: checked with the rest, timed only by name. `control`: runs only by name.
   * Default: checked and timed if a profile asks for all implementations.
   */
  readonly role?: "second-opinion" | "control";
  /**
   * Key rows that a query row of a head attends to, as ascending spans that do not touch. Forward and
   * gradient checks follow it. Default: all rows up to the query's own.
   */
  readonly visible?: (row: number, problem: Problem, head: number) => readonly RowSpan[];
  /**
   * How queries choose their keys, if that depends on the inputs. Checks hold the lists against float64
   * and follow them in place of {@linkcode visible}.
   */
  readonly selector?: SelectorDescriptor;
  /**
   * The layer in float64, if its output is no softmax over visible keys alone but a sum of branches. Checks
   * use it in place of {@linkcode visible}.
   */
  readonly reference?: (inputs: ReferenceInputs) => ReferenceResult;
  /**
   * The smallest problem that runs the same code as `problem` and allows float64 for every row.
   * Default: 193 rows of 2 heads, an odd length beyond every tile size.
   */
  readonly smallest?: (problem: Problem) => Problem;
  /**
   * Options with which a short context runs the same code as a long one with the initial values of
   * {@linkcode options}. Default: those values.
   */
  readonly shortOptions?: (context: number) => LayerOptions;
  /**
   * The cost of computing the problem; pure.
   *
   * @throws {RangeError} when this implementation cannot compute the problem; one line that names
   * the value and the limit.
   */
  readonly plan: (
    gpu: Pick<Gpu, "capabilities" | "adapter">,
    problem: Problem,
  ) => ImplementationPlan;
  /**
   * Compiles ahead the slow kernels of {@linkcode prepare}, and nothing else. Drivers take seconds
   * for a large kernel and compile several at once. Default: nothing is compiled ahead.
   */
  readonly compile?: (gpu: Gpu, problem: Problem) => Promise<unknown>;
  /** Allocates, compiles and binds; the caller keeps the inputs. */
  readonly prepare: (
    gpu: Gpu,
    problem: Problem,
    options: { inputs: LayerInputs; flopsPerDispatch?: number },
  ) => Promise<Prepared>;
}
