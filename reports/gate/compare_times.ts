/**
 * The part of a comparison that has noise: ratios of medians, and verdicts on them. GATE.md says
 * why it is done this way.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import {
  bootstrapLogRatio,
  medianOf,
  normalQuantile,
  robustDeviation,
  studentQuantile,
  thin,
} from "./bootstrap.ts";
import type { CaseSettings } from "./gate_config.ts";
import type { CaseVerdict, NoiseEstimate, TimeComparison } from "./gate_report.ts";

/** Below this number of samples a side's own spread is not trusted: the run's is used if larger. */
const TRUSTED_SAMPLES = 10;

/**
 * Deviation between runs, as a share of the deviation within one, where no earlier runs tell. Noise
 * of a machine is correlated over time, so the medians of two runs differ by far more than their
 * samples' 1/√n says. On a busy software adapter the share was found to be 0.8 (GATE.md).
 */
const RUN_SHARE = 0.75;

/** Earlier runs, the baseline included, from which on they alone tell the noise between runs. */
export const ENOUGH_RUNS = 3;

/** Cases of one kind that a spread needs. */
const LEAST_CASES = 3;

/** Times of one case on one side. */
export interface TimedCase {
  readonly id: string;
  /** Cases of one kind are slowed alike by a change, and apart by noise. */
  readonly kind: string;
  /** Samples that count, in rounds. */
  readonly blocks: readonly (readonly number[])[];
  readonly samples: readonly number[];
  /** Robust standard deviation of the samples' logarithms. */
  readonly deviation: number;
}

/** The same case on both sides, before noise between runs is known. */
export interface TimedPair {
  readonly id: string;
  readonly kind: string;
  readonly baseline: TimedCase;
  readonly candidate: TimedCase;
  readonly logRatio: number;
  /** Distance of the interval's ends from the ratio, from the samples alone. */
  readonly below: number;
  readonly above: number;
  /** Standard error of `logRatio` from the samples alone. */
  readonly error: number;
}

/** The times of a case; undefined where it has none that a ratio could be made of. */
export function timesOf(record: CaseRecord): TimedCase | undefined {
  if (record.status !== "ok" || record.check?.passed === false) return undefined;
  const counted = thin(record.samples.filter((sample) => sample.flag === undefined));
  if (counted.length === 0 || counted.some(({ seconds }) => !(seconds > 0))) return undefined;
  const rounds = new Map<number, number[]>();
  for (const { round, seconds } of counted) {
    rounds.set(round, [...rounds.get(round) ?? [], seconds]);
  }
  const samples = counted.map(({ seconds }) => seconds);
  return {
    id: record.id,
    kind: `${record.suite}/${record.implementation}/${record.direction}`,
    blocks: [...rounds.values()],
    samples,
    deviation: robustDeviation(samples.map(Math.log)),
  };
}

/** Ratios of cases that both sides timed. */
export function pairTimes(
  pairs: readonly { baseline: TimedCase; candidate: TimedCase }[],
  options: { confidence: number },
): TimedPair[] {
  const deviations = pairs.flatMap(({ baseline, candidate }) => [
    baseline.deviation,
    candidate.deviation,
  ]);
  const pooled = deviations.length > 0 ? medianOf(deviations) : 0;
  return pairs.map(({ baseline, candidate }) => {
    const drawn = bootstrapLogRatio(candidate.blocks, baseline.blocks, options);
    const variance = [baseline, candidate].map(({ samples, deviation }) => {
      const own = samples.length < TRUSTED_SAMPLES ? Math.max(deviation, pooled) : deviation;
      // The median of normal samples has a standard error of 1.2533 σ / √n.
      return (1.2533 * own) ** 2 / samples.length;
    });
    const error = Math.sqrt(variance[0] + variance[1]);
    const freedom = baseline.samples.length + candidate.samples.length - 2;
    // Few blocks make a percentile bootstrap too narrow; the wider of the two intervals counts.
    const normal = studentQuantile(options.confidence, freedom) * error;
    return {
      id: candidate.id,
      kind: candidate.kind,
      baseline,
      candidate,
      logRatio: drawn.estimate,
      below: Math.max(normal, drawn.estimate - drawn.low),
      above: Math.max(normal, drawn.high - drawn.estimate),
      error,
    };
  });
}

/** Median of the canary's seconds over all samples of a run; null without a canary. */
export function canarySeconds({ calibration, cases }: Result): number | null {
  const reference = calibration?.canary?.median;
  if (reference === undefined || !(reference > 0)) return null;
  const seen = thin(
    cases.flatMap(({ samples }) => samples.flatMap(({ canary }) => canary ? [canary] : [])),
  );
  return seen.length > 0 ? reference * medianOf(seen) : null;
}

/**
 * Standard deviation, in logarithms, of differences between two runs that samples do not explain:
 * the spread of ratios among cases of one kind, beyond their standard errors. A change of one kernel
 * moves all cases of its kind about alike; noise between runs does not. Null with too few cases.
 */
