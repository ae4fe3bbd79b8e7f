/**
 * What the paper's own retrieval results can tell apart: intervals of its shares, which rest on so many
 * prompts and one training seed each.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import { wilsonInterval } from "../../suites/statistics/intervals.ts";

/** A share of the paper's with its interval. */
export interface PaperShare {
  readonly scorer: string;
  readonly k: number | null;
  readonly share: number;
  readonly low: number;
  readonly high: number;
  /** Whether its difference from dense is larger than chance between prompts makes 95 % of them. */
  readonly separable: boolean;
}

/** Prompts behind each of the paper's shares. */
export function paperTrials(): number {
  const { depths_percent, contexts, trials_per_cell } = paper.retrieval.protocol;
  return depths_percent.length * contexts.length * trials_per_cell;
}

/** The paper's shares with Wilson's intervals, and whether chance between prompts explains them. */
export function paperShares(): PaperShare[] {
  const trials = paperTrials();
  const dense = paper.retrieval.mean.find(({ k }) => k === null)!.mean;
  return paper.retrieval.mean.map(({ scorer, k, mean }) => {
    const { low, high } = wilsonInterval(Math.round(mean * trials), trials);
    const pooled = (mean + dense) / 2;
    const deviation = Math.sqrt(2 * pooled * (1 - pooled) / trials);
    return {
      scorer,
      k,
      share: mean,
      low,
      high,
      separable: Math.abs(mean - dense) > 1.96 * deviation,
    };
  });
}
