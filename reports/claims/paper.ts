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

/** The hardware of the paper's training runs, in short. */
export const TRAINING_HARDWARE = "8 × NVIDIA B200";

/** The paper's model, as far as a step depends on it. */
export const PAPER_MODEL = {
  layers: paper.training.model.layers,
  width: paper.training.model.width,
  heads: paper.training.model.heads,
  ffn: paper.training.model.ffn,
  denseEnds: paper.training.model.dense_ends,
  vocabulary: paper.training.model.vocabulary,
} as const;

/** The paper's range of whole runs over SDPA. */
export const PAPER_WHOLE_RUN: readonly [number, number] = [
  paper.training.end_to_end_speedup[0],
  paper.training.end_to_end_speedup[1],
];

/** A row of the paper's training tables. */
export interface PaperRow {
  label: string;
  /** The block of rows that it stands in. */
  group: string;
  scorer: string;
  levels: number;
  pooling: number;
  k: number;
  context: number;
  /** Steps with Lighthouse, and all steps. */
  sparseSteps: number;
  totalSteps: number;
  /** Tokens per second relative to the baseline. */
  relative: number;
  /** Hours of the baseline over those of the row. */
  wholeRun: number;
  loss: number;
  /** Whether it ran without context parallelism, as the baseline did. */
  alone: boolean;
}

/** The paper's training rows that differ from its baseline, relative to it. */
export function trainingRows(): PaperRow[] {
  const column = (name: string) => paper.training.columns.indexOf(name);
  const [baseline, ...rows] = paper.training.rows;
  return rows.map((row): PaperRow => {
    const number = (name: string) => Number(row[column(name)]);
    const own = {
      group: String(row[column("group")]),
      scorer: String(row[column("scorer")]),
      levels: number("levels"),
      pooling: number("pooling"),
      k: number("k"),
      context: number("context"),
      sparseSteps: number("lighthouse_steps"),
      totalSteps: number("total_steps"),
    };
    const parallel = number("context_parallel");
    return {
      ...own,
      label: `${own.scorer}, L = ${own.levels}, p = ${own.pooling}, k = ${formatCount(own.k)}, ` +
        `N = ${formatContext(own.context)}, ${own.sparseSteps / 1000}k of ` +
        `${own.totalSteps / 1000}k steps` + (parallel > 1 ? `, CP ${parallel}` : ""),
      relative: number("ktok_per_s") / Number(baseline[column("ktok_per_s")]),
      wholeRun: Number(baseline[column("b200_hours")]) / number("b200_hours"),
      loss: number("final_loss"),
      alone: parallel === 1,
    };
  });
}
