/**
 * Compares the times of any two runs as the gate does. It runs in the pages of a site, so
 * it must not need Deno.
 *
 * @module
 */
import { judgePair, levelsOf, pairTimes, weighNoise } from "../gate/compare_times.ts";
import type { CaseVerdict, TimeComparison } from "../gate/gate_report.ts";
import { type TimedBy, timeObstacles } from "../gate/time_obstacles.ts";
import {
  type CanaryLength,
  canaryReference,
  type TimedCase,
  type TimedSample,
  timesOfSamples,
  type TimesRecord,
} from "../gate/times_of_samples.ts";

/** One case of a run, as a page holds it. */
export interface ComparedCase extends TimesRecord {
  readonly context: number;
  /** Whether half of the samples or more were at the device's power limit. */
  readonly atPowerLimit: boolean;
  /** Their canaries are those that the samples did not lower themselves. */
  readonly samples: readonly Pick<TimedSample, "seconds" | "round" | "canary">[];
  /** `Lighthouse norm, 64K, forward`. */
  readonly title: string;
  /** `H = 8, d = 128, f16`. */
  readonly setting: string;
  /** The machine, in a merged result. */
  readonly machine?: string;
}

/** One run, as a page holds it. */
export interface ComparedRun extends TimedBy {
  readonly slug: string;
  readonly startedAt: string;
  /** The device, on any stack. */
  readonly device: string;
  /** Equal for runs whose code, configuration, device and packages are equal. */
  readonly code: string | null;
  readonly canary: CanaryLength;
  /** Seconds of one step of the clock. */
  readonly clockStep: number;
  readonly cases: readonly ComparedCase[];
}

/** The gate's settings for all cases without a configuration. */
export interface Thresholds {
  readonly confidence: number;
  readonly minimum: number;
  readonly tolerance: number;
}

/** One case that both runs timed. */
export interface ComparedTime {
  readonly before: ComparedCase;
  readonly after: ComparedCase;
  /** Null if the runs differ in device, stack, driver or clock. */
  readonly verdict: Exclude<CaseVerdict, "new" | "missing"> | null;
  /** The relative change that a verdict of none rules out; null where the code is the same. */
  readonly tolerance: number | null;
  /** B ÷ A: above 1, B is slower. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  /** Seconds. */
  readonly times: readonly [number, number];
  /** Relative change that noise would hide; null if nothing is judged. */
  readonly threshold: number | null;
}

/** A comparison of two runs. */
export interface RunComparison {
  /** Why times are not comparable, the most important reason first; empty if they are. */
  readonly obstacles: readonly string[];
  /** Whether code, configuration, device and packages are the same, so that a change is noise. */
  readonly identical: boolean;
  /** Largest change first. */
  readonly times: readonly ComparedTime[];
  /** Cases that only one of the runs timed. */
  readonly alone: {
    readonly before: readonly ComparedCase[];
    readonly after: readonly ComparedCase[];
  };
}

/** Compares two runs; A is the earlier one. */
export function compareRuns(
  a: ComparedRun,
  b: ComparedRun,
  { confidence, minimum, tolerance }: Thresholds,
): RunComparison {
  const obstacles = timeObstacles(a, b);
  // The gate reads canaries by the trip where either run tells how many there are.
  const perTrip = a.canary.trips !== undefined || b.canary.trips !== undefined;
  const [before, after] = [timesOfCases(a, { perTrip }), timesOfCases(b, { perTrip })];
  const records = [a, b].map(({ cases }) => new Map(cases.map((one) => [one.id, one])));
  const pairs = pairTimes([...before].flatMap(([id, baseline]) => {
    const candidate = after.get(id);
    const [one, other] = records.map((of) => of.get(id));
    return candidate && one?.machine === other?.machine ? [{ baseline, candidate }] : [];
  }));
  const evidence = weighNoise(pairs, { earlier: [[...before.values()]] });
  const settings = pairs.map(({ id }) => ({
    minimum,
    tolerance,
    times: isPeerId(id) ? "ignore" as const : "gate" as const,
    accept: [],
    mayVanish: false,
  }));
  const levels = levelsOf(confidence, settings.filter(({ times }) => times === "gate").length);
  const step = Math.max(a.clockStep, b.clockStep);
  const identical = obstacles.length === 0 && a.code !== null && a.code === b.code;
  const times = pairs.map((pair, i): ComparedTime => {
    const { verdict, time } = judgePair(pair, {
      evidence: evidence[i],
      settings: settings[i],
      levels,
      step,
    });
    return {
      before: records[0].get(pair.id)!,
      after: records[1].get(pair.id)!,
      verdict: obstacles.length > 0 ? null : identical ? "same" : judged(verdict),
      tolerance: identical ? null : Math.max(tolerance, minimum),
      ratio: time.ratio,
      ...(obstacles.length > 0 ? spans(pair.baseline, pair.candidate) : ends(time)),
      times: [time.baselineSeconds, time.candidateSeconds],
      threshold: obstacles.length > 0 ? null : time.threshold,
    };
  });
  const paired = new Set(pairs.map(({ id }) => id));
  const lone = (cases: readonly ComparedCase[], timed: ReadonlyMap<string, TimedCase>) =>
    cases.filter(({ id }) => timed.has(id) && !paired.has(id));
  return {
    obstacles,
    identical,
    times: times.sort((x, y) => Math.abs(Math.log(y.ratio)) - Math.abs(Math.log(x.ratio))),
    alone: { before: lone(a.cases, before), after: lone(b.cases, after) },
  };
}

function timesOfCases(
  { cases, canary }: ComparedRun,
  how: { perTrip: boolean },
): Map<string, TimedCase> {
  const options = { canarySeconds: canaryReference(canary, how) };
  return new Map(cases.flatMap((record) => {
    const times = timesOfSamples(record, record.samples, options);
    return times === undefined ? [] : [[record.id, times] as const];
  }));
}

function isPeerId(id: string): boolean {
  return id.split("/")[1]?.startsWith("peer:") ?? false;
}

/** Two timed cases are never new or missing. */
function judged(verdict: CaseVerdict): ComparedTime["verdict"] {
  return verdict === "new" || verdict === "missing" ? "inconclusive" : verdict;
}

function ends({ low, high }: TimeComparison): { low: number; high: number } {
  return { low, high };
}

/** For two machines: the estimates from the samples of each, without noise between runs. */
function spans(before: TimedCase, after: TimedCase): { low: number; high: number } {
  const half = 2 * Math.hypot(
    ...[before, after].map(({ measured: { deviation }, count }) => deviation / Math.sqrt(count)),
  );
  const log = after.measured.log - before.measured.log;
  return { low: Math.exp(log - half), high: Math.exp(log + half) };
}
