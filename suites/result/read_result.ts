/**
 * Reads a result file and checks it against the schema; every possible fault of the file
 * gives one line.
 *
 * @module
 */
import { whyAmbiguous } from "./repeated_key.ts";
import { type Result, resultSchema, SCHEMA_VERSION } from "./result_schema.ts";
import { upgradeResult } from "./upgrade.ts";
import { plainText } from "./plain_text.ts";
import { issueLine } from "./schema_issue.ts";
import { InputError, readInput, STANDARD_INPUT } from "./read_input.ts";

/** Largest result file that is read. A paper-profile run with all samples stays below 2 MiB. */
export const RESULT_FILE_LIMIT_BYTES = 64 * 2 ** 20;

/** Deepest nesting of a result file; those of the bench stay below ten. */
const DEPTH_LIMIT = 100;

/**
 * Most objects and arrays of a result file. A paper-profile run with all samples has some 6,000.
 */
const CONTAINER_LIMIT = 2_000_000;

/** A result file that cannot be used, in one line that names the file and the reason. */
export class ResultFileError extends Error {
  /** Identifies this error by name. */
  override name = "ResultFileError";
  /** Exit code of a command-line tool: bad usage or bad file. */
  readonly exitCode = 2;

  /** The reason, without the file. */
  readonly reason: string;

  /** The file at `path` cannot be used; the message gives the reason in one line. */
  constructor(path: string, reason: string, options?: ErrorOptions) {
    const name = path === STANDARD_INPUT ? "on standard input" : plainText(path);
    super(`cannot use result file ${name}: ${plainText(reason)}`, options);
    this.reason = plainText(reason);
  }
}

/**
 * The validated result in the file at `path`; `-` is standard input.
 *
 * @throws {ResultFileError} when the file is missing, larger than 64 MiB, not JSON, cut off, of
 * another schema version, or does not match the schema.
 */
export async function readResult(path: string): Promise<Result> {
  try {
    return parseResult(await readInput(path, { limitBytes: RESULT_FILE_LIMIT_BYTES }), path);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new ResultFileError(path, error.message, { cause: error.cause });
  }
}

/**
 * The validated result in `text`; `path` only names the file in errors.
 *
 * @throws {ResultFileError} as {@linkcode readResult}.
 */
export function parseResult(text: string, path: string): Result {
  if (text.trim() === "") throw new ResultFileError(path, "it is empty");
  // Before parsing: unknown fields are kept, and code that walks them could exhaust the stack.
  const { depth, count } = measureNesting(text);
  if (depth > DEPTH_LIMIT) {
    throw new ResultFileError(path, `it is nested deeper than ${DEPTH_LIMIT} levels`);
  }
  if (count > CONTAINER_LIMIT) {
    throw new ResultFileError(
      path,
      `it has ${count} objects and arrays, the limit is ${CONTAINER_LIMIT}`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = (error as Error).message;
    const cut = /end of JSON|Unterminated|Expected .* at position (\d+)/.exec(message);
    const atEnd = cut !== null && (cut[1] === undefined || Number(cut[1]) >= text.trimEnd().length);
    throw new ResultFileError(
      path,
      atEnd ? `the JSON is cut off after ${text.length} characters` : `not JSON (${message})`,
      { cause: error },
    );
  }
  const ambiguous = whyAmbiguous(text);
  if (ambiguous) throw new ResultFileError(path, ambiguous);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ResultFileError(path, `expected a JSON object, found ${kindOf(value)}`);
  }
  const upgraded = upgradeResult(value) as Record<string, unknown>;
  checkVersion(upgraded.schemaVersion, path);
  const parsed = resultSchema.safeParse(upgraded);
  if (parsed.success) {
    refuseRepeated(parsed.data, path);
    return parsed.data;
  }
  throw new ResultFileError(path, issueLine(parsed.error.issues, upgraded));
}

/** Two records of one case: nobody can tell which of them counts. */
function refuseRepeated({ cases }: Result, path: string): void {
  const seen = new Set<string>();
  for (const { id } of cases) {
    if (seen.has(id)) throw new ResultFileError(path, `it names case ${id.slice(0, 200)} twice`);
    seen.add(id);
  }
}

function checkVersion(version: unknown, path: string): void {
  if (version === SCHEMA_VERSION) return;
  if (typeof version === "number" && version > SCHEMA_VERSION) {
    throw new ResultFileError(
      path,
      `written by a newer version: schemaVersion ${version}, this tool reads up to ${SCHEMA_VERSION}`,
    );
  }
  if (version === undefined) {
    throw new ResultFileError(
      path,
      `no schemaVersion, expected ${SCHEMA_VERSION}; is it a result file?`,
    );
  }
  const shown = JSON.stringify(version).slice(0, 40);
  throw new ResultFileError(path, `unknown schemaVersion ${shown}, expected ${SCHEMA_VERSION}`);
}

/**
 * Deepest nesting of a JSON text, and its number of objects and arrays; brackets in strings are
 * text.
 */
function measureNesting(text: string): { depth: number; count: number } {
  let [level, depth, count] = [0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
        if (text.charCodeAt(i) === 0x5c) i++;
      }
    } else if (code === 0x5b || code === 0x7b) {
      count++;
      level++;
      if (level > depth) depth = level;
    } else if (code === 0x5d || code === 0x7d) level--;
  }
  return { depth, count };
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
