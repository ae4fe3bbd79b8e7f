/**
 * What a result file says, as types. Units are SI and stand in a field's name or description.
 * Unknown fields are kept, so that a newer version's file survives a round trip through an older
 * tool.
 *
 * `deno task generate` writes this file from the schemas: edit them instead.
 *
 * @module
 */
import type { OpenRecord } from "./open_record.ts";

/** A whole result file. */
export interface Result extends OpenRecord {
  /** Version of this format. */
  schemaVersion: 2;
  /** What wrote the file. */
  tool: {
    /** This project. */
    name: "lighthouse-attention-bench";
    /** Of the package. */
    version: string;
    /** Git commit of the working tree, or null outside a repository. */
    commit: string | null;
    /** Whether the tree had uncommitted changes; null outside a repository. */
    dirty: boolean | null;
    /**
     * Address of the repository that the tree was cloned from, `https://github.com/OWNER/NAME`;
     * absent where it has no such one.
     */
    repository?: string;
    [unknown: string]: unknown;
  };
  /** ISO 8601, UTC. */
  startedAt: string;
  /** ISO 8601, UTC; null while the run goes on or was cut short. */
  finishedAt: string | null;
  /** The command line to run again, first word `deno`. */
  command: string[];
  /** `smoke`, `standard` or `paper`. */
  profile: string;
  /** The WebGPU implementation that ran the kernels. */
  stack: "deno" | "dawn" | "browser";
  /** Why that one; older results do not tell. */
  stackChoice?: StackChoiceRecord;
  /** Of Q; K, V and dO have the three after it. */
  seed: number;
  /** Everything that decides which cases run, as given and defaulted. */
  configuration: Record<string, unknown>;
  /** SHA-256 of what decides times and results: equal hashes, equal work. */
  hashes: {
    /** Of all shaders and the code that generates them. */
    wgsl: string;
    /** Of `configuration`. */
    configuration: string;
    /** Of the cases that were planned, in order. */
    plan: string;
    [unknown: string]: unknown;
  };
  /** Where this is a part of a run. */
  shard?: ShardRecord;
  /** The machine. */
  environment: EnvironmentRecord;
  /** Null before it was calibrated. */
  calibration: CalibrationRecord | null;
  /** Those that the run plans, ours in the order of the registry, then peers. */
  implementations: ImplementationRecord[];
  /** In the order of the plan. */
  cases: CaseRecord[];
  /** Pairs that were interleaved. */
  ratios: RatioRecord[];
  /** Of the suite `retrieval`. */
  retrieval?: RetrievalRecord;
  /** Of `train`: a training experiment. */
  experiment?: ExperimentRecord;
  /** Other people's implementations that were asked for. */
  peers?: PeerRecord[];
  /** Where the run kept the clock up, or was asked to. */
  keepWarm?: KeepWarmRecord;
  /** Where the run took measured tilings; `replay` takes these again. */
  tuning?: TuningRecord;
  /** One line each: things that the reader should know of the run as a whole. */
  notes: string[];
}

/** How the stack of a run was chosen. */
export interface StackChoiceRecord extends OpenRecord {
  /** `auto`: the fastest that works. */
  asked: "auto" | "deno" | "dawn" | "browser";
  /** What decided, one line: `matrix units on NVIDIA H200`. */
  reason: string;
}

/** What the result of a shard says of the whole plan. */
export interface ShardRecord extends OpenRecord {
  /** Which one; the first is 1. */
  index: number;
  /** Of how many. */
  count: number;
  /** Hash of the whole plan. */
  plan: string;
  /** Ids of all cases of the whole plan, in order. */
  cases: string[];
}

/** What computes, apart from the stack that it was reached by. */
export interface DeviceRecord extends OpenRecord {
  /** As the machine's own tool calls it, else as the adapter does: `NVIDIA H100 80GB HBM3`. */
  name: string;
  /** Of the card, where the machine's tool tells which it is. */
  uuid?: string;
  /** PCI domain, bus and device of the same card. */
  busId?: string;
}

/** One of the machines that shared a run. */
export interface MachineRecord extends OpenRecord {
  /** Index of the shard that it ran. */
  shard: number;
  /** As `machine` of its cases names it. */
  fingerprint: string;
  /** As WebGPU describes it. */
  adapter: string;
  /** Model of the processor. */
  cpu: string;
}

