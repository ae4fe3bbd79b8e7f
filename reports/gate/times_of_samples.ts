/**
 * Samples of a case as a comparison reads them. Nothing here needs Deno or the file schemas, so
 * that pages can compare.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { isAtPowerLimit } from "../data/device_readings.ts";
import { type Blocks, medianOf, robustDeviation, thin } from "./bootstrap.ts";

/** Samples of a case, in one reading. */
export interface Reading {
  /** In rounds. */
  readonly blocks: Blocks;
  /** ln of the samples' median. */
  readonly log: number;
  /** Robust standard deviation of the samples' logarithms. */
  readonly deviation: number;
}

/** Times of one case on one side. */
export interface TimedCase {
  readonly id: string;
  /** Suite, implementation and direction. */
  readonly kind: string;
  /** Median of the counted samples. */
  readonly seconds: number;
  /** Counted samples. */
  readonly count: number;
  /** Whether half of them or more were at the device's power limit. */
  readonly atPowerLimit: boolean;
  /** Seconds as measured. */
  readonly measured: Reading;
  /**
   * Seconds over the canary's seconds around each sample, or before it where the sample itself
   * lowered the clock: the effect of the clock on both cancels. Null without a canary.
   */
  readonly byCanary: Reading | null;
}

/** What is read from a case besides its samples. */
export type TimesRecord =
  & Pick<CaseRecord, "id" | "suite" | "implementation" | "direction" | "status">
  & { readonly check?: Pick<NonNullable<CaseRecord["check"]>, "passed"> };

/** A sample, with its round. */
export interface TimedSample {
  readonly round: number;
  readonly seconds: number;
  readonly canary?: number;
  /** Whether it lowered the clock itself; then `canaryBefore` alone tells of other causes. */
  readonly atPowerLimit?: boolean;
  readonly canaryBefore?: number;
  /** Why it does not count. */
  readonly flag?: string;
}

/** The canary of a run, as far as the run records it. */
export interface CanaryLength {
  /** Seconds on the undisturbed device. */
  readonly seconds?: number;
  /** Trips of its loop. */
  readonly trips?: number;
}

/**
 * Seconds of the canary on the undisturbed device, for one trip of its loop if `perTrip`: each
 * calibration chooses how many trips its canary has. Undefined if the run does not record it.
 */
export function canaryReference(
  { seconds, trips }: CanaryLength,
  { perTrip }: { perTrip: boolean },
): number | undefined {
  if (!perTrip || seconds === undefined) return seconds;
  return trips && seconds / trips;
}

/**
 * The times of a case from its samples; undefined if they cannot give a ratio.
 *
 * @param options.canarySeconds Seconds of the canary on the undisturbed device of the same run.
 */
export function timesOfSamples(
  record: TimesRecord,
  samples: readonly TimedSample[],
  options: { canarySeconds?: number } = {},
): TimedCase | undefined {
  if (record.status !== "ok" || record.check?.passed === false) return undefined;
  const counted = thin(samples.filter((sample) => sample.flag === undefined));
  if (counted.length === 0 || counted.some(({ seconds }) => !(seconds > 0))) return undefined;
  const { canarySeconds = 0 } = options;
  const hasCanary = canarySeconds > 0 &&
    counted.every((sample) => (outerCanary(sample) ?? 0) > 0);
  return {
    id: record.id,
    kind: `${record.suite}/${record.implementation}/${record.direction}`,
    seconds: medianOf(counted.map(({ seconds }) => seconds)),
    count: counted.length,
    atPowerLimit: isAtPowerLimit(counted),
    measured: read(counted, ({ seconds }) => seconds),
    byCanary: hasCanary
      ? read(counted, (sample) => sample.seconds / (canarySeconds * outerCanary(sample)!))
      : null,
  };
}

/** The canary of a sample as far as others than the sample itself lowered the clock. */
export function outerCanary(
  { canary, atPowerLimit, canaryBefore }: Pick<
    TimedSample,
    "canary" | "atPowerLimit" | "canaryBefore"
  >,
): number | undefined {
  return atPowerLimit ? canaryBefore : canary;
}

function read(samples: readonly TimedSample[], value: (sample: TimedSample) => number): Reading {
  const rounds = new Map<number, number[]>();
  for (const sample of samples) {
    const round = rounds.get(sample.round);
    if (round) round.push(value(sample));
    else rounds.set(sample.round, [value(sample)]);
  }
  const values = samples.map(value);
  return {
    blocks: [...rounds.values()],
    log: Math.log(medianOf(values)),
    deviation: robustDeviation(values.map(Math.log)),
  };
}
