/**
 * Options of a Lighthouse layer, from which flags, case ids and sweeps are derived, and the
 * smallest layer that runs the same code.
 *
 * @module
 */
import type { LighthouseOptions, OptionDescriptor, Problem } from "../implementation.ts";
import { PARENTS } from "./lighthouse_geometry.ts";
import type { Scorer } from "./scorers/scorer.ts";

/** L, p and k; scorers may add options of their own. */
export const LIGHTHOUSE_OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "levels",
    letter: "L",
    flag: "levels",
    least: 2,
    initial: 3,
    help: "pyramid levels",
    sweep: "Pyramid levels",
  },
  {
    name: "pooling",
    letter: "p",
    flag: "pooling",
    least: 2,
    powerOfTwo: true,
    initial: 4,
    help: "pooling factor",
    sweep: "Pooling factor",
  },
  {
    name: "k",
    letter: "k",
    flag: "k",
    least: PARENTS,
    multipleOf: PARENTS,
    rule: true,
    initial: "N/64",
    help: "selection budget",
    sweep: "Selection budget",
  },
];

/** All options of the layer of a scorer. */
export function layerOptions({ options = [] }: Pick<Scorer, "options">): OptionDescriptor[] {
  return [...LIGHTHOUSE_OPTIONS, ...options];
}

/**
 * The options of a Lighthouse layer, typed.
 *
 * @throws {RangeError} one line, when levels, pooling or k are missing.
 */
export function lighthouseOptions({ options = {} }: Pick<Problem, "options">): LighthouseOptions {
  const { levels, pooling, k, dilation } = options;
  if (levels === undefined || pooling === undefined || k === undefined) {
    const missing = ["levels", "pooling", "k"].filter((name) => options[name] === undefined);
    throw new RangeError(`plan lighthouse: the layer has no ${missing.join(", ")}`);
  }
  return { levels, pooling, k, ...(dilation !== undefined && { dilation }) };
}

/** The smallest layer with the same code: one selection tile with the minimum number of entries. */
export function smallestProblem(problem: Problem): Problem {
  const layer = lighthouseOptions(problem);
  const windows = PARENTS * layer.pooling ** (layer.levels - 1);
  const { dilation = 1 } = layer;
  const context = windows * dilation / greatestCommonDivisor(windows, dilation);
  const heads = context <= 2048 ? 2 : 1;
  return {
    ...problem,
    shape: { ...problem.shape, heads, context },
    options: { ...layer, k: PARENTS },
  };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
