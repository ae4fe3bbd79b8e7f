/**
 * Which small check must pass before a case is measured.
 *
 * @module
 */
import type { Direction, Problem } from "../../kernels/implementation.ts";
import { fewHeads } from "../../kernels/key_heads.ts";
import { CHECK_SUITE } from "../result/suite_records.ts";
import type { Planning } from "./grid.ts";
import { findImplementation, type Measurable } from "./measurable.ts";
import { caseId, type PlannedCase, withDirection } from "./planned_case.ts";

/**
 * The smallest problem that runs the same code as `problem`, and for which a float64 reference of
 * the whole output is cheap enough.
 */
export function checkProblem(
  problem: Problem,
  { smallest }: Pick<Measurable, "smallest">,
): Problem {
  if (smallest) return smallest(problem);
  // An odd length past every tile size.
  return { ...problem, shape: { ...problem.shape, ...fewHeads(problem.shape), context: 193 } };
}

/**
 * Attaches to each case the check that it waits for. If the grid checks both passes anywhere, the
 * forward pass is not checked alone.
 */
export function attachCheckGates(
  cases: readonly PlannedCase[],
  { grid, registry }: Pick<Planning, "grid" | "registry">,
): PlannedCase[] {
  const gateOf = ({ implementation: name, problem }: PlannedCase, direction: Direction) => {
    const implementation = findImplementation(registry, name);
    const small = checkProblem(withDirection(problem, direction), implementation);
    return caseId({ suite: CHECK_SUITE, implementation, direction, problem: small });
  };
  const both = "forward-backward";
  const planned = new Set(
    [...grid, ...cases].filter((entry) => entry.plan && entry.direction === both)
      .map((entry) => gateOf(entry, both)),
  );
  return cases.map((entry) => {
    const gateDirection = planned.has(gateOf(entry, both)) ? both : entry.direction;
    return { ...entry, gateDirection, gate: gateOf(entry, gateDirection) };
  });
}
