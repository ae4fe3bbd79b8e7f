/**
 * The short written findings of a report: sentences whose every number is computed from the result,
 * or, where stated, from the CUDA reference run in `fixtures/anchors/`.
 *
 * @module
 */
import { headsKey } from "../data/head_counts.ts";
import { OWN_DENSE } from "../data/cases.ts";
import anchor from "../../fixtures/anchors/h100-cuda.json" with { type: "json" };
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import {
  type ContextPoint,
  type ContextSeries,
  contextSeries,
  DIRECTION_NAMES,
  findCrossover,
  isLighthouseSeries,
  localFit,
  type SpeedupPoint,
  speedupPoints,
  type SpeedupSeries,
  speedupSeries,
  stageSeconds,
} from "../data/analysis.ts";
import { imbalance, shardedCases } from "../data/context_parallel_data.ts";
import {
  formatContext,
  formatCount,
  formatFlopRate,
  formatInterval,
  formatMeasured,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSignificant,
} from "../text/format.ts";
import { qualityCases } from "../data/selection_data.ts";
import { largest, smallest } from "../data/extremes.ts";

type Direction = CaseRecord["direction"];

/** One finding. */
export interface Finding {
  title: string;
  sentences: string[];
}

/** The findings from the data of a result; empty if it has none. */
export function findings(result: Result): Finding[] {
  return [
    crossoverFinding(result),
    dilatedFinding(result),
    gridFinding(result),
    selectionFinding(result),
    shardFinding(result),
  ].filter((finding) => finding !== null);
}

/** The context from which each scorer wins, in each direction. */
function crossoverFinding(result: Result): Finding | null {
  const series = leadSeries(result).filter(isLighthouseSeries);
  if (series.length === 0) return null;
  return {
    title: "Where Lighthouse begins to win",
    sentences: series.map((one) => {
      const last = one.points[one.points.length - 1];
      const crossover = findCrossover(one.points)!;
      const end = `at ${formatContext(last.context)}, the end of the sweep, its speed-up is ${
        formatMeasured(last.ratio, last, formatRatio)
      }`;
      const who = `${one.implementation}, ${DIRECTION_NAMES[one.direction]}`;
      switch (crossover.kind) {
        case "at":
          return `${who}: faster than dense attention from about ${
            formatCount(Number(crossover.context.toPrecision(2)))
          } tokens on; ${end}.`;
        case "below":
          return `${who}: ahead from the first context of the sweep, ${
            formatContext(crossover.context)
          }; ${end}.`;
        case "above":
          return `${who}: not faster than dense attention up to ${
            formatContext(crossover.context)
          }; ${end}.`;
      }
    }),
  };
}

/** Why the dilated scorer gains little: its own work is quadratic too. */
function dilatedFinding(result: Result): Finding | null {
  const series = contextSeries(result);
  const dilated = series.find(({ implementation, direction }) =>
    implementation === "lighthouse-dilated" && direction === "forward"
  );
  const alike = (name: string, wanted: Direction) =>
    series.find((one) =>
      dilated !== undefined && one.implementation === name && one.direction === wanted &&
      headsKey(one) === headsKey(dilated) && one.headDim === dilated.headDim &&
      one.dtype === dilated.dtype && (one.dilation ?? dilated.dilation) === dilated.dilation
    );
  const dense = alike(OWN_DENSE, "forward");
  if (dilated === undefined) return null;
  const scored = dilated.points.flatMap((point) => {
    const score = scoreStage(point);
    return score === null ? [] : [{ point, ...score }];
  });
  if (scored.length === 0) return null;
  const last = scored[scored.length - 1];
  const total = last.point.case.stages.reduce((sum, stage) => sum + (stageSeconds(stage) ?? 0), 0);
  const fit = localFit(scored.map(({ point, seconds }) => [point.context, seconds]));
  const at = formatContext(last.point.context);
  const sentences = [
    `Scoring takes ${formatPercent(last.seconds / total)} of the dilated layer at ${at}` +
    (fit !== null
      ? ` and grows as N^${fit.exponent.toFixed(2)} from ${formatContext(fit.from)} on.`
      : "."),
  ];
  const { dilation } = last.point.case.options!;
  const whole = dense?.points.find(({ context }) => context === last.point.context);
  const denseFlops = 2 * last.point.context ** 2 * dilated.heads * dilated.headDim;
  if (last.flops > 0) {
    const bound = denseFlops / last.flops;
    sentences.push(
      `It runs attention twice within ${
        dilation === undefined ? "the residue classes" : `${dilation} residue classes`
      }: quadratic in N, with ${formatPercent(last.flops / denseFlops)} of the FLOP of dense ` +
        `attention. So the layer cannot gain more than ${
          formatRatio(bound)
        } at any context while ` +
        `both run at one rate, however cheap the rest is.`,
    );
  }
  if (whole !== undefined) {
    sentences.push(
      `Here dense attention runs at ${formatFlopRate(whole.case.flops / whole.median)} and the ` +
        `scores at ${formatFlopRate(last.flops / last.seconds)}; the whole gains ${
          formatRatio(whole.median / last.point.median)
        } by the medians at ${at}.`,
    );
  }
  const both = "forward-backward";
  sentences.push(
    ...dilatedBothSentence({
      dilated: alike("lighthouse-dilated", both),
      dense: alike(OWN_DENSE, both),
    }),
    cudaSentence(),
  );
  return { title: "Why the dilated scorer gains little", sentences };
}

