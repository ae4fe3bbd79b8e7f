/**
 * The suite `throughput`: one case at a time.
 *
 * @module
 */
import { alone } from "../plan/planned_case.ts";
import type { BudgetedSuite } from "../suite.ts";
import { planThroughput, throughputSection } from "./plan_throughput.ts";
import { throughputRecord } from "./record.ts";
import { measureThroughput } from "./throughput.ts";

export const suite: BudgetedSuite = {
  record: throughputRecord,
  section: throughputSection,
  plan(planning) {
    const planned = planThroughput(planning);
    return planned && { groups: alone(planned.cases), configuration: planned.section };
  },
  begin: (session) => ({
    measure: async ({ candidates }, { again }) => {
      for (const entry of candidates) {
        await measureThroughput(session, entry, { again: again?.has(entry.id) });
      }
    },
  }),
};
