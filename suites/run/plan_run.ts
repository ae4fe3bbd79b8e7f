/**
 * The plan of a whole run: each suite plans its own share.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { UsageError } from "../errors.ts";
import { isAsked, refuseImpossible, startPlanning } from "../plan/grid.ts";
import type { Measurable } from "../plan/measurable.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import {
  membersOf,
  type PlannedCase,
  type PlannedDevice,
  type PlannedGroup,
} from "../plan/planned_case.ts";
import { loadProfile, type Profile, profileBase } from "../plan/profile.ts";
import { dealOut, type Shard } from "../plan/shard.ts";
import { sectionKey } from "../result/suite_record.ts";
import { isApart, type Suite, type SuiteEntry, type SuitePlan } from "../suite.ts";

/** A suite and its share of a run. */
export interface PlannedSuite {
  readonly suite: Suite;
  readonly plan: SuitePlan;
}

/** A whole run. */
export interface RunPlan {
  readonly profile: Profile;
  readonly dtype: DType;
  /** Suites with a share, in the order in which they are measured. */
  readonly suites: readonly PlannedSuite[];
  /** One line each, for the result's notes. */
  readonly notes: readonly string[];
}

/**
 * Loads the suites that options or profiles name, and the suite whose checks come first.
 *
 * @param options.profiles names of profiles that the run may use.
 * @throws {UsageError} one line, when a suite is unknown, or an option belongs to a suite that no
 * run with these options has.
 */
export async function loadSuites(
  entries: readonly SuiteEntry[],
  { options, profiles }: {
    options: Pick<PlanOptions, "suites" | "settings">;
    profiles: readonly string[];
  },
): Promise<Suite[]> {
  const names = new Set(
    options.suites?.length
      ? options.suites
      : profiles.flatMap((profile) => loadProfile(profile).suites),
  );
  const known = entries.map(({ record }) => record.name);
  for (const name of names) {
    if (known.includes(name)) continue;
    throw new UsageError(`suite ${name} is not one of ${known.join(", ")}`);
  }
  const flags = entries.flatMap(({ flags = [] }) => flags);
  refuseSettings(options, (name) => names.has(name), (setting) => {
    const flag = flags.find(({ name }) => name === setting)?.flag;
    return flag === undefined ? setting : `${setting} (--${flag})`;
  });
  const wanted = entries.filter(({ record }) => names.has(record.name) || record.checks);
  return await Promise.all(wanted.map(async ({ load }) => (await load()).suite));
}

/**
 * Plans a run.
 *
 * A combination that cannot be computed becomes a skipped case with its reason if it is one point
 * of several, and an error if the options request nothing else.
 *
 * @param options.suites loaded suites, in the order in which they are measured.
 * @param options.opened what their `open` returned, by name. Default: nothing.
 * @throws {UsageError} one line naming the option, the value and the limit.
 */
export function planRun(
  options: PlanOptions,
  device: PlannedDevice,
  { registry, suites, opened }: {
    registry: readonly Measurable[];
    suites: readonly Suite[];
    opened?: ReadonlyMap<string, unknown>;
  },
): RunPlan {
  const planning = startPlanning(options, device, registry);
  const { profile, dtype } = planning;
  const isRun = ({ record }: Suite) => profile.suites.includes(record.name);
  // Other suites plan without the grid of layers.
  if (suites.some((suite) => suite.record.layers && isRun(suite))) refuseImpossible(planning);
  const planned = new Map<Suite, SuitePlan>();
  const plan = (suite: Suite, gated: readonly PlannedCase[]) => {
    const share = suite.plan(planning, { gated, opened: opened?.get(suite.record.name) });
    if (share) planned.set(suite, share);
  };
  for (const suite of suites) if (isRun(suite) && !suite.record.checks) plan(suite, []);
  const gated = [...planned.values()].flatMap(casesOf).filter(({ gate }) => gate !== undefined);
  for (const suite of suites) if (suite.record.checks) plan(suite, gated);
  return {
    profile,
    dtype,
    suites: suites.flatMap((suite) => {
      const share = planned.get(suite);
      return share ? [{ suite, plan: share }] : [];
    }),
    notes: [...planned.values()].flatMap(({ notes = [] }) => notes),
  };
}

function casesOf({ groups }: SuitePlan): PlannedCase[] {
  return groups.flatMap(membersOf);
}

/** All cases of a plan, in the order in which they run. */
export function plannedCases({ suites }: Pick<RunPlan, "suites">): PlannedCase[] {
  return suites.flatMap(({ plan }) => casesOf(plan));
}

/** Cases that are one layer of their implementation, as its own plan describes it. */
export function plannedLayers({ suites }: Pick<RunPlan, "suites">): PlannedCase[] {
  return plannedCases({ suites: suites.filter(({ suite }) => suite.record.layers) });
}

/** Ids of the cases in the first groups that can run; checks are none of them. */
export function firstCases({ suites }: Pick<RunPlan, "suites">, count: number): Set<string> {
  const groups = suites.filter(({ suite }) => !suite.record.checks)
    .flatMap(({ plan: { groups } }) => groups)
    .map((group) => membersOf(group).filter((entry) => entry.plan && !entry.skip))
    .filter((members) => members.length > 0);
  return new Set(groups.slice(0, count).flat().map(({ id }) => id));
}

