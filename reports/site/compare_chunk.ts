/**
 * A run as the page that compares any two of them reads it: one file per run, fetched when it is
 * chosen. It is a script, since pages opened from disk may load nothing else.
 *
 * @module
 */
import type { ComparedCase, ComparedRun } from "./compare_runs.ts";

/** Name of the function that a chunk calls with the run's slug and its packed data. */
export const CHUNK_CALL = "lighthouseRun";

/** Samples by columns: seconds, round and, where all have one, the canary. */
interface PackedCase extends Omit<ComparedCase, "samples"> {
  readonly samples: readonly [number[], number[], number[] | null];
}

/** A packed run. */
export interface PackedRun extends Omit<ComparedRun, "cases"> {
  readonly cases: readonly PackedCase[];
}

/** A run ready to be written. */
export function packRun({ cases, ...run }: ComparedRun): PackedRun {
  return {
    ...run,
    cases: cases.map(({ samples, ...one }): PackedCase => ({
      ...one,
      samples: [
        samples.map(({ seconds }) => seconds),
        samples.map(({ round }) => round),
        samples.length > 0 && samples.every(({ canary }) => canary !== undefined)
          ? samples.map(({ canary }) => canary!)
          : null,
      ],
    })),
  };
}

/** The inverse. */
export function unpackRun({ cases, ...run }: PackedRun): ComparedRun {
  return {
    ...run,
    cases: cases.map(({ samples: [seconds, rounds, canaries], ...one }): ComparedCase => ({
      ...one,
      samples: seconds.map((value, i) => ({
        seconds: value,
        round: rounds[i],
        ...(canaries !== null && { canary: canaries[i] }),
      })),
    })),
  };
}
