/**
 * The suite `retrieval`: it keeps its own time, and needs no calibration.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Pace } from "../../kernels/retrieval/lighthouse_last_row.ts";
import { errorLine, UsageError } from "../errors.ts";
import { rethrowFatal, type RunSession } from "../measure/session.ts";
import { caseRecord } from "../plan/case_record.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import { hashJson } from "../result/digest.ts";
import type {
  CaseRecord,
  CheckRecord,
  InstrumentRecord,
  RetrievalRecord,
} from "../result/result_schema.ts";
import type { ApartSuite, Measurer, SuiteRun } from "../suite.ts";
import {
  type AnswerGroup,
  type AnswerTest,
  charactersOf,
  measureAnswers,
  openAnswers,
  planAnswers,
} from "./answers.ts";
import { emptyRecord, measurePart, type PartResult } from "./measure_part.ts";
import {
  checkRetrievalOptions,
  type NeedleGroup,
  needleOptions,
  type PlannedRetrieval,
  planRunRetrieval,
  retrievalIdentity,
  weightOf,
} from "./plan_needles.ts";
import { retrievalSection } from "./profile.ts";
import { retrievalRecord } from "./record.ts";

/** Either the mechanism is measured, or the answers of a trained model, if the options name one. */
export const suite: ApartSuite<NeedleGroup | AnswerGroup> = {
  record: retrievalRecord,
  section: retrievalSection,
  async open(options) {
    const { checkpoint, keys } = needleOptions(options);
    if (checkpoint !== undefined) return await openAnswers(checkpoint, options);
    if (keys !== undefined) {
      throw new UsageError("retrieval: --keys needs a model, which --checkpoint names");
    }
    checkRetrievalOptions(options);
    return undefined;
  },
  plan(planning, { opened }) {
    if (opened !== undefined) return planAnswers(planning, opened as AnswerTest);
    const planned = planRunRetrieval(planning);
    return planned &&
      { ...planned, configuration: planned.profile, identity: retrievalIdentity(planned) };
  },
  weight: (group) => "part" in group ? weightOf(group.part) : charactersOf(group.cells),
  beginApart: (session, run) =>
    run.opened === undefined
      ? measureNeedles(session, run as SuiteRun<NeedleGroup>) as Measurer<NeedleGroup | AnswerGroup>
      : measureAnswers(session, {
        run: run as SuiteRun<AnswerGroup>,
        test: run.opened as AnswerTest,
      }) as Measurer<NeedleGroup | AnswerGroup>,
};

/** Measures parts one by one within the suite's own seconds. */
function measureNeedles(session: RunSession, run: SuiteRun<NeedleGroup>): Measurer<NeedleGroup> {
  const { profile, dtype, checks, skipped } = run.plan as typeof run.plan & PlannedRetrieval;
  const { gpu, seed, signal } = session;
  const record = run.part(() => emptyRecord({ profile, seed, dtype, skipped }));
  const started = performance.now();
  const before = record.seconds;
  const elapsed = () => (performance.now() - started) / 1e3;
  const late = () => !run.patient && elapsed() > profile.budgetSeconds;
  const pace: Pace = { flopsPerSecond: 4e11 };
  return {
    async measure({ entry, part }) {
      if (session.finished(entry.id)) return;
      signal?.throwIfAborted();
      if (late()) {
        const reason = `not reached within the budget of ${profile.budgetSeconds} s`;
        await session.record(caseRecord(entry, { status: "skipped", reason }));
        return;
      }
      try {
        const found = await measurePart(gpu, part, {
          profile,
          seed,
          dtype,
          checks,
          late,
          pace,
          signal,
          step: (text) => session.step(text),
          found: session.found,
        });
        addPart(record, { found, id: entry.id });
        record.seconds = before + elapsed();
        await session.record(await partRecord(entry, found));
      } catch (error) {
        rethrowFatal(session, error);
        // The device's memory limits the context; any other error is a fault.
        const status = error instanceof MemoryError || error instanceof RangeError
          ? "skipped"
          : "failed";
        await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
      }
    },
  };
}

function addPart(
  record: RetrievalRecord,
  { found, id }: { found: PartResult; id: string },
): void {
  record.cells.push(...found.cells.map((cell) => ({ ...cell, case: id })));
  record.instrument.push(...found.instrument);
  record.laws.push(...found.laws);
  if (found.cut !== undefined) record.skipped.push(`${id}: ${found.cut}`);
}

/** A part's record: its cells' digest, and the instrument's checks if it has any. */
async function partRecord(entry: PlannedCase, found: PartResult): Promise<CaseRecord> {
  const { cells, instrument, cut } = found;
  const failed = instrument.filter(({ passed }) => !passed);
  const [first] = failed;
  const reason = first
    ? `${describeCheck(first)}: measured ${first.measured.toPrecision(4)}, the law allows ` +
      `${first.low.toPrecision(4)} to ${first.high.toPrecision(4)} ` +
      `(${failed.length} of ${instrument.length} checks failed)`
    : cut;
  const status = first ? "failed" : cut === undefined ? "ok" : "skipped";
  return {
    ...caseRecord(entry, { status, reason }),
    // Cells of a part that a budget cut short depend on the clock.
    ...(cut === undefined && { digest: { output: await hashJson(cells) } }),
    ...(instrument.length > 0 && { check: checkOf(instrument) }),
  };
}

function checkOf(instrument: readonly InstrumentRecord[]): CheckRecord {
  return {
    passed: instrument.every(({ passed }) => passed),
    method: "rates and masses of dense attention, the oracle and chance against their laws, each " +
      "within a band that all checks together leave with 1 % probability",
    maxError: null,
    tolerance: null,
    parts: instrument.map((one) => ({
      name: describeCheck(one),
      passed: one.passed,
      maxError: Math.abs(one.measured - one.law),
      tolerance: one.passed ? Math.max(one.high - one.law, one.law - one.low) : null,
    })),
  };
}

function describeCheck({ quantity, context, margin }: InstrumentRecord): string {
  return `${quantity} at context ${context}, margin ${margin}`;
}
