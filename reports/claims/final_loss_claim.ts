/**
 * The claim: The final loss.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import { largest, smallest } from "../data/extremes.ts";
import { type ClaimRow, notRunnable } from "./claim.ts";
import { trainingRows } from "./paper.ts";

export function lossClaim(): ClaimRow {
  const rows = trainingRows();
  const losses = rows.map(({ loss }) => loss);
  const baseline = Number(paper.training.rows[0][paper.training.columns.indexOf("final_loss")]);
  return notRunnable({
    id: "final-loss",
    claim: `Final loss at or below SDPA's ${baseline}`,
    paper: `${smallest(losses)}–${largest(losses)}`,
    why: "A loss takes the training itself.",
    details: rows.map(({ label, loss }) => ({ label, paper: loss.toFixed(4) })),
  });
}
