/**
 * What a run says while it goes on, and how it is stopped.
 *
 * @module
 */
import type { CaseRecord } from "../result/result_schema.ts";

/** What a run says while it goes on. */
export interface ProgressEvent {
  /** `step`: something began. `case`: a case is finished. `note`: something to know. */
  readonly kind: "step" | "case" | "note";
  /** What is under way, or what was found. */
  readonly text: string;
  /** Cases finished. */
  readonly done: number;
  /** Cases planned. */
  readonly total: number;
  /** Estimate of the seconds still to go; null before anything is known. */
  readonly remainingSeconds: number | null;
  /** The finished case. */
  readonly case?: CaseRecord;
}

/** Hooks of {@linkcode runSuite}. */
export interface SuiteHooks {
  /** Called as the run goes on. */
  onProgress?: (event: ProgressEvent) => void;
  /** Stops the run; what is finished is kept and returned. */
  signal?: AbortSignal;
}