/** Suites that measure within the run's budget, and those that keep their own time. */
export function partSuites({ suites }: Pick<RunPlan, "suites">): {
  readonly budgeted: readonly PlannedSuite[];
  readonly apart: readonly PlannedSuite[];
} {
  return {
    budgeted: suites.filter(({ suite }) => !isApart(suite)),
    apart: suites.filter(({ suite }) => isApart(suite)),
  };
}

/** The part of a plan that decides what is measured: it is equal for runs that may be joined. */
export function planIdentity({ suites, profile }: Pick<RunPlan, "suites" | "profile">): unknown {
  return {
    suites: suites.map(({ suite, plan }) => ({
      name: suite.record.name,
      ...(plan.identity !== undefined && { identity: plan.identity }),
      // How cases share a device's memory, and therefore how they are grouped, does not matter.
      cases: [...new Map(casesOf(plan).map((entry) => [entry.id, identityOf(entry)])).values()]
        .sort((a, b) => a.id < b.id ? -1 : 1),
    })),
    samples: profile.samples,
  };
}

function identityOf(entry: PlannedCase) {
  const { id, implementation, family, scorer, direction, problem, sweeps } = entry;
  return { id, implementation, family, scorer, direction, problem, sweeps };
}

/** What a result says about a plan: the profile with options applied, and the suites' sections. */
export function configurationOf({ profile, dtype, suites }: RunPlan): Record<string, unknown> {
  const fields = Object.keys(profileBase.shape);
  const sections = suites.flatMap(({ suite: { record }, plan }) => {
    const key = sectionKey(record.name);
    const section = plan.configuration ?? profile[key];
    return section === undefined ? [] : [[key, section]];
  });
  return {
    ...Object.fromEntries(Object.entries(profile).filter(([key]) => fields.includes(key))),
    ...Object.fromEntries(sections),
    dtype,
  };
}

/**
 * The part of a plan that one shard runs: a deterministic function of the plan and the shard alone.
 *
 * Groups stay whole, since their cases are interleaved. The heaviest goes first, to the least
 * loaded shard; suites that keep their own time are distributed separately. A check runs in every
 * shard where a case waits for it; all other checks are dealt out round-robin.
 */
export function shardPlan(plan: RunPlan, shard: Shard): RunPlan {
  const { index, count } = shard;
  const { budgeted, apart } = partSuites(plan);
  const mine = new Set<PlannedGroup>();
  for (const suites of [budgeted, ...apart.map((one) => [one])]) {
    const pieces = suites.filter(({ suite }) => !suite.record.checks).flatMap((
      { suite, plan: { groups } },
    ) => groups.map((group) => ({ group, weight: suite.weight?.(group) ?? weightOf(group) })));
    const shards = dealOut(pieces.map(({ weight }) => weight), shard);
    pieces.forEach(({ group }, at) => shards[at] === index && mine.add(group));
  }
  const waiting = (groups: readonly PlannedGroup[]) =>
    new Set(groups.flatMap(membersOf).map(({ gate }) => gate));
  const all = plan.suites.flatMap(({ plan: { groups } }) => groups);
  const [needed, neededByAny] = [waiting([...mine]), waiting(all)];
  const isMine = (suite: Suite, group: PlannedGroup, free: readonly PlannedGroup[]) => {
    if (!suite.record.checks) return mine.has(group);
    return membersOf(group).some(({ id }) => needed.has(id)) ||
      free.includes(group) && free.indexOf(group) % count === index - 1;
  };
  return {
    ...plan,
    suites: plan.suites.map(({ suite, plan: share }) => {
      const free = share.groups.filter((group) =>
        !membersOf(group).some(({ id }) => neededByAny.has(id))
      );
      const groups = share.groups.filter((group) => isMine(suite, group, free));
      return { suite, plan: { ...share, groups } };
    }),
  };
}

/** FLOP of one execution of every case, at least 1 so that empty groups spread too. */
function weightOf(group: PlannedGroup): number {
  const flops = membersOf(group).map(({ plan, skip }) => skip || !plan ? 0 : plan.flops);
  return flops.reduce((sum, value) => sum + value, 1);
}

/**
 * Refuses options of a suite that has no share in the run.
 *
 * @throws {UsageError} one line.
 */
export function refuseUnusedSettings({ suites }: RunPlan, options: PlanOptions): void {
  refuseSettings(
    options,
    (name) => suites.some(({ suite }) => suite.record.name === name) || isAsked(options, name),
  );
}

function refuseSettings(
  { settings = {} }: Pick<PlanOptions, "settings">,
  has: (suite: string) => boolean,
  name = (setting: string) => setting,
): void {
  for (const [suite, own] of Object.entries(settings)) {
    const given = Object.keys(own).find((setting) => own[setting] !== undefined);
    if (given === undefined || has(suite)) continue;
    throw new UsageError(`${name(given)} is for the suite ${suite}, which this run does not have`);
  }
}
