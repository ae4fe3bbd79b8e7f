/**
 * Errors that a user can act on, each with the exit code of the command line.
 *
 * @module
 */

/** Exit codes of every command. */
export const EXIT = {
  fine: 0,
  /** A regression, a failed check, or a failed case. */
  failed: 1,
  /** Bad usage or a bad file. */
  usage: 2,
  inconclusive: 3,
  notComparable: 4,
  nothingMeasured: 5,
} as const;

/** An unusable option, shape or file: one line, exit code 2. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  readonly exitCode: number = EXIT.usage;
}

/** Two runs that may not be joined or compared: one line, exit code 4. */
export class NotComparableError extends Error {
  override readonly name = "NotComparableError";
  readonly exitCode = EXIT.notComparable;
}

/** The output folder cannot be written: one line, exit code 2. */
export class OutputError extends UsageError {
  override readonly name = "OutputError";
}

/** The first line of any thrown value. */
export function errorLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0].trim() || (error instanceof Error ? error.name : "unknown error");
}