/** With both passes, scoring is weighed against more work: the bound, and the measurement. */
function dilatedBothSentence(
  { dilated, dense }: { dilated?: ContextSeries; dense?: ContextSeries },
): string[] {
  for (const point of dilated?.points.toReversed() ?? []) {
    const whole = dense?.points.find(({ context }) => context === point.context);
    const flops = point.case.stages.find(({ name }) => name === "score")?.flops ?? 0;
    if (whole === undefined || flops === 0) continue;
    const [bound, gain] = [whole.case.flops / flops, whole.median / point.median];
    const score = scoreStage(point);
    const rates = score === null
      ? ""
      : `: dense attention runs at ${
        formatFlopRate(whole.case.flops / whole.median)
      } there and the scores at ${formatFlopRate(score.flops / score.seconds)}`;
    return [
      `Forward and backward the same bound is ${formatRatio(bound)} while both run at one rate, ` +
      `since no gradient flows through scores. The whole gains ${
        formatRatio(gain)
      } by the medians at ${formatContext(point.context)}${
        gain > bound ? ", more than at one rate" : ""
      }${rates}.`,
    ];
  }
  return [];
}

/** What the published code gains on CUDA at the contexts of a quarter of a million tokens and up. */
function cudaSentence(): string {
  const rows = anchor.rows.filter(({ N, dilated_fwd, sdpa_cudnn_fwd }) =>
    N >= 2 ** 18 && dilated_fwd > 0 && sdpa_cudnn_fwd > 0
  );
  const gains = rows.map(({ sdpa_cudnn_fwd, dilated_fwd }) => sdpa_cudnn_fwd / dilated_fwd);
  const contexts = rows.map(({ N }) => N);
  return `The published CUDA code gains ${
    formatInterval([smallest(gains), largest(gains)], formatRatio)
  } over cuDNN attention at ${
    formatInterval([smallest(contexts), largest(contexts)], formatContext)
  }, forward (${anchor.device}, ${anchor.date}; not a measurement of this run).`;
}

/** Fastest and slowest setting of each context with swept options. */
function gridFinding(result: Result): Finding | null {
  const points = speedupPoints(result).filter(({ denominator }) =>
    (denominator.sweeps ?? []).some((sweep) => sweep !== "context")
  );
  const groups = new Map<string, SpeedupPoint[]>();
  for (const point of points) {
    const { implementation, direction } = point.denominator;
    const key = `${implementation} ${direction} ${point.context}`;
    groups.set(key, [...groups.get(key) ?? [], point]);
  }
  const sentences = [...groups.values()].filter((group) => group.length > 1).map((group) => {
    const best = group.reduce((a, b) => b.ratio > a.ratio ? b : a);
    const worst = group.reduce((a, b) => b.ratio < a.ratio ? b : a);
    const { implementation, direction } = best.denominator;
    return `${implementation}, ${DIRECTION_NAMES[direction]}, at ${
      formatContext(best.context)
    }: of ${formatCount(group.length)} settings ${setting(best.denominator)} gains most, ${
      formatRatio(best.ratio)
    }, and ${setting(worst.denominator)} least, ${formatRatio(worst.ratio)}.`;
  });
  return sentences.length === 0 ? null : { title: "What k, p and L cost", sentences };
}

