/**
 * The gate's verdicts as every page of a site words them. It runs in the pages of a site too.
 *
 * @module
 */
import type { CaseVerdict } from "../gate/gate_report.ts";
import { formatPercent } from "../text/format.ts";

/**
 * A verdict in words. That nothing changed is known up to a size only.
 *
 * @param options.tolerance The relative change that is ruled out; null where the code is the same,
 * so that every difference is noise.
 *
 * @example
 * ```ts
 * import { verdictWord } from "./verdict_words.ts";
 * import assert from "node:assert/strict";
 * assert.equal(verdictWord("same", { tolerance: 0.1 }), "no change above 10\u00a0%");
 * assert.equal(verdictWord("inconclusive", { tolerance: 0.1 }), "undecided");
 * ```
 */
export function verdictWord(
  verdict: CaseVerdict,
  { tolerance }: { tolerance: number | null },
): string {
  if (verdict === "inconclusive") return "undecided";
  if (verdict !== "same") return verdict;
  return tolerance === null ? "same code" : `no change above ${formatTolerance(tolerance)}`;
}

function formatTolerance(tolerance: number): string {
  return formatPercent(tolerance).replace(/\.0(?=\D)/, "").replace(" ", "\u00a0");
}
