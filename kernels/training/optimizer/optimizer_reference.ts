/**
 * One step of the optimiser in float64: what is decided about the gradients, and the update.
 *
 * Tolerances (u = 2^-24), of each parameter from its own numbers: moments are off by 4u of their
 * terms; the factor of gradients by that of the norm, `normError`, and 8u; the update by those of
 * both moments, four quotients and a root of 5u each, and the powers of the decays by u for each
 * step; the result by one unit of storage.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import { SMALLEST_NORMAL } from "../../gpu/half.ts";
import { type Judged, type Numbers, UNIT } from "../matrix_product/matrix_product_reference.ts";
import type { Optimizer } from "./optimizer_options.ts";
import type { StepState } from "./step_state.ts";

/**
 * The state after a step whose squares of gradients sum to `squares`, and the line of its history.
 */
export function finishReference(
  state: StepState,
  squares: number,
  { tokens, optimizer }: { tokens: number; optimizer: Optimizer },
): { state: StepState; line: [number, number, number, number] } {
  const next = { ...state };
  const skip = !Number.isFinite(Math.fround(squares));
  const unscale = 1 / (state.lossScale * tokens);
  const norm = skip ? 0 : Math.sqrt(squares) * unscale;
  next.attempts++;
  next.lossSum = 0;
  next.gradientNorm = norm;
  next.skip = Number(skip);
  if (skip) {
    next.skippedSteps++;
    next.cleanSteps = 0;
    if (optimizer.growthSteps > 0) next.lossScale = Math.max(1, state.lossScale / 2);
  } else {
    next.updates++;
    next.firstPower *= optimizer.firstDecay;
    next.secondPower *= optimizer.secondDecay;
    const warm = Math.min(1, next.updates / Math.max(1, optimizer.warmup));
    next.learningRate = optimizer.learningRate * warm;
    next.gradientFactor = unscale * Math.min(1, optimizer.mostNorm / (norm + 1e-6));
    next.cleanSteps++;
    if (optimizer.growthSteps > 0 && next.cleanSteps >= optimizer.growthSteps) {
      next.lossScale = Math.min(state.lossScale * 2, optimizer.mostScale);
      next.cleanSteps = 0;
    }
  }
  return { state: next, line: [state.lossSum / tokens, norm, state.lossScale, Number(skip)] };
}

/** Parameters and moments before an update. */
export interface Parameters {
  readonly weights: Numbers;
  readonly first: Numbers;
  readonly second: Numbers;
  readonly gradient: Numbers;
}

/** Parameters and moments after an update by a state that `finishReference` left. */
export function adamwReference(
  given: Parameters,
  state: StepState,
  { optimizer, normError = 8 * UNIT }: { optimizer: Optimizer; normError?: number },
): { weights: Judged; first: Judged; second: Judged } {
  const { weights, first, second, gradient } = given;
  const made = () => ({
    values: new Float64Array(weights.length),
    tolerance: new Float64Array(weights.length),
  });
  const after = { weights: made(), first: made(), second: made() };
  const { firstDecay, secondDecay, epsilon, weightDecay } = optimizer;
  const powers = (decay: number, power: number) =>
    // A power near 1 leaves a small difference, of which its error is a larger part.
    (state.updates + 2) * UNIT * (power + 1 - decay) / (1 - power) + 2 * UNIT;
  const relative = normError + 8 * UNIT;
  for (let i = 0; i < weights.length; i++) {
    const put = (name: keyof typeof after, value: number, error: number) => {
      after[name].values[i] = value;
      after[name].tolerance[i] = error + storageRounding("f32", value);
    };
    if (state.skip === 1) {
      put("weights", weights[i], 0);
      put("first", first[i], 0);
      put("second", second[i], 0);
      continue;
    }
    const g = gradient[i] * state.gradientFactor;
    const m = first[i] + (1 - firstDecay) * (g - first[i]);
    const v = second[i] + (1 - secondDecay) * (g * g - second[i]);
    const mError = relative * Math.abs(g) + 4 * UNIT * Math.abs(first[i]);
    const vError = 2 * relative * g * g + 4 * UNIT * Math.abs(second[i]) + SMALLEST_NORMAL.f32;
    put("first", m, mError);
    put("second", v, vError);
    const root = Math.sqrt(v / (1 - state.secondPower));
    const rootError = root > 0
      ? root * (vError / v / 2 + powers(secondDecay, state.secondPower) + 10 * UNIT)
      : Math.sqrt(vError / (1 - state.secondPower));
    const mean = m / (1 - state.firstPower);
    const meanError = mError / (1 - state.firstPower) +
      Math.abs(mean) * (powers(firstDecay, state.firstPower) + 5 * UNIT);
    const step = state.learningRate * mean / (root + epsilon);
    const stepError = state.learningRate * meanError / (root + epsilon) +
      Math.abs(step) * (rootError / (root + epsilon) + 16 * UNIT);
    const decay = state.learningRate * weightDecay * weights[i];
    put(
      "weights",
      weights[i] - decay - step,
      stepError + 4 * UNIT * (Math.abs(weights[i]) + Math.abs(decay)),
    );
  }
  return after;
}