/** Coverage, and how stable the selection is. */
function selectionFinding(result: Result): Finding | null {
  const cases = qualityCases(result);
  if (cases.length === 0) return null;
  const share = Math.max(
    ...cases.map(({ quality }) => quality.uncoveredRows / quality.rows),
  );
  const selections = formatPlural(cases.length, "selection");
  const percent = formatPercent(share);
  const most = percent.startsWith("< ") ? `less than ${percent.slice(2)}` : `at most ${percent}`;
  const sentences = [
    share === 0
      ? `In ${selections} every row has a contributor.`
      : `In ${selections} ${most} of the rows have no contributor, all of them at the start of a ` +
        `context.`,
  ];
  const stable = cases.flatMap(({ quality }) => quality.stability ? [quality.stability] : []);
  if (stable.length > 0) {
    const values = stable.map(({ jaccard }) => jaccard);
    sentences.push(
      `With relative noise of ${
        formatPercent(stable[0].noise)
      } on Q and K, selections keep a Jaccard index of ${
        formatInterval([smallest(values), largest(values)], formatSignificant)
      }.`,
    );
  }
  const overlaps = cases.flatMap(({ implementation, context, quality }) =>
    (quality.overlaps ?? []).map((overlap) => ({ context, a: implementation, overlap }))
  );
  const longest = Math.max(0, ...overlaps.map(({ context }) => context));
  const seen = new Set<string>();
  for (const { context, a, overlap } of overlaps) {
    const key = `${a} ${overlap.implementation}`;
    if (context !== longest || seen.has(key)) continue;
    seen.add(key);
    sentences.push(
      `${a} and ${overlap.implementation} agree with a Jaccard index of ${
        formatSignificant(overlap.jaccard)
      } at ${formatContext(context)}.`,
    );
  }
  return { title: "What selection reaches", sentences };
}

/** How far selections made in shards agree with those made without; null if the run made none. */
export function shardSentence(result: Result): string | null {
  const cases = shardedCases(result);
  if (cases.length === 0) return null;
  const values = cases.map(({ sharded }) => sharded.selection.jaccard);
  return values.every((value) => value === 1)
    ? `Cut into ${
      [...new Set(cases.map(({ sharded }) => sharded.shards))].join(", ")
    } shards, every selection is the one made without shards.`
    : `Selections made in shards agree with those made without shards, with a Jaccard index of ${
      formatInterval([smallest(values), largest(values)], formatSignificant)
    }.`;
}

/** The effect of shards. */
function shardFinding(result: Result): Finding | null {
  const cases = shardedCases(result);
  if (cases.length === 0) return null;
  const sentences = [shardSentence(result)!];
  for (const partition of ["contiguous", "head-tail"] as const) {
    const own = cases.filter(({ sharded }) => sharded.partition === partition);
    if (own.length === 0) continue;
    const most = own.reduce((a, b) => b.sharded.shards >= a.sharded.shards ? b : a);
    sentences.push(
      `${partition}, ${most.sharded.shards} shards: the busiest shard of a ring step has up to ${
        formatRatio(imbalance(most.sharded))
      } the mean work` + (most.ring === null
        ? "."
        : `, and waiting for it makes the ring take ${
          formatSeconds(most.ring.criticalSeconds)
        } where even work would take ${formatSeconds(most.ring.evenSeconds)}.`),
    );
  }
  return { title: "What shards change", sentences };
}

/** For each implementation and direction the first setting, which is the paper's if it was run. */
function leadSeries(result: Result): SpeedupSeries[] {
  const seen = new Set<string>();
  return speedupSeries(result).filter(({ implementation, direction }) => {
    const key = `${implementation} ${direction}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function scoreStage({ case: record }: ContextPoint): { seconds: number; flops: number } | null {
  const stage = record.stages.find(({ name }) => name === "score");
  const seconds = stage === undefined ? null : stageSeconds(stage);
  return seconds === null || seconds <= 0 ? null : { seconds, flops: stage!.flops };
}

function setting({ options }: CaseRecord): string {
  const { levels, pooling, k } = options!;
  return `L = ${levels}, p = ${pooling}, k = ${formatCount(k)}`;
}
