/**
 * The records of all suites, in the order in which a run measures them.
 *
 * @module
 */
import { contextParallelRecord } from "../context_parallel/record.ts";
import { correctnessRecord } from "../correctness/record.ts";
import { experimentsRecord } from "../experiments/record.ts";
import { latencyRecord } from "../latency/record.ts";
import { retrievalRecord } from "../retrieval/record.ts";
import { throughputRecord } from "../throughput/record.ts";
import { trainingRecord } from "../training/record.ts";
import { findRecord, type SuiteRecord } from "./suite_record.ts";

/** All of them. */
export const SUITE_RECORDS: readonly SuiteRecord[] = [
  correctnessRecord,
  latencyRecord,
  throughputRecord,
  contextParallelRecord,
  trainingRecord,
  retrievalRecord,
  experimentsRecord,
];

/** The suite whose cases check what others measure. */
export const CHECK_SUITE = SUITE_RECORDS.find(({ checks }) => checks)!.name;

/** Whether a case is a check and not a measurement. */
export function isCheck(
  { suite }: { readonly suite: string },
  records: readonly SuiteRecord[] = SUITE_RECORDS,
): boolean {
  return findRecord(records, suite).checks === true;
}
