/**
 * The work of a training step by class, as stages of a plan.
 *
 * @module
 */
import { bytesPerElement } from "../../kernels/gpu/buffers.ts";
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import type { TrainingPlan } from "../../kernels/training/model/model_plan.ts";
import { STAGE_NAMES, type StageName } from "../../kernels/training/model/step_stages.ts";

/**
 * Share of its unit's measured ceiling that a class is assumed to reach before any step was seen.
 */
const ASSUMED_SHARE = 0.25;

/** Share of the measured copy rate that a class is assumed to reach. */
const ASSUMED_COPY_SHARE = 0.5;

type Work = Record<StageName, { flops: number; bytes: number }>;

/** Classes of work of a step, each with its FLOP, recomputed ones included, and least bytes. */
export function stepStages(
  plan: TrainingPlan,
  { sampled = true }: { sampled?: boolean } = {},
): ImplementationPlan["stages"] {
  const work = workOf(plan);
  return STAGE_NAMES.filter((name) => sampled || name !== "sampling").map((name) => ({
    name,
    ...work[name],
    ...(name === "products" && { variant: productVariants(plan) }),
  }));
}

/** Kernels and tilings of all products, in one line that begins with their unit. */
function productVariants({ products }: TrainingPlan): string {
  const all = [
    ...Object.values(products.layer),
    ...[...products.head.values()].flatMap(Object.values),
  ]
    .map(({ variant }) => variant as string);
  return [...new Set(all)].sort().join("; ");
}

function workOf({ model, flops, products, attention, parameterCount }: TrainingPlan): Work {
  const { rows, accumulate, width, ffn, vocabulary, dtype, recompute } = model;
  const size = bytesPerElement(dtype);
  const layers = attention.length;
  const rebuilt = recompute === "none" ? 0 : accumulate * layers * products.rebuildFlops;
  const times = accumulate * rows;
  // A norm reads a row in f32 and writes it as products read it; its backward pass reads the row,
  // its gradient and the stream, and writes the stream and its copy.
  const norm = width * (4 + size);
  const normBackward = width * (4 + 4 + 4 + 4 + size);
  const norms = 2 * layers + 1;
  return {
    sampling: { flops: 0, bytes: times * 8 },
    embedding: { flops: 0, bytes: times * width * 4 * 2 },
    norms: { flops: 0, bytes: times * norms * (2 * norm + normBackward) },
    products: {
      flops: flops.products + rebuilt,
      bytes: accumulate * productBytes(rows, { layers, width, ffn, vocabulary, size }),
    },
    attention: {
      flops: flops.attention + flops.scorers + flops.recomputed - rebuilt,
      // q, k, v, o and their gradients, each once.
      bytes: times * layers * width * size * 8,
    },
    // SwiGLU's gradient reads three rows and writes three; RoPE's reads and writes two of width.
    elementwise: { flops: 0, bytes: times * layers * (6 * ffn + 4 * width) * size },
    loss: { flops: 0, bytes: times * vocabulary * (4 + size) },
    // Gradients are read twice and zeroed; masters and moments are read and written, copies
    // written.
    optimizer: { flops: 0, bytes: parameterCount * (3 * 4 + 6 * 4 + size) },
  };
}

/** Operands and results of the forward and both backward forms, each once. */
function productBytes(
  rows: number,
  { layers, width, ffn, vocabulary, size }: {
    layers: number;
    width: number;
    ffn: number;
    vocabulary: number;
    size: number;
  },
): number {
  const product = (columns: number, depth: number) =>
    3 * size * (rows * (columns + depth) + columns * depth);
  const layer = product(3 * width, width) + product(width, width) + product(2 * ffn, width) +
    product(width, ffn);
  return layers * layer + product(vocabulary, width);
}

/** Measured ceilings of a device. */
export interface StepCeilings {
  /** FLOP/s of the unit that products and attention run on. */
  readonly flopsPerSecond: number;
  readonly copyBytesPerSecond: number;
  /** Seconds of a pass that does nothing. */
  readonly passSeconds: number;
}

/** Seconds that a step is assumed to take on a device where none was seen. */
export function assumeSeconds(
  stages: ImplementationPlan["stages"],
  { flopsPerSecond, copyBytesPerSecond, passSeconds }: StepCeilings,
): number {
  return stages.reduce(
    (sum, { flops, bytes }) =>
      sum + passSeconds +
      Math.max(
        flops / (ASSUMED_SHARE * flopsPerSecond),
        bytes / (ASSUMED_COPY_SHARE * copyBytesPerSecond),
      ),
    0,
  );
}
