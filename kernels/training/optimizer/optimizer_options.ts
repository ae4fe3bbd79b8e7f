/**
 * Options of the optimiser: AdamW, clipping, warm-up and loss scale. The defaults are the paper's.
 *
 * @module
 */
import { requireWhole, show } from "../../gpu/require.ts";

/** Options; each has a default. */
export interface OptimizerOptions {
  /** After warm-up. Default 2e-3. */
  readonly learningRate?: number;
  /** Updates in which the rate rises linearly. Default 2,000; 0: none. */
  readonly warmup?: number;
  /** β1. Default 0.9. */
  readonly firstDecay?: number;
  /** β2. Default 0.95. */
  readonly secondDecay?: number;
  /** ε. Default 1e-8. */
  readonly epsilon?: number;
  /** Of all parameters. Default 0.1. */
  readonly weightDecay?: number;
  /** Gradients are clipped to this global norm. Default 1. */
  readonly mostNorm?: number;
  /** 2^s at the start, a power of two. Default 1,024 for f16, else 1. */
  readonly lossScale?: number;
  /**
   * Clean steps until the scale is doubled; 0: the scale never changes. Default 2,000 for f16, else
   * 0.
   */
  readonly growthSteps?: number;
  /** Largest scale. Default 2^24. */
  readonly mostScale?: number;
}

/** All options. */
export type Optimizer = Required<OptimizerOptions>;

/**
 * Options with their defaults for a storage type of activations.
 *
 * @throws {RangeError} naming the option that is out of range.
 */
export function fillOptimizer(
  options: OptimizerOptions,
  { dtype }: { readonly dtype: "f16" | "f32" },
): Optimizer {
  const half = dtype === "f16";
  const filled: Optimizer = {
    learningRate: 2e-3,
    warmup: 2000,
    firstDecay: 0.9,
    secondDecay: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    mostNorm: 1,
    lossScale: half ? 1024 : 1,
    growthSteps: half ? 2000 : 0,
    mostScale: 2 ** 24,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  };
  const action = "plan optimizer";
  requireWhole(action, "warmup", filled.warmup, { least: 0, most: 2 ** 24 });
  requireWhole(action, "growthSteps", filled.growthSteps, { least: 0, most: 2 ** 31 });
  const within = (name: keyof Optimizer, holds: (value: number) => boolean, range: string) => {
    const value = filled[name];
    if (typeof value === "number" && holds(value)) return;
    throw new RangeError(`${action}: ${name} ${show(value)} is not ${range}`);
  };
  const finite = (value: number) => value >= 0 && value < 3e38;
  within("learningRate", finite, "a number from 0");
  within("weightDecay", finite, "a number from 0");
  within("epsilon", (value) => value > 0 && value < 1, "a number between 0 and 1");
  within("mostNorm", (value) => value > 0, "a number above 0");
  for (const name of ["firstDecay", "secondDecay"] as const) {
    within(name, (value) => value >= 0 && value < 1, "a number from 0 and below 1");
  }
  for (const name of ["lossScale", "mostScale"] as const) {
    const isPower = (value: number) => Number.isInteger(Math.log2(value)) && value >= 1;
    within(name, (value) => isPower(value) && value <= 2 ** 60, "a power of two from 1 to 2^60");
  }
  return filled;
}
