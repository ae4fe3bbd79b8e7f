/**
 * The suite `correctness`: it checks what other suites measure, before they measure it.
 *
 * @module
 */
import { checkOutputs, digestOutputs, failureOf, withDeterminism } from "../check/check.ts";
import { digestSeededSelection } from "../check/seeded_selection.ts";
import { outcomeOf, rethrowFatal, type Session } from "../measure/session.ts";
import { createInputs } from "../measure/start_case.ts";
import { caseRecord } from "../plan/case_record.ts";
import { findImplementation } from "../plan/measurable.ts";
import { alone, type PlannedCase } from "../plan/planned_case.ts";
import type { BudgetedSuite } from "../suite.ts";
import { planChecks } from "./plan_checks.ts";
import { correctnessRecord } from "./record.ts";

export const suite: BudgetedSuite = {
  record: correctnessRecord,
  plan: (planning, others) => ({ groups: alone(planChecks(planning, others)) }),
  begin: (session) => ({
    measure: async ({ candidates }) => {
      for (const entry of candidates) await checkLayer(session, entry);
    },
  }),
};

/** One correctness case: all rows of a head at a small size, and two equal executions. */
export async function checkLayer(session: Session, entry: PlannedCase): Promise<void> {
  if (entry.skip || session.finished(entry.id)) return;
  const { gpu, signal } = session;
  const implementation = findImplementation(session.registry, entry.implementation);
  session.step(`${entry.id}: checking against float64`);
  try {
    const inputs = await createInputs(session, [entry]);
    try {
      const { seed } = session;
      const prepared = await implementation.prepare(gpu, entry.problem, {
        inputs,
        seed,
        signal,
      });
      try {
        await prepared.execute({ signal });
        const first = await digestOutputs(gpu, prepared);
        await prepared.execute({ signal });
        const { problem } = entry;
        const found = await checkOutputs(gpu, prepared, {
          problem,
          implementation,
          inputs,
          seed,
          extent: "whole",
          signal,
        });
        const check = withDeterminism(found.check, {
          first,
          last: found.digest,
          required: prepared.peer === undefined,
        });
        const reason = failureOf(check);
        await session.record({
          ...caseRecord(entry, { status: reason === undefined ? "ok" : "failed", reason }),
          check,
          digest: {
            ...found.digest,
            ...(implementation.scorer && {
              seededSelection: await digestSeededSelection(gpu, entry.problem, {
                seed: session.seed,
              }),
            }),
          },
          ...(found.zeroRows !== undefined && { zeroRows: found.zeroRows }),
        });
      } finally {
        await prepared.destroy();
      }
    } finally {
      inputs.destroy();
    }
  } catch (error) {
    rethrowFatal(session, error);
    await session.record(caseRecord(entry, outcomeOf(error)));
  }
}
