/**
 * Writing a site into a folder.
 *
 * @module
 */
import { errorLine, OutputError } from "../../suites/errors.ts";
import { plainText } from "../format.ts";
import type { SiteFile } from "./site_page.tsx";

/**
 * Finds out before any work whether a folder may be written to: it is missing, empty, or `force`.
 *
 * @throws {OutputError} when it may not, or is no folder.
 */
export async function refuseFolder(folder: string, force: boolean): Promise<void> {
  try {
    const info = await Deno.stat(folder);
    if (!info.isDirectory) throw new OutputError(`write ${plainText(folder)}: it is no folder`);
    if (force) return;
    for await (const _ of Deno.readDir(folder)) {
      throw new OutputError(
        `write ${plainText(folder)}: the folder is not empty; --force writes over what is there`,
      );
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw asOutputError(folder, error);
  }
}

/**
 * Writes the files, folders made where missing. Files that the site has no page for are left alone.
 *
 * @returns how many files, and their bytes together.
 * @throws {OutputError} one line.
 */
export async function writeSite(
  files: Iterable<SiteFile>,
  folder: string,
): Promise<{ files: number; bytes: number }> {
  const made = new Set<string>();
  const encoder = new TextEncoder();
  const written = { files: 0, bytes: 0 };
  for (const { path, text } of files) {
    // Paths are made of slugs; this holds even if one day they are not.
    if (!/^[a-z0-9-]+(\/[a-z0-9-]+)?(\.[a-z0-9-]+)*$/.test(path)) {
      throw new OutputError(`write ${plainText(path)}: not a name of a page`);
    }
    const target = `${folder}/${path}`;
    try {
      const parent = target.slice(0, target.lastIndexOf("/"));
      if (!made.has(parent)) await Deno.mkdir(parent, { recursive: true });
      made.add(parent);
      const bytes = encoder.encode(text);
      await Deno.writeFile(target, bytes);
      written.files++;
      written.bytes += bytes.length;
    } catch (error) {
      throw asOutputError(target, error);
    }
  }
  return written;
}

function asOutputError(path: string, error: unknown): OutputError {
  if (error instanceof OutputError) return error;
  const { PermissionDenied, NotCapable, NotADirectory, AlreadyExists, IsADirectory } = Deno.errors;
  const reason = error instanceof PermissionDenied || error instanceof NotCapable
    ? "no permission"
    : error instanceof NotADirectory || error instanceof AlreadyExists
    ? "a part of the path is a file"
    : error instanceof IsADirectory
    ? "a folder of that name is in the way"
    : errorLine(error);
  return new OutputError(`write ${plainText(path)}: ${reason}`, { cause: error });
}
