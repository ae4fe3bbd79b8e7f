/**
 * Device readings while a case ran, and the energy per token derived from them.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";

/** Clock, power and energy of a case; null if no sample of it has a reading. */
export interface DeviceReadings {
  clockMHz: number | null;
  powerWatts: number | null;
  /** Power times the median time of one execution, over the tokens of the context, J. */
  joulesPerToken: number | null;
  /** Whether half of the counted samples or more drew as much power as the device may, at which it may lower its clock. */
  atPowerLimit: boolean;
}

/**
 * Medians over the counted samples of a case that have a reading.
 *
 * @example
 * ```ts
 * import { deviceReadings } from "./device_readings.ts";
 * import assert from "node:assert/strict";
 * const sample = { seconds: 2, wallSeconds: 2, round: 0, place: 0, powerWatts: 500 };
 * const { joulesPerToken } = deviceReadings({
 *   samples: [sample],
 *   shape: { batch: 1, heads: 8, context: 1000, headDim: 64, dtype: "f16" },
 *   statistic: { count: 1, median: 2, low: 2, high: 2, min: 2, max: 2, mean: 2, outliers: 0 },
 * });
 * assert.equal(joulesPerToken, 1);
 * ```
 */
export function deviceReadings(
  { samples, shape, statistic }: Pick<CaseRecord, "samples" | "shape" | "statistic">,
): DeviceReadings {
  const counted = samples.filter(({ flag }) => flag === undefined);
  const clockMHz = middle(counted.map(({ clockMHz }) => clockMHz));
  const powerWatts = middle(counted.map(({ powerWatts }) => powerWatts));
  return {
    clockMHz,
    powerWatts,
    joulesPerToken: powerWatts === null || statistic === undefined
      ? null
      : powerWatts * statistic.median / shape.context,
    atPowerLimit: isAtPowerLimit(counted),
  };
}

/** What tables say behind a time at the device's power limit. */
export const POWER_LIMIT_TEXT = ", at the device’s power limit";

/** Whether half or more of some counted samples drew as much power as their device may. */
export function isAtPowerLimit(counted: readonly { readonly atPowerLimit?: boolean }[]): boolean {
  return counted.length > 0 &&
    2 * counted.filter(({ atPowerLimit }) => atPowerLimit).length >= counted.length;
}

/** What tables say behind the time of a case at its power limit; else nothing. */
export function powerLimitText(record: CaseRecord): string {
  return deviceReadings(record).atPowerLimit ? POWER_LIMIT_TEXT : "";
}

/** Which cases of a table were at their device's power limit, as a sentence; undefined: none. */
export function powerLimitSentence(
  cases: readonly { readonly name: string; readonly record: CaseRecord }[],
): string | undefined {
  const names = cases.filter(({ record }) => deviceReadings(record).atPowerLimit)
    .map(({ name }) => name);
  return names.length === 0
    ? undefined
    : `At the device’s power limit, which lowers its clock: ${[...new Set(names)].join(", ")}.`;
}

function middle(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const half = known.length >> 1;
  if (known.length === 0) return null;
  return known.length % 2 === 1 ? known[half] : (known[half - 1] + known[half]) / 2;
}
