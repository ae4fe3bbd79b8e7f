/**
 * Plans for tests, with the shares of the suites whose cases are layers, by name.
 *
 * @module
 */
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import type { Measurable } from "../plan/measurable.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import {
  membersOf,
  type PlannedCase,
  type PlannedDevice,
  type PlannedGroup,
} from "../plan/planned_case.ts";
import type { Suite } from "../suite.ts";
import { SUITES } from "../suites.ts";
import { planRun, type RunPlan } from "./plan_run.ts";

/** All suites. */
export const LOADED: readonly Suite[] = await Promise.all(
  SUITES.map(async ({ load }) => (await load()).suite),
);

/** A plan, and the shares of three suites in it. */
export interface SharedPlan extends RunPlan {
  readonly checks: readonly PlannedCase[];
  readonly groups: readonly PlannedGroup[];
  readonly throughput: readonly PlannedCase[];
}

/** Plans a run of all suites that the options or the profile name. */
export function planShares(
  options: PlanOptions,
  { device = ASSUMED_DEVICE, registry = IMPLEMENTATIONS }: {
    device?: PlannedDevice;
    registry?: readonly Measurable[];
  } = {},
): SharedPlan {
  return sharesOf(planRun(options, device, { registry, suites: LOADED }));
}

/** A plan with the shares of three suites. */
export function sharesOf(plan: RunPlan): SharedPlan {
  const of = (name: string) =>
    plan.suites.find(({ suite }) => suite.record.name === name)?.plan.groups ?? [];
  return {
    ...plan,
    checks: of("correctness").flatMap(membersOf),
    groups: of("latency"),
    throughput: of("throughput").flatMap(membersOf),
  };
}
