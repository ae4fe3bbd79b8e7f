/**
 * The claim: The final loss.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { largest, smallest } from "../data/extremes.ts";
import { type ClaimRow, notRunnable } from "./claim.ts";
import { smallScaleFinding } from "./experiment_finding.ts";
import { trainingRows } from "./paper.ts";

export function lossClaim(result: Result): ClaimRow {
  const rows = trainingRows();
  const losses = rows.map(({ loss }) => loss);
  const baseline = Number(paper.training.rows[0][paper.training.columns.indexOf("final_loss")]);
  return notRunnable({
    id: "final-loss",
    claim: `Final loss at or below SDPA's ${baseline}`,
    paper: `${smallest(losses)}–${largest(losses)}`,
    why: "A loss takes the training itself: 16,000 steps of the whole model on 50 billion tokens.",
    nearest: smallScaleFinding(result, "held-out-loss"),
    software: result.environment.adapter.software,
    details: rows.map(({ label, loss }) => ({ label, paper: loss.toFixed(4) })),
  });
}
