/**
 * Experiments: files that say before a run what it asks, trains, evaluates and concludes.
 *
 * @module
 */
import { whyAmbiguous } from "../result/repeated_key.ts";
import { issueLine } from "../result/schema_issue.ts";
import { z } from "zod";
import kPair from "../../fixtures/experiments/k-pair.json" with { type: "json" };
import needle from "../../fixtures/experiments/needle.json" with { type: "json" };
import smoke from "../../fixtures/experiments/smoke.json" with { type: "json" };
import twoStageSmall from "../../fixtures/experiments/two-stage-small.json" with { type: "json" };
import twoStage from "../../fixtures/experiments/two-stage.json" with { type: "json" };
import { DENSE, type LayerAttention } from "../../kernels/training/attention/types.ts";
import { endsDense, type ModelOptions } from "../../kernels/training/model/model_options.ts";
import type { StreamOptions } from "../../kernels/training/stream/stream_options.ts";
import { errorLine, UsageError } from "../errors.ts";
import { hashJson } from "../result/digest.ts";
import { readInput } from "../result/read_input.ts";

const count = z.int().positive();
const share = z.number().min(0).max(1);
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/);

const armSchema = z.strictObject({
  name,
  /** Trained unless `--arms` names others. */
  primary: z.boolean(),
  /** Scorer of its Lighthouse layers; absent: all layers are dense. */
  scorer: z.string().optional(),
  /** Of the scorer's layers: levels, pooling, k, … */
  options: z.record(z.string(), z.number()).optional(),
  /** `ends-dense`: the first two and the last two layers are dense, as in the paper. */
  placement: z.enum(["all", "ends-dense"]).optional(),
  /** Default: the optimiser's. */
  learningRate: z.number().positive().optional(),
});

/** One way to train: how layers attend before the switch. */
export type Arm = Readonly<z.infer<typeof armSchema>>;

const hypothesisSchema = z.strictObject({
  id: z.string().min(1),
  /** The paper's words, or the control's. */
  claim: z.string().min(1),
  arm: name,
  against: name,
  measure: z.enum(["held-out-loss", "one-needle", "keyed-needles"]),
  /**
   * `no-worse`: not inferior by more than the margin. `worse`: inferior by more than the margin.
   */
  expect: z.enum(["no-worse", "worse"]),
  /** Nats, or a share of the prompts. */
  margin: z.number().nonnegative(),
  /** Share of prompts that the other arm answers at least; below it the hypothesis is undecided. */
  floor: share.optional(),
  /** Which evaluation is compared. Default: the one at the end. */
  when: z.enum(["switch", "end"]).optional(),
});

/** What an experiment tests. */
export type Hypothesis = Readonly<z.infer<typeof hypothesisSchema>>;

const cells = z.strictObject({
  contexts: z.array(count).min(1),
  /** Percent. */
  depths: z.array(z.number().min(0).max(100)).min(1),
  /** For each of the ten digits. */
  prompts: count,
});

const baseSchema = z.strictObject({
  /** Shorter than the model's. */
  context: count,
  /** Sequences of a step. */
  batch: count,
  steps: count,
  plantings: z.tuple([count, count]).optional(),
  /** Default: the optimizer's. */
  learningRate: z.number().positive().optional(),
  /** Default: the optimizer's. */
  warmup: z.int().nonnegative().optional(),
});

/** Dense training at a short context, from whose weights all arms of a seed go on. */
export type Base = Readonly<z.infer<typeof baseSchema>>;

/** The form of an experiment's file, version 1. */
export const experimentSchema = z.strictObject({
  format: z.literal("lighthouse-attention-bench/experiment"),
  version: z.literal(1),
  name,
  title: z.string().min(1),
  /** Page of prose beside the file. */
  prose: z.string().optional(),
  model: z.strictObject({
    layers: count,
    width: count,
    heads: count,
    ffn: count,
    context: count,
    batch: count,
    accumulate: count.optional(),
  }),
  optimizer: z.strictObject({
    learningRate: z.number().positive(),
    warmup: z.int().nonnegative(),
  }),
  data: z.strictObject({
    text: z.enum(["language", "corpus"]),
    digitShare: share,
    keyedShare: share,
    plantings: z.tuple([count, count]).optional(),
  }),
  /** Absent: arms begin with seeded weights. */
  base: baseSchema.optional(),
  steps: z.strictObject({
    /** Before the switch. */
    first: count,
    /** After it, every layer dense. */
    resume: count,
  }),
  arms: z.array(armSchema).min(1),
  seeds: z.array(z.int().positive().max(2 ** 20)).min(1),
  evaluation: z.strictObject({
    /** Held-out sequences of text. */
    heldOut: count,
    needles: cells.optional(),
    keyed: cells.extend({ keys: z.int().min(1).max(31) }).optional(),
  }),
  hypotheses: z.array(hypothesisSchema),
  stopping: z.strictObject({
    /** Complete seeds below which nothing is concluded. */
    leastSeeds: count,
    rule: z.string().min(1),
  }),
});

/** An experiment as registered. */
export type Experiment = Readonly<z.infer<typeof experimentSchema>>;

/** An experiment with its hash. */
export interface LoadedExperiment {
  readonly experiment: Experiment;
  /** SHA-256 of its JSON with sorted keys. */
  readonly hash: string;
  /** Whether it is one of the committed ones. */
  readonly registered: boolean;
}

