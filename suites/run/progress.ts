/**
 * What a run reports while it is in progress, and how it is stopped.
 *
 * @module
 */
import type { CaseRecord } from "../result/result_schema.ts";

/** A progress report of a run. */
export interface ProgressEvent {
  /** `step`: something started. `case`: a case is finished. `note`: information. */
  readonly kind: "step" | "case" | "note";
  /** What is in progress, or what was found. */
  readonly text: string;
  /** Cases finished. */
  readonly done: number;
  /** Cases planned. */
  readonly total: number;
  /** Estimate of the remaining seconds; null before anything is known. */
  readonly remainingSeconds: number | null;
  /** The finished case. */
  readonly case?: CaseRecord;
}

/** Hooks of {@linkcode runSuite}. */
export interface SuiteHooks {
  /** Called as the run proceeds. */
  onProgress?: (event: ProgressEvent) => void;
  /**
   * Called with what a suite has found of a case that is not finished, in the form of its part of a
   * result: for a display alone.
   */
  onFound?: (found: unknown) => void;
  /** Stops the run; what is finished is kept and returned. */
  signal?: AbortSignal;
}
