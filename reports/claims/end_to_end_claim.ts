/**
 * The claim: Whole pre-training. No run trains for 16,000 steps; the estimate puts measured steps into
 * the paper's schedules.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { wholeRunSpeedup } from "../data/training_data.ts";
import { formatInterval, formatRatio } from "../text/format.ts";
import type { ClaimRow } from "./claim.ts";
import { PAPER_WHOLE_RUN, TRAINING_HARDWARE } from "./paper.ts";
import { judgeRows, measuredRows } from "./training_rows.ts";

export function endToEndClaim(result: Result): ClaimRow {
  // The block with other lengths of the sparse stage repeats a setting with other hours.
  const rows = measuredRows(result).filter(({ row }) => row.group !== "recoverability");
  return judgeRows(result, {
    rows,
    of: {
      paper: ({ wholeRun }) => wholeRun,
      ours: (ratio, { sparseSteps: sparse, totalSteps: total }) =>
        wholeRunSpeedup(ratio, { sparse, total }),
    },
    base: {
      id: "end-to-end",
      claim: "Whole pre-training, sparse stage and dense resume, against SDPA (computed)",
      paper: {
        text: formatInterval(PAPER_WHOLE_RUN, formatRatio),
        value: null,
        hardware: TRAINING_HARDWARE,
      },
    },
    computed: true,
  });
}