/** The machine that measured. */
export interface EnvironmentRecord extends OpenRecord {
  /** As WebGPU describes it. */
  adapter: {
    /** `nvidia`, or the number that the stack has for it. */
    vendor: string;
    /** Family of the device; may be empty. */
    architecture: string;
    /** Name or number of the device; may be empty. */
    device: string;
    /** Name of the device or of its driver. */
    description: string;
    /** Whether the stack calls it a fallback. */
    isFallbackAdapter: boolean;
    /** True for CPU implementations of Vulkan (llvmpipe, SwiftShader, WARP). */
    software: boolean;
    [unknown: string]: unknown;
  };
  /** What the adapter computes on. */
  device: DeviceRecord;
  /** Driver name and version, where it can be found out. */
  driver: string | null;
  /** Memory of the device, where it can be found out. */
  deviceMemoryBytes: number | null;
  /** Features that were granted, sorted. */
  features: string[];
  /** Limits of the device by name. */
  limits: Record<string, number>;
  /** Name and release of the system. */
  os: string;
  /** Model of the processor. */
  cpu: string;
  /** Logical processors. */
  cores: number;
  /** Memory of the machine. */
  memoryBytes: number;
  /** What ran the program, by name and version. */
  runtime: {
    /** Deno. */
    deno?: string;
    /** Its JavaScript engine. */
    v8?: string;
    /** Its compiler. */
    typescript?: string;
    /** Name and version of the browser, where one ran it. */
    browser?: string;
    [unknown: string]: unknown;
  };
  /** Versions of the npm packages, by name. */
  packages: Record<string, string>;
  /** Same fingerprint: absolute times may be compared. */
  fingerprint: string;
  /** Where shards of several machines were joined; everything else here is of the first one's. */
  machines?: MachineRecord[];
}

/** Ceilings of this device, measured at the start of the run. Absent parts were not measurable. */
export interface CalibrationRecord extends OpenRecord {
  /** FLOP per second of register-only fused multiply-adds. */
  fmaF32?: Statistic;
  /** The same in f16. */
  fmaF16?: Statistic;
  /** FLOP per second of a register-only subgroup-matrix chain (Dawn only). */
  matrix?: {
    /** Types and sizes, as the device lists them. */
    config: string;
    /** Of a chain of dependent products. */
    flopsPerSecond: Statistic;
    [unknown: string]: unknown;
  }[];
  /** Bytes per second of a large buffer copy, bytes read plus bytes written. */
  copy?: Statistic;
  /** Seconds of a compute pass that does nothing. */
  emptyPass?: Statistic;
  /** Smallest non-zero step seen between timestamps, in seconds. */
  timestampGranularity?: number;
  /** Seconds of the canary kernel on the undisturbed device. */
  canary?: Statistic;
  /** Trips of the canary's loop: its length, which each calibration chooses. */
  canaryTrips?: number;
  /** `gpu` when timestamps work, `wall` when times are wall clock. */
  clock: "gpu" | "wall";
  /** What could not be measured, one line each. */
  notes?: string[];
}

/** A median with a seeded bootstrap 95 % interval over its samples. */
export interface Statistic extends OpenRecord {
  /** Samples that entered the statistic (flagged ones are kept in `samples`, not counted here). */
  count: number;
  /** Middle sample, in the unit of the samples. */
  median: number;
  /** Lower end of the 95 % bootstrap interval of the median. */
  low: number;
  /** Upper end of the 95 % bootstrap interval of the median. */
  high: number;
  /** Smallest sample. */
  min: number;
  /** Largest sample. */
  max: number;
  /** Mean of the samples. */
  mean: number;
  /** Samples outside Tukey's outer fences; they are counted in, and shown. */
  outliers: number;
}

/** What a reader has to know of an implementation: the descriptor, as far as reports need it. */
export interface ImplementationRecord extends OpenRecord {
  /** As the cases name it. */
  name: string;
  /** For people: one short phrase. */
  title: string;
  /** What a reader of its numbers has to know: one sentence. */
  note?: string;
  /** As its cases have it. */
  family: string;
  /** What ranks the entries of the pyramid, for Lighthouse. */
  scorer?: string;
  /** `second-opinion` or `control`, where it is no candidate like the others. */
  role?: string;
  /** Somebody else's, measured beside ours. */
  peer?: boolean;
  /** Its options, in the order of case ids. */
  options: {
    /** As `options` of a case names it. */
    name: string;
    /** Written before the value: `k`. */
    letter: string;
    /** What it is, a short phrase. */
    help: string;
    /** Heading of a section that varies this option alone. */
    sweep?: string;
    [unknown: string]: unknown;
  }[];
  /** Settings that are measured if a run sets none of its options. */
  presets?: {
    /** One word: `published`, `matched`. */
    name: string;
    /** A value or a rule, such as `9N/512`, by the option's name. */
    options: Record<string, number | string>;
    [unknown: string]: unknown;
  }[];
  /** Colours and mark in figures. */
  style?: {
    /** In hexadecimal: `#2a78d6`. */
    color: {
      /** On a light page. */
      light: string;
      /** On a dark page. */
      dark: string;
      [unknown: string]: unknown;
    };
    /** Shape of its marks: `circle`, `square`, … */
    mark: string;
    [unknown: string]: unknown;
  };
}

