/**
 * The one place where errors become a line on stderr and an exit code.
 *
 * @module
 */
import { closest, distance } from "fastest-levenshtein";
import { DeviceError } from "../../kernels/gpu/device.ts";
import { DeviceLostError } from "../../kernels/gpu/timing.ts";
import { errorLine, EXIT } from "../errors.ts";
import { plainText } from "../result/plain_text.ts";
import { guardConsole, standardOutput } from "./streams.ts";
import { enterUserFolder } from "./user_folder.ts";

/** The exit code that an error stands for; undefined for a fault of the program itself. */
export function exitCodeFor(error: unknown): number | undefined {
  if (error instanceof Error && "exitCode" in error && typeof error.exitCode === "number") {
    return error.exitCode;
  }
  if (error instanceof DeviceError) {
    return error.kind === "feature" ? EXIT.usage : EXIT.nothingMeasured;
  }
  if (error instanceof DeviceLostError) return EXIT.failed;
  if (error instanceof DOMException && error.name === "AbortError") return EXIT.inconclusive;
  return undefined;
}

/**
 * A complaint that lists what there is, with the name that was probably meant.
 *
 * @example
 * ```ts
 * import { suggestName } from "./errors.ts";
 * import assert from "node:assert/strict";
 * assert.equal(
 *   suggestName("scorer nrm is not one of norm, gla"),
 *   "scorer nrm is not one of norm, gla (Did you mean norm?)",
 * );
 * ```
 */
export function suggestName(line: string): string {
  const found = /^(.*?)"?([\w-]+)"? is not one of (.+?)\.?$/.exec(line);
  if (!found) return line;
  const [, , given, list] = found;
  if (/^\d+$/.test(given)) return line; // a number, of which the nearest is no better guess
  const meant = closest(given, list.split(", "));
  // Half of the letters may differ, in short names one.
  return distance(given, meant) <= Math.max(1, meant.length / 2)
    ? `${line} (Did you mean ${meant}?)`
    : line;
}

/**
 * What a person reads of an error, in one line without control characters: the whole of our own
 * messages, which may name what has line breaks, and the first line of others.
 */
export function shownLine(error: unknown): string {
  const own = error instanceof Error && "exitCode" in error;
  return suggestName(plainText(own ? error.message : errorLine(error)));
}

/**
 * Runs a command and ends the process with its exit code. Errors that a person can act on come out
 * as one line; anything else is a fault of this program and comes out with its stack, code 1. A
 * standard output that could not be written is an error as well, unless its reader has gone.
 */
export async function runCommand(name: string, main: () => Promise<number>): Promise<never> {
  guardConsole();
  enterUserFolder();
  let code: number;
  try {
    code = await main();
  } catch (error) {
    const known = exitCodeFor(error);
    code = known ?? EXIT.failed;
    const text = known === undefined && error instanceof Error
      ? `unexpected fault, please report it: ${error.stack ?? error.message}`
      : shownLine(error);
    // Some lines name the command by themselves.
    const named = text.startsWith(`${name} `) || text.startsWith(`${name}:`);
    console.error(named ? text : `${name}: ${text}`);
  }
  const unwritten = standardOutput.failure();
  if (unwritten !== undefined) {
    console.error(`${name}: write to standard output: ${unwritten}`);
    if (code === EXIT.fine) code = EXIT.usage;
  }
  Deno.exit(code);
}
