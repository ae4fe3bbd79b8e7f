/**
 * Refuses results of one run that are given twice: comparing a run with itself means nothing.
 *
 * @module
 */
import { UsageError } from "../../suites/errors.ts";
import type { Result } from "../../suites/result/result_schema.ts";
import { isSameRun } from "../../suites/result/same_run.ts";
import { plainText } from "../../suites/result/plain_text.ts";

/** A result with the name of its file. */
export interface NamedResult {
  readonly name: string;
  readonly result: Result;
}

/**
 * Refuses two results of one run.
 *
 * @throws {UsageError} one line with the names of both.
 */
export function refuseTwins(results: readonly NamedResult[]): void {
  for (const [i, { name, result }] of results.entries()) {
    const twin = results.slice(0, i).find((other) => isSameRun(other.result, result));
    if (twin === undefined) continue;
    throw new UsageError(
      `${plainText(twin.name)} and ${plainText(name)} are results of one run, started ` +
        `${plainText(result.startedAt).slice(0, 40)}: give one of them`,
    );
  }
}
