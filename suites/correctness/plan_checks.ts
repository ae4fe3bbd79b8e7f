/**
 * The cases of the suite `correctness`: small layers that run the same code as the measured ones.
 *
 * @module
 */
import type { Direction, Problem } from "../../kernels/implementation.ts";
import { attachCheckGates, checkProblem } from "../plan/check_gates.ts";
import type { Planning } from "../plan/grid.ts";
import { findImplementation } from "../plan/measurable.ts";
import { namesImplementations } from "../plan/plan_options.ts";
import { planCase, type PlannedCase, withDirection } from "../plan/planned_case.ts";
import { correctnessRecord } from "./record.ts";

/**
 * The checks of a run: those of the whole grid if the run has this suite, else those that other
 * suites' cases wait for.
 */
export function planChecks(
  planning: Planning,
  { gated }: { gated: readonly PlannedCase[] },
): PlannedCase[] {
  const { profile, dtype, registry, options } = planning;
  const isRun = profile.suites.includes(correctnessRecord.name);
  const timed = isRun
    ? [...attachCheckGates(planning.grid, planning), ...gated]
    : gated.filter(({ skip }) => !skip);
  const checks = new Map<string, PlannedCase>();
  const add = (name: string, direction: Direction, problem: Problem) => {
    const entry = planCase(planning, { suite: correctnessRecord.name, name, direction, problem });
    if (!checks.has(entry.id)) checks.set(entry.id, entry);
  };
  for (const { plan, implementation, gateDirection, problem } of timed) {
    if (!plan || !gateDirection) continue;
    const own = findImplementation(registry, implementation);
    add(implementation, gateDirection, checkProblem(withDirection(problem, gateDirection), own));
  }
  if (!isRun || namesImplementations(options)) return [...checks.values()];
  for (const entry of registry.filter(({ role }) => role === "second-opinion")) {
    for (const direction of profile.directions.filter((d) => entry.directions.includes(d))) {
      for (const headDim of profile.headDims) {
        const shape = { heads: 1, context: 1, headDim, dtype };
        add(entry.name, direction, checkProblem(withDirection({ shape }, direction), entry));
      }
    }
  }
  return [...checks.values()];
}
