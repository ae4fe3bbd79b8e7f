/**
 * The suite `retrieval`: it keeps its own time, and needs no calibration.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Pace } from "../../kernels/retrieval/lighthouse_last_row.ts";
import { errorLine } from "../errors.ts";
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
import { loadCheckpoint } from "./checkpoint.ts";
import { emptyRecord, measurePart, type PartResult } from "./measure_part.ts";
import { evaluateNeedles, type NeedleModel, PAPER_PROTOCOL } from "./needle_model.ts";
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
import { loadWeights, namesWeights, placeWeights, type TrainedWeights } from "./trained_weights.ts";

export const suite: ApartSuite<NeedleGroup> = {
  record: retrievalRecord,
  section: retrievalSection,
  async open(options) {
    checkRetrievalOptions(options);
    const { checkpoint } = needleOptions(options);
    if (checkpoint === undefined) return undefined;
    return namesWeights(checkpoint)
      ? await loadWeights(checkpoint)
      : await loadCheckpoint(checkpoint);
  },
  plan(planning) {
    const planned = planRunRetrieval(planning);
    return planned &&
      { ...planned, configuration: planned.profile, identity: retrievalIdentity(planned) };
  },
  weight: ({ part }) => weightOf(part),
  beginApart: (session, run) => measureNeedles(session, run),
};

/** Measures parts one by one within the suite's own seconds, then a checkpoint if one is given. */
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
    async finish() {
      const model = run.opened as NeedleModel | TrainedWeights | undefined;
      // Of several shards only the first one runs the model.
      if (!model || record.checkpoint || (run.shard?.index ?? 1) > 1) return;
      await addCheckpoint(session, { record, model, run });
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

async function addCheckpoint(
  session: RunSession,
  options: {
    record: RetrievalRecord;
    model: NeedleModel | TrainedWeights;
    run: SuiteRun<NeedleGroup>;
  },
): Promise<void> {
  const { record, model, run } = options;
  session.step(`retrieval: the digit passkey test of ${model.name}`);
  const own = "tensors" in model ? model.protocol : PAPER_PROTOCOL;
  const protocol = {
    contexts: run.options.contexts ?? own.contexts,
    depths: needleOptions(run.options).depths ?? own.depths,
    seed: session.seed,
  };
  const placed = "tensors" in model ? placeWeights(session.gpu, model) : undefined;
  try {
    const { signal } = session;
    const needles = placed?.needleModel(model.name, { signal }) ?? model as NeedleModel;
    const cells = await evaluateNeedles(needles, protocol);
    record.checkpoint = { name: model.name, cells: cells.map((cell) => ({ ...cell })) };
  } finally {
    placed?.destroy();
  }
}
