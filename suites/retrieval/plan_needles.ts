/**
 * The retrieval suite's share of a run: one case for each part of its plan, so that a run of it can
 * be resumed, sharded, merged, replayed and gated like any other. The cells are in the result's
 * field `retrieval`.
 *
 * @module
 */
import { findScorer } from "../../kernels/lighthouse/scorers/scorers.ts";
import { UsageError } from "../errors.ts";
import { isAsked, type Planning } from "../plan/grid.ts";
import { type PlanOptions, shapesGrid } from "../plan/plan_options.ts";
import type { PlannedCase, PlannedGroup } from "../plan/planned_case.ts";
import { loadProfile, resolveBudget } from "../plan/profile.ts";
import type { NeedleOptions } from "./options.ts";
import { type RetrievalOptions, type RetrievalProfile, retrievalProfile } from "./profile.ts";
import { retrievalRecord } from "./record.ts";
import { type PartPlan, planRetrieval } from "./retrieval_plan.ts";
import { countChecks } from "./instrument.ts";

/** A part of the suite, planned as a case. */
export interface NeedleGroup extends PlannedGroup {
  readonly entry: PlannedCase;
  readonly part: PartPlan;
}

/** The suite's share of a run. */
export interface PlannedRetrieval {
  readonly profile: RetrievalProfile;
  readonly dtype: Planning["dtype"];
  readonly groups: readonly NeedleGroup[];
  /** Settings that were left out of the plan, one line each. */
  readonly skipped: readonly string[];
  /** Instrument checks of the whole plan, in all shards. */
  readonly checks: number;
}

/** Highest seed: the batches' seeds lie above it, and Q, K and V take three each. */
export const MAX_RETRIEVAL_SEED = 2 ** 31;

/** The options of the suite. */
export function needleOptions({ settings }: Pick<PlanOptions, "settings">): NeedleOptions {
  return settings?.[retrievalRecord.name] ?? {};
}

/**
 * Checks the options of the suite without a device, if a run requests it by name.
 *
 * @throws {UsageError} one line that names the value and the limit.
 */
export function checkRetrievalOptions(
  options: Partial<PlanOptions> & { readonly seed?: number },
): void {
  if (!isAsked(options, retrievalRecord.name)) return;
  const { seed = 0 } = options;
  if (seed > MAX_RETRIEVAL_SEED) {
    throw new UsageError(`retrieval: seed ${seed} is above ${MAX_RETRIEVAL_SEED}`);
  }
  // Without a name the adapter decides between two of them.
  const names = options.profile === undefined ? ["smoke", "standard"] : [options.profile];
  for (const name of names) retrievalProfile(retrievalOptions({ ...options, profile: name }));
}

/**
 * The suite's share of a run, undefined if it has none: the suite is not part of the run, or the
 * profile names it and the options define another grid without naming it.
 *
 * The layer takes the first of the given levels, pooling factors and budgets. If the suite runs
 * alone, a budget of seconds is all its own; with other suites, each has its profile's share of it.
 *
 * @throws {UsageError} one line that names the value and the limit.
 */
export function planRunRetrieval(
  { profile: run, dtype, options }: Pick<Planning, "profile" | "dtype" | "options">,
): PlannedRetrieval | undefined {
  const { name } = retrievalRecord;
  if (!run.suites.includes(name)) return undefined;
  if (!isAsked(options, name) && shapesGrid(options)) return undefined;
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
    groups: parts.map((part) => {
      const entry = plannedCase(part, { profile, dtype });
      return { candidates: [entry], part, entry };
    }),
    skipped,
    checks: parts.reduce((sum, part) => sum + countChecks(part), 0),
  };
}

/** The part of a plan that decides what is measured. */
export function retrievalIdentity(
  { profile, dtype }: Pick<PlannedRetrieval, "profile" | "dtype">,
): unknown {
  const { budgetSeconds: _, ...identity } = profile;
  return { ...identity, dtype };
}

/**
 * Rows that the arms of a part read in one trial; for a quadratic scorer, the pairs that it forms.
 */
export function weightOf({ context, settings }: PartPlan): number {
  return settings.reduce((sum, { arms }) =>
    sum + arms.reduce((rows, { lighthouse }) => {
      const quadratic = lighthouse !== undefined && findScorer(lighthouse.scorer).quadratic;
      return rows + context * (quadratic ? 1 + context / 1024 : 1);
    }, 0), 0);
}

function retrievalOptions(options: Partial<PlanOptions>): RetrievalOptions {
  const { profile, contexts, scorers, implementations, headDims, budgetSeconds } = options;
  const { depths, margins, trials } = needleOptions(options);
  const { options: values = {} } = options;
  return {
    profile,
    contexts,
    depths,
    margins,
    trials,
    scorers,
    implementations,
    headDim: headDims?.[0],
    ...(values.levels && { levels: Number(values.levels[0]) }),
    ...(values.pooling && { pooling: Number(values.pooling[0]) }),
    k: values.k?.[0],
    budgetSeconds,
  };
}

function plannedCase(
  { name, context, settings }: PartPlan,
  options: { profile: RetrievalProfile; dtype: Planning["dtype"] },
): PlannedCase {
  const { profile: { headDim, trials, layer }, dtype } = options;
  const { levels, pooling } = layer;
  const shape = [`N${context}`, `H${trials}`, `d${headDim}`, dtype];
  const layerName = [`L${levels}`, `p${pooling}`, `k${resolveBudget(layer.k, context)}`];
  return {
    id: `${retrievalRecord.name}/${name}/forward/${[...shape, ...layerName].join("-")}`,
    suite: retrievalRecord.name,
    implementation: `needle-${name}`,
    family: "needle",
    direction: "forward",
    // One head is one trial.
    problem: { shape: { heads: trials, context, headDim, dtype } },
    sweeps: [...new Set(settings.map(({ sweep }) => sweep))],
  };
}