/** One measured (or skipped, or failed) case. */
export interface CaseRecord extends OpenRecord {
  /** Stable identity, for example `latency/dense/forward/N8192-H8-d128-f16`. */
  id: string;
  /** The suite that the case belongs to: `latency`, `context-parallel`, … */
  suite: string;
  /** `dense`, `dense-naive`, `lighthouse-norm`, …, or `peer:NAME`. */
  implementation: string;
  /** What was computed and timed. */
  direction: "forward" | "backward" | "forward-backward";
  /** Sizes of the layer. */
  shape: ShapeRecord;
  /** What the implementation is one of: `dense`, `lighthouse`, … */
  family: string;
  /** What ranked the entries of the pyramid, for Lighthouse. */
  scorer?: string;
  /** Options of the layer by name: `levels`, `pooling`, `k`, `dilation`, … */
  options?: Record<string, number>;
  /** Rules that gave values of options, by the option's name: `{ k: "N/64" }`. */
  rules?: Record<string, number | string>;
  /** Length of the gathered sub-sequence, for Lighthouse. */
  gathered?: number;
  /**
   * Which sweep of the profile the case belongs to: `context`, `k`, `pooling`, `levels`, `scorer`.
   */
  sweeps?: string[];
  /** `inconclusive`: it ran, and too few of its samples were taken at a right clock. */
  status: "ok" | "skipped" | "failed" | "inconclusive";
  /** Why the case has no time: one line. */
  reason?: string;
  /** FLOP of one execution by the convention of the specification (causal half counted). */
  flops: number;
  /** Least bytes of one execution. */
  bytes: number;
  /** Bytes of all buffers held while the case runs. */
  peakBytes: number;
  /** Most bytes of buffers that lived at once for the case, counted as the device created them. */
  measuredPeakBytes?: number;
  /** Bytes of the inputs and outputs alone. */
  leastBytes?: number;
  /** Predicted seconds for one execution, from calibration; what the budget decided on. */
  predictedSeconds?: number;
  /** In the order of execution. */
  stages: StageRecord[];
  /** Every execution that was timed, flagged ones too. */
  samples: Sample[];
  /** Over `samples[].seconds`. */
  statistic?: Statistic;
  /**
   * Tokens per second: context / median seconds, with its interval; in training, tokens of a step.
   */
  throughput?: Statistic;
  /** What the check found; a case is timed only after it passed. */
  check?: CheckRecord;
  /** Of what the last execution left. */
  digest?: DigestRecord;
  /** On matrix units: workgroups of one execution that started over with a better reference. */
  restarts?: number;
  /** Rows of the output that nothing covers, for Lighthouse. */
  zeroRows?: number;
  /** For Lighthouse, once for each selection: not repeated where only the direction differs. */
  selectionQuality?: SelectionQualityRecord;
  /** For layers whose queries select blocks by the inputs. */
  blockSelection?: BlockSelectionRecord;
  /** For layers whose index selects tokens. */
  tokenSelection?: TokenSelectionRecord;
  /** Fingerprint of the machine that measured it, where shards of several were joined. */
  machine?: string;
  /** In the suite `context-parallel`; its stages are the ring steps. */
  contextParallel?: ContextParallelRecord;
  /**
   * In the suite `training`: `shape` is that of one sequence's attention, stages are classes of
   * work.
   */
  training?: TrainingRecord;
}

/**
 * Shape of an attention problem. Layout of tensors is [heads, context, headDim], of K, V and their
 * gradients [kvHeads, context, headDim].
 */
export interface ShapeRecord extends OpenRecord {
  /** More sequences are more heads. */
  batch: 1;
  /** H. */
  heads: number;
  /** Heads of keys and values, which divide H; absent: H. */
  kvHeads?: number;
  /** N. */
  context: number;
  /** d. */
  headDim: number;
  /** Type that tensors are stored in. */
  dtype: "f16" | "f32";
}

/** One named part of a case, in the order of execution. */
export interface StageRecord extends OpenRecord {
  /** `attention`, `score-and-pool`, `select`, … */
  name: string;
  /** FLOP of one execution. */
  flops: number;
  /** Least bytes that the stage must move. */
  bytes: number;
  /** Which of several kernels ran, and its tiling, where that depends on the device. */
  variant?: string;
  /** GPU seconds of each staged execution. */
  samples: number[];
  /** Over `samples`. */
  statistic?: Statistic;
}

