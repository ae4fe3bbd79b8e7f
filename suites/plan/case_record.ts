/**
 * Records of cases, made from the plan and from measurements.
 *
 * @module
 */
import { bytesPerElement } from "../../kernels/gpu/buffers.ts";
import { kvHeadsOf } from "../../kernels/key_heads.ts";
import type { ImplementationPlan, LayerOptions, Problem } from "../../kernels/implementation.ts";
import type { PlannedCase } from "./planned_case.ts";
import type { CaseRecord, CheckRecord, Sample, StageRecord } from "../result/result_schema.ts";
import { invertStatistic, summarize } from "../statistics/statistics.ts";

/** The record of a case before it ran: its identity and its cost. */
export function caseRecord(
  entry: PlannedCase,
  outcome: { status: CaseRecord["status"]; reason?: string },
): CaseRecord {
  const { plan, problem } = entry;
  return {
    id: entry.id,
    suite: entry.suite,
    implementation: entry.implementation,
    family: entry.family,
    ...(entry.scorer !== undefined && { scorer: entry.scorer }),
    direction: entry.direction,
    shape: { batch: 1, ...problem.shape },
    ...(problem.options && { options: definedOptions(problem.options) }),
    ...(entry.rules && { rules: { ...entry.rules } }),
    ...(plan?.gathered !== undefined && { gathered: plan.gathered }),
    ...(entry.sweeps.length > 0 && { sweeps: [...entry.sweeps] }),
    status: outcome.status,
    ...(outcome.reason !== undefined && { reason: outcome.reason }),
    flops: plan?.flops ?? 0,
    bytes: plan?.bytes ?? 0,
    peakBytes: plan?.peakBytes ?? 0,
    leastBytes: leastBytes(problem),
    stages: plan ? stageRecords(plan) : [],
    samples: [],
  };
}

/** Options without the absent ones. */
function definedOptions(options: LayerOptions): Record<string, number> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Record<string, number>;
}

/** Bytes of inputs and outputs alone: the minimum for any way of computing the layer. */
export function leastBytes({ shape, direction = "forward" }: Problem): number {
  const { heads, context, headDim, dtype } = shape;
  // Q and the output, K and V; dO, dQ and the gradients of K and V as well.
  const tensors = direction === "forward" ? 2 : 4;
  return tensors * (heads + kvHeadsOf(shape)) * context * headDim * bytesPerElement(dtype);
}

/** The stages of a plan with the samples of each, one list for each stage. */
export function stageRecords(
  plan: ImplementationPlan,
  samples: readonly (readonly number[])[] = [],
): StageRecord[] {
  return plan.stages.map((stage, i) => ({
    name: stage.name,
    flops: stage.flops,
    bytes: stage.bytes,
    ...(stage.variant !== undefined && { variant: stage.variant }),
    samples: [...samples[i] ?? []].map(shorten),
    ...(samples[i]?.length && { statistic: summarize(samples[i]) }),
  }));
}

/** Nine significant digits: finer than any clock, and half the text of a double. */
function shorten(value: number): number {
  return Number(value.toPrecision(9));
}

/**
 * Times and everything derived from them. Flagged samples are kept but not counted; an
 * inconclusive case has samples and no statistic.
 *
 * @param measured `tokens` of one execution. Default: those of the context.
 */
export function withSamples(
  record: CaseRecord,
  measured: { samples: readonly Sample[]; seed: number; tokens?: number },
): CaseRecord {
  const samples = measured.samples.map((sample) => ({
    ...sample,
    seconds: shorten(sample.seconds),
    wallSeconds: shorten(sample.wallSeconds),
    ...(sample.canary !== undefined && { canary: shorten(sample.canary) }),
  }));
  const counted = samples.filter((sample) => sample.flag === undefined);
  const seconds = counted.map((sample) => sample.seconds);
  if (seconds.length === 0 || record.status === "inconclusive") return { ...record, samples };
  const positive = seconds.every((value) => value > 0);
  return {
    ...record,
    samples,
    statistic: summarize(seconds, { seed: measured.seed }),
    ...(positive && {
      throughput: invertStatistic(seconds, {
        scale: measured.tokens ?? record.shape.context,
        seed: measured.seed,
      }),
    }),
  };
}

/** A case whose output is wrong: the check is kept, every time is dropped. */
export function failedRecord(
  entry: PlannedCase,
  options: { reason: string; check?: CheckRecord },
): CaseRecord {
  const record = caseRecord(entry, { status: "failed", reason: options.reason });
  return options.check ? { ...record, check: options.check } : record;
}
