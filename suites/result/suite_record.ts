/**
 * What a suite says of its records: how they are read, joined and compared. Merging, replaying, the
 * gate and the site go by it and name no suite.
 *
 * @module
 */
import type { CaseRecord, Result, Sample } from "./result.ts";

/** Numbers behind a case's digest, by the name of what they were measured of. */
export type Findings = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/** What a suite leaves in a result beside its cases. */
export interface SuitePart {
  /** Its field of a result. */
  readonly key: string;
  /** The parts of several shards as one; undefined where none has any. */
  readonly join: (results: readonly Result[]) => unknown;
  /** Whether it holds a measurement, however its cases ended. */
  readonly measured: (result: Result) => boolean;
  /** What a case's digest is of: the gate names what of it differs. */
  readonly findings?: (result: Result, caseId: string) => Findings;
}

/**
 * A suite's records. A record's identity is its case id: two results of one plan have the same ones.
 */
export interface SuiteRecord {
  /** As `suite` of its cases and the command line have it: `context-parallel`. */
  readonly name: string;
  /** For people: what it measures, a short phrase. */
  readonly title: string;
  /** Its cases are checks of what other suites measure. One suite has it. Default false. */
  readonly checks?: boolean;
  /**
   * A case is one layer of its implementation: shape, direction and options are all that it takes to
   * run it again. Default false.
   */
  readonly layers?: boolean;
  /**
   * Its cases are the points of the configuration's grid of layers, so that each axis tells whether a
   * run was asked for a case. Default false.
   */
  readonly grid?: boolean;
  /**
   * Keys of a configuration that decide which cases there are, beside the suite and the implementation.
   * Default: all keys that decide any.
   */
  readonly plannedBy?: readonly string[];
  /** Samples that the gate compares, of a case that ran. Default: those of the record. */
  readonly samples?: (record: CaseRecord) => readonly Sample[];
  /**
   * Fields that two runs with the same inputs on the same adapter must have equal, beside cost, digests
   * and error bounds; of cases that ran. Default: none.
   */
  readonly exact?: (record: CaseRecord) => Readonly<Record<string, unknown>>;
  readonly part?: SuitePart;
}

/** The record of a suite by name; one that this version does not know has the defaults. */
export function findRecord(records: readonly SuiteRecord[], name: string): SuiteRecord {
  return records.find((one) => one.name === name) ?? { name, title: name };
}

/** A suite's section of a profile and a configuration: `contextParallel`. */
export function sectionKey(suite: string): string {
  return suite.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