/** One execution of a case, or several back to back. */
export interface Sample extends OpenRecord {
  /** GPU time in seconds: sum over submissions of last pass end minus first pass begin. */
  seconds: number;
  /** Wall clock in seconds, from submit to the queue being idle. */
  wallSeconds: number;
  /** Round of the A/B/B/A interleaving. */
  round: number;
  /** Place in the round: together they give the order of samples. */
  place: number;
  /**
   * The canary's worst time around this sample, over its reference time: 1 is an undisturbed clock.
   */
  canary?: number;
  /**
   * Clock of the multiprocessors, MHz: median of the readings that fell into the sample, where the
   * device tells and one did.
   */
  clockMHz?: number;
  /**
   * Power that the device drew, W: median of the readings that speak of this sample alone. A driver
   * reports a mean over a second, so only samples longer than that have one.
   */
  powerWatts?: number;
  /**
   * The device drew as much power as it may during the sample, and may lower its clock then. Such a
   * sample counts, whatever the canary says after it, if the clock was full before it: that is the
   * layer's sustained speed.
   */
  atPowerLimit?: true;
  /**
   * The canary's time before the sample alone, over its reference time, where `atPowerLimit` is
   * set: 1 means that the sample itself lowered the clock.
   */
  canaryBefore?: number;
  /**
   * Executions back to back, of which `seconds` are those of one: throughput, and layers that are
   * short beside a step of the clock.
   */
  executions?: number;
  /**
   * Why the sample is left out of the statistic, where it is: `clock` means the canary was off, and
   * not by the power that the sample itself drew.
   */
  flag?: "clock" | "interrupted";
}

/** What the correctness check of a case found. */
export interface CheckRecord extends OpenRecord {
  /** Whether every part passed. */
  passed: boolean;
  /** What was compared with what, in one sentence. */
  method: string;
  /** Largest error found, in units of the tolerance's norm. */
  maxError: number | null;
  /** The derived tolerance. */
  tolerance: number | null;
  /** One entry for each part compared. */
  parts?: {
    /** What was compared. */
    name: string;
    /** Whether it is within its tolerance. */
    passed: boolean;
    /** As of the whole check. */
    maxError: number | null;
    /** As of the whole check. */
    tolerance: number | null;
    /** What was found, in words. */
    detail?: string;
    [unknown: string]: unknown;
  }[];
}

/**
 * Digests: `selection` is SHA-256 of int32 indices, all others are pcg-sum 128-bit digests;
 * gradients only where the direction has them.
 */
export interface DigestRecord extends OpenRecord {
  /** Of the output. */
  output?: string;
  /** Of the log-sum-exp. */
  lse?: string;
  /** Of the selection: SHA-256 of its indices. */
  selection?: string;
  /**
   * In correctness cases: SHA-256 of the selection from seeded scores, the same on every device.
   */
  seededSelection?: string;
  /** Of dQ. */
  queryGradient?: string;
  /** Of dK. */
  keyGradient?: string;
  /** Of dV. */
  valueGradient?: string;
  /** In training: of all weights after the checked steps. */
  weights?: string;
}

/** What a selection does to its context, and how far it agrees with others. */
export interface SelectionQualityRecord extends OpenRecord {
  /** Base rows of all heads. */
  rows: number;
  /** Rows that no selected entry reaches. */
  uncoveredRows: number;
  /** Rows that 0, 1, … L entries contribute to. */
  fanIn: number[];
  /** Share of each level in the gathered sequence, finest first. */
  levelShares: number[];
  /** With what other implementations selected from the same inputs. */
  overlaps?: {
    /** Over all levels but the coarsest, which is always gathered whole. */
    jaccard: number;
    /** Of each level, finest first. */
    levels: number[];
    /** The other. */
    implementation: string;
    [unknown: string]: unknown;
  }[];
  /** With what the same implementation selects when Q and K carry relative noise. */
  stability?: {
    /** Over all levels but the coarsest, which is always gathered whole. */
    jaccard: number;
    /** Of each level, finest first. */
    levels: number[];
    /** Standard deviation of the noise, relative to each element. */
    noise: number;
    [unknown: string]: unknown;
  };
}

/** How lists of blocks, one for each query, use the blocks before the query's own. */
export interface BlockSelectionRecord extends OpenRecord {
  /** Lists of all heads, one for each query. */
  lists: number;
  /** Blocks of a head. */
  blocks: number;
  /** Blocks before a query's own, in all lists. */
  earlier: number;
  /** Of these, blocks directly before the query's own. */
  neighbours: number;
  /** Most later queries that selected the same block. */
  longest: number;
  /** Blocks, but for the last of a head, that no later query selected. */
  unused: number;
  /** With what the same implementation selects when Q and K carry relative noise. */
  stability?: {
    /** Standard deviation of the noise, relative to each element. */
    noise: number;
    /** |A ∩ B| / |A ∪ B| over the earlier blocks of all lists. */
    jaccard: number;
    [unknown: string]: unknown;
  };
}

