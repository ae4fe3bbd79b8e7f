/**
 * The records of the suite `throughput`: a layer that runs repeatedly.
 *
 * @module
 */
import type { SuiteRecord } from "../result/suite_record.ts";

export const throughputRecord: SuiteRecord = {
  name: "throughput",
  title: "tokens per second of a layer that runs again and again",
  layers: true,
  plannedBy: ["directions", "heads", "kvHeads", "headDims", "dtype", "options", "throughput"],
};
