/**
 * Stages of a layer that alternate: each name has several, and its time is their sum.
 *
 * @module
 */
import type { RunOptions, Stage, Timer, Timing } from "../gpu/timing.ts";

/** Runs stages whose names repeat, and adds up the times of each name. */
export async function runByName(
  timer: Timer,
  stages: readonly Stage[],
  { names, run }: { names: readonly string[]; run?: RunOptions },
): Promise<Timing> {
  const timing = await timer.run(stages, run);
  const sumOf = (name: string) =>
    stages.reduce((sum, stage, i) => stage.name === name ? sum + timing.stages![i] : sum, 0);
  return { ...timing, stages: timing.stages && names.map(sumOf) };
}
