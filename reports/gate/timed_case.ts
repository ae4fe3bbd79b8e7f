/**
 * The times of one case in one run, as a comparison reads them.
 *
 * @module
 */
import type { CaseRecord, Result, Sample } from "../../suites/result/result_schema.ts";
import { findRecord, type SuiteRecord } from "../../suites/result/suite_record.ts";
import { SUITE_RECORDS } from "../../suites/result/suite_records.ts";
import { medianOf, thin } from "./bootstrap.ts";
import {
  canaryReference,
  outerCanary,
  type TimedCase,
  timesOfSamples,
} from "./times_of_samples.ts";

export type { Reading, TimedCase } from "./times_of_samples.ts";

/** The samples of a case that its suite compares. */
export function samplesOf(record: CaseRecord, records: readonly SuiteRecord[]): readonly Sample[] {
  const { samples } = findRecord(records, record.suite);
  const ran = record.status === "ok" || record.status === "inconclusive";
  return ran && samples ? samples(record) : record.samples;
}

/**
 * The times of a case; undefined if they cannot give a ratio.
 *
 * @param options.records Records of suites, which decide which samples count. Default: all.
 * @param options.canarySeconds Seconds of the canary on the undisturbed device of the same run, or
 * of one trip of it: runs that are compared must take the same.
 */
export function timesOf(
  record: CaseRecord,
  options: { canarySeconds?: number; records?: readonly SuiteRecord[] } = {},
): TimedCase | undefined {
  const { records = SUITE_RECORDS, canarySeconds } = options;
  return timesOfSamples(record, samplesOf(record, records), { canarySeconds });
}

/** Whether a run records how long its canary is. */
export function tellsTrips({ calibration }: Result): boolean {
  return calibration?.canaryTrips !== undefined;
}

function referenceOf({ calibration }: Result, options: { perTrip: boolean }): number | undefined {
  const canary = { seconds: calibration?.canary?.median, trips: calibration?.canaryTrips };
  return canaryReference(canary, options);
}

/**
 * The times of all cases of a run.
 *
 * @param options.perTrip whether canary times are per trip: the same for all runs that are
 * compared, true if any of them records its trips. Runs without trips then have no reading by the
 * canary. Default: whether this run records them.
 */
export function timesOfRun(
  result: Result,
  options: { records?: readonly SuiteRecord[]; perTrip?: boolean } = {},
): TimedCase[] {
  const { records, perTrip = tellsTrips(result) } = options;
  const canarySeconds = referenceOf(result, { perTrip });
  return result.cases.flatMap((record) => timesOf(record, { canarySeconds, records }) ?? []);
}

/**
 * Median of the canary's seconds over all samples of a run, with `perTrip` as for
 * {@linkcode timesOfRun}; null without a canary.
 */
export function canarySeconds(result: Result, options: { perTrip?: boolean } = {}): number | null {
  const { perTrip = tellsTrips(result) } = options;
  const reference = referenceOf(result, { perTrip });
  if (reference === undefined || !(reference > 0)) return null;
  const seen = thin(
    result.cases.flatMap(({ samples }) => samples.flatMap((sample) => outerCanary(sample) || [])),
  );
  return seen.length > 0 ? reference * medianOf(seen) : null;
}

/**
 * Seconds of one step of the clock that timed a run: as recorded, else the smallest
 * difference between repeated sample values of a case. 0 if neither is known.
 */
export function clockStep({ calibration, cases }: Result): number {
  const recorded = calibration?.clock === "gpu" ? calibration.timestampGranularity : undefined;
  if (recorded !== undefined) return recorded;
  let least = Infinity;
  for (const { samples } of cases) {
    const values = [...new Set(samples.map(({ seconds }) => seconds))].sort((a, b) => a - b);
    if (2 * values.length > samples.length) continue;
    for (let i = 1; i < values.length; i++) least = Math.min(least, values[i] - values[i - 1]);
  }
  return least < Infinity ? least : 0;
}
