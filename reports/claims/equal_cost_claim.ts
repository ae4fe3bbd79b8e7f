/**
 * The claim: The context at which dense attention costs what Lighthouse costs at 512K.
 *
 * @module
 */
import { headsKey } from "../data/head_counts.ts";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { hasSetting, LEAD_LAYER, OWN_DENSE } from "../data/cases.ts";
import { contextSeries, interpolateLogLog } from "../data/context_series.ts";
import { formatCount } from "../text/format.ts";
import { type ClaimRow, judgeRatio } from "./claim.ts";
import { type Direction, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SETTING } from "./paper.ts";
import { benchCommand, directionName, whyNotReached } from "./points.ts";

export function equalCostClaim(result: Result, direction: Direction): ClaimRow {
  const key = direction === "forward" ? "forward" : "forward_backward";
  const value = paper.latency.sdpa_context_with_the_same_runtime_as_lighthouse_at_524288[key];
  const base = {
    id: `equal-cost-${direction}`,
    claim: `Lighthouse at 512K costs what SDPA costs at ${formatCount(value / 1000)}K, ` +
      directionName(direction),
    paper: { text: `${formatCount(value)} tokens`, value, hardware: PAPER_HARDWARE },
    command: benchCommand(result, {
      contexts: [65_536, 131_072, 262_144, HEADLINE_CONTEXT],
      direction,
    }),
    details: [],
    software: result.environment.adapter.software,
    nearest: null,
  };
  const notRun = (why: string): ClaimRow => ({
    ...base,
    ours: null,
    extent: null,
    ratio: null,
    verdict: "not run",
    why,
  });
  // Only the point at 512K needs the paper's k: at short contexts k is rounded up to 128.
  const series = contextSeries(result).filter((series) => series.direction === direction);
  const lighthouse = series.find(({ implementation, points }) =>
    implementation === LEAD_LAYER &&
    points.some((point) =>
      point.context === HEADLINE_CONTEXT && hasSetting(point.case, PAPER_SETTING)
    )
  );
  if (lighthouse === undefined) {
    return notRun(whyNotReached(result, direction));
  }
  const dense = series.find((one) =>
    one.implementation === OWN_DENSE && one.dtype === lighthouse.dtype &&
    headsKey(one) === headsKey(lighthouse) && one.headDim === lighthouse.headDim
  );
  const target = lighthouse.points.find(({ context }) => context === HEADLINE_CONTEXT)!;
  const at = (end: "median" | "low" | "high", seconds: number) =>
    dense === undefined
      ? null
      : interpolateLogLog(dense.points.map((point) => [point.context, point[end]]), seconds);
  const context = at("median", target.median);
  if (context === null) {
    return notRun(
      "the time of Lighthouse at 512K lies outside the dense times that were measured, and nothing " +
        "is extrapolated.",
    );
  }
  const advantage = (ours: number) => HEADLINE_CONTEXT / ours;
  // A smaller context is the stronger claim; the ends pair the fastest Lighthouse with the slowest
  // dense time and the other way round.
  const low = at("high", target.low) ?? context;
  const high = at("low", target.high) ?? context;
  const around = dense!.points.filter((point, i, all) =>
    point.context >= context && (i === 0 || all[i - 1].context < context) ||
    point.context < context && (all[i + 1]?.context ?? Infinity) >= context
  );
  const resting = [target, ...around];
  const count = Math.min(...resting.map((point) => point.count));
  const kind = resting.some((point) => point.kind === "range") ? "range" : "interval";
  return {
    ...base,
    ours: { unit: "context", value: context, low, high, count, kind },
    extent: { points: 1, whole: true },
    ratio: context / value,
    verdict: judgeRatio(advantage(low), advantage(value)),
    why:
      "Interpolated between measured dense latencies on straight lines in log-log; fewer tokens " +
      "favour Lighthouse.",
  };
}
