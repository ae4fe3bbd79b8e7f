/**
 * The claims table: each claim of the paper, and each claim that others make of it, compared with one
 * result. A row is data; `formatQuantity` turns its numbers into text. Each claim has its own file.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import type { ClaimRow } from "./claim.ts";
import { coverageClaim } from "./coverage_claim.ts";
import { claimsSeenElsewhere } from "./elsewhere_claims.ts";
import { endToEndClaim } from "./end_to_end_claim.ts";
import { equalCostClaim } from "./equal_cost_claim.ts";
import { lossClaim } from "./final_loss_claim.ts";
import { flopClaim } from "./flop_claim.ts";
import { growthClaim } from "./growth_claim.ts";
import { retrievalClaim } from "./retrieval_claim.ts";
import { speedupClaim } from "./speedup_claim.ts";
import { trainingThroughputClaim } from "./training_throughput_claim.ts";

export * from "./claim.ts";
export * from "./headline.ts";
export * from "./paper.ts";

/** The claims table of one result, the paper's own claims first. */
export function judgeClaims(result: Result): ClaimRow[] {
  return [
    speedupClaim(result, "forward"),
    speedupClaim(result, "forward-backward"),
    equalCostClaim(result, "forward"),
    equalCostClaim(result, "forward-backward"),
    growthClaim(result),
    flopClaim(result),
    coverageClaim(result),
    trainingThroughputClaim(result),
    endToEndClaim(result),
    lossClaim(result),
    retrievalClaim(result),
    ...claimsSeenElsewhere(result),
  ];
}