/** Lists of tokens that an index selected, of sampled queries. */
export interface TokenSelectionRecord extends OpenRecord {
  /** Sampled queries that have more tokens before them than they select. */
  queries: number;
  /** Tokens in their lists. */
  tokens: number;
  /** Of these, tokens in a window of as many up to the query itself. */
  near: number;
  /** How many that would be, were tokens selected at random. */
  expected: number;
  /** Where blocks are ranked first: agreement with an index over all tokens. */
  whole?: {
    /** Sampled queries whose tokens were all ranked. */
    queries: number;
    /** Tokens that scores of all tokens would select. */
    tokens: number;
    /** Of these, tokens in the lists. */
    same: number;
    [unknown: string]: unknown;
  };
}

/** A layer whose context is cut into shards, simulated on one device. */
export interface ContextParallelRecord extends OpenRecord {
  /** W. */
  shards: number;
  /** `contiguous`: shard w holds part w of W. `head-tail`: parts w and 2W - 1 - w of 2W. */
  partition: "contiguous" | "head-tail";
  /** Total number of parts that select independently. */
  parts: number;
  /** The budget of each part. */
  partK: number;
  /** Overlap with the selection of the same inputs without shards. */
  selection: OverlapRecord;
  /** Rows that no entry covers, over all heads. */
  uncoveredRows: number;
  /** The same without shards. */
  unshardedUncoveredRows: number;
  /** Seconds of the inner attention over the same gathered rows in one piece. */
  unshardedAttention?: Statistic;
  /** The ring steps in order. */
  steps: {
    /** Median GPU seconds of each shard's share of the step; 0 where it has nothing to do. */
    shardSeconds: number[];
    /** Query-key pairs that each shard computes, causal mask counted, times heads. */
    shardPairs: number[];
    /** Bytes of K and V that each shard passes on after the step; 0 after the last. */
    bytes: number;
    [unknown: string]: unknown;
  }[];
}

/** How far two selections agree: Jaccard indices over all heads. */
export interface OverlapRecord extends OpenRecord {
  /** Over all levels but the coarsest, which is always gathered whole. */
  jaccard: number;
  /** Of each level, finest first. */
  levels: number[];
}

/** A whole training step: what was trained, and what became of it. */
export interface TrainingRecord extends OpenRecord {
  /** Layers of the model. */
  layers: number;
  /** Width of the residual stream: heads times head dimension. */
  width: number;
  /** Width of the feed-forward part. */
  ffn: number;
  /** V: rows of the embedding and of the head. */
  vocabulary: number;
  /** Parameters of the model. */
  parameters: number;
  /** Layers at each end that are dense under Lighthouse; the paper has 2. */
  denseEnds: number;
  /** Sequences that run at once. */
  batch: number;
  /** Batches whose gradients are added up in a step. */
  accumulate: number;
  /** Tokens of a step; `throughput` counts these. */
  tokens: number;
  /** What is computed again in the backward pass. A peer's own way is not known: `none`. */
  recompute: "none" | "light" | "least";
  /** What the model was trained on; absent where the case did not run. */
  data?: {
    /** `seeded`: random bytes of the run's seed, the same on every machine. `corpus`: a file's. */
    kind: "seeded" | "corpus";
    /** Bytes that batches are drawn from. */
    bytes: number;
    /** SHA-256 of these bytes. */
    digest: string;
    [unknown: string]: unknown;
  };
  /**
   * SHA-256 of the checksums of the checkpoint that it began with. Default: weights of the run's
   * seed.
   */
  start?: string;
  /** FLOP of a step. `flops` of the case is their sum, all of which was executed. */
  flops: {
    /** Matrix products, forward and backward. */
    products: number;
    /** Attention, forward and backward. */
    attention: number;
    /** Scorers of Lighthouse layers. */
    scorers: number;
    /** Of both, what is computed again: the time has it, the model does not. */
    recomputed: number;
    [unknown: string]: unknown;
  };
  /**
   * Bytes of the buffers that were planned, by what they are for: `weights`, `optimizer`, `kept`
   * for the backward pass, `scratch` that layers share, `data`, `kernels`.
   */
  plannedBytes: Record<string, number>;
  /** Steps of the determinism check: `digest.weights` is of the weights after them. */
  checkedSteps: number;
  /** The checked steps, then the last timed ones, at most 64. */
  steps: {
    /** Mean loss of its tokens, in nats. */
    loss: number;
    /** Norm of all gradients before clipping. */
    gradientNorm?: number;
    /** Loss scale that it ran with. */
    lossScale?: number;
    /** Whether it was skipped, since a gradient was not finite. Default false. */
    skipped?: boolean;
    [unknown: string]: unknown;
  }[];
  /** What the last timed step left; how many steps there were depends on time. */
  after?: {
    /** Steps since the beginning. */
    steps: number;
    /** Digest of the weights after them. */
    weights: string;
    [unknown: string]: unknown;
  };
}

