/**
 * The paper's own numbers, as far as claims use them.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { LatencySetting } from "../data/cases.ts";
import { formatContext, formatCount } from "../text/format.ts";

/** The context of the paper's headline numbers. */
export const HEADLINE_CONTEXT = 524_288;

/** The setting of the paper's latency figure. */
export const PAPER_SETTING: LatencySetting = {
  heads: paper.latency.setting.heads,
  headDim: paper.latency.setting.head_dim,
  levels: paper.latency.setting.levels,
  pooling: paper.latency.setting.pooling,
  kDivisor: Number(paper.latency.setting.k.split("/")[1]),
};

/** The paper's speed-up over SDPA at {@linkcode HEADLINE_CONTEXT}. */
export const PAPER_SPEEDUP = {
  "forward": paper.latency.speedup_vs_sdpa_at_524288.forward,
  "forward-backward": paper.latency.speedup_vs_sdpa_at_524288.forward_backward,
} as const;

/** The hardware of the paper's latency measurements, in short. */
export const PAPER_HARDWARE = "NVIDIA B200, bf16, cuDNN";

/** (N/S)² of the paper's latency setting: the largest gain from the attention FLOP alone. */
export const FLOP_RATIO = (() => {
  const { levels, pooling, kDivisor } = PAPER_SETTING;
  const share = 1 / pooling ** (levels - 1) + (levels - 1) * pooling / kDivisor;
  return 1 / share ** 2;
})();

/** A direction for which the paper gives a speed-up. */
export type Direction = keyof typeof PAPER_SPEEDUP;

/** The paper's training rows that differ from its baseline, relative to it. */
export function trainingRows(): {
  label: string;
  relative: number;
  loss: number;
  alone: boolean;
}[] {
  const column = (name: string) => paper.training.columns.indexOf(name);
  const [baseline, ...rows] = paper.training.rows;
  const rate = column("ktok_per_s");
  return rows.map((row) => ({
    label:
      `${row[column("scorer")]}, L = ${row[column("levels")]}, p = ${row[column("pooling")]}, ` +
      `k = ${formatCount(Number(row[column("k")]))}, N = ${
        formatContext(Number(row[column("context")]))
      }, ${Number(row[column("lighthouse_steps")]) / 1000}k of ${
        Number(row[column("total_steps")]) / 1000
      }k steps` +
      (Number(row[column("context_parallel")]) > 1
        ? `, CP ${row[column("context_parallel")]}`
        : ""),
    relative: Number(row[rate]) / Number(baseline[rate]),
    loss: Number(row[column("final_loss")]),
    alone: row[column("context_parallel")] === 1,
  }));
}
