/**
 * What a suite declares about its records: how they are read, joined and compared. Merging,
 * replaying, the gate and the site use it and name no suite.
 *
 * @module
 */
import type { CaseRecord, Result, Sample } from "./result.ts";

/** Numbers behind a case's digest, by the name of what they measure. */
export type Findings = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/** What a suite stores in a result besides its cases. */
export interface SuitePart {
  /** Its field of a result. */
  readonly key: string;
  /** Joins the parts of several shards; undefined if none has any. */
  readonly join: (results: readonly Result[]) => unknown;
  /** Whether it holds a measurement, however its cases ended. */
  readonly measured: (result: Result) => boolean;
  /** The values behind a case's digest: the gate names those that differ. */
  readonly findings?: (result: Result, caseId: string) => Findings;
}

/**
 * A suite's records. A record's identity is its case id: two results of one plan have the same ids.
 */
export interface SuiteRecord {
  /** Its name in `suite` of its cases and on the command line: `context-parallel`. */
  readonly name: string;
  /** For people: what it measures, a short phrase. */
  readonly title: string;
  /** The command that plans and runs its cases. Default: `bench`, which has it in its registry. */
  readonly command?: string;
  /** Its cases check what other suites measure. One suite has it. Default false. */
  readonly checks?: boolean;
  /**
   * A case is one layer of its implementation: shape, direction and options are enough to
   * run it again. Default false.
   */
  readonly layers?: boolean;
  /**
   * Its cases are the points of the configuration's grid of layers, so that each axis shows whether
   * a run was to measure a case. Default false.
   */
  readonly grid?: boolean;
  /**
   * Keys of a configuration that decide which cases exist, besides the suite and the
   * implementation. Default: all keys that decide any.
   */
  readonly plannedBy?: readonly string[];
  /** Samples that the gate compares, of a case that ran. Default: those of the record. */
  readonly samples?: (record: CaseRecord) => readonly Sample[];
  /**
   * Fields that must be equal in two runs with the same inputs on the same adapter, besides cost,
   * digests and error bounds; for cases that ran. Default: none.
   */
  readonly exact?: (record: CaseRecord) => Readonly<Record<string, unknown>>;
  readonly part?: SuitePart;
}

/** The record of a suite by name; a suite unknown to this version has the defaults. */
export function findRecord(records: readonly SuiteRecord[], name: string): SuiteRecord {
  return records.find((one) => one.name === name) ?? { name, title: name };
}

/** A suite's section of a profile and a configuration: `contextParallel`. */
export function sectionKey(suite: string): string {
  return suite.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
