/**
 * Quantiles of the distributions that intervals use.
 *
 * @module
 */
import jstat from "jstat";

/** The part of jStat that is used; the package has no types. */
interface Distributions {
  readonly normal: { inv(p: number, mean: number, deviation: number): number };
  readonly studentt: { inv(p: number, freedom: number): number };
  readonly beta: { inv(p: number, alpha: number, beta: number): number };
}

const { jStat } = jstat as { jStat: Distributions };

/**
 * z such that a unit normal is further than z from 0 with probability `level`.
 *
 * @throws {RangeError} unless 0 < level < 1.
 *
 * @example
 * ```ts
 * import { twoSidedNormal } from "./quantiles.ts";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(twoSidedNormal(0.05) - 1.959963984540054) < 1e-9);
 * ```
 */
export function twoSidedNormal(level: number): number {
  requireShare("level", level);
  return -jStat.normal.inv(level / 2, 0, 1);
}

/**
 * Degrees of freedom from which Student's distribution counts as normal: they differ by less than
 * 1e-4.
 */
const NORMAL_FROM = 1e5;

/**
 * t such that Student's variable with that many degrees of freedom is further than t from 0 with
 * probability `level`.
 *
 * @throws {RangeError} unless 0 < level < 1 and freedom ≥ 1.
 *
 * @example
 * ```ts
 * import { twoSidedStudent } from "./quantiles.ts";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(twoSidedStudent(0.01, 5) - 4.032142983557536) < 1e-8);
 * ```
 */
export function twoSidedStudent(level: number, freedom: number): number {
  requireShare("level", level);
  if (!(freedom >= 1)) throw new RangeError(`Student's t: freedom is ${freedom}, 1 is the least`);
  return freedom >= NORMAL_FROM ? twoSidedNormal(level) : -jStat.studentt.inv(level / 2, freedom);
}

/**
 * Ends of the exact (Clopper-Pearson) interval of a rate.
 *
 * @throws {RangeError} unless 0 ≤ successes ≤ trials and trials ≥ 1.
 *
 * @example
 * ```ts
 * import { exactRateInterval } from "./quantiles.ts";
 * import assert from "node:assert/strict";
 * const [low, high] = exactRateInterval(0, 300, { confidence: 0.9 });
 * assert.ok(low === 0 && Math.abs(high - 0.0099) < 1e-4);
 * ```
 */
export function exactRateInterval(
  successes: number,
  trials: number,
  options: { confidence: number },
): [number, number] {
  if (!(trials >= 1 && successes >= 0 && successes <= trials)) {
    throw new RangeError(`exact interval: ${successes} of ${trials} is not a rate`);
  }
  const tail = (1 - options.confidence) / 2;
  const failures = trials - successes;
  return [
    successes === 0 ? 0 : jStat.beta.inv(tail, successes, failures + 1),
    failures === 0 ? 1 : jStat.beta.inv(1 - tail, successes + 1, failures),
  ];
}

function requireShare(name: string, value: number): void {
  if (!(value > 0 && value < 1)) throw new RangeError(`${name}: ${value} is not between 0 and 1`);
}
