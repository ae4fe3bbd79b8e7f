/**
 * Made-up training steps for tests of claims and reports.
 *
 * @module
 */
import { sampleStatistic } from "./_sample_statistic.ts";
import type { CaseRecord, RatioRecord, Result, Sample } from "./result_schema.ts";

/** One step. */
export interface SampleStep {
  /** Default dense. */
  readonly scorer?: string;
  readonly levels?: number;
  readonly pooling?: number;
  readonly k?: number;
  /** Of a peer: its name without the prefix. */
  readonly peer?: string;
  /** Median of a step. */
  readonly seconds: number;
}

/** What all steps share. Default: the paper's model at its context. */
export interface SampleModel {
  readonly vocabulary?: number;
  readonly context?: number;
  readonly layers?: number;
  readonly recompute?: "none" | "light" | "least";
}

const SAMPLES = 6;

/** A measured step. */
export function sampleStep(
  { scorer, levels = 3, pooling = 4, k = 1536, peer, seconds }: SampleStep,
  { vocabulary = 256, context = 98_304, layers = 30, recompute = "light" }: SampleModel = {},
): CaseRecord {
  const implementation = peer ? `peer:${peer}` : scorer ? `lighthouse-${scorer}` : "dense";
  const layer = scorer ? `-L${levels}-p${pooling}-k${k}` : "";
  const stages = peer ? [{ name: "step", share: 1, flops: 5e14 }] : [
    { name: "sampling", share: 0.01, flops: 0 },
    { name: "norms", share: 0.04, flops: 0 },
    { name: "products", share: 0.35, flops: 2e14, variant: "matrix units 128/128/32/2×2" },
    { name: "attention", share: 0.5, flops: 3e14 },
    { name: "elementwise", share: 0.04, flops: 0 },
    { name: "loss", share: 0.03, flops: 0 },
    { name: "optimizer", share: 0.03, flops: 0 },
  ];
  return {
    id: `training/${implementation}/forward-backward/N${context}-H8-d128-f16${layer}-` +
      `l${layers}-w1024-f1536-V${vocabulary}-${recompute}`,
    suite: "training",
    implementation,
    family: scorer ? "lighthouse" : "dense",
    ...(scorer && { scorer, options: { levels, pooling, k } }),
    direction: "forward-backward",
    shape: { batch: 1, heads: 8, context, headDim: 128, dtype: "f16" },
    status: "ok",
    flops: 5e14,
    bytes: 1e12,
    peakBytes: 25 * 2 ** 30,
    measuredPeakBytes: 24.5 * 2 ** 30,
    stages: stages.map(({ name, share, flops, variant }) => ({
      name,
      flops,
      bytes: 1e11,
      ...(variant && { variant }),
      samples: [share * seconds, share * seconds],
      statistic: sampleStatistic(share * seconds, { count: 2 }),
    })),
    samples: Array.from({ length: SAMPLES }, (_, i): Sample => ({
      seconds: seconds * (1 + 0.001 * (i % 3)),
      wallSeconds: seconds * 1.01,
      round: i >> 1,
      place: i % 4,
      canary: 1,
    })),
    statistic: sampleStatistic(seconds, { count: SAMPLES }),
    throughput: sampleStatistic(context / seconds, { count: SAMPLES }),
    check: { passed: true, method: "made up", maxError: 3e-4, tolerance: 1e-3 },
    ...(!peer && { digest: { weights: "0123456789abcdef0123456789abcdef" } }),
    training: {
      layers,
      width: 1024,
      ffn: 1536,
      vocabulary,
      parameters: 267_973_632,
      denseEnds: scorer ? 2 : 0,
      batch: 1,
      accumulate: 1,
      tokens: context,
      recompute: peer ? "none" : recompute,
      data: { kind: "seeded", bytes: 4 * context + 1, digest: "5".repeat(64) },
      flops: { products: 1.6e14, attention: 3e14, scorers: 0, recomputed: 4e13 },
      plannedBytes: peer ? {} : {
        weights: 2 ** 30,
        optimizer: 3 * 2 ** 30,
        kept: 17 * 2 ** 30,
        scratch: 4 * 2 ** 30,
        data: 2 ** 20,
        kernels: 0,
      },
      checkedSteps: 1,
      steps: [{ loss: 6.05, gradientNorm: 1, lossScale: 1024 }, { loss: 6.01 }],
      ...(!peer && { after: { steps: 7, weights: "fedcba9876543210fedcba9876543210" } }),
    },
  };
}

/**
 * A result with these steps and the ratios of each dense one over the Lighthouse steps after it.
 */
export function withTraining(
  result: Result,
  steps: readonly SampleStep[],
  model: SampleModel = {},
  { interleaved = true }: { interleaved?: boolean } = {},
): Result {
  const cases = steps.map((one) => sampleStep(one, model));
  const ratios = cases.filter(({ family }) => family === "dense").flatMap((dense) =>
    cases.filter(({ family }) => family === "lighthouse").map((one): RatioRecord => {
      const ratio = dense.statistic!.median / one.statistic!.median;
      return {
        numerator: dense.id,
        denominator: one.id,
        method: "abba",
        rounds: SAMPLES / 2,
        ratio,
        low: ratio * 0.99,
        high: ratio * 1.01,
      };
    })
  );
  return {
    ...result,
    cases: [...result.cases, ...cases],
    ratios: [...result.ratios, ...interleaved ? ratios : []],
  };
}
