/**
 * The common signature of dense attention, every Lighthouse variant and every peer.
 *
 * Suites plan, prepare, execute and check all implementations alike. A plan is pure: it needs the
 * capability record of a device, not the device.
 *
 * Shape letters, used everywhere: B batch (1), H heads, Hkv heads of keys and values, N context
 * length, d head dimension, L levels, p pooling factor, k selection budget, S length of the
 * gathered sub-sequence, P pyramid entries per head.
 *
 * @module
 */
import type { Tensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import type { RunOptions, Timing } from "./gpu/timing.ts";
import type {
  CheckedScores,
  LastQuery,
  ReferenceInputs,
  ReferenceResult,
  ScoreReferenceInputs,
  SelectorDescriptor,
  TokenSelector,
} from "./layer_checks.ts";
import type { Direction, LayerOptions, Problem, RowSpan } from "./problem.ts";

export * from "./layer_checks.ts";
export * from "./problem.ts";

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
  /**
   * A rule such as `N/64` may stand for the value; it is rounded to `multipleOf`. Default false.
   */
  readonly rule?: boolean;
  /** Rules are rounded to multiples of this instead. Default: {@linkcode multipleOf}. */
  readonly ruleStep?: number;
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

/** Inputs of an index that selects tokens, each in one block. */
export interface IndexInputs {
  /** Index queries, `[J, context, c]`. */
  readonly q: Tensor;
  /** Index keys, one a token, `[1, context, c]`. */
  readonly k: Tensor;
  /** Weights of the index heads, f32 `[J, context, 1]`. */
  readonly w: Tensor;
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

/**
 * Queries that a layer which gathers them takes at once; both are rounded up to what kernels can
 * take.
 */
export interface GatheredCuts {
  /** Queries of a turn: their entries are in memory at the same time. */
  readonly turnQueries?: number;
  /** Turns that branches of NSA whose queries are not gathered take at once. */
  readonly sweepTurns?: number;
  /**
   * Entries of a part, on matrix units: a workgroup of the pass over keys and values visits no
   * more.
   */
  readonly partQueries?: number;
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
     * For Lighthouse, pyramid indices in gathered order, `[heads, S]`; with a selector, lists of
     * blocks `[heads or kvHeads, context, width]`, ascending; where an index selects tokens, these,
     * `[context, width]`, ascending. Both are padded with -1.
     */
    readonly readSelection?: () => Promise<Int32Array>;
    /**
     * Blocks of tokens that queries kept, `[context, blocks]`, where an index ranks blocks first.
     */
    readonly readBlocks?: () => Promise<Int32Array>;
    /** The inputs of that index. */
    readonly index?: IndexInputs;
    /**
     * Squared scores of the base rows of one head, f32 `[context]` each, for Lighthouse: the input
     * of the selection.
     */
    readonly readScores?: (head: number) => Promise<{ query: Float32Array; key: Float32Array }>;
    /**
     * Of layers whose output is a sum of branches, each times a gate: f32, one tensor for each
     * branch.
     */
    readonly branches?: {
      /** As generated, `[heads, context, branches]`; a gate is value/8 + ½. */
      readonly gates: Tensor;
      /** Log-sum-exp, `[heads, context, 1]`; -∞ where a branch sees no key. */
      readonly lse: readonly Tensor[];
      /** dg, `[heads, context, 1]`, unless the direction is `forward`. */
      readonly gateGradients?: readonly Tensor[];
    };
    /**
     * Attention over the gathered rows before the scatter, `[heads, S, headDim]`, for Lighthouse.
     */
    readonly gathered?: Tensor;
    /**
     * dQ, `[heads, context, headDim]`, and dK, dV, `[kvHeads, context, headDim]`, unless the
     * direction is `forward`.
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
  /**
   * The scores of some base rows in float64, each with its tolerance. Checks hold the device's scores
   * against them, and the selection against the device's scores. Required of a scorer with its own
   * pass, unless the suites have a reference of their own.
   */
  readonly reference?: (inputs: ScoreReferenceInputs) => Promise<readonly CheckedScores[]>;
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
   * Settings that are measured, each as a separate case, if a run sets none of its options.
   * Throughput uses the first. Default: the defaults of the options.
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
   * Key rows that a query row of a head attends to, as ascending spans that do not touch. Forward
   * and gradient checks follow it. Default: all rows up to the query's own.
   */
  readonly visible?: (row: number, problem: Problem, head: number) => readonly RowSpan[];
  /**
   * How queries choose their keys, if that depends on the inputs. Checks hold the lists against
   * float64 and follow them in place of {@linkcode visible}.
   */
  readonly selector?: SelectorDescriptor;
  /**
   * The layer in float64, if its output is no softmax over visible keys alone but a sum of
   * branches. Checks use it in place of {@linkcode visible}.
   */
  readonly reference?: (inputs: ReferenceInputs) => ReferenceResult;
  /**
   * How an index selects tokens, if one does. Checks hold the lists against float64 and follow them
   * in place of {@linkcode visible}.
   */
  readonly tokens?: TokenSelector;
  /**
   * What the last query attends to, from its logits (scaled, of all rows), where that does not
   * follow from {@linkcode visible}, {@linkcode selector} or {@linkcode tokens}.
   *
   * @throws {RangeError} as {@linkcode plan} does.
   */
  readonly lastQuery?: (logits: ArrayLike<number>, problem: Problem) => LastQuery;
  /** It takes fewer key heads than heads. Default false. */
  readonly sharedKeys?: boolean;
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
  /**
   * Of a layer that gathers queries: cuts and options with which a small problem runs the code of
   * large ones.
   */
  readonly inTurns?: { readonly cuts: GatheredCuts; readonly options: LayerOptions };
  /** Allocates, compiles and binds; the caller keeps the inputs. */
  readonly prepare: (
    gpu: Gpu,
    problem: Problem,
    options: {
      inputs: LayerInputs;
      flopsPerDispatch?: number;
      /** For checks of small problems, of layers that gather queries. Default: by room and work. */
      cuts?: GatheredCuts;
      /** Of a layer whose index selects tokens. Default: seeded ones. */
      index?: IndexInputs;
    },
  ) => Promise<Prepared>;
}
