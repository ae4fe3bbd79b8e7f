/**
 * How far two runs of the same code may differ: three yardsticks, each of which is a test by itself.
 * GATE.md explains why.
 *
 * All spreads are standard deviations of natural logarithms, of a ratio of two runs unless stated
 * otherwise.
 *
 * @module
 */
import { twoSidedNormal, twoSidedStudent } from "../../suites/statistics/quantiles.ts";
import { medianOf, robustDeviation } from "./bootstrap.ts";
import type { TimedCase } from "./times_of_samples.ts";

/**
 * Assumed standard deviation of a case's time between runs, used without earlier
 * runs. FlashAttention-2 on the H100 of `fixtures/baselines`, code that no commit here changed,
 * deviated by 1.3 % (eleven cases in two runs, five hours apart).
 */
export const ASSUMED_CASE_SPREAD = 0.02;

/**
 * The same for a shift of a whole run that the canary does not show. On that H100 the mean
 * ratios of four pairs of runs were 0.1 to 1.0 %.
 */
export const ASSUMED_RUN_SPREAD = 0.007;

/**
 * Deviation of a case between runs over that of its samples within a run, since noise of a
 * machine is correlated over time. Eight runs on a software adapter (`software_runs.json`) had 0.77.
 */
export const SAMPLE_SHARE = 0.8;

/** Runs of the baseline's code, including the baseline, that are enough to give the noise. */
export const ENOUGH_RUNS = 3;

/** Degrees of freedom below which a spread among cases cannot narrow anything, and is ignored. */
const LEAST_FREEDOM = 3;

/** An estimated standard deviation. */
export interface Spread {
  readonly spread: number;
  /** Degrees of freedom of the estimate. */
  readonly freedom: number;
}

/** The ratio of one case in one reading, with the estimates from its own samples. */
export interface Shift {
  readonly kind: string;
  /** ln(candidate / baseline). */
  readonly log: number;
  /** Standard error of `log` from the samples alone. */
  readonly error: number;
  /** Degrees of freedom of `error`. */
  readonly freedom: number;
  /** Spread between runs that the spread of the samples suggests. */
  readonly sampled: number;
}

/** What is known about the noise of one case. */
export interface Evidence {
  readonly error: number;
  readonly freedom: number;
  readonly sampled: number;
  /** Assumed spread, wider if other kinds of cases spread more. */
  readonly assumed: number;
  /** Spread among the other cases; null if there are too few. */
  readonly others: Spread | null;
  /** Spread among earlier runs; null if there are too few. */
  readonly earlier: Spread | null;
}

/** Source of the noise between runs. */
export type NoiseSource = "assumed" | "cases" | "earlier runs" | "configuration";

/**
 * Half width, in logarithms, of the interval that the ratio of two runs of the same code leaves with
 * probability `level`.
 *
 * Each yardstick alone gives an interval of that probability. The narrowest counts, so two of
 * them share the level. Earlier runs that spread more than assumed replace both.
 */
export function halfWidth(
  evidence: Evidence,
  level: number,
): { half: number; betweenRuns: number; source: NoiseSource } {
  const { error, freedom, sampled, assumed, others, earlier } = evidence;
  const believed = !earlier || earlier.spread <= assumed;
  const share = believed && (earlier || others) ? level / 2 : level;
  const z = twoSidedNormal(share);
  const sampling = twoSidedStudent(share, freedom) * error;
  const together = z * Math.SQRT2 * ASSUMED_RUN_SPREAD;
  const yardsticks: { betweenRuns: number; source: NoiseSource }[] = [];
  if (believed) {
    yardsticks.push({ betweenRuns: Math.hypot(z * assumed, together), source: "assumed" });
  }
  if (earlier) {
    const betweenRuns = twoSidedStudent(share, earlier.freedom) * earlier.spread;
    yardsticks.push({ betweenRuns, source: "earlier runs" });
  } else if (others) {
    const apart = Math.max(twoSidedStudent(share, others.freedom) * others.spread, z * sampled);
    yardsticks.push({ betweenRuns: Math.hypot(apart, together), source: "cases" });
  }
  const [narrowest] = yardsticks.sort((a, b) => a.betweenRuns - b.betweenRuns);
  return { half: Math.hypot(sampling, narrowest.betweenRuns), ...narrowest };
}

/** Assumed spread of a case between runs, before others are considered. */
function assumedOf({ sampled }: Shift): number {
  return Math.max(Math.SQRT2 * ASSUMED_CASE_SPREAD, sampled);
}

/** Cases of one kind. Their spread is relative: each in units of its assumed spread. */
interface Kind {
  readonly mean: number;
  readonly count: number;
  /** Sum of squares about the mean. */
  readonly squares: number;
  /** Robust spread, which single cases that moved do not widen; null with fewer than three. */
  readonly usual: number | null;
}

function unitOf(shift: Shift): number {
  return Math.hypot(assumedOf(shift), shift.error);
}

