/**
 * A part of a plan, so that several machines can share a run: `--shard 2/8`.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import type { PlannedCase, PlannedGroup, RunPlan } from "./plan.ts";

/** Shard `index` of `count`; the first is 1. */
export interface Shard {
  /** Which one; the first is 1. */
  readonly index: number;
  /** Of how many. */
  readonly count: number;
}

/** Most shards of a plan. */
export const MOST_SHARDS = 1000;

/**
 * Reads `2/8`.
 *
 * @throws {UsageError} one line.
 *
 * @example
 * ```ts
 * import { parseShard } from "./shard.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseShard("2/8"), { index: 2, count: 8 });
 * ```
 */
export function parseShard(text: string): Shard {
  const found = /^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text.trim());
  const [index, count] = found ? [Number(found[1]), Number(found[2])] : [0, 0];
  if (!found || index > count || count > MOST_SHARDS) {
    throw new UsageError(
      `shard "${text}" is not like 2/8, with 1 to ${MOST_SHARDS} shards and the first one 1`,
    );
  }
  return { index, count };
}

/** Ids of all cases of a plan, in the order in which they run. */
export function caseIds({ checks, groups, throughput }: RunPlan): string[] {
  const grouped = groups.flatMap(({ baseline, candidates }) => [
    ...baseline ? [baseline] : [],
    ...candidates,
  ]);
  return [...checks, ...grouped, ...throughput].map(({ id }) => id);
}

/**
 * The part of a plan that one shard runs: deterministic, a function of the plan and the shard alone.
 *
 * Groups stay whole, since their cases are interleaved. The heaviest piece of work, by FLOP, goes
 * first, to the shard with the least so far. A correctness case runs wherever a case waits for it;
 * those that none waits for are dealt out in turn.
 */
export function shardPlan(plan: RunPlan, { index, count }: Shard): RunPlan {
  const pieces = [
    ...plan.groups.map((group) => ({ group, weight: weightOf(group), at: 0 })),
    ...plan.throughput.map((entry) => ({
      entry,
      weight: weightOf({ candidates: [entry] }),
      at: 0,
    })),
  ].map((piece, at) => ({ ...piece, at }));
  const loads = new Array<number>(count).fill(0);
  const mine = new Set<unknown>();
  for (const piece of pieces.toSorted((a, b) => b.weight - a.weight || a.at - b.at)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] += piece.weight;
    if (least === index - 1) mine.add("group" in piece ? piece.group : piece.entry);
  }
  const groups = plan.groups.filter((group) => mine.has(group));
  const throughput = plan.throughput.filter((entry) => mine.has(entry));
  const waiting = (of: readonly PlannedCase[]) => new Set(of.map(({ gate }) => gate));
  const members = (of: readonly PlannedGroup[]) =>
    of.flatMap(({ baseline, candidates }) => [...baseline ? [baseline] : [], ...candidates]);
  const needed = waiting([...members(groups), ...throughput]);
  const neededByAny = waiting([...members(plan.groups), ...plan.throughput]);
  const free = plan.checks.filter(({ id }) => !neededByAny.has(id));
  const checks = plan.checks.filter((entry) =>
    needed.has(entry.id) || free.indexOf(entry) % count === index - 1
  );
  return { ...plan, checks, groups, throughput };
}

/** The part of a list of equal pieces that one shard runs, dealt out from the last shard on. */
export function shardCuts<T>(cuts: readonly T[], { index, count }: Shard): T[] {
  return cuts.filter((_, at) => count - 1 - at % count === index - 1);
}

/** FLOP of one execution of every case, at least 1 so that empty pieces spread too. */
function weightOf({ baseline, candidates }: PlannedGroup): number {
  const flops = [...baseline ? [baseline] : [], ...candidates]
    .map(({ plan, skip }) => skip || !plan ? 0 : plan.flops);
  return flops.reduce((sum, value) => sum + value, 1);
}
