/**
 * The claim: The FLOP of attention fall by (N/S)².
 *
 * @module
 */
import { headsKey } from "../data/head_counts.ts";
import { LEAD_SCORER, OWN_DENSE } from "../data/cases.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { formatPlural, formatRatio } from "../text/format.ts";
import type { ClaimRow } from "./claim.ts";
import { FLOP_RATIO, PAPER_SETTING } from "./paper.ts";
import { benchCommand } from "./points.ts";

export function flopClaim(result: Result): ClaimRow {
  const base = {
    id: "flop-ratio",
    claim: "At k = N/64, L = 3, p = 4 the attention FLOP fall by (N/S)²",
    paper: {
      text: formatRatio(FLOP_RATIO),
      value: FLOP_RATIO,
      hardware: "computed, any hardware",
    },
    command: benchCommand(result, { contexts: [8192], direction: "forward" }),
    details: [],
    software: false,
    nearest: null,
  };
  const shapeOf = ({ shape }: CaseRecord) => `${shape.context} ${headsKey(shape)} ${shape.headDim}`;
  const whole = new Map<string, CaseRecord>();
  for (const record of result.cases) {
    if (record.implementation !== OWN_DENSE || record.direction !== "forward") continue;
    if (!whole.has(shapeOf(record))) whole.set(shapeOf(record), record);
  }
  const pairs = result.cases.flatMap((record) => {
    const { options } = record;
    if (record.direction !== "forward" || record.scorer !== LEAD_SCORER || !options) return [];
    const { levels, pooling, k } = options;
    const { kDivisor } = PAPER_SETTING;
    if (levels !== PAPER_SETTING.levels || pooling !== PAPER_SETTING.pooling) return [];
    if (k * kDivisor !== record.shape.context) return [];
    const inner = record.stages.find(({ name }) => name === "attention");
    const dense = whole.get(shapeOf(record));
    return inner === undefined || inner.flops === 0 || dense === undefined
      ? []
      : [dense.flops / inner.flops];
  });
  if (pairs.length === 0) {
    return {
      ...base,
      ours: null,
      extent: null,
      ratio: null,
      verdict: "not run",
      why: "No dense and Lighthouse pair of this setting was planned.",
    };
  }
  const worst = pairs.reduce((a, b) => Math.abs(b - FLOP_RATIO) > Math.abs(a - FLOP_RATIO) ? b : a);
  const exact = Math.abs(worst / FLOP_RATIO - 1) < 1e-9;
  return {
    ...base,
    ours: { unit: "ratio", value: worst, low: null, high: null },
    extent: { points: pairs.length, whole: true },
    ratio: worst / FLOP_RATIO,
    verdict: exact ? "reproduced" : "not reproduced",
    why: exact
      ? `Exact in ${
        formatPlural(pairs.length, "pair")
      }: counted work, not a time, and the most that ` +
        `attention alone could gain.`
      : `The FLOP of the ${
        formatPlural(pairs.length, "pair")
      } give another ratio, so S or the count ` +
        `of work differs from the paper's.`,
  };
}