const COMMITTED: Readonly<Record<string, unknown>> = {
  smoke,
  needle,
  "two-stage": twoStage,
  "two-stage-small": twoStageSmall,
  "k-pair": kPair,
};

/** Names of the committed experiments. */
export const EXPERIMENT_NAMES: readonly string[] = Object.keys(COMMITTED);

/** Vocabulary of all experiments: bytes. */
export const VOCABULARY = 256;

/**
 * Reads an experiment by the name of a committed one, or from a file of the same form.
 *
 * @throws {UsageError} one line that names the field, its value and what was expected.
 */
export async function loadExperiment(nameOrFile: string): Promise<LoadedExperiment> {
  if (Object.hasOwn(COMMITTED, nameOrFile)) {
    const value = COMMITTED[nameOrFile];
    return {
      experiment: parseExperiment(value, nameOrFile),
      hash: await hashJson(value),
      registered: true,
    };
  }
  if (!/[./\\]/.test(nameOrFile)) {
    throw new UsageError(
      `experiment ${nameOrFile} is not one of ${EXPERIMENT_NAMES.join(", ")}`,
    );
  }
  let text: string;
  try {
    text = await readInput(nameOrFile, { limitBytes: 2 ** 20 });
  } catch (error) {
    throw new UsageError(`experiment ${nameOrFile}: ${errorLine(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`experiment ${nameOrFile}: it is not JSON`);
  }
  const ambiguous = whyAmbiguous(text);
  if (ambiguous) throw new UsageError(`experiment ${nameOrFile}: ${ambiguous}`);
  const hash = await hashJson(value);
  const hashes = await Promise.all(Object.values(COMMITTED).map(hashJson));
  return {
    experiment: parseExperiment(value, nameOrFile),
    hash,
    registered: hashes.includes(hash),
  };
}

/**
 * Checks an experiment.
 *
 * @throws {UsageError} one line.
 */
export function parseExperiment(value: unknown, path: string): Experiment {
  const fail = (reason: string): never => {
    throw new UsageError(`experiment ${path}: ${reason}`);
  };
  const parsed = experimentSchema.safeParse(value);
  if (!parsed.success) {
    return fail(issueLine(parsed.error.issues, value));
  }
  const experiment = parsed.data;
  const { arms, seeds, evaluation, model, hypotheses, data, base } = experiment;
  const names = arms.map(({ name }) => name);
  if (new Set(names).size < names.length) fail("arms has a name twice");
  if (new Set(seeds).size < seeds.length) fail("seeds has one twice");
  if (!arms.some(({ primary }) => primary)) fail("no arm is primary");
  for (const { name, scorer, options, placement } of arms) {
    if (scorer === undefined && (options || placement)) {
      fail(`arms ${name}: options and placement need a scorer`);
    }
    if (scorer !== undefined && !(options && placement)) {
      fail(`arms ${name}: a scorer needs options and placement`);
    }
  }
  for (const { id, arm, against } of hypotheses) {
    for (const one of [arm, against]) {
      if (!names.includes(one)) fail(`hypotheses ${id}: ${one} is not one of ${names.join(", ")}`);
    }
  }
  for (const { contexts } of [evaluation.needles, evaluation.keyed].flatMap((one) => one ?? [])) {
    for (const context of contexts) {
      if (context > model.context || context < 64) {
        fail(`evaluation: context ${context} is not from 64 to the model's ${model.context}`);
      }
    }
  }
  if (base && base.context > model.context) {
    fail(`base: context ${base.context} is above the model's ${model.context}`);
  }
  if (data.digitShare + data.keyedShare > 1) fail("data: the shares are more than 1 together");
  return experiment;
}

/** Attention of every layer before the switch. */
export function attentionOf({ model }: Experiment, arm: Arm): LayerAttention[] {
  const { scorer, options, placement } = arm;
  if (scorer === undefined) return Array<LayerAttention>(model.layers).fill(DENSE);
  const layer = {
    kind: "lighthouse",
    scorer,
    options: options as Extract<LayerAttention, { kind: "lighthouse" }>["options"],
  } as const;
  return placement === "all"
    ? Array<LayerAttention>(model.layers).fill(layer)
    : endsDense(model.layers, layer);
}

/** The model of an arm, before the switch or after it. */
export function modelOf(
  experiment: Experiment,
  { arm, dense, dtype }: { arm: Arm; dense: boolean; dtype: "f16" | "f32" },
): ModelOptions {
  const { model, optimizer } = experiment;
  const learningRate = arm.learningRate ?? optimizer.learningRate;
  return {
    ...model,
    vocabulary: VOCABULARY,
    dtype,
    optimizer: { ...optimizer, learningRate },
    attention: dense ? DENSE : attentionOf(experiment, arm),
  };
}

/** The data of a seed: the same for every arm. */
export function streamOf(
  { data }: Pick<Experiment, "data">,
  seed: number,
  corpus?: Uint8Array,
): StreamOptions {
  const { digitShare, keyedShare, plantings } = data;
  return {
    seed,
    digitShare,
    keyedShare,
    ...(plantings && { plantings }),
    ...(corpus && { corpus }),
  };
}
