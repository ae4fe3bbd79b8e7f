/**
 * Whether two results belong to one run.
 *
 * @module
 */
import type { Result } from "./result_schema.ts";

/** Whether two files hold the same run, finished in one of them or not. */
export function isSameRun(one: Result, other: Result): boolean {
  return one.startedAt === other.startedAt &&
    one.environment.fingerprint === other.environment.fingerprint &&
    one.hashes.plan === other.hashes.plan &&
    JSON.stringify(one.calibration) === JSON.stringify(other.calibration);
}
