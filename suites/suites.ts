/**
 * All suites, in the order in which a run measures them. A new one is a folder and a line here;
 * what it records is a line in `result/suite_records.ts`.
 *
 * @module
 */
import { contextParallelRecord } from "./context_parallel/record.ts";
import { correctnessRecord } from "./correctness/record.ts";
import { latencyRecord } from "./latency/record.ts";
import { NEEDLE_FLAGS } from "./retrieval/options.ts";
import { retrievalRecord } from "./retrieval/record.ts";
import type { SuiteEntry } from "./suite.ts";
import { throughputRecord } from "./throughput/record.ts";
import { TRAINING_FLAGS } from "./training/options.ts";
import { trainingRecord } from "./training/record.ts";

/** All of them; each is loaded where a run has it. */
export const SUITES: readonly SuiteEntry[] = [
  { record: correctnessRecord, load: () => import("./correctness/suite.ts") },
  { record: latencyRecord, load: () => import("./latency/suite.ts") },
  { record: throughputRecord, load: () => import("./throughput/suite.ts") },
  { record: contextParallelRecord, load: () => import("./context_parallel/suite.ts") },
  {
    record: trainingRecord,
    flags: TRAINING_FLAGS,
    plansMemory: true,
    load: () => import("./training/suite.ts"),
  },
  { record: retrievalRecord, flags: NEEDLE_FLAGS, load: () => import("./retrieval/suite.ts") },
];
