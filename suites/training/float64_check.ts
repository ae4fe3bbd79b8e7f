/**
 * A small model of the same kernels against float64, before a large one is timed: head dimension,
 * storage, attention and recompute mode are those of the case, width, depth and context are small.
 *
 * Errors are root mean squares over a parameter's gradient, relative to the gradient. They are
 * judged by what rounding alone does: the float64 model that rounds what the device stores, and
 * nothing else.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { PARENTS } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import {
  DENSE,
  type LayerAttention,
  type Recompute,
} from "../../kernels/training/attention/types.ts";
import { initOf } from "../../kernels/training/model/fill_model.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import {
  type ModelReference,
  modelReference,
} from "../../kernels/training/model/model_reference.ts";
import { modelParameters } from "../../kernels/training/model/parameters.ts";
import {
  createTrainingModel,
  type TrainingModel,
} from "../../kernels/training/model/training_model.ts";
import { seededWeights } from "../../kernels/training/weights/init_weights.ts";
import type { CheckRecord } from "../result/result_schema.ts";

/** One comparison of a check. */
export type Part = NonNullable<CheckRecord["parts"]>[number];

/** What the small model has of a case. */
export interface CheckedKind {
  readonly headDim: number;
  readonly dtype: DType;
  readonly recompute: Recompute;
  readonly attention: LayerAttention;
}

/**
 * Times what rounding of stored numbers does: matrix units round the weights of attention and dS
 * too.
 */
const F16_LEEWAY = 4;

/** Nats by which the mean loss of an f16 model may differ: parts of 2^-11 of logits of a few. */
const F16_LOSS = 1e-3;

/** Nats by which that of an f32 model may. */
const F32_LOSS = 2 ** -16;

const CONTEXT = 4 * PARENTS;
const SEED = 1;

/** The small model. */
export function smallModel({ headDim, dtype, recompute, attention }: CheckedKind): ModelOptions {
  const heads = 2;
  return {
    layers: 2,
    width: heads * headDim,
    heads,
    ffn: 96,
    vocabulary: 64,
    context: CONTEXT,
    dtype,
    recompute,
    attention: [DENSE, smallAttention(attention)],
  };
}

/** The same scorer over a pyramid that a short context has. */
function smallAttention(attention: LayerAttention): LayerAttention {
  if (attention.kind !== "lighthouse") return attention;
  const { dilation } = attention.options;
  const options = { levels: 2, pooling: 2, k: PARENTS, ...(dilation && { dilation }) };
  return { ...attention, options };
}

/**
 * Loss and every gradient of a small model against float64, and against the mode that keeps
 * everything.
 */
export async function checkSmallModel(gpu: Gpu, kind: CheckedKind): Promise<Part[]> {
  const options = smallModel(kind);
  const found = await runSmall(gpu, options);
  const parts = compareSmall(options, found);
  if (kind.recompute === "none") return parts;
  const kept = await runSmall(gpu, { ...options, recompute: "none" });
  const same = [...kept.gradients].every(([name, gradient]) =>
    gradient.every((value, i) => Object.is(value, found.gradients.get(name)![i]))
  );
  return [...parts, {
    name: "recompute",
    passed: same,
    maxError: null,
    tolerance: null,
    detail: `a small model's gradients with ${kind.recompute} and with none: equal bits`,
  }];
}

/** What a device computes of one batch of a small model. */
export interface SmallRun {
  readonly losses: ArrayLike<number>;
  readonly gradients: ReadonlyMap<string, Float64Array>;
  readonly selections: ReadonlyMap<number, Int32Array>;
}

function smallBatch(vocabulary: number) {
  const all = Uint32Array.from(
    { length: CONTEXT + 1 },
    (_, i) => (i * i * 7 + 3 * i) % (vocabulary - 3),
  );
  return { all, tokens: all.subarray(0, CONTEXT), targets: all.subarray(1) };
}

