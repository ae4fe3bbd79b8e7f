/**
 * The retrieval suite as a part of a run: one case for each part of its plan, so that a run of it can
 * be resumed, sharded, merged, replayed and gated like any other; the cells are in the result's field
 * `retrieval`.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import { findScorer } from "../../kernels/lighthouse/scorers/scorers.ts";
import type { Pace } from "../../kernels/retrieval/lighthouse_last_row.ts";
import { caseRecord } from "../plan/case_record.ts";
import { hashJson } from "../result/digest.ts";
import { errorLine, UsageError } from "../errors.ts";
import { rethrowFatal, type Session } from "../measure/session.ts";
import type { PlannedCase, PlanOptions, RunPlan } from "../plan/plan.ts";
import { loadProfile, resolveBudget } from "../plan/profile.ts";
import type {
  CaseRecord,
  CheckRecord,
  InstrumentRecord,
  Result,
  RetrievalRecord,
} from "../result/result_schema.ts";
import type { Shard } from "../plan/shard.ts";
import { evaluateNeedles, type NeedleModel, PAPER_PROTOCOL } from "./needle_model.ts";
import { type PartPlan, planRetrieval } from "./retrieval_plan.ts";
import {
  type RetrievalOptions,
  type RetrievalProfile,
  retrievalProfile,
} from "./retrieval_profile.ts";
import { countChecks, emptyRecord, measurePart, type PartResult } from "./retrieval_suite.ts";

/** What a user may set for this suite alone. */
export interface NeedleOptions {
  /** Percent of the context before the needle. */
  readonly depths?: readonly number[];
  /** μ: what planting adds to the needle's logit. */
  readonly margins?: readonly number[];
  /** Trials of each cell. */
  readonly trials?: number;
  /** File of a trained model for the digit passkey test. */
  readonly checkpoint?: string;
  /** Measures every part whatever time it takes: for a replay on a slower or busier machine. */
  readonly patient?: boolean;
}

/** A part of the suite, planned as a case. */
export interface PlannedPart {
  readonly entry: PlannedCase;
  readonly part: PartPlan;
}

/** The suite's share of a run. */
export interface PlannedRetrieval {
  readonly profile: RetrievalProfile;
  readonly dtype: RunPlan["dtype"];
  readonly parts: readonly PlannedPart[];
  /** Settings that were left out of the plan, one line each. */
  readonly skipped: readonly string[];
  /** Instrument checks of the whole plan, whatever shard runs them. */
  readonly checks: number;
}

/** Options for {@linkcode planRunRetrieval}. */
export type RetrievalRunOptions = Partial<PlanOptions> & NeedleOptions;

/** Highest seed: those of the batches lie above it, and Q, K and V take three each. */
export const MAX_RETRIEVAL_SEED = 2 ** 31;

/**
 * Checks the options of the suite without a device, where a run asks for it by name.
 *
 * @throws {UsageError} one line that names the value and the limit.
 */
export function checkRetrievalOptions(options: RetrievalRunOptions & { seed?: number }): void {
  const asked = options.suites?.includes("retrieval") ?? false;
  const own = (["depths", "margins", "trials", "checkpoint"] as const)
    .find((name) => options[name] !== undefined);
  if (own && options.suites && !asked) {
    throw new UsageError(`${own} is for the suite retrieval, which this run does not have`);
  }
  if (!asked) return;
  const { seed = 0 } = options;
  if (seed > MAX_RETRIEVAL_SEED) {
    throw new UsageError(`retrieval: seed ${seed} is above ${MAX_RETRIEVAL_SEED}`);
  }
  // Without a name the adapter decides between two of them.
  const names = options.profile === undefined ? ["smoke", "standard"] : [options.profile];
  for (const name of names) retrievalProfile(retrievalOptions({ ...options, profile: name }));
}

/**
 * The suite's share of a run, undefined where it has none: the suite is not among the run's, or the
 * profile names it and the options shape another grid without asking for it.
 *
 * The layer takes the first of the levels, pooling factors and budgets that are given. A budget of
 * seconds is the suite's own where it runs alone; beside others each has its profile's share of it.
 *
 * @throws {UsageError} one line that names the value and the limit.
 */
export function planRunRetrieval(
  { profile: run, dtype }: Pick<RunPlan, "profile" | "dtype">,
  options: RetrievalRunOptions,
): PlannedRetrieval | undefined {
  if (!run.suites.includes("retrieval")) return undefined;
  const asked = options.suites?.includes("retrieval") ?? false;
  const { contexts, options: values, heads, headDims } = options;
  if (!asked && [contexts, values, heads, headDims].some(Boolean)) return undefined;
  const given = retrievalOptions({ ...options, profile: run.name });
  const own = retrievalProfile({ ...given, budgetSeconds: undefined });
  const share = run.suites.length === 1
    ? 1
    : own.budgetSeconds / (own.budgetSeconds + loadProfile(run.name).budgetSeconds);
  const profile = given.budgetSeconds === undefined
    ? own
    : { ...own, budgetSeconds: given.budgetSeconds * share };
  const { parts, skipped } = planRetrieval(profile);
  return {
    profile,
    dtype,
    parts: parts.map((part) => ({ part, entry: plannedCase(part, { profile, dtype }) })),
    skipped,
    checks: parts.reduce((sum, part) => sum + countChecks(part), 0),
  };
}

