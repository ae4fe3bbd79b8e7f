/**
 * The claim: Training tokens per second.
 *
 * @module
 */
import { largest, smallest } from "../data/extremes.ts";
import { formatInterval, formatRatio } from "../text/format.ts";
import { type ClaimRow, notRunnable } from "./claim.ts";
import { trainingRows } from "./paper.ts";

const NO_TRAINING =
  "This suite times one attention layer, and a layer alone is not a training step: the MLPs, the four " +
  "dense layers, the optimizer and the data pipeline are missing";

export function trainingThroughputClaim(): ClaimRow {
  // Rows with context parallelism ran on other hardware than the baseline.
  const rows = trainingRows().filter((row) => row.alone);
  const relatives = rows.map(({ relative }) => relative);
  return notRunnable({
    id: "training-throughput",
    claim: "Training tokens per second relative to SDPA, Tables 1 and 2 (98,304 tokens)",
    paper: `${formatInterval([smallest(relatives), largest(relatives)], formatRatio)}`,
    why: `${NO_TRAINING}.`,
    details: rows.map(({ label, relative }) => ({ label, paper: formatRatio(relative) })),
  });
}
