/**
 * Units of an experiment: one arm with one seed each, in the order in which a run trains them.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import { dealOut, type Shard } from "../plan/shard.ts";
import type { Arm, Experiment } from "./experiment.ts";

/** One arm with one seed. */
export interface Unit {
  /** Id of its case. */
  readonly id: string;
  readonly arm: Arm;
  readonly seed: number;
}

/** What a run may choose of an experiment. */
export interface UnitChoice {
  /** Names of arms. Default: the primary ones. */
  readonly arms?: readonly string[];
  /** Default: all. */
  readonly seeds?: readonly number[];
}

/**
 * The units of a run, seed by seed, so that a run that is stopped leaves complete seeds.
 *
 * @throws {UsageError} one line, when an arm or a seed is not the experiment's.
 */
export function chooseUnits(experiment: Experiment, { arms, seeds }: UnitChoice): Unit[] {
  const names = experiment.arms.map(({ name }) => name);
  for (const [what, chosen] of Object.entries({ arms, seeds })) {
    if (chosen?.length === 0) throw new UsageError(`${what}: none is chosen, of one or more`);
  }
  for (const name of arms ?? []) {
    if (!names.includes(name)) {
      throw new UsageError(`arm ${name} is not one of ${names.join(", ")}`);
    }
  }
  for (const seed of seeds ?? []) {
    if (!experiment.seeds.includes(seed)) {
      throw new UsageError(`seed ${seed} is not one of ${experiment.seeds.join(", ")}`);
    }
  }
  const chosen = experiment.arms.filter(({ name, primary }) => arms?.includes(name) ?? primary);
  return experiment.seeds.filter((seed) => seeds?.includes(seed) ?? true).flatMap((seed) =>
    chosen.map((arm) => ({ id: unitId(experiment, arm, seed), arm, seed }))
  );
}

/** The id of a unit's case. */
export function unitId({ name }: Experiment, arm: Arm, seed: number): string {
  return `experiments/${name}/${arm.name}/seed-${seed}`;
}

/** The units of a shard: whole seeds where there are at least as many as shards. */
export function unitsOfShard(units: readonly Unit[], shard: Shard | undefined): Unit[] {
  if (!shard) return [...units];
  const seeds = [...new Set(units.map(({ seed }) => seed))];
  if (seeds.length >= shard.count) {
    const own = dealOut(seeds.map(() => 1), shard);
    return units.filter(({ seed }) => own[seeds.indexOf(seed)] === shard.index);
  }
  const own = dealOut(units.map(() => 1), shard);
  return units.filter((_, i) => own[i] === shard.index);
}

/** In what a choice differs from what was registered, one line each. */
export function describeChoice(experiment: Experiment, { arms, seeds }: UnitChoice): string[] {
  const primary = experiment.arms.filter(({ primary }) => primary).map(({ name }) => name);
  const without = (all: readonly (string | number)[], chosen?: readonly (string | number)[]) =>
    chosen ? all.filter((one) => !chosen.includes(one)) : [];
  const list = (what: string, left: readonly (string | number)[]) =>
    left.length > 0 ? [`without the ${what} ${left.join(", ")}`] : [];
  return [
    ...list("arms", without(primary, arms)),
    ...list("seeds", without(experiment.seeds, seeds)),
  ];
}