/** Losses, gradients and selections of one batch of a small model. */
export async function runSmall(gpu: Gpu, options: ModelOptions): Promise<SmallRun> {
  const model = await createTrainingModel(gpu, options, { seed: SEED });
  try {
    model.writeBatch(smallBatch(options.vocabulary).all);
    await model.runGradients();
    const { lossScale } = model.plan.model.optimizer;
    const selections = new Map<number, Int32Array>();
    for (const [layer, { geometry }] of model.plan.attention.entries()) {
      if (geometry) selections.set(layer, await model.readSelection(layer));
    }
    const names = model.plan.parameters.map(({ name }) => name);
    const gradients = await Promise.all(names.map((name) => readGradient(model, name, lossScale)));
    return {
      losses: await model.readLosses(),
      gradients: new Map(names.map((name, i) => [name, gradients[i]])),
      selections,
    };
  } finally {
    model.destroy();
  }
}

async function readGradient(
  model: TrainingModel,
  name: string,
  lossScale: number,
): Promise<Float64Array> {
  return Float64Array.from(await model.readParameter(name, "gradient"), (one) => one / lossScale);
}

/**
 * What float64 gives for a small model at a device's selections, and what rounding changes in that.
 */
export interface SmallReference {
  readonly exact: ModelReference;
  readonly rounded: ModelReference;
}

/** Computes the references of a small model. */
export function smallReference(
  options: ModelOptions,
  { selections }: Pick<SmallRun, "selections">,
): SmallReference {
  const { dtype, vocabulary } = options;
  const { tokens, targets } = smallBatch(vocabulary);
  const weights = new Map(
    modelParameters(options).map((one, i) => [one.name, seededWeights(initOf(one, i, SEED))]),
  );
  const half = dtype === "f16";
  const given = { tokens, targets, selections };
  return {
    exact: modelReference(options, weights, given),
    rounded: modelReference(options, weights, {
      ...given,
      stored: half ? Math.f16round : Math.fround,
      floats: Math.fround,
      lossScale: half ? 1024 : 1,
    }),
  };
}

/** Compares what a device computed with float64. */
export function compareSmall(
  options: ModelOptions,
  run: SmallRun,
  { exact, rounded }: SmallReference = smallReference(options, run),
): Part[] {
  const { losses, gradients } = run;
  const half = options.dtype === "f16";
  const mean = Array.from(losses).reduce((sum, one) => sum + one, 0) / CONTEXT;
  const lossError = Math.abs(mean - exact.loss / CONTEXT);
  const lossTolerance = half ? F16_LOSS : F32_LOSS;
  // The reference rounds results alone; a device in f32 rounds every addition of sums over tokens.
  const leeway = half ? F16_LEEWAY : Math.sqrt(CONTEXT);
  const compared = [...gradients].map(([name, have]) => {
    const want = exact.gradients.get(name)!;
    return {
      name,
      error: distance(have, want),
      tolerance: leeway * distance(rounded.gradients.get(name)!, want),
    };
  });
  const share = ({ error, tolerance }: { error: number; tolerance: number }) =>
    Number.isFinite(error) ? error / tolerance : Infinity;
  const worst = compared.reduce((most, one) => share(one) > share(most) ? one : most);
  return [{
    name: "loss of a small model",
    passed: lossError <= lossTolerance,
    maxError: finite(lossError),
    tolerance: lossTolerance,
    detail: "nats, mean over tokens, against float64",
  }, {
    name: "gradients of a small model",
    passed: worst.error <= worst.tolerance,
    maxError: finite(worst.error),
    tolerance: worst.tolerance,
    detail: `relative to the gradient against float64; the closest of ${compared.length} to its ` +
      `tolerance: ${worst.name}`,
  }];
}

/** Root of the sum of squared differences over that of `want`. */
function distance(have: ArrayLike<number>, want: ArrayLike<number>): number {
  let [apart, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    apart += (have[i] - want[i]) ** 2;
    size += want[i] ** 2;
  }
  return Math.sqrt(apart / size);
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
