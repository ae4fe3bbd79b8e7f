/**
 * The normal and the binomial distribution, and integrals against the normal one, in float64.
 *
 * Written by hand, since tails must have a small relative error, also far out, and since they also
 * run in pages: `docs/decisions/special_functions.md` says which libraries were compared with that.
 * A test compares values with SciPy's.
 *
 * @module
 */

/** φ(x), density of the unit normal. */
export function normalDensity(x: number): number {
  return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

/**
 * 1 - Φ(x), to about 14 digits also where it is tiny: a power series near 0, Laplace's continued
 * fraction beyond.
 *
 * @example
 * ```ts
 * import { normalTail } from "./normal.ts";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(normalTail(1.959963984540054) - 0.025) < 1e-14);
 * ```
 */
export function normalTail(x: number): number {
  if (x < 0) return 1 - normalTail(-x);
  if (x < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= x * x / (2 * n + 1);
      sum += term;
    }
    return 0.5 - sum * normalDensity(x);
  }
  let fraction = x;
  for (let n = 120; n > 0; n--) fraction = x + n / fraction;
  return normalDensity(x) / fraction;
}

/** log Φ(x), accurate where Φ(x) is close to 1. */
export function logNormalCdf(x: number): number {
  return x > 0 ? Math.log1p(-normalTail(x)) : Math.log(normalTail(-x));
}

/**
 * x with Φ(x) = p, by bisection.
 *
 * @throws {RangeError} unless 0 < p < 1.
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`normal quantile: ${p} is not between 0 and 1`);
  // Computed from the smaller tail, which has digits that its complement lacks.
  const tail = Math.min(p, 1 - p);
  let [low, high] = [0, 40];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (normalTail(middle) > tail) low = middle;
    else high = middle;
  }
  return p < 0.5 ? -(low + high) / 2 : (low + high) / 2;
}

/** Half width of the range of {@linkcode normalMean}: φ(9) is 1e-18. */
const REACH = 9;

/** Steps of {@linkcode normalMean} on each side. */
const STEPS = 360;

/**
 * E f(X) for X normal around `mean` with deviation 1: the trapezoid rule, whose error falls
 * exponentially with the step for integrands as smooth as these.
 */
export function normalMean(mean: number, f: (x: number) => number): number {
  const step = REACH / STEPS;
  let sum = 0;
  for (let i = -STEPS; i <= STEPS; i++) sum += normalDensity(i * step) * f(mean + i * step);
  return sum * step;
}

/** Nodes and weights of the five-point Gauss-Hermite rule for a unit normal. */
const FIVE: readonly (readonly [number, number])[] = [
  [-2.8569700138728056, 0.011257411327720691],
  [-1.355626179974266, 0.2220759220056126],
  [0, 0.5333333333333333],
  [1.355626179974266, 0.2220759220056126],
  [2.8569700138728056, 0.011257411327720691],
];

/**
 * E f(Y) for a positive sum Y of many terms, taken as log-normal with that mean and relative
 * variance.
 */
export function positiveMean(
  options: { mean: number; relativeVariance: number },
  f: (y: number) => number,
): number {
  const variance = Math.log1p(options.relativeVariance);
  return FIVE.reduce((sum, [node, weight]) =>
    sum +
    weight * f(options.mean * Math.exp(node * Math.sqrt(variance) - variance / 2)), 0);
}

/** log Γ(x) for x > 0, by Stirling's series above 10. */
export function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < 10) shift += Math.log(z++);
  const r = 1 / (z * z);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r / 1680))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

/**
 * P(Bin(count, p) < below), the lower tail of the binomial distribution, by the continued fraction
 * of the incomplete beta function.
 */
export function binomialBelow(
  below: number,
  options: { count: number; p: number },
): number {
  const { count, p } = options;
  if (below <= 0) return 0;
  if (below > count) return 1;
  if (p <= 0) return 1;
  if (p >= 1) return 0;
  // P(Bin < m) = I_{1-p}(n - m + 1, m)
  return regularizedBeta(1 - p, count - below + 1, below);
}

function regularizedBeta(x: number, a: number, b: number): number {
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  ) / a;
  const tiny = 1e-300;
  let [f, c, d] = [1, 1, 0];
  for (let i = 0; i <= 20000; i++) {
    const m = i >> 1;
    const numerator = i === 0
      ? 1
      : i % 2 === 0
      ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
      : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + numerator * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + numerator / c;
    c = Math.abs(c) < tiny ? tiny : c;
    f *= c * d;
    if (i > 0 && Math.abs(1 - c * d) < 1e-13) break;
  }
  return front * (f - 1);
}
