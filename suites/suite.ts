/**
 * The parts of every suite: a folder with the same files each. The runner, sharding, merging,
 * resuming, replaying, the gate and the command line use these and name no suite.
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
  /** Groups of cases that are measured together, in order; a shard takes whole groups. */
  readonly groups: readonly G[];
  /** One line each, for the result's notes. */
  readonly notes?: readonly string[];
  /** Its section of the configuration. Default: that of the profile. */
  readonly configuration?: unknown;
  /**
   * What decides its results besides its cases, equal for runs that may be joined. Default:
   * nothing.
   */
  readonly identity?: unknown;
}

/** What is still to come after a group, and what is measured again. */
export interface MeasureOptions {
  /** Groups that come after it. */
  readonly later: readonly PlannedGroup[];
  /** Cases of suites that come after it. */
  readonly after: readonly PlannedCase[];
  /** Ids of cases to measure although they have a record, whose samples are kept. */
  readonly again?: ReadonlySet<string>;
}

/** A suite at work. It records its results through its session. */
export interface Measurer<G extends PlannedGroup = PlannedGroup> {
  /**
   * Measures the cases of a group without a record, and the named ones. A fault in a case is
   * recorded.
   */
  measure(group: G, options: MeasureOptions): Promise<void>;
  /** Called after the last group, unless the run was cut short. */
  finish?(): Promise<void>;
}

/** What a suite may use of its run. */
export interface SuiteRun<G extends PlannedGroup = PlannedGroup> {
  readonly plan: SuitePlan<G>;
  readonly options: PlanOptions;
  /** What its `open` returned. */
  readonly opened: unknown;
  readonly shard?: Shard;
  /** Measures everything, regardless of time. */
  readonly patient: boolean;
  /** Its part of the result; created if there is none yet. */
  part<T>(make: () => T): T;
}

/** An option of one suite, as on the command line. */
export interface SuiteFlag {
  /** Key in the suite's {@linkcode PlanOptions.settings}. */
  readonly name: string;
  /** Name of the flag, without the dashes. */
  readonly flag: string;
  /** Placeholder for its value in the help: `<list>`. */
  readonly value: string;
  readonly help: string;
  /** It names a file, which a replay does not open because a result names it. Default false. */
  readonly file?: boolean;
  /**
   * The file decides which cases there are, so that a run with it is not replayed. Default false.
   */
  readonly decides?: boolean;
  /** Parses the value; throws a {@linkcode RangeError} with one line. */
  readonly parse: (text: string) => unknown;
}

/** Memory of a suite's cases, planned and not allocated. */
export interface SuiteMemory {
  /** Every buffer with its bytes, for a terminal. */
  readonly lines: readonly string[];
  /** Why cases cannot run, one line each; empty where all of them can. */
  readonly refused: readonly string[];
}

/** Options of a run before its device is open: without a profile name, the adapter decides. */
export interface OpenOptions extends Omit<PlanOptions, "profile"> {
  readonly profile?: string;
  readonly seed: number;
}

interface Planned<G extends PlannedGroup> {
  readonly record: SuiteRecord;
  /** Its section of a profile, under the key from its name. Default: it has none. */
  readonly section?: z.ZodType;
  /**
   * Checks its options and reads its files before a device is opened.
   *
   * @throws {UsageError} one line.
   */
  open?(options: OpenOptions): Promise<unknown>;
  /**
   * Its cases; undefined if it has no share in the run. Pure.
   *
   * @param others.gated cases of other suites that wait for a check; for the suite of the checks.
   * @param others.opened what its `open` returned.
   */
  plan(
    planning: Planning,
    others: { gated: readonly PlannedCase[]; opened?: unknown },
  ): SuitePlan<G> | undefined;
  /**
   * The memory of its cases, for `doctor --plan`; absent where the plan of layers says it.
   *
   * @throws {UsageError} one line, when nothing that was requested can be planned.
   */
  planMemory?(planning: Planning): SuiteMemory;
  /** Weight of a group, for shards. Default: FLOP of one execution of each case. */
  weight?(group: G): number;
}

/** A suite that measures within the run's budget, under its clock. */
export interface BudgetedSuite<G extends PlannedGroup = PlannedGroup> extends Planned<G> {
  begin(session: Session, run: SuiteRun<G>): Measurer<G>;
}

/**
 * A suite that keeps its own time: it comes after all others, and if it runs alone the device is
 * not calibrated.
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
  /** Options of its own, as on the command line. Default: none. */
  readonly flags?: readonly SuiteFlag[];
  /** Whether it plans memory of its own: `doctor --plan NAME`. Default false. */
  readonly plansMemory?: boolean;
  /** Loads what plans and measures; a run loads only its own suites. */
  readonly load: () => Promise<{ readonly suite: Suite }>;
}