function summarise(shifts: readonly Shift[]): Kind {
  const count = shifts.length;
  const mean = shifts.reduce((sum, { log }) => sum + log, 0) / count;
  const squares = shifts.reduce(
    (sum, shift) => sum + ((shift.log - mean) / unitOf(shift)) ** 2,
    0,
  );
  const middle = medianOf(shifts.map(({ log }) => log));
  const usual = count < 3
    ? null
    : robustDeviation(shifts.map((shift) => (shift.log - middle) / unitOf(shift)));
  return { mean, count, squares, usual };
}

/** Contribution of a case to the sum of squares of its kind, including its effect on the mean. */
function ownSquares(shift: Shift, { mean, count }: Pick<Kind, "mean" | "count">): number {
  return count < 2 ? 0 : ((shift.log - mean) / unitOf(shift)) ** 2 * count / (count - 1);
}

/**
 * For each case, the estimates from the others. A change moves cases of one kind similarly, and noise does
 * not, so ratios are taken about the mean of their kind; the case itself is left out, so that its own
 * change does not hide it.
 *
 * `others` is their spread. `assumed` grows with the spread of the typical other kind: a change may
 * affect a part of one kind, or one case of another, and noise affects all of them.
 */
export function spreadsAmongCases(
  shifts: readonly Shift[],
): Pick<Evidence, "others" | "assumed">[] {
  const kinds = new Map(
    [...Map.groupBy(shifts, ({ kind }) => kind)].map(([name, of]) => [name, summarise(of)]),
  );
  const all = [...kinds.values()];
  const total = all.reduce((sum, { squares }) => sum + squares, 0);
  const freedom = shifts.length - all.length;
  const wider = new Map([...kinds].map(([name]) => {
    const others = [...kinds].flatMap(([other, { usual }]) => other === name ? [] : usual ?? []);
    return [name, others.length === 0 ? 1 : Math.max(1, medianOf(others))];
  }));
  return shifts.map((shift) => {
    const own = kinds.get(shift.kind)!;
    const left = freedom - (own.count < 2 ? 0 : 1);
    const squares = Math.max(0, total - ownSquares(shift, own));
    const spread = unitOf(shift) * Math.sqrt(squares / left);
    return {
      assumed: assumedOf(shift) * wider.get(shift.kind)!,
      others: left >= LEAST_FREEDOM ? { spread, freedom: left } : null,
    };
  });
}

/** Spread of the ratios about the mean of their kind, over all cases; null with too few. */
export function spreadOfCases(shifts: readonly Shift[]): number | null {
  const kinds = Map.groupBy(shifts, ({ kind }) => kind);
  const freedom = shifts.length - kinds.size;
  if (freedom === 0) return null;
  const squares = [...kinds.values()].reduce((sum, of) => {
    const { mean } = summarise(of);
    return sum + of.reduce((inner, { log }) => inner + (log - mean) ** 2, 0);
  }, 0);
  return Math.sqrt(squares / freedom);
}

/**
 * Degrees of freedom of a variance that is half a case's own and half that of many cases, over those of
 * its own: four by Satterthwaite's rule for infinitely many equal cases, less for few or unequal ones.
 */
const POOLED_FREEDOM = 3;

/** Estimates from earlier runs. */
export interface EarlierRuns {
  /** Standard deviation of a case's median between runs, over all cases. */
  readonly pooled: number;
  /** Of a ratio of two runs of one case. */
  readonly of: (id: string) => Spread;
}

/**
 * Spread of the medians of each case among runs of the same code. Cases differ, and few runs say
 * little about one case alone: the variance is the mean of its own and that of all cases, or its own
 * if that is larger. Null if fewer than {@linkcode ENOUGH_RUNS} runs timed a case.
 */
export function spreadsAmongRuns(
  runs: readonly (readonly TimedCase[])[],
  options: { byCanary: boolean },
): EarlierRuns | null {
  const logs = new Map<string, number[]>();
  for (const run of runs) {
    for (const { id, measured, byCanary } of run) {
      const reading = options.byCanary ? byCanary : measured;
      if (reading) logs.set(id, [...logs.get(id) ?? [], reading.log]);
    }
  }
  const variances = new Map<string, { squares: number; freedom: number }>();
  for (const [id, values] of logs) {
    if (values.length < ENOUGH_RUNS) continue;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    variances.set(id, { squares, freedom: values.length - 1 });
  }
  if (variances.size === 0) return null;
  const all = [...variances.values()];
  const pooled = all.reduce((sum, { squares }) => sum + squares, 0) /
    all.reduce((sum, { freedom }) => sum + freedom, 0);
  const least = Math.min(...all.map(({ freedom }) => freedom));
  return {
    pooled: Math.sqrt(pooled),
    of: (id) => {
      const own = variances.get(id);
      const alone = own ? own.squares / own.freedom : 0;
      return {
        spread: Math.sqrt(2 * (own ? Math.max(alone, (alone + pooled) / 2) : pooled)),
        freedom: own && variances.size > 1 ? POOLED_FREEDOM * own.freedom : least,
      };
    },
  };
}
