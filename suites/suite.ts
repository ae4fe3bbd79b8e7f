/**
 * What every suite is: a folder with the same parts each. The runner, sharding, merging, resuming,
 * replaying, the gate and the command line go by these and name no suite.
 *
 * @module
 */
import type { z } from "zod";
import type { RunSession, Session } from "./measure/session.ts";
import type { Planning } from "./plan/grid.ts";
import type { PlanOptions } from "./plan/plan_options.ts";
import type { PlannedCase, PlannedGroup } from "./plan/planned_case.ts";
import type { Shard } from "./plan/shard.ts";
import type { SuiteRecord } from "./result/suite_record.ts";

/** A suite's share of a run. */
export interface SuitePlan<G extends PlannedGroup = PlannedGroup> {
  /** What is measured together, in order; a shard takes whole groups. */
  readonly groups: readonly G[];
  /** One line each, for the result's notes. */
  readonly notes?: readonly string[];
  /** Its section of the configuration. Default: that of the profile. */
  readonly configuration?: unknown;
  /** What decides its results beside its cases, equal for runs that may be joined. Default: nothing. */
  readonly identity?: unknown;
}

/** What measuring a group has to last for, and whether it is measured anew. */
export interface MeasureOptions {
  /** Groups that come after it. */
  readonly later: readonly PlannedGroup[];
  /** Cases of suites that come after it. */
  readonly after: readonly PlannedCase[];
  /** Ids of cases that are measured though they have a record, whose samples stay. */
  readonly again?: ReadonlySet<string>;
}

/** A suite at work. What it leaves is recorded through its session. */
export interface Measurer<G extends PlannedGroup = PlannedGroup> {
  /** Measures what of a group has no record yet, or is named. Case by case, a fault is a record. */
  measure(group: G, options: MeasureOptions): Promise<void>;
  /** Comes after the last group, unless the run was cut short. */
  finish?(): Promise<void>;
}

/** What a suite may ask of the run that it is a part of. */
export interface SuiteRun<G extends PlannedGroup = PlannedGroup> {
  readonly plan: SuitePlan<G>;
  readonly options: PlanOptions;
  /** What its `open` returned. */
  readonly opened: unknown;
  readonly shard?: Shard;
  /** Measures everything, whatever time it takes. */
  readonly patient: boolean;
  /** Its part of the result; made where there is none yet. */
  part<T>(make: () => T): T;
}

/** An option of one suite, as the command line has it. */
export interface SuiteFlag {
  /** Key in the suite's {@linkcode PlanOptions.settings}. */
  readonly name: string;
  /** Name of the flag, without the dashes. */
  readonly flag: string;
  /** What stands for its value in the help: `<list>`. */
  readonly value: string;
  readonly help: string;
  /** It names a file, which a result's word is not enough to open. Default false. */
  readonly file?: boolean;
  /** Reads the value; throws a {@linkcode RangeError} with one line. */
  readonly parse: (text: string) => unknown;
}

/** Options of a run before its device is open: without a name of a profile, the adapter decides. */
export interface OpenOptions extends Omit<PlanOptions, "profile"> {
  readonly profile?: string;
  readonly seed: number;
}

interface Planned<G extends PlannedGroup> {
  readonly record: SuiteRecord;
  /** Its section of a profile, by the key that its name gives. Default: it has none. */
  readonly section?: z.ZodType;
  /**
   * Looks at its options and reads its files before a device is opened.
   *
   * @throws {UsageError} one line.
   */
  open?(options: OpenOptions): Promise<unknown>;
  /**
   * Its cases; undefined where it has no share in the run. Pure.
   *
   * @param others.gated cases of other suites that wait for a check; for the suite of the checks.
   */
  plan(planning: Planning, others: { gated: readonly PlannedCase[] }): SuitePlan<G> | undefined;
  /** How heavy a group is, for shards. Default: FLOP of one execution of each case. */
  weight?(group: G): number;
}

/** A suite that measures within the run's budget, under its clock. */
export interface BudgetedSuite<G extends PlannedGroup = PlannedGroup> extends Planned<G> {
  begin(session: Session, run: SuiteRun<G>): Measurer<G>;
}

/**
 * A suite that keeps its own time: it comes after all others, and where it runs alone the device is not
 * calibrated.
 */
export interface ApartSuite<G extends PlannedGroup = PlannedGroup> extends Planned<G> {
  beginApart(session: RunSession, run: SuiteRun<G>): Measurer<G>;
}

/** One suite. */
export type Suite<G extends PlannedGroup = PlannedGroup> = BudgetedSuite<G> | ApartSuite<G>;

/** Whether a suite keeps its own time. */
export function isApart(suite: Suite): suite is ApartSuite {
  return "beginApart" in suite;
}

/** A line of the registry. */
export interface SuiteEntry {
  readonly record: SuiteRecord;
  /** Options of its own, as the command line has them. Default: none. */
  readonly flags?: readonly SuiteFlag[];
  /** Loads what plans and measures; a run loads the suites that it has. */
  readonly load: () => Promise<{ readonly suite: Suite }>;
}
