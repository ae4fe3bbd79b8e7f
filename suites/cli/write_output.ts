/**
 * Writing the file that a command's `--out` names; an existing one only when told to.
 *
 * @module
 */
import { errorLine, OutputError } from "../errors.ts";

/**
 * Finds out before any work whether a file is in the way.
 *
 * @throws {OutputError} when there is one and `force` is false.
 */
export async function refuseOverwrite(path: string | undefined, force: boolean): Promise<void> {
  if (path === undefined || force) return;
  const exists = await Deno.stat(path).then(() => true, () => false);
  if (exists) throw new OutputError(`write ${path}: it exists; --force overwrites it`);
}

/**
 * Writes a text file.
 *
 * @throws {OutputError} when it exists and `force` is false, or cannot be written.
 */
export async function writeOutput(
  path: string,
  text: string,
  { force = false }: { force?: boolean } = {},
): Promise<void> {
  try {
    await Deno.writeTextFile(path, text, { createNew: !force });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new OutputError(`write ${path}: it exists; --force overwrites it`);
    }
    const reason = error instanceof Deno.errors.NotFound
      ? "its folder does not exist"
      : errorLine(error).replace(/:? writefile '.*'$/, "");
    throw new OutputError(`write ${path}: ${reason}`, { cause: error });
  }
}
