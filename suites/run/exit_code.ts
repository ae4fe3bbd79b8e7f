/**
 * The exit code for a result.
 *
 * @module
 */
import { EXIT } from "../errors.ts";
import type { CaseRecord, Result } from "../result/result_schema.ts";
import { isCheck, SUITE_RECORDS } from "../result/suite_records.ts";

/** The exit code for a result. */
export function exitCodeOf(result: Result): number {
  const has = (status: CaseRecord["status"]) =>
    result.cases.some((record) => record.status === status);
  if (has("failed")) return EXIT.failed;
  const timed = result.cases.filter((record) => !isCheck(record));
  const relevant = timed.length > 0 ? timed : result.cases;
  const found = relevant.some((record) => record.status === "ok") ||
    SUITE_RECORDS.some(({ part }) => part?.measured(result));
  // With more shards than pieces some are empty: the plan is still measured whole.
  const idle = result.shard !== undefined && result.cases.length === 0 &&
    result.finishedAt !== null;
  // A run that was stopped before its first case can be resumed like any other.
  if (!found && result.finishedAt === null) return EXIT.inconclusive;
  if (!found) return idle ? EXIT.fine : EXIT.nothingMeasured;
  return result.finishedAt === null || has("inconclusive") ? EXIT.inconclusive : EXIT.fine;
}
