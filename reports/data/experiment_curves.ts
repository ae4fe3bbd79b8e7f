/**
 * Loss curves of a training experiment: means of blocks of steps, differences from the dense arm, the
 * spike at the switch, and times.
 *
 * @module
 */
import type { ExperimentRecord, TrainedUnit } from "../../suites/result/result_schema.ts";
import { armsOf } from "./experiment_data.ts";
import { DENSE_ARM } from "./retrieval_data.ts";

/** Points of a drawn curve, at most. */
const MOST_POINTS = 120;

/** A point of a curve: the mean over some steps. */
export interface CurvePoint {
  /** Middle of the steps. */
  readonly step: number;
  /** Mean of their values. */
  readonly value: number;
}

/** Means of equal blocks of steps; no block holds steps of both sides of the switch. */
export function blockMeans(
  values: readonly number[],
  { switchStep, most = MOST_POINTS }: { switchStep: number; most?: number },
): CurvePoint[] {
  const size = Math.max(1, Math.ceil(values.length / most));
  const blocks = (from: number, to: number) => {
    const points: CurvePoint[] = [];
    for (let at = from; at < to; at += size) {
      const own = values.slice(at, Math.min(at + size, to));
      points.push({ step: at + (own.length - 1) / 2, value: meanOf(own) });
    }
    return points;
  };
  const middle = Math.min(switchStep, values.length);
  return [...blocks(0, middle), ...blocks(middle, values.length)];
}

/**
 * Training losses of a unit minus those of the dense unit with its seed, which saw the same batches; so
 * what batches differ in is gone. Undefined where there is none.
 */
export function aboveDense(
  { units }: ExperimentRecord,
  unit: TrainedUnit,
): readonly number[] | undefined {
  const rival = units.find(({ arm, seed }) => arm === DENSE_ARM && seed === unit.seed);
  if (!rival || rival === unit || rival.losses.length !== unit.losses.length) return undefined;
  return unit.losses.map((loss, i) => loss - rival.losses[i]);
}

/** Nats above the loss before the switch that count as recovered. */
export const RECOVERED = 0.01;

/** What the switch does to one unit, in nats above the dense unit with its seed. */
export interface SwitchEffect {
  readonly arm: string;
  readonly seed: number;
  /** Mean of the last steps before the switch. */
  readonly before: number;
  /** Largest mean of five steps in a row, of those soon after it. */
  readonly spike: number;
  /**
   * Steps after the switch until the mean of the last steps is at most {@linkcode RECOVERED} above that
   * before it; null: never.
   */
  readonly recovery: number | null;
  /** Mean of the last steps of all. */
  readonly end: number;
}

/** Steps of a mean before the switch and after it: a twentieth of what follows the switch, at least 5. */
function windowOf({ losses, switchStep }: TrainedUnit): number {
  return Math.max(5, Math.round((losses.length - switchStep) / 20));
}

/** The effect of the switch on every unit that has a dense one beside it. */
export function switchEffects(record: ExperimentRecord): SwitchEffect[] {
  return record.units.flatMap((unit): SwitchEffect[] => {
    const above = aboveDense(record, unit);
    const { arm, seed, switchStep } = unit;
    const window = windowOf(unit);
    if (!above || switchStep < window || above.length < switchStep + window) return [];
    const mean = (from: number, to: number) => meanOf(above.slice(from, to));
    const before = mean(switchStep - window, switchStep);
    const soon = Math.min(above.length, switchStep + 4 * window);
    let spike = -Infinity;
    for (let at = switchStep; at + 5 <= soon; at++) spike = Math.max(spike, mean(at, at + 5));
    let recovery: number | null = null;
    for (let end = switchStep + window; end <= above.length && recovery === null; end++) {
      if (mean(end - window, end) <= before + RECOVERED) recovery = end - switchStep;
    }
    return [{ arm, seed, before, spike, recovery, end: mean(above.length - window, above.length) }];
  });
}

/** How long an arm took, means over its seeds. */
export interface ArmTime {
  readonly arm: string;
  /** Seconds of all steps. */
  readonly seconds: number;
  /** Seconds until the mean of the last tenth of all steps was at most the target; null: never. */
  readonly toTarget: number | null;
}

/**
 * Times to a loss that every arm reaches: the largest of their means over the last tenth of their steps.
 */
export function armTimes(record: ExperimentRecord): { target: number; arms: ArmTime[] } {
  const whole = record.units.filter((unit) =>
    unit.losses.length > 0 && unit.firstSteps + unit.resumeSteps >= unit.losses.length
  );
  const tenth = ({ losses }: TrainedUnit) => Math.max(1, Math.round(losses.length / 10));
  const ends = whole.map((unit) => meanOf(unit.losses.slice(-tenth(unit))));
  const target = ends.reduce((most, end) => Math.max(most, end), -Infinity);
  const reached = (unit: TrainedUnit) => {
    const { losses, switchStep, seconds, firstSteps, resumeSteps } = unit;
    const length = tenth(unit);
    let sum = 0;
    for (const [i, loss] of losses.entries()) {
      sum += loss - (i >= length ? losses[i - length] : 0);
      if (i < length - 1 || sum / length > target + 1e-9) continue;
      const steps = i + 1;
      return Math.min(steps, switchStep) * seconds.first / Math.max(1, firstSteps) +
        Math.max(0, steps - switchStep) * seconds.resume / Math.max(1, resumeSteps);
    }
    return null;
  };
  const arms = armsOf(record).flatMap((arm): ArmTime[] => {
    const own = whole.filter((unit) => unit.arm === arm);
    if (own.length === 0) return [];
    const times = own.map(reached);
    return [{
      arm,
      seconds: meanOf(own.map(({ seconds }) => seconds.first + seconds.resume)),
      toTarget: times.some((time) => time === null) ? null : meanOf(times as number[]),
    }];
  });
  return { target, arms };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}
