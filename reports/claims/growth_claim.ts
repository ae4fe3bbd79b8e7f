/**
 * The claim: The speed-up grows with the context.
 *
 * @module
 */
import { LEAD_LAYER } from "../data/cases.ts";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { Result } from "../../suites/result/result_schema.ts";
import { findCrossover, speedupSeries } from "../data/speedups.ts";
import { formatContext, formatCount, formatMeasured, formatRatio } from "../text/format.ts";
import type { ClaimRow, Verdict } from "./claim.ts";
import { HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "./paper.ts";
import { benchCommand } from "./points.ts";

export function growthClaim(result: Result): ClaimRow {
  const series = speedupSeries(result).find(({ implementation, direction, k }) =>
    implementation === LEAD_LAYER && direction === "forward" && k === "N/64"
  );
  const points = series?.points ?? [];
  const base = {
    id: "growth",
    claim: "The speed-up grows with the context",
    paper: {
      text: `up to ${formatRatio(PAPER_SPEEDUP.forward)} at 512K`,
      value: null,
      hardware: PAPER_HARDWARE,
    },
    command: benchCommand(result, {
      // Those that the sentence names too, where the run began below the paper's.
      contexts: [
        ...new Set([
          ...paper.latency.setting.contexts,
          ...points.map(({ context }) => context),
        ]),
      ].sort((a, b) => a - b),
      direction: "forward",
    }),
    details: points.map((point) => ({
      label: formatContext(point.context),
      paper: formatMeasured(point.ratio, point, formatRatio),
    })),
    software: result.environment.adapter.software,
    nearest: null,
    ratio: null,
  };
  if (points.length < 2) {
    return {
      ...base,
      ours: null,
      extent: null,
      verdict: "not run",
      why: `Growth takes speed-ups at two contexts or more: ${
        points.length === 0 ? "there is none" : "there is one"
      }.`,
    };
  }
  const first = points[0];
  const last = points[points.length - 1];
  const falls = points.some((point, i) => i > 0 && point.high < points[i - 1].low);
  const grows = last.low > first.high;
  const full = last.context >= HEADLINE_CONTEXT &&
    first.context <= paper.latency.setting.contexts[0];
  const verdict: Verdict = !grows ? "not reproduced" : falls || !full ? "partly" : "reproduced";
  const crossover = findCrossover(points)!;
  const at = formatContext(Math.round(crossover.context));
  const note = crossover.kind === "at"
    ? `crossover at ${formatCount(Number(crossover.context.toPrecision(3)))} tokens`
    : crossover.kind === "below"
    ? `above 1 from ${at} on`
    : `no crossover up to ${at}`;
  const range = `from ${formatRatio(first.ratio)} at ${formatContext(first.context)} to ` +
    `${formatRatio(last.ratio)} at ${formatContext(last.context)}`;
  const absent = paper.latency.setting.contexts.filter((wanted) =>
    points.every(({ context }) => context !== wanted)
  ).map(formatContext);
  const ending = !grows
    ? "which is not growth beyond the intervals"
    : falls
    ? "with a step down on the way"
    : full
    ? absent.length === 0
      ? "over the paper's whole range"
      : `from end to end of the paper's range; ${absent.join(", ")} ${
        absent.length === 1 ? "has" : "have"
      } no speed-up here`
    : "but not over the paper's whole range of 8K to 512K";
  const clamp = series!.clamp;
  const held = clamp === null
    ? ""
    : clamp.whole
    ? ` k is ${
      formatCount(clamp.k)
    } at all of them, more than N/64: this is the growth at a constant k.`
    : ` Up to ${formatContext(clamp.upTo)} k is held at ${
      formatCount(clamp.k)
    }, more than N/64: growth there is that at a constant k.`;
  return {
    ...base,
    ours: { unit: "context", value: crossover.context, low: null, high: null, note },
    extent: { points: points.length, whole: full },
    verdict,
    why: `It goes ${range}, ${ending}.${held}`,
  };
}
