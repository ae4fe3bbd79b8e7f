/**
 * Figures derived from the simulated shards of a result.
 *
 * @module
 */
import type {
  CaseRecord,
  ContextParallelRecord,
  Result,
  Statistic,
} from "../../suites/result/result_schema.ts";
import { isMeasured } from "./analysis.ts";
import { largest } from "./extremes.ts";

/** One measured partition. */
export interface ShardedCase {
  record: CaseRecord & { statistic: Statistic };
  sharded: ContextParallelRecord;
  /**
   * Seconds of a ring whose shards wait for the slowest after each step, without exchange, and
   * seconds if all work were spread evenly; null if shares were not timed.
   */
  ring: { criticalSeconds: number; evenSeconds: number } | null;
  /** Ring seconds on one device over seconds of the attention in one piece; null if unknown. */
  overhead: number | null;
  /** Total bytes that each shard passes on. */
  exchangedBytes: number;
}

/** Measured partitions, by implementation, then partition, shards ascending. */
export function shardedCases(result: Result): ShardedCase[] {
  return result.cases.flatMap((record): ShardedCase[] => {
    const sharded = record.contextParallel;
    if (sharded === undefined || !isMeasured(record)) return [];
    const seconds = sharded.steps.map(({ shardSeconds }) => shardSeconds);
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    const timed = seconds.length > 0 && seconds.every((step) => step.some((share) => share > 0));
    const whole = sharded.unshardedAttention?.median;
    return [{
      record,
      sharded,
      ring: timed
        ? {
          criticalSeconds: sum(seconds.map((step) => Math.max(0, ...step))),
          evenSeconds: sum(seconds.map(sum)) / sharded.shards,
        }
        : null,
      overhead: whole === undefined || whole <= 0 ? null : record.statistic.median / whole,
      exchangedBytes: sum(sharded.steps.map(({ bytes }) => bytes)),
    }];
  }).sort((a, b) =>
    compare(a.record.implementation, b.record.implementation) ||
    a.record.shape.context - b.record.shape.context ||
    compare(a.sharded.partition, b.sharded.partition) || a.sharded.shards - b.sharded.shards
  );
}

/** Most pairs of one shard in a step over the mean of all shards, the largest over all steps. */
export function imbalance({ steps }: ContextParallelRecord): number {
  return Math.max(
    1,
    ...steps.map(({ shardPairs }) => {
      const mean = shardPairs.reduce((total, pairs) => total + pairs, 0) / shardPairs.length;
      return mean > 0 ? largest(shardPairs) / mean : 1;
    }),
  );
}

/** Pairs of the busiest shard of each step, summed, over an even share of all pairs. */
export function workRatio({ sharded: { steps, shards } }: ShardedCase): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const even = sum(steps.map(({ shardPairs }) => sum(shardPairs))) / shards;
  return even > 0 ? sum(steps.map(({ shardPairs }) => Math.max(0, ...shardPairs))) / even : 1;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