/** Ratio of two cases measured in the same interleaved rounds. */
export interface RatioRecord extends OpenRecord {
  /** Case id of the slower one, the baseline. */
  numerator: string;
  /** Case id of the other. */
  denominator: string;
  /** How the samples were interleaved. */
  method: "abba";
  /** Rounds that both were measured in. */
  rounds: number;
  /** numerator seconds / denominator seconds: above 1 means the denominator is faster. */
  ratio: number;
  /** Lower end of the 95 % bootstrap interval. */
  low: number;
  /** Upper end of the 95 % bootstrap interval. */
  high: number;
}

/** The part of a result file. */
export interface RetrievalRecord extends OpenRecord {
  /** Profile of the run. */
  profile: string;
  /** d. */
  headDim: number;
  /** Type that tensors are stored in. */
  dtype: "f16" | "f32";
  /** Seed of the first trial. */
  seed: number;
  /** Requested trials per cell. */
  trials: number;
  /** Probability that all bands of `instrument` hold if the laws are exact. */
  confidence: number;
  /** One for each arm at each setting. */
  cells: RetrievalCell[];
  /** Measurements compared with the laws of dense attention. */
  instrument: InstrumentRecord[];
  /** Laws of dense attention at settings between the measured ones, for the figures. */
  laws: {
    /** N. */
    context: number;
    /** μ. */
    margin: number;
    /** P(the needle's logit is the largest). */
    largest: number;
    /** Mean attention mass of the needle. */
    mass: number;
    /** P(the digit is decoded). */
    accuracy: number;
    /** P(the oracle keeps the needle), at its S. */
    oracle?: number;
    [unknown: string]: unknown;
  }[];
  /** The salience that half of the needles need under the norm scorer, by its law. */
  survivalLaws: {
    /** N. */
    context: number;
    /** Selection budget. */
    k: number;
    /** Norm of the needle, in units of the other keys'. */
    salience: number;
    [unknown: string]: unknown;
  }[];
  /** Answers of a trained model, which is tested instead of the mechanism. */
  checkpoint?: {
    /** Name of the checkpoint. */
    name: string;
    /** Of its file; of a JSON document, of its values with sorted keys. */
    sha256?: string;
    /** One for each context and depth, with one needle and with keys. */
    cells: AnswerCell[];
    [unknown: string]: unknown;
  };
  /** What was left out, one line each. */
  skipped: string[];
  /** Wall-clock seconds of the suite. */
  seconds: number;
}

/** One arm at one setting. */
export interface RetrievalCell extends OpenRecord {
  /**
   * `grid`: context × depth × margin. `transition`: many margins, one depth. `options`: L, p, k.
   * `salience`: the needle's norm at a fixed margin. `alignment`: the margin at a fixed norm.
   * `stress`: named cases.
   */
  sweep: "grid" | "transition" | "options" | "salience" | "alignment" | "stress";
  /**
   * `dense`, `oracle`, `random`, `window`, `absent`, `lighthouse-SCORER`, or the name of another
   * implementation.
   */
  arm: string;
  /** Id of the case that the cell belongs to. */
  case?: string;
  /** N. */
  context: number;
  /** Percent of the context before the needle; absent where a stress case places it. */
  depth?: number;
  /** μ: how much planting adds to the needle's logit. */
  margin: number;
  /**
   * The requested norm of the needle, in units of the other keys'; absent: the norm that the margin
   * gives it.
   */
  salience?: number;
  /** Name of the stress case. */
  stress?: string;
  /** Options of the layer, for Lighthouse. */
  lighthouse?: {
    /** L. */
    levels: number;
    /** p. */
    pooling: number;
    /** k. */
    k: number;
    /** Scorer that ranked the entries of the pyramid. */
    scorer: string;
    /** δ, for scorers that have one. */
    dilation?: number;
    [unknown: string]: unknown;
  };
  /** Settings, for another implementation. */
  layer?: {
    /** The preset that gave its settings. */
    preset: string;
    /** Values of its options. */
    options: Record<string, number>;
    [unknown: string]: unknown;
  };
  /**
   * Rows that the last query attends to: S, for Lighthouse; the mean over trials where they differ.
   */
  attended: number;
  /** Needles planted in each trial. */
  needles: number;
  /** Trials of the cell. */
  trials: number;
  /** Trials whose digit was decoded. */
  correct: number;
  /** Lower end of the 95 % Wilson interval of their share. */
  low: number;
  /** Upper end of the 95 % Wilson interval of their share. */
  high: number;
  /** Trials in which a needle was attended to at full resolution. */
  needleSelected: number;
  /** Trials in which the last query was selected at full resolution. */
  querySelected: number;
  /** For Lighthouse: trials by the finest level at which a needle's entry was selected. */
  finestLevels?: number[];
  /**
   * Wrong trials, by cause: the needle not selected; the last query not; both there, and diluted.
   */
  lost: {
    /** The needle was not selected. */
    needle: number;
    /** The needle was, the last query was not. */
    query: number;
    /** Both were selected, but the digit was wrong. */
    diluted: number;
    [unknown: string]: unknown;
  };
  /** Trials in which the needle's logit (the first needle's) was the largest of all. */
  largest: number;
  /** Mean over trials of the needles' attention mass in the last query's own row. */
  mass: number;
  /** Mean norm of the needle's key, in units of the other keys' root mean square. */
  norm: number | null;
  /** Mean over trials of ‖o - o_dense‖ / ‖o_dense‖ of the last output row. */
  outputError: number;
  /** On the same trials: where exactly one of the two arms was right, with McNemar's exact test. */
  paired: {
    /** The other arm. */
    with: string;
    /** Trials in which only this arm was right. */
    onlyThis: number;
    /** Trials in which only the other arm was right. */
    onlyOther: number;
    /** Probability of a split at least this uneven if the arms were equal. */
    probability: number;
    [unknown: string]: unknown;
  }[];
}

