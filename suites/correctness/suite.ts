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
import type { CaseRecord } from "../result/result_schema.ts";
import type { BudgetedSuite } from "../suite.ts";
import { planChecks } from "./plan_checks.ts";
import { correctnessRecord } from "./record.ts";

export const suite: BudgetedSuite = {
  record: correctnessRecord,
  plan: (planning, others) => ({ groups: alone(planChecks(planning, others)) }),
  begin: (session) => {
    const started = new Map<string, Promise<CaseRecord>>();
    const most = session.gpu.adapter.software ? 1 : CONCURRENCY;
    const isPeer = ({ implementation }: PlannedCase) =>
      findImplementation(session.registry, implementation).peer === true;
    const start = (entry: PlannedCase): Promise<CaseRecord> => {
      const known = started.get(entry.id);
      if (known) return known;
      const check = checkLayer(session, entry);
      // Its turn comes later; a failure before then is no unhandled one.
      check.catch(() => {});
      started.set(entry.id, check);
      return check;
    };
    return {
      measure: async ({ candidates }, { later }) => {
        const due = ({ skip, id }: PlannedCase) => !skip && !session.finished(id);
        const next = later.flatMap((group) => group.candidates);
        for (const [i, entry] of candidates.entries()) {
          if (!due(entry)) continue;
          session.step(`${entry.id}: checking against float64`);
          const own = start(entry);
          // Another program does one thing at a time.
          const ahead = [...candidates.slice(i + 1), ...next].filter(due);
          ahead.slice(0, most - 1).filter((one) => !isPeer(one)).forEach(start);
          await session.record(await own);
        }
      },
    };
  },
};

/**
 * Checks that run at once on a real GPU: while one compiles, or the host computes its reference.
 */
const CONCURRENCY = 4;

/** One correctness case: all rows of a head at a small size, and two equal executions. */
export async function checkLayer(session: Session, entry: PlannedCase): Promise<CaseRecord> {
  const { gpu, signal } = session;
  const implementation = findImplementation(session.registry, entry.implementation);
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
        return {
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
        };
      } finally {
        await prepared.destroy();
      }
    } finally {
      inputs.destroy();
    }
  } catch (error) {
    rethrowFatal(session, error);
    return caseRecord(entry, outcomeOf(error));
  }
}
