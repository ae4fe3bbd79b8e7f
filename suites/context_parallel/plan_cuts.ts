/**
 * The cases of the suite `context-parallel`: each scorer's layer, cut into shards in several ways.
 *
 * @module
 */
import { z } from "zod";
import { bytesPerElement, headsPerBlock } from "../../kernels/gpu/buffers.ts";
import type { ImplementationPlan, Problem } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import {
  type ContextParallelPlan,
  planContextParallel,
  type ShardOptions,
} from "../../kernels/lighthouse/context_parallel.ts";
import { layerOptions, lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import type { Scorer } from "../../kernels/lighthouse/scorers/scorer.ts";
import { SCORERS } from "../../kernels/lighthouse/scorers/scorers.ts";
import { errorLine, UsageError } from "../errors.ts";
import { isAsked, type Planning } from "../plan/grid.ts";
import { expandNames } from "../plan/measurable.ts";
import { lackOfMemory } from "../plan/memory_limit.ts";
import { shapesGrid } from "../plan/plan_options.ts";
import { type PlannedCase, type PlannedDevice, problemId } from "../plan/planned_case.ts";
import { type KRule, resolveBudget, sectionOf } from "../plan/profile.ts";
import { contextParallelRecord } from "./record.ts";

/** Rounds of the ring and the attention in one piece, and of shares timed separately. */
export const ROUNDS = 3;

/** Two to warm up, rounds of four, and the shares. */
const COURSE = { executions: 2 + 5 * ROUNDS };

const count = z.int().positive();

/**
 * One layer whose context is cut into shards; for every Lighthouse implementation of the profile.
 */
export const contextParallelSection = z.strictObject({
  context: count,
  levels: count,
  pooling: count,
  /** A multiple of 128 for each part of the finest cut. */
  k: count,
  shards: z.array(count).min(1),
});

/** A layer to cut into shards. */
export type ContextParallelSetting = z.infer<typeof contextParallelSection>;

/** One cut of one implementation, planned as a case. */
export interface PlannedCut {
  readonly entry: PlannedCase;
  readonly scorer: Scorer;
  readonly sharding: ShardOptions;
  readonly cut?: ContextParallelPlan;
}

/**
 * The cuts of a run: those of its profile, unless options define another grid and do not name the
 * suite; then the suite takes the longest context, and levels, pooling, k and the dilation,
 * from them.
 *
 * @throws {UsageError} one line, when the suite was requested by name at a shape for which no cut
 * can be computed.
 */
export function planRunCuts(
  { profile, dtype, options, device }: Pick<Planning, "profile" | "dtype" | "options" | "device">,
): PlannedCut[] {
  const { contexts, options: values = {} } = options;
  const { levels, pooling, k, dilation } = values;
  const { name } = contextParallelRecord;
  const asked = isAsked(options, name);
  const shaped = shapesGrid(options);
  const setting = sectionOf(profile, name, contextParallelSection);
  if (!setting || !profile.suites.includes(name) || shaped && !asked) return [];
  const context = contexts ? Math.max(...contexts) : setting.context;
  const cuts = planCuts({
    setting: {
      ...setting,
      context,
      levels: numberOf(levels) ?? setting.levels,
      pooling: numberOf(pooling) ?? setting.pooling,
      k: k ? resolveBudget(k[0], context) : setting.k,
    },
    dilation: numberOf(dilation),
    heads: profile.heads[0],
    headDim: profile.headDims[0],
    dtype,
    implementations: profile.implementations,
    device,
  });
  if (asked && shaped && cuts.length > 0 && cuts.every(({ entry }) => entry.skip)) {
    throw new UsageError(cuts[0].entry.skip!);
  }
  return cuts;
}

/** The first value of an option that takes no rules. */
function numberOf(values: readonly KRule[] | undefined): number | undefined {
  return values && Number(values[0]);
}

/** What planning cuts needs to know about a device. */
type CutDevice = Pick<PlannedDevice, "capabilities" | "deviceMemoryBytes">;

/** What the cuts of a run share. */
export interface CutOptions {
  readonly setting: ContextParallelSetting;
  /** δ of the dilated scorer, if it is not the scorer's default. */
  readonly dilation?: number;
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: Problem["shape"]["dtype"];
  /** Implementations to measure; those without a scorer that can be cut are left out. */
  readonly implementations: readonly string[];
  readonly device: CutDevice;
}

/** The cases of a setting; cuts that cannot select or do not fit carry their reason. Pure. */
export function planCuts(options: CutOptions): PlannedCut[] {
  const { setting, heads, headDim, dtype, implementations, device } = options;
  const { context, levels, pooling, k } = setting;
  const names = expandNames(implementations, IMPLEMENTATIONS);
  const scorers = SCORERS.filter(({ name, wholeHeads }) =>
    wholeHeads === undefined && names.includes(`lighthouse-${name}`)
  );
  return scorers.flatMap((scorer) =>
    (["contiguous", "head-tail"] as const).flatMap((partition) =>
      setting.shards.map((shards): PlannedCut => {
        const sharding = { shards, partition };
        const shape = { heads, context, headDim, dtype };
        const takes = layerOptions(scorer);
        const dilation = takes.some(({ name }) => name === "dilation")
          ? options.dilation
          : undefined;
        const problem: Problem = {
          shape,
          options: { levels, pooling, k, ...(dilation && { dilation }) },
        };
        const parts = [problemId(problem, takes), `W${shards}`, partition];
        const base = {
          id: `${contextParallelRecord.name}/lighthouse-${scorer.name}/forward/${parts.join("-")}`,
          suite: contextParallelRecord.name,
          implementation: `lighthouse-${scorer.name}`,
          family: "lighthouse",
          scorer: scorer.name,
          direction: "forward" as const,
          problem,
          sweeps: [],
          course: COURSE,
        };
        try {
          const cut = planContextParallel(context, lighthouseOptions(problem), sharding);
          const plan = planBuffers(cut, { shape, device });
          const skip = lackOfMemory(plan, device);
          if (skip !== undefined) return { entry: { ...base, plan, skip }, scorer, sharding };
          return { entry: { ...base, plan }, scorer, sharding, cut };
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          return { entry: { ...base, skip: errorLine(error) }, scorer, sharding };
        }
      })
    )
  );
}

/** Stages are the ring steps, all shards of each together. */
function planBuffers(
  cut: ContextParallelPlan,
  { shape, device }: { shape: Problem["shape"]; device: CutDevice },
): ImplementationPlan {
  const { heads, headDim, dtype } = shape;
  const { geometry, part, parts, shards, steps } = cut;
  const perBlock = headsPerBlock(device, [
    { heads, rows: geometry.context, dim: headDim, dtype },
    { heads, rows: geometry.gathered, dim: headDim, dtype: "f32" },
    { heads, rows: parts * part.entries, dim: 1, dtype: "f32" },
  ]);
  const row = heads * headDim * bytesPerElement(dtype);
  const wide = heads * headDim * 4;
  const shardRows = geometry.gathered / shards;
  const stages = steps.map((shares, step) => {
    const working = shares.filter(({ pieces }) => pieces.length > 0).length;
    // Q, K, V of a share are read, its result is written, and read again when it is merged.
    const each = 3 * shardRows * row + (step === 0 ? 1 : 2) * shardRows * wide;
    return {
      name: `ring step ${step}`,
      flops: 4 * headDim * heads * shares.reduce((sum, { pairs }) => sum + pairs, 0),
      bytes: working * each,
    };
  });
  const buffers = [
    { name: "q, k, v", bytes: 3 * geometry.context * row },
    { name: "pooled rows", bytes: geometry.pooledEntries * row },
    { name: "gathered q, k, v, output in one piece", bytes: 4 * geometry.gathered * row },
    { name: "ring output", bytes: geometry.gathered * wide },
    { name: "log-sum-exps", bytes: 2 * heads * geometry.gathered * 4 },
    { name: "scores and slots", bytes: 3 * heads * parts * part.entries * 4 },
    { name: "indices", bytes: heads * geometry.gathered * 4 },
  ];
  const total = (records: readonly { flops?: number; bytes: number }[]) =>
    records.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    stages,
    flops: stages.reduce((sum, { flops }) => sum + flops, 0),
    bytes: total(stages),
    buffers,
    peakBytes: total(buffers),
    headsPerBlock: perBlock,
    gathered: geometry.gathered,
  };
}