/** One comparison of a measurement with the law that it must follow. */
export interface InstrumentRecord extends OpenRecord {
  /** The measured quantity. */
  quantity: "largest" | "oracle" | "mass" | "accuracy" | "absent";
  /** N. */
  context: number;
  /** μ. */
  margin: number;
  /** Trials in which it was measured. */
  trials: number;
  /** The measured value. */
  measured: number;
  /** The value by the law. */
  law: number;
  /** For the mass: e^μ / (e^μ + (N-1)·e^½), the mass of a needle with exactly that logit. */
  atMargin?: number;
  /** Lower end of the band in which the measurement must lie. */
  low: number;
  /** Upper end of the band in which the measurement must lie. */
  high: number;
  /** Whether it lies in the band. */
  passed: boolean;
}

/** Prompts of one context and depth, and how many were answered. */
export interface AnswerCell extends OpenRecord {
  /** Id of the case that the cell belongs to, if it is one of many. */
  case?: string;
  /** Characters of the prompt. */
  context: number;
  /** Percent of the prompt before the needle asked for. */
  depth: number;
  /** Needles with distinct keys; absent: one needle without a key. */
  keys?: number;
  /** Prompts whose digit had the largest logit of the ten digits. */
  correct: number;
  /** Prompts. */
  trials: number;
}

/** A training experiment: what was registered, and what came out. */
export interface ExperimentRecord extends OpenRecord {
  /** `needle`, `two-stage`, … */
  name: string;
  /** What it asks, one line. */
  title: string;
  /** What the run was to do. */
  registration: {
    /** SHA-256 of `experiment`, with sorted keys. */
    hash: string;
    /** Whether it is one of the committed experiments, unchanged. */
    registered: boolean;
    /**
     * What was written down before the run: hypotheses, arms, seeds, steps, evaluation, rule for
     * stopping.
     */
    experiment: Record<string, unknown>;
    /** In what this run differs from it, one line each. */
    deviations: string[];
    [unknown: string]: unknown;
  };
  /** What was trained on. */
  data: {
    /** The synthetic language, or a corpus of the user's. */
    text: "language" | "corpus";
    /** SHA-256 of the held-out sequences and of the first sequences of each seed. */
    digest: string;
    /** Of a corpus. */
    corpus?: {
      /** All of it. */
      bytes: number;
      /** Of its bytes. */
      sha256: string;
      /** At its end, never trained on. */
      heldOutBytes: number;
      [unknown: string]: unknown;
    };
    [unknown: string]: unknown;
  };
  /** A trained model evaluated on the device against float64; null before the first unit ended. */
  check: {
    /** Whether the evaluation is right. */
    passed: boolean;
    /** What was compared with what. */
    detail: string;
    /** Largest difference of a token's loss, in nats. */
    maxError: number;
    /** What rounding explains. */
    tolerance: number;
    [unknown: string]: unknown;
  } | null;
  /** Those that were finished. */
  units: TrainedUnit[];
}

