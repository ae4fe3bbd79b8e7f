/**
 * Sums of a layer's plan: what its stages do, and what its buffers take.
 *
 * @module
 */
import type { ImplementationPlan } from "./implementation.ts";

/** The sum of numbers. */
export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The largest bytes of each buffer that several plans use in turns. */
export function mostBytes(
  all: readonly Readonly<Record<string, number>>[],
): Record<string, number> {
  const most: Record<string, number> = {};
  for (const bytes of all) {
    for (const [name, size] of Object.entries(bytes)) most[name] = Math.max(most[name] ?? 0, size);
  }
  return most;
}

/** Stages and buffers with their sums. */
export function totalPlan<Plan extends Pick<ImplementationPlan, "stages" | "buffers">>(
  plan: Plan,
): Plan & Pick<ImplementationPlan, "flops" | "bytes" | "peakBytes"> {
  const { stages, buffers } = plan;
  return {
    ...plan,
    flops: sum(stages.map(({ flops }) => flops)),
    bytes: sum(stages.map(({ bytes }) => bytes)),
    peakBytes: sum(buffers.map(({ bytes }) => bytes)),
  };
}
