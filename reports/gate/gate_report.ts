/**
 * The findings of a gate: the record that every renderer reads, and that `--format json` prints.
 *
 * @module
 */

/** Verdict on the time of one case. `new` and `missing` are cases that only one side has. */
export type CaseVerdict = "same" | "faster" | "slower" | "inconclusive" | "new" | "missing";

/** Parts of a record that are compared exactly, and whose change a configuration may accept. */
export const EXACT_PARTS = ["status", "digest", "cost", "error"] as const;

/** One of {@linkcode EXACT_PARTS}. */
export type ExactPart = typeof EXACT_PARTS[number];

/** A field that differs although it must be equal to the bit. */
export interface ExactDifference {
  readonly part: ExactPart;
  /** For example `digest.selection`. */
  readonly field: string;
  readonly baseline: string;
  readonly candidate: string;
  /** `note`: shown, fails nothing, because the field may differ here or its change is accepted. */
  readonly severity: "failure" | "note";
  /** Why it is only a note. */
  readonly reason?: string;
}

/** The time of a case against the baseline's. Ratios are candidate seconds / baseline seconds. */
export interface TimeComparison {
  readonly ratio: number;
  /** Ends of the interval of the ratio, sampling error and run-to-run noise together. */
  readonly low: number;
  readonly high: number;
  readonly baselineSeconds: number;
  readonly candidateSeconds: number;
  /** Ends of the 95 % intervals of both, for interleaved cases. */
  readonly intervals?: {
    readonly baseline: readonly [number, number];
    readonly candidate: readonly [number, number];
  };
  /** Counted samples on each side. */
  readonly baselineSamples: number;
  readonly candidateSamples: number;
  /** Sides that drew as much power as the device may, so at a lower clock; absent: none. */
  readonly atPowerLimit?: readonly ("baseline" | "candidate")[];
  /**
   * Noise threshold: the relative change that the interval would hide, exp(half width) - 1. Smaller
   * changes cannot be distinguished from noise.
   */
  readonly threshold: number;
  /** Part of the threshold that comes from differences between whole runs. */
  readonly runNoise: number;
  /** Source of `runNoise`, when two files are compared. */
  readonly noiseSource?: "assumed" | "cases" | "earlier runs" | "configuration";
}

/** One case. */
export interface GateCase {
  readonly id: string;
  readonly verdict: CaseVerdict;
  /** Whether this case alone makes the gate fail. */
  readonly fails: boolean;
  /** Reason for the verdict, if the ratio does not show it. */
  readonly reason?: string;
  readonly time?: TimeComparison;
  /** Smaller slowdowns are ignored. */
  readonly minimum: number;
  /** The smallest slowdown that must be found. */
  readonly tolerance: number;
  readonly differences: readonly ExactDifference[];
}

/** The run of one side. */
export interface GateSide {
  readonly name: string;
  readonly commit: string | null;
  readonly dirty: boolean | null;
  readonly startedAt: string;
  readonly device: string;
  readonly fingerprint: string;
  readonly cases: number;
}

/** Sources of the run-to-run noise; natural logarithms of ratios. */
export interface NoiseEstimate {
  /** Shift of the canary between the runs; null if it was not measured. */
  readonly canaryShift: number | null;
  /** Spread of the ratios about the mean of their kind, one standard deviation; null with too few. */
  readonly caseSpread: number | null;
  /** Typical deviation of single samples within a run. */
  readonly sampleSpread: number | null;
  /** Spread of earlier runs of the baseline, one standard deviation; null without any. */
  readonly historySpread: number | null;
  /** Runs that went into `historySpread`, the baseline included. */
  readonly historyRuns: number;
  /** Seconds of one step of the clock, which is added to every interval. */
  readonly clockStep: number;
}

/** A whole comparison. */
export interface GateReport {
  readonly schemaVersion: 1;
  readonly kind: "gate";
  readonly outcome: "passed" | "failed" | "inconclusive" | "not comparable";
  /** 0 passed, 1 failed, 3 inconclusive, 4 not comparable. */
  readonly exitCode: 0 | 1 | 3 | 4;
  /** One line. */
  readonly sentence: string;
  /** `absolute`: two result files. `paired`: interleaved processes on one machine. */
  readonly method: "absolute" | "paired";
  readonly baseline: GateSide;
  readonly candidate: GateSide;
  /** Code, configuration, adapter and packages hash the same: timing differences are noise. */
  readonly identicalCode: boolean;
  /** Why the times of the runs cannot be compared; empty if they were. */
  readonly timesNotComparable: readonly string[];
  /** Confidence that every interval of the comparison contains its true ratio, for example 0.99. */
  readonly confidence: number;
  readonly noise: NoiseEstimate;
  readonly cases: readonly GateCase[];
  /** Cases of one run that the other was not to measure: they are not part of `cases`. */
  readonly leftOut: { readonly baseline: number; readonly candidate: number };
  /** Exact fields that were compared, over all cases. */
  readonly exactFields: number;
  readonly notes: readonly string[];
}

/** Cases with each verdict. */
export function countVerdicts(cases: readonly GateCase[]): Record<CaseVerdict, number> {
  const counts = { same: 0, faster: 0, slower: 0, inconclusive: 0, new: 0, missing: 0 };
  for (const { verdict } of cases) counts[verdict]++;
  return counts;
}
