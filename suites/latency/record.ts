/**
 * The records of the suite `latency`: the time of one execution of a layer.
 *
 * @module
 */
import type { SuiteRecord } from "../result/suite_record.ts";

export const latencyRecord: SuiteRecord = {
  name: "latency",
  title: "how long one execution of a layer takes",
  layers: true,
  grid: true,
  // Its grid determines its cases: no other key.
  plannedBy: [],
};
