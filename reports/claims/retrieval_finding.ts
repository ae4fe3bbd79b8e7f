/**
 * The finding of a retrieval record, as one clause, and how much data it has.
 *
 * @module
 */
import { LEAD_LAYER } from "../data/cases.ts";
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";
import { answersText } from "../data/answer_data.ts";
import { sweepCurves } from "../data/retrieval_data.ts";
import { formatCount, formatPlural } from "../text/format.ts";

/** The finding of the planted needles; null if the record does not show one. */
export function needleFinding(record: RetrievalRecord): string | null {
  return hasSurvivalEvidence(record)
    ? "Under the norm scorer the size of a needle’s key decides whether it survives"
    : null;
}

/** The first line of a report with needles alone. */
export function retrievalLine(record: RetrievalRecord): string {
  const { cells, instrument, checkpoint } = record;
  if (cells.length === 0 && checkpoint && checkpoint.cells.length > 0) {
    return answersText(checkpoint.name, checkpoint.cells);
  }
  const trials = cells.reduce((sum, cell) => sum + cell.trials, 0);
  const failed = instrument.filter(({ passed }) => !passed).length;
  const checks = formatPlural(instrument.length, "instrument check");
  // A failed instrument proves nothing.
  const finding = failed === 0 ? needleFinding(record) : null;
  return `${finding ?? "Nothing was timed"}: ${formatCount(trials)} needle trials in ` +
    `${formatPlural(cells.length, "cell")}, ` +
    (failed === 0 ? `all ${checks} within their bands.` : `${failed} of ${checks} failed.`);
}

/** Whether norm scores follow salience: never selected at the lowest, always at the highest. */
function hasSurvivalEvidence(record: RetrievalRecord): boolean {
  const norm = sweepCurves(record, { sweep: "salience" }).filter(({ arm }) => arm === LEAD_LAYER);
  return norm.length > 0 && norm.every(({ cells }) => {
    const share = (cell: RetrievalCell) => cell.needleSelected / cell.trials;
    return share(cells[cells.length - 1]) - share(cells[0]) > 0.5;
  });
}