/** One arm trained with one seed. */
export interface TrainedUnit extends OpenRecord {
  /** Id of its case. */
  case: string;
  /** As the experiment names it. */
  arm: string;
  /** Of the weights and of the data. */
  seed: number;
  /** What it went on from; absent: seeded weights. */
  base?: BaseRecord;
  /** Step from which every layer is dense. */
  switchStep: number;
  /** Tokens of one step. */
  tokensPerStep: number;
  /** Mean training loss of each step, in nats per token. */
  losses: number[];
  /** Steps without an update, since a gradient was not finite. */
  skippedSteps: number[];
  /** Wall-clock seconds of the steps, without evaluations and checkpoints. */
  seconds: {
    /** Before the switch. */
    first: number;
    /** After it. */
    resume: number;
    [unknown: string]: unknown;
  };
  /** Steps behind `seconds.first`; fewer where the unit was resumed. */
  firstSteps: number;
  /** Steps behind `seconds.resume`. */
  resumeSteps: number;
  /** Before the first step where there is a base, at the switch and at the end. */
  evaluations: EvaluationRecord[];
}

/** Dense training at a short context, from whose weights all arms of a seed go on. */
export interface BaseRecord extends OpenRecord {
  /** Its context, N. */
  context: number;
  /** Steps trained. */
  steps: number;
  /** Tokens of one step. */
  tokensPerStep: number;
  /** Wall-clock seconds of the steps. */
  seconds: number;
  /** Mean training loss of the last tenth of the steps, in nats per token. */
  loss: number;
}

/** A trained model evaluated with every layer dense. */
export interface EvaluationRecord extends OpenRecord {
  /** Before the first step, before the dense resume, or after it. */
  when: "base" | "switch" | "end";
  /** Steps trained. */
  step: number;
  /** Wall-clock seconds that it took. */
  seconds: number;
  /** Mean loss of each held-out sequence, in nats per token; the same sequences for every unit. */
  heldOut: number[];
  /** The cells of the needle test, one needle and several. */
  needles: AnswerCell[];
}

/** An implementation of somebody else's that the run measured beside ours, or wanted to. */
export interface PeerRecord extends OpenRecord {
  /** As asked for: `torch-fa2`, `python:FILE`, `ort-web`. */
  asked: string;
  /** The implementation of its cases: `peer:torch-fa2`. */
  implementation: string;
  /** What it computes. */
  computes: string;
  /** The scorer, for Lighthouse. */
  scorer?: string;
  /** Of everything that it says it rests on: `{ torch: "2.11.0", CUDA: "13.0" }`. */
  versions: Record<string, string>;
  /** The device that it computes on, as it calls it. */
  device: string | null;
  /** What its times are: `CUDA events`, `GPU timestamps`, `host clock`. */
  timing: string;
  /** Why it could not run. */
  unavailable?: string;
}

/** What was done to keep the device's clock up, and what was read of it meanwhile. */
export interface KeepWarmRecord extends OpenRecord {
  /** One line each; one that says that nothing was done, where nothing could be. */
  means: string[];
  /** Readings of the clock of the multiprocessors, MHz. */
  clockMHz?: {
    /** Readings. */
    count: number;
    /** MHz. */
    lowest: number;
    /** MHz. */
    median: number;
    /** MHz. */
    highest: number;
    /** The highest that the device says it can do. */
    limit: number | null;
    [unknown: string]: unknown;
  };
  /** Readings of the power that the device draws, W. */
  powerWatts?: {
    /** Readings. */
    count: number;
    /** W. */
    median: number;
    /** W. */
    highest: number;
    /** What it may draw: it lowers its clock to stay below. */
    limit: number | null;
    /** How many of the readings were at the limit, or within 5 % of it. */
    atLimit: number;
    [unknown: string]: unknown;
  };
}

/** Tilings that the plans of a run preferred to those that the kernels choose by themselves. */
export interface TuningRecord extends OpenRecord {
  /** SHA-256 that the tuning file has of itself. */
  digest: string;
  /** When they were measured, ISO 8601, UTC. */
  measuredAt: string;
  /** Those that the run's device could take; the `variant` of each stage says which one ran. */
  tilings: TunedTilingRecord[];
}

/**
 * A tiling of dense attention that was measured to be the fastest for a kernel at a length and H.
 */
export interface TunedTilingRecord extends OpenRecord {
  /** Which of the two texts of the kernel. */
  kernel: "portable" | "matrix";
  /** The forward pass, the pass that gives dQ, or the one that gives dK and dV. */
  pass: "forward" | "query" | "key-value";
  /** d. */
  headDim: number;
  /** Storage of Q, K and V. */
  dtype: "f16" | "f32";
  /** N that it was measured at, a power of two. */
  rows: number;
  /** H that it was measured with; older results do not tell. */
  heads?: number;
  /** Fields of the tiling by name. */
  tiling: Record<string, number>;
}