/** The part of a plan that decides what is measured. */
export function retrievalIdentity({ profile, dtype }: PlannedRetrieval): unknown {
  const { budgetSeconds: _, ...identity } = profile;
  return { ...identity, dtype };
}

/**
 * The parts that one shard runs: the heaviest first, by rows read, to the shard with the least so
 * far.
 */
export function shardRetrieval(planned: PlannedRetrieval, shard: Shard): PlannedRetrieval {
  const loads = new Array<number>(shard.count).fill(0);
  const mine = new Set<PlannedPart>();
  const weighed = planned.parts.map((one) => ({ one, weight: weightOf(one.part) }));
  for (const { one, weight } of weighed.sort((a, b) => b.weight - a.weight)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] += weight;
    if (least === shard.index - 1) mine.add(one);
  }
  return { ...planned, parts: planned.parts.filter((one) => mine.has(one)) };
}

/** Rows that the arms of a part read in one trial; a quadratic scorer's count as the pairs it forms. */
function weightOf({ context, settings }: PartPlan): number {
  return settings.reduce((sum, { arms }) =>
    sum + arms.reduce((rows, { lighthouse }) => {
      const quadratic = lighthouse !== undefined && findScorer(lighthouse.scorer).quadratic;
      return rows + context * (quadratic ? 1 + context / 1024 : 1);
    }, 0), 0);
}

/** What measuring the suite needs of a session. */
export type RetrievalSession = Pick<
  Session,
  "gpu" | "seed" | "signal" | "record" | "finished" | "step" | "note"
>;

/**
 * Measures the parts of a plan that have no record yet, and a checkpoint if one is given.
 *
 * @throws what ends a run: a lost device, an abort.
 */
export async function measureRetrieval(
  session: RetrievalSession,
  planned: PlannedRetrieval,
  options: {
    result: Pick<Result, "retrieval">;
    model?: NeedleModel;
    needles?: RetrievalRunOptions;
  },
): Promise<void> {
  const { result, model } = options;
  const { profile, dtype, checks } = planned;
  const { gpu, seed, signal } = session;
  const record = result.retrieval ??= emptyRecord({
    profile,
    seed,
    dtype,
    skipped: planned.skipped,
  });
  const started = performance.now();
  const before = record.seconds;
  const elapsed = () => (performance.now() - started) / 1e3;
  const late = () => !options.needles?.patient && elapsed() > profile.budgetSeconds;
  const pace: Pace = { flopsPerSecond: 4e11 };
  for (const { entry, part } of planned.parts) {
    if (session.finished(entry.id)) continue;
    signal?.throwIfAborted();
    if (late()) {
      const reason = `not reached within the budget of ${profile.budgetSeconds} s`;
      await session.record(caseRecord(entry, { status: "skipped", reason }));
      continue;
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
      });
      addPart(record, { found, id: entry.id });
      record.seconds = before + elapsed();
      await session.record(await partRecord(entry, found));
    } catch (error) {
      rethrowFatal(session as Session, error);
      // What the device affords ends somewhere; anything else is a fault.
      const status = error instanceof MemoryError || error instanceof RangeError
        ? "skipped"
        : "failed";
      await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
    }
  }
  if (model && !record.checkpoint) await addCheckpoint(session, { record, model, ...options });
}

function retrievalOptions(options: RetrievalRunOptions): RetrievalOptions {
  const { profile, contexts, depths, margins, trials, scorers, headDims, budgetSeconds } = options;
  const { options: values = {} } = options;
  return {
    profile,
    contexts,
    depths,
    margins,
    trials,
    scorers,
    headDim: headDims?.[0],
    ...(values.levels && { levels: Number(values.levels[0]) }),
    ...(values.pooling && { pooling: Number(values.pooling[0]) }),
    k: values.k?.[0],
    budgetSeconds,
  };
}

function plannedCase(
  { name, context, settings }: PartPlan,
  options: { profile: RetrievalProfile; dtype: RunPlan["dtype"] },
): PlannedCase {
  const { profile: { headDim, trials, layer }, dtype } = options;
  const { levels, pooling } = layer;
  const shape = [`N${context}`, `H${trials}`, `d${headDim}`, dtype];
  const layerName = [`L${levels}`, `p${pooling}`, `k${resolveBudget(layer.k, context)}`];
  return {
    id: `retrieval/${name}/forward/${[...shape, ...layerName].join("-")}`,
    suite: "retrieval",
    implementation: `needle-${name}`,
    family: "needle",
    direction: "forward",
    // One head is one trial.
    problem: { shape: { heads: trials, context, headDim, dtype } },
    sweeps: [...new Set(settings.map(({ sweep }) => sweep))],
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

/** A part's record: its cells' digest, and the instrument's checks where it has any. */
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
    // Cells that a budget cut short depend on the clock.
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
  session: RetrievalSession,
  options: { record: RetrievalRecord; model: NeedleModel; needles?: RetrievalRunOptions },
): Promise<void> {
  const { record, model, needles } = options;
  session.step(`retrieval: the digit passkey test of ${model.name}`);
  const cells = await evaluateNeedles(model, {
    contexts: needles?.contexts ?? PAPER_PROTOCOL.contexts,
    depths: needles?.depths ?? PAPER_PROTOCOL.depths,
    seed: session.seed,
  });
  record.checkpoint = { name: model.name, cells: cells.map((cell) => ({ ...cell })) };
}
