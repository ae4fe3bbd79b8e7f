/**
 * The claim: Needle retrieval.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { largest, smallest } from "../data/extremes.ts";
import { formatCount, formatInterval } from "../text/format.ts";
import { type ClaimRow, notRunnable } from "./claim.ts";
import { smallScaleFinding } from "./experiment_finding.ts";

export function retrievalClaim(result: Result): ClaimRow {
  const { retrieval } = result;
  const { mean, protocol } = paper.retrieval;
  const tested = retrieval?.checkpoint
    ? ` The checkpoint “${
      plainText(retrieval.checkpoint.name)
    }” of this run is none of them; its map is in the retrieval section.`
    : " A model given with --checkpoint is tested by the same protocol.";
  const values = mean.map((row) => row.mean);
  return notRunnable({
    id: "retrieval",
    claim: "Needle retrieval after the dense resume, mean accuracy (Fig. 4)",
    paper: formatInterval([smallest(values), largest(values)], (value) => value.toFixed(2)),
    why: "The accuracies belong to the paper's trained models, which were not " +
      `published; chance is ${protocol.chance}.${tested}`,
    nearest: smallScaleFinding(result, "one-needle"),
    software: result.environment.adapter.software,
    details: mean.map(({ scorer, k, mean }) => ({
      label: k === null ? scorer : `${scorer}, k = ${formatCount(k)}`,
      paper: `${mean.toFixed(2)}, not run`,
    })),
  });
}
