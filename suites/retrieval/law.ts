/**
 * The laws that the mechanism test must follow: how a needle of logit margin μ performs among N - 1
 * distractors whose logits are independent unit normals.
 *
 * Model: the needle's logit is x = μ + ε with ε unit normal, distractor j's is l_j, unit normal.
 * The needle's value is a code of norm σ√d, one of ten orthogonal ones; each distractor's value has
 * d independent components of variance σ². The output of the last row is decoded by the nearest
 * code.
 *
 * With D = Σ e^{l_j} and Q = Σ e^{2 l_j} over the distractors, the needle's attention mass is
 * e^x / (e^x + D), and its code's projection stands √d·e^x / √Q standard deviations of the noise
 * above the others. D has mean (N-1)e^½ and relative variance (e-1)/(N-1); Q has mean (N-1)e² and
 * relative variance (e⁴-1)/(N-1). Both are averaged over as log-normal sums, x by quadrature.
 *
 * @module
 */
import {
  binomialBelow,
  logNormalCdf,
  normalMean,
  normalQuantile,
  normalTail,
  positiveMean,
} from "../statistics/normal.ts";

/** Digits that a needle may encode. */
export const DIGITS = 10;

/** A needle among distractors. */
export interface NeedleModel {
  /** N, rows that the last query sees, including the needle. */
  readonly context: number;
  /** μ, mean of the needle's logit. */
  readonly margin: number;
}

/**
 * P(the needle has the largest logit) = ∫ φ(x-μ) Φ(x)^(N-1) dx.
 *
 * @example
 * ```ts
 * import { largestLogitLaw } from "./law.ts";
 * import assert from "node:assert/strict";
 * // Without a margin every row is as likely as the others.
 * assert.ok(Math.abs(largestLogitLaw({ context: 1000, margin: 0 }) - 0.001) < 1e-12);
 * ```
 */
export function largestLogitLaw({ context, margin }: NeedleModel): number {
  return normalMean(margin, (x) => Math.exp((context - 1) * logNormalCdf(x)));
}

/** P(fewer than S distractors have a larger logit): that the oracle keeps the needle. */
export function oracleLaw({ context, margin, selected }: NeedleModel & { selected: number }) {
  if (selected >= context) return 1;
  return normalMean(
    margin,
    (x) => binomialBelow(selected, { count: context - 1, p: normalTail(x) }),
  );
}

/** The needle's attention mass under dense attention. */
export interface MassLaw {
  readonly mean: number;
  /** Standard deviation between trials. */
  readonly deviation: number;
  /** e^μ / (e^μ + (N-1)e^½): the mass of a needle whose logit is exactly μ. */
  readonly atMargin: number;
}

/** Mean and deviation of the needle's attention mass. */
export function massLaw({ context, margin }: NeedleModel): MassLaw {
  const others = {
    mean: (context - 1) * Math.exp(0.5),
    relativeVariance: (Math.E - 1) / (context - 1),
  };
  const moment = (power: number) =>
    normalMean(
      margin,
      (x) => positiveMean(others, (sum) => (1 / (1 + sum * Math.exp(-x))) ** power),
    );
  const mean = moment(1);
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, moment(2) - mean * mean)),
    atMargin: 1 / (1 + others.mean * Math.exp(-margin)),
  };
}

/** P(the digit is decoded) under dense attention. */
export function accuracyLaw({ context, margin, headDim }: NeedleModel & { headDim: number }) {
  const squares = {
    mean: (context - 1) * Math.exp(2),
    relativeVariance: (Math.exp(4) - 1) / (context - 1),
  };
  return normalMean(
    margin,
    (x) => positiveMean(squares, (sum) => decodingLaw(Math.sqrt(headDim / sum) * Math.exp(x))),
  );
}

const decoded = new Map<number, number>();

/**
 * P(the largest of ten projections is the needle's) when it stands `ratio` deviations above the
 * others: the law of the largest logit for ten.
 */
function decodingLaw(ratio: number): number {
  if (ratio >= 12) return 1;
  // Interpolated in a table of step 1/32: the law is smooth and evaluated thousands of times.
  const at = ratio * 32;
  const first = Math.floor(at);
  const value = (i: number) => {
    let known = decoded.get(i);
    if (known === undefined) {
      known = largestLogitLaw({ context: DIGITS, margin: i / 32 });
      decoded.set(i, known);
    }
    return known;
  };
  return value(first) + (at - first) * (value(first + 1) - value(first));
}

/** The combined laws of dense attention at one context and margin. */
export interface DenseLaw {
  readonly largest: number;
  readonly mass: MassLaw;
  readonly accuracy: number;
}

/** All laws of dense attention at once. */
export function denseLaw(model: NeedleModel & { headDim: number }): DenseLaw {
  return { largest: largestLogitLaw(model), mass: massLaw(model), accuracy: accuracyLaw(model) };
}

/**
 * Variance of the square of a `pcg-sum4` value, in units of its squared variance: 2 + κ, κ = -0.3.
 */
const SQUARE_VARIANCE = 1.7;

/**
 * The salience (norm, in units of the other keys' root mean square norm) that a needle's key needs
 * for the norm scorer to keep it in half of the cases.
 *
 * A tile holds N/T rows, T = K/128, and keeps the 64 windows with the largest key norms, on
 * every level. So a needle survives roughly when fewer than 64 of its tile's rows have a larger
 * norm: its norm must be the quantile 1 - 64·T/N = 1 - K/(2N) of the norms. Squared norms are taken
 * as chi-squared (Wilson and Hilferty) with the variance that sums of squares of `pcg-sum4` values
 * have.
 */
export function salienceLaw({ ratio, headDim }: { ratio: number; headDim: number }): number {
  const z = normalQuantile(1 - ratio / 2);
  const freedom = 2 * headDim / SQUARE_VARIANCE;
  const spread = 2 / (9 * freedom);
  return Math.sqrt((1 - spread + z * Math.sqrt(spread)) ** 3);
}

/** E e^l and E e^{2l} of one distractor's logit l, given the query. */
export interface LogitMoments {
  readonly first: number;
  readonly second: number;
}

/**
 * Exact moments for keys of `pcg-sum4` values: a value is the sum of four numbers uniform on [-1,
 * 1], whose moment generating function is sinh(t)/t, so E e^{sl} = Π (sinh(s·q_c/√d) /
 * (s·q_c/√d))⁴. Close to e^{s²/2}.
 */
export function logitMoments(query: ArrayLike<number>): LogitMoments {
  const moment = (s: number) => {
    let sum = 0;
    for (let c = 0; c < query.length; c++) {
      const t = s * query[c] / Math.sqrt(query.length);
      sum += Math.abs(t) < 1e-4 ? t * t / 6 : Math.log(Math.sinh(t) / t);
    }
    return Math.exp(4 * sum);
  };
  return { first: moment(1), second: moment(2) };
}

/** Mean and variance of the mass of a needle whose logit is known: e^x / (e^x + D) over D. */
export function massGivenLogit(
  options: { context: number; logit: number; moments: LogitMoments },
): { mean: number; variance: number } {
  const { context, logit, moments: { first, second } } = options;
  const others = {
    mean: (context - 1) * first,
    relativeVariance: (second / first ** 2 - 1) / (context - 1),
  };
  const share = (sum: number) => 1 / (1 + sum * Math.exp(-logit));
  const mean = positiveMean(others, share);
  return { mean, variance: positiveMean(others, (sum) => (share(sum) - mean) ** 2) };
}
