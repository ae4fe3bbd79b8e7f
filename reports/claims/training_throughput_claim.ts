/**
 * The claim: Training tokens per second.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { largest, smallest } from "../data/extremes.ts";
import { formatInterval, formatRatio } from "../text/format.ts";
import type { ClaimRow } from "./claim.ts";
import { TRAINING_HARDWARE } from "./paper.ts";
import { judgeRows, measuredRows } from "./training_rows.ts";

export function trainingThroughputClaim(result: Result): ClaimRow {
  const rows = measuredRows(result);
  const relatives = rows.map(({ row }) => row.relative);
  return judgeRows(result, {
    rows,
    of: { paper: ({ relative }) => relative, ours: (ratio) => ratio },
    base: {
      id: "training-throughput",
      claim: "Training tokens per second relative to SDPA, Tables 1 and 2 (98,304 tokens)",
      paper: {
        text: formatInterval([smallest(relatives), largest(relatives)], formatRatio),
        value: null,
        hardware: TRAINING_HARDWARE,
      },
    },
    computed: false,
  });
}
