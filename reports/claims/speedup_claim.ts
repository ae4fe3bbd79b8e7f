/**
 * The claim: The paper's speed-up over SDPA at 512K.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { fastestDenseOf } from "../data/speedups.ts";
import { formatMeasured, formatPlural, formatRatio, formatSignificant } from "../text/format.ts";
import { type ClaimRow, judgeRatio } from "./claim.ts";
import { type Direction, HEADLINE_CONTEXT, PAPER_HARDWARE, PAPER_SPEEDUP } from "./paper.ts";
import {
  benchCommand,
  describePoint,
  directionName,
  headlinePoint,
  nearestPoint,
  whyNotReached,
} from "./points.ts";

export function speedupClaim(result: Result, direction: Direction): ClaimRow {
  const value = PAPER_SPEEDUP[direction];
  const base = {
    id: `speedup-${direction}`,
    claim: `${formatRatio(value)} faster than SDPA at 512K tokens, ${directionName(direction)}`,
    paper: { text: formatRatio(value), value, hardware: PAPER_HARDWARE },
    command: benchCommand(result, { contexts: [HEADLINE_CONTEXT], direction }),
    details: [],
    software: result.environment.adapter.software,
  };
  const point = headlinePoint(result, direction);
  if (point === null) {
    const nearest = nearestPoint(result, direction);
    return {
      ...base,
      ours: null,
      extent: null,
      nearest: nearest === null ? null : describePoint(nearest),
      ratio: null,
      verdict: "not run",
      why: whyNotReached(result, direction),
    };
  }
  const fastest = fastestDenseOf(result)(point);
  const verdict = judgeRatio(point.high, value);
  const share = `${formatSignificant(point.ratio / value)} times the paper's value`;
  const unchecked = point.numerator.check === undefined || point.denominator.check === undefined;
  return {
    ...base,
    ours: {
      unit: "ratio",
      value: point.ratio,
      low: point.low,
      high: point.high,
      count: point.count,
      kind: point.kind,
    },
    ...(fastest !== null && {
      beside: `over ${fastest.implementation.replace(/^peer:/, "")}, the fastest dense here: ${
        formatMeasured(fastest.ratio, fastest, formatRatio)
      }`,
    }),
    extent: { points: 1, whole: true },
    nearest: null,
    ratio: point.ratio / value,
    verdict,
    why: `${formatPlural(point.rounds, "interleaved round")} of this suite's own dense and ` +
      `Lighthouse kernels in ${point.denominator.shape.dtype} give ${share}` +
      (unchecked ? "; a case of the pair carries no correctness check of its own." : "."),
  };
}
