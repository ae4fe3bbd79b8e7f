/**
 * The suite `context-parallel`: one cut at a time.
 *
 * @module
 */
import type { PlannedGroup } from "../plan/planned_case.ts";
import type { BudgetedSuite } from "../suite.ts";
import { measureCut, type Unsharded } from "./context_parallel.ts";
import { contextParallelSection, type PlannedCut, planRunCuts } from "./plan_cuts.ts";
import { contextParallelRecord } from "./record.ts";

/** One cut as a group. */
interface CutGroup extends PlannedGroup {
  readonly planned: PlannedCut;
}

export const suite: BudgetedSuite<CutGroup> = {
  record: contextParallelRecord,
  section: contextParallelSection,
  plan(planning) {
    const cuts = planRunCuts(planning);
    if (cuts.length === 0) return undefined;
    return { groups: cuts.map((planned) => ({ candidates: [planned.entry], planned })) };
  },
  begin(session) {
    const unsharded: Unsharded = new Map();
    return {
      measure: async ({ planned }, { again }) => {
        await measureCut(session, planned, { unsharded, again: again?.has(planned.entry.id) });
      },
    };
  },
};
