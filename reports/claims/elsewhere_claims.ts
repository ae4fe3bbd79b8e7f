/**
 * The claim: What others say of the paper.
 *
 * @module
 */
import { LEAD_LAYER } from "../data/cases.ts";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { contextSeries } from "../data/context_series.ts";
import { formatContext } from "../text/format.ts";
import type { ClaimRow } from "./claim.ts";

export function claimsSeenElsewhere(result: Result): ClaimRow[] {
  const lighthouse = contextSeries(result).find(({ implementation, direction }) =>
    implementation === LEAD_LAYER && direction === "forward"
  );
  return paper.claims_seen_elsewhere.map(({ claim, in_paper, fact }, i): ClaimRow => {
    const slope = /linear complexity/.test(claim) && lighthouse?.fit
      ? ` Measured here: latency grows as N^${lighthouse.fit.exponent.toFixed(2)} from ${
        formatContext(lighthouse.fit.from)
      } to ${formatContext(lighthouse.fit.to)}.`
      : "";
    const scope = typeof in_paper === "string" ? ` The paper says so ${in_paper}.` : "";
    return {
      id: `elsewhere-${i + 1}`,
      claim: `${claim[0].toUpperCase()}${claim.slice(1)}`,
      paper: {
        text: typeof in_paper === "string" ? in_paper : "not in the paper",
        value: null,
        hardware: "seen in articles",
      },
      ours: null,
      extent: null,
      nearest: null,
      ratio: null,
      verdict: "not the paper's claim",
      why: `${fact[0].toUpperCase()}${fact.slice(1)}.${scope}${slope}`,
      command: null,
      details: [],
      software: false,
    };
  });
}
