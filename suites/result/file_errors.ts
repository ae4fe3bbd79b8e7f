/**
 * One-line errors of the file system, without its paths and error numbers.
 *
 * @module
 */
import { errorLine, OutputError } from "../errors.ts";

/**
 * The reason why a file or folder operation failed, without path and error number.
 *
 * @example
 * ```ts
 * import { describeFileError } from "./file_errors.ts";
 * import assert from "node:assert/strict";
 * const error = await Deno.readTextFile("/no/such/file").catch((error) => error);
 * assert.equal(describeFileError(error), "there is no such file or folder");
 * ```
 */
export function describeFileError(error: unknown): string {
  const { NotFound, PermissionDenied, NotCapable, NotADirectory, IsADirectory, AlreadyExists } =
    Deno.errors;
  if (error instanceof NotFound) return "there is no such file or folder";
  if (error instanceof NotCapable) return "Deno was not given permission for it";
  const text = errorLine(error);
  if (/os error 30\b|EROFS|read-only file system/i.test(text)) {
    return "the file system is read-only";
  }
  if (error instanceof PermissionDenied) return "no permission";
  if (/os error (28|112)\b|ENOSPC|no space left/i.test(text)) return "no space left on the device";
  if (/os error 36\b|ENAMETOOLONG|name too long/i.test(text)) return "a name in it is too long";
  if (/os error 122\b|EDQUOT|quota exceeded/i.test(text)) return "the disk quota is used up";
  if (error instanceof IsADirectory) return "a folder of that name is in the way";
  if (error instanceof AlreadyExists) return "a file of that name is in the way";
  if (error instanceof NotADirectory || /os error 20\b|ENOTDIR/.test(text)) {
    return "a part of the path is a file";
  }
  return text.replace(/:? [a-z]+ '.*'( -> '.*')?$/, "");
}

/** An error of the file system as one line about the file at `path`. */
export function asOutputError(path: string, error: unknown): OutputError {
  if (error instanceof OutputError) return error;
  return new OutputError(`write ${path}: ${describeFileError(error)}`, { cause: error });
}
