/**
 * Whole training steps as a table of text.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { pairRatio, stepName } from "../claims/training_finding.ts";
import { powerLimitText } from "../data/device_readings.ts";
import { spreadOf } from "../data/spread.ts";
import { isPeerStep, trainingCases, trainingPairs } from "../data/training_data.ts";
import {
  ABSENT,
  formatBytes,
  formatContext,
  formatCount,
  formatMeasured,
  formatTokenRate,
} from "./format.ts";
import type { FitColumn } from "./fit_table.ts";

/** A table of text. */
export interface TrainingTable {
  title: string;
  columns: FitColumn[];
  rows: string[][];
  note?: string;
}

/** The table of a run's training steps; none for a run without any. */
export function trainingTables(result: Result): TrainingTable[] {
  const cases = trainingCases(result);
  if (cases.length === 0) return [];
  const pairs = trainingPairs(result);
  return [{
    title: "Training steps",
    columns: [
      { title: "Attention" },
      { title: "Context", numeric: true },
      { title: "V", numeric: true },
      { title: "Recompute" },
      { title: "Tokens per second", numeric: true },
      { title: "÷ dense", numeric: true },
      { title: "Allocated", numeric: true },
    ],
    rows: cases.map((one) => {
      const { record, training, tokensPerSecond } = one;
      const over = pairs.filter(({ lighthouse }) => lighthouse.record.id === record.id);
      return [
        stepName(one),
        formatContext(record.shape.context),
        formatCount(training.vocabulary),
        isPeerStep(one) ? ABSENT : training.recompute,
        (record.throughput
          ? formatMeasured(tokensPerSecond, spreadOf(record.throughput), formatTokenRate)
          : formatTokenRate(tokensPerSecond)) + powerLimitText(record),
        over.map((pair) =>
          isPeerStep(pair.dense) ? `${pairRatio(pair)} (${stepName(pair.dense)})` : pairRatio(pair)
        ).join(", ") || ABSENT,
        record.measuredPeakBytes === undefined ? ABSENT : formatBytes(record.measuredPeakBytes),
      ];
    }),
    note:
      "Whole steps: forward, loss, backward and update. Ratios are over the own dense step of " +
      "the same rounds, or over the peer's that is named.",
  }];
}
