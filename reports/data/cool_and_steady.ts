/**
 * The first sample of a case and those after it: the speed of a cool device, and the sustained speed.
 *
 * @module
 */
import type { CaseRecord, Sample } from "../../suites/result/result_schema.ts";

/** Both figures of a case. */
export interface CoolAndSteady {
  /** Seconds of the first sample, whatever its flag. */
  first: number;
  /** Median seconds of the later counted samples; null if there are none. */
  steady: number | null;
  /** Number of samples in `steady`. */
  count: number;
}

/** The samples of a case in the order of measuring. */
export function orderedSamples({ samples }: Pick<CaseRecord, "samples">): Sample[] {
  return [...samples].sort((a, b) => a.round - b.round || a.place - b.place);
}

/**
 * Both figures of a case; null without samples.
 *
 * @example
 * ```ts
 * import { coolAndSteady } from "./cool_and_steady.ts";
 * import assert from "node:assert/strict";
 * const samples = [3, 1, 2].map((seconds, round) => ({ seconds, wallSeconds: 4, round, place: 0 }));
 * assert.deepEqual(coolAndSteady({ samples }), { first: 3, steady: 1.5, count: 2 });
 * ```
 */
export function coolAndSteady(record: Pick<CaseRecord, "samples">): CoolAndSteady | null {
  const [first, ...later] = orderedSamples(record);
  if (first === undefined) return null;
  const counted = later.filter(({ flag }) => flag === undefined)
    .map(({ seconds }) => seconds).sort((a, b) => a - b);
  const middle = counted.length >> 1;
  const steady = counted.length === 0
    ? null
    : counted.length % 2 === 1
    ? counted[middle]
    : (counted[middle - 1] + counted[middle]) / 2;
  return { first: first.seconds, steady, count: counted.length };
}
