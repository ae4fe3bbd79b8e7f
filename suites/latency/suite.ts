/**
 * The suite `latency`.
 *
 * @module
 */
import type { BudgetedSuite } from "../suite.ts";
import { measureGroup } from "./latency.ts";
import { planGroups } from "./plan_groups.ts";
import { latencyRecord } from "./record.ts";

export const suite: BudgetedSuite = {
  record: latencyRecord,
  plan: (planning) => planGroups(planning),
  begin: (session) => ({ measure: (group, options) => measureGroup(session, group, options) }),
};
