/**
 * The records of the suite `correctness`: checks of small layers, without times.
 *
 * @module
 */
import type { SuiteRecord } from "../result/suite_record.ts";

export const correctnessRecord: SuiteRecord = {
  name: "correctness",
  title: "small layers against float64",
  checks: true,
  layers: true,
  plannedBy: ["suites", "directions", "kvHeads", "headDims", "dtype", "options", "sweeps"],
};