export function caseSpread(pairs: readonly TimedPair[]): number | null {
  const kinds = new Map<string, TimedPair[]>();
  for (const pair of pairs) kinds.set(pair.kind, [...kinds.get(pair.kind) ?? [], pair]);
  let squares = 0;
  let expected = 0;
  let freedom = 0;
  for (const members of kinds.values()) {
    if (members.length < LEAST_CASES) continue;
    const spread = robustDeviation(members.map(({ logRatio }) => logRatio));
    squares += spread ** 2 * (members.length - 1);
    expected += medianOf(members.map(({ error }) => error ** 2)) * (members.length - 1);
    freedom += members.length - 1;
  }
  if (freedom === 0) return null;
  return Math.sqrt(Math.max(0, squares - expected) / freedom);
}

/**
 * Standard deviation, in logarithms, of the medians of one case among runs of the same code, pooled
 * over all cases with two runs or more. Null without any.
 */
export function historySpread(runs: readonly (readonly TimedCase[])[]): number | null {
  const medians = new Map<string, number[]>();
  for (const run of runs) {
    for (const { id, samples } of run) {
      medians.set(id, [...medians.get(id) ?? [], Math.log(medianOf(samples))]);
    }
  }
  let squares = 0;
  let freedom = 0;
  for (const values of medians.values()) {
    if (values.length < 2) continue;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    squares += values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    freedom += values.length - 1;
  }
  return freedom === 0 ? null : Math.sqrt(squares / freedom);
}

/** The interval of a pair with the noise between runs in it, and the verdict on it. */
export function judgePair(
  pair: TimedPair,
  options: { noise: NoiseEstimate; settings: CaseSettings; confidence: number },
): { verdict: CaseVerdict; time: TimeComparison } {
  const { settings } = options;
  const { noise, confidence } = options;
  const fixed = settings.noise !== undefined;
  const runNoise = fixed ? Math.log1p(settings.noise!) : runNoiseOf(noise, confidence);
  const canary = fixed ? 0 : Math.abs(noise.canaryShift ?? 0);
  // Earlier runs have the usual shifts in them: only what goes beyond counts again.
  const shift = hasHistory(noise) ? Math.max(0, canary - runNoise) : canary;
  // Independent causes add as squares; a shift of the canary is a bias and adds in full.
  const widen = (half: number) => Math.hypot(half, runNoise) + shift;
  const [below, above] = [widen(pair.below), widen(pair.above)];
  const [low, high] = [pair.logRatio - below, pair.logRatio + above];
  const time: TimeComparison = {
    ratio: Math.exp(pair.logRatio),
    low: Math.exp(low),
    high: Math.exp(high),
    baselineSeconds: medianOf(pair.baseline.samples),
    candidateSeconds: medianOf(pair.candidate.samples),
    baselineSamples: pair.baseline.samples.length,
    candidateSamples: pair.candidate.samples.length,
    threshold: Math.expm1(Math.max(below, above)),
    runNoise: Math.expm1(runNoise + shift),
  };
  return { verdict: verdictOf({ estimate: pair.logRatio, low, high }, settings), time };
}

/** The verdict that an interval of a log ratio stands for. */
export function verdictOf(
  interval: { estimate: number; low: number; high: number },
  settings: Pick<CaseSettings, "minimum" | "tolerance">,
): CaseVerdict {
  const minimum = Math.log1p(settings.minimum);
  const tolerance = Math.log1p(Math.max(settings.tolerance, settings.minimum));
  const { estimate, low, high } = interval;
  if (low > 0 && estimate > minimum) return "slower";
  if (high < 0 && estimate < -minimum) return "faster";
  return high <= tolerance && low >= -tolerance ? "same" : "inconclusive";
}

/** Typical deviation of single samples within a run, in logarithms; null without pairs. */
export function sampleSpread(pairs: readonly TimedPair[]): number | null {
  if (pairs.length === 0) return null;
  return medianOf(pairs.flatMap(({ baseline, candidate }) => [
    baseline.deviation,
    candidate.deviation,
  ]));
}

function hasHistory({ historySpread, historyRuns }: NoiseEstimate): boolean {
  return historySpread !== null && historyRuns >= ENOUGH_RUNS;
}

/** Half width, in logarithms, that stands for differences between whole runs. */
function runNoiseOf(noise: NoiseEstimate, confidence: number): number {
  const { historySpread, historyRuns } = noise;
  if (hasHistory(noise)) {
    // Two runs differ by √2 times what one deviates.
    return Math.SQRT2 * historySpread! * studentQuantile(confidence, 2 * (historyRuns - 1));
  }
  const cases = (noise.caseSpread ?? 0) * studentQuantile(confidence, 8);
  const runs = RUN_SHARE * (noise.sampleSpread ?? 0) * normalQuantile((1 + confidence) / 2);
  return Math.max(runs, cases);
}
