/**
 * The claim: Whole pre-training.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import { formatInterval, formatRatio } from "../text/format.ts";
import { type ClaimRow, notRunnable } from "./claim.ts";

export function endToEndClaim(): ClaimRow {
  const [low, high] = paper.training.end_to_end_speedup;
  return notRunnable({
    id: "end-to-end",
    claim: "Whole pre-training, sparse stage and dense resume, against SDPA",
    paper: formatInterval([low, high], formatRatio),
    why: "It takes whole training runs of 16,000 steps on eight B200.",
    details: [],
  });
}
