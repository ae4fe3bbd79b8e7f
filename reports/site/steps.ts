/**
 * Steps in a series of times: E-divisive.
 *
 * @module
 */
import { medianSorted } from "simple-statistics";
import { createRandom } from "../gate/bootstrap.ts";

/** Chance of finding a step in a series of pure noise, for each series. */
export const STEP_ALPHA = 0.01;
/** Smaller changes are of no interest, as the gate has it. */
export const STEP_MINIMUM = 0.02;
/** Points on either side of a step, at least: a single disturbed run is no step. */
export const STEP_SIDE = 3;
/** Permutations of a test. */
const PERMUTATIONS = 999;
/** Points beyond this number are left out, the oldest first: the search is quadratic. */
export const MOST_POINTS = 120;

/**
 * Fewest points that can show anything: below, even a perfect step is no rarer among permutations
 * than {@linkcode STEP_ALPHA}.
 */
export const LEAST_POINTS = 10;

/** How steps are found, in the words that the pages print. */
export const STEP_METHOD =
  `Steps are found by E-divisive (Matteson and James, 2014) on the logarithms of the medians: the ` +
  `split with the largest energy distance between the ${STEP_SIDE} or more points before and after ` +
  `it, accepted when at most ${100 * STEP_ALPHA} % of ${PERMUTATIONS} seeded permutations reach ` +
  `that distance, and searched again on either side. A series needs ${LEAST_POINTS} points of one ` +
  `machine for that, and steps below ${100 * STEP_MINIMUM} % are not reported.`;

/** A lasting change of level. */
export interface Step {
  /** Index of the first point after it. */
  readonly at: number;
  /** Medians of the levels before and after it. */
  readonly before: number;
  readonly after: number;
  /** after / before: above 1 is slower. */
  readonly ratio: number;
  /** Of the permutation test. */
  readonly probability: number;
}

/**
 * Steps of a series, in order. The statistic is that of D. S. Matteson and N. A. James, “A
 * Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data”, JASA 109 (2014),
 * with exponent 1; MongoDB judges its benchmarks this way (Daly et al., ICPE 2020). The permutation
 * test is cut short once it can no longer be significant.
 *
 * @param values positive numbers, one for each run
 * @throws {RangeError} for a value that is not positive and finite.
 *
 * @example
 * ```ts
 * import { findSteps } from "./steps.ts";
 * import assert from "node:assert/strict";
 * const noise = (i: number) => 1 + 0.01 * Math.sin(12.9898 * i * i);
 * const series = Array.from({ length: 16 }, (_, i) => (i < 9 ? 1 : 1.1) * noise(i));
 * const [step] = findSteps(series);
 * assert.equal(step.at, 9);
 * assert.ok(Math.abs(step.ratio - 1.1) < 0.02);
 * ```
 */
export function findSteps(values: readonly number[]): Step[] {
  const bad = values.find((value) => !(value > 0 && Number.isFinite(value)));
  if (bad !== undefined) throw new RangeError(`find steps: ${bad} is not a positive number`);
  const skipped = Math.max(0, values.length - MOST_POINTS);
  const logs = values.slice(skipped).map(Math.log);
  const found = new Map<number, number>();
  search(0, logs.length);
  const ends = [...found.keys()].sort((a, b) => a - b);
  const level = (from: number, to: number) =>
    Math.exp(medianSorted(logs.slice(from, to).sort((a, b) => a - b)));
  return ends.map((at, i): Step => {
    const before = level(ends[i - 1] ?? 0, at);
    const after = level(at, ends[i + 1] ?? logs.length);
    return {
      at: at + skipped,
      before,
      after,
      ratio: after / before,
      probability: found.get(at)!,
    };
  }).filter(({ ratio }) => Math.abs(Math.log(ratio)) >= Math.log1p(STEP_MINIMUM));

  function search(from: number, to: number): void {
    if (to - from < LEAST_POINTS) return;
    const segment = logs.slice(from, to);
    const best = bestSplit(segment);
    const probability = permutationTest(segment, best.distance);
    if (probability === null) return;
    found.set(from + best.at, probability);
    search(from, from + best.at);
    search(from + best.at, to);
  }
}

/** The split with the largest scaled energy distance, over all ends of the part after it. */
function bestSplit(x: readonly number[]): { at: number; distance: number } {
  const n = x.length;
  // sums[i][j]: distances between all pairs with the first below i and the second below j.
  const width = n + 1;
  const sums = new Float64Array(width * width);
  for (let i = 1; i <= n; i++) {
    let row = 0;
    for (let j = 1; j <= n; j++) {
      row += Math.abs(x[i - 1] - x[j - 1]);
      sums[i * width + j] = sums[(i - 1) * width + j] + row;
    }
  }
  let best = { at: 0, distance: -Infinity };
  for (let at = STEP_SIDE; at + STEP_SIDE <= n; at++) {
    const before = sums[at * width + at];
    for (let end = at + STEP_SIDE; end <= n; end++) {
      const [a, b] = [at, end - at];
      const cross = sums[at * width + end] - before;
      const after = sums[end * width + end] - before - 2 * cross;
      const energy = 2 * cross / (a * b) - before / (a * (a - 1)) - after / (b * (b - 1));
      const distance = a * b / (a + b) * energy;
      if (distance > best.distance) best = { at, distance };
    }
  }
  return best;
}

/** Share of permutations that reach `distance`; null as soon as it cannot be significant. */
function permutationTest(x: readonly number[], distance: number): number | null {
  // Equal arrangements differ in the last bits of their sums.
  const reach = distance - 1e-9 * Math.abs(distance);
  if (!(reach > 0)) return null;
  const random = createRandom(x.length);
  const shuffled = [...x];
  let reached = 1;
  for (let i = 0; i < PERMUTATIONS; i++) {
    for (let j = shuffled.length - 1; j > 0; j--) {
      const other = Math.floor(random() * (j + 1));
      [shuffled[j], shuffled[other]] = [shuffled[other], shuffled[j]];
    }
    if (bestSplit(shuffled).distance >= reach) reached++;
    if (reached > STEP_ALPHA * (PERMUTATIONS + 1)) return null;
  }
  return reached / (PERMUTATIONS + 1);
}
