/**
 * Readable names of cases, for tables and figures that would otherwise print their ids.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES } from "../data/cases.ts";
import { formatContext, formatCount } from "./format.ts";

/** The fields that a name is made from. */
export type NamedCase = Pick<
  CaseRecord,
  | "id"
  | "suite"
  | "implementation"
  | "direction"
  | "shape"
  | "options"
  | "contextParallel"
  | "training"
>;

/**
 * An implementation in words: `Dense`, `Lighthouse norm`, `nsa`, `torch-fa2`.
 *
 * @example
 * ```ts
 * import { implementationName } from "./case_title.ts";
 * import assert from "node:assert/strict";
 * assert.equal(implementationName("lighthouse-norm"), "Lighthouse norm");
 * assert.equal(implementationName("peer:torch-fa2"), "torch-fa2");
 * ```
 */
export function implementationName(implementation: string): string {
  if (implementation.startsWith("peer:")) return implementation.slice("peer:".length);
  // Others keep the names that options and figures have: nsa, sliding-window.
  return implementation.replace(/^lighthouse-/, "Lighthouse ").replace(/^dense/, "Dense");
}

/** The main part of a case's name: `Lighthouse norm, 64K, forward`. */
export function caseTitle({ suite, implementation, direction, shape }: NamedCase): string {
  const parts = [
    implementationName(implementation),
    formatContext(shape.context),
    DIRECTION_NAMES[direction] ?? direction,
  ];
  return suite === "latency" ? parts.join(", ") : `${parts.join(", ")} · ${suite}`;
}

/** The rest of it: `H = 8, d = 128, f16, L = 3, p = 4, k = 1,024`. */
export function caseSetting(
  { shape, options = {}, contextParallel, training }: NamedCase,
): string {
  const { heads, kvHeads, headDim, dtype } = shape;
  const letters: Record<string, string> = { levels: "L", pooling: "p", dilation: "δ" };
  return [
    `H = ${formatCount(heads)}`,
    ...(kvHeads === undefined ? [] : [`Hkv = ${formatCount(kvHeads)}`]),
    `d = ${formatCount(headDim)}`,
    dtype,
    ...Object.entries(options).map(([name, value]) =>
      `${letters[name] ?? name} = ${formatCount(value)}`
    ),
    ...(contextParallel === undefined
      ? []
      : [`W = ${formatCount(contextParallel.shards)}, ${contextParallel.partition}`]),
    ...(training === undefined ? [] : [
      `${formatCount(training.layers)} layers of width ${formatCount(training.width)}`,
      `V = ${formatCount(training.vocabulary)}`,
      `recompute ${training.recompute}`,
    ]),
  ].join(", ");
}
