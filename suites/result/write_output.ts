/**
 * Writing what a command's `--out` names; what is there already only when told to.
 *
 * @module
 */
import { errorLine, OutputError } from "../errors.ts";

/**
 * Finds out before any work whether a file is in the way. A dangling link is one too, and a folder
 * is in the way even of `force`.
 *
 * @param options.remedy what the user can do about it, beside another name.
 * @throws {OutputError} when there is one and `force` is false.
 */
export async function refuseOverwrite(
  paths: readonly string[],
  force: boolean,
  { remedy = "--force overwrites it" }: { remedy?: string } = {},
): Promise<void> {
  for (const path of paths) {
    const found = await Deno.lstat(path).catch(() => undefined);
    if (found?.isDirectory) {
      throw new OutputError(`write ${path}: a folder of that name is in the way`);
    }
    if (found && !force) throw new OutputError(`write ${path}: it exists; ${remedy}`);
  }
}

/**
 * Finds out before any work whether a file can be written: nothing is in the way, and its folder
 * takes files.
 *
 * @throws {OutputError} one line, when it cannot.
 */
export async function refuseOutput(path: string, force: boolean): Promise<void> {
  await refuseOverwrite([path], force);
  const probe = `${path}.${Deno.pid}.probe`;
  await writeOutput(probe, "", { name: path });
  await Deno.remove(probe);
}

/**
 * Writes a text file.
 *
 * @param options.name What errors call it. Default: its path.
 * @throws {OutputError} when it exists and `force` is false, or cannot be written.
 */
export async function writeOutput(
  path: string,
  text: string,
  { force = false, name = path }: { force?: boolean; name?: string } = {},
): Promise<void> {
  try {
    await Deno.writeTextFile(path, text, { createNew: !force });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new OutputError(`write ${name}: it exists; --force overwrites it`);
    }
    const { NotFound, NotADirectory, PermissionDenied, NotCapable } = Deno.errors;
    const reason = error instanceof NotFound
      ? "its folder does not exist"
      : error instanceof NotADirectory
      ? "a part of the path is a file"
      : error instanceof PermissionDenied || error instanceof NotCapable
      ? "no permission"
      : errorLine(error).replace(/:? writefile '.*'$/, "");
    throw new OutputError(`write ${name}: ${reason}`, { cause: error });
  }
}
