/**
 * Writes the output that `--out` names: the whole file or nothing, never into a file that another
 * process is writing, and over an existing file only if requested.
 *
 * @module
 */
import { OutputError } from "../errors.ts";
import { asOutputError, describeFileError } from "./file_errors.ts";
import {
  type ClaimOptions,
  type Held,
  isStillAt,
  lockFile,
  temporaries,
  temporaryOf,
} from "./file_lock.ts";

/** Name of the file whose lock shows that a process writes into a folder. */
export const FOLDER_LOCK = ".lighthouse-attention-bench.lock";

/** Keeps other processes out of a file or a folder until it is released. */
export interface Claim {
  /** Releases it. Unfinished files are removed, and created folders that are empty. */
  release(): Promise<void>;
}

/** A claim on a file that does not exist yet, or is to be replaced. */
export interface FileClaim extends Claim {
  /**
   * Writes the whole file, and then releases the claim.
   *
   * @throws {OutputError} when it cannot be written, or another process created it meanwhile and
   * `force` was not given. An existing file is unchanged then.
   */
  write(text: string): Promise<void>;
}

/** A claim on a folder. */
export interface FolderClaim extends Claim {
  readonly folder: string;
}

/**
 * Checks before any work whether a file is in the way. A dangling link counts too, and a folder
 * is in the way even with `force`.
 *
 * @param options.remedy what the user can do about it, besides using another name.
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
 * Claims a file for this process before any work: nothing is in the way, its folder accepts files,
 * and no other process is about to write it.
 *
 * @throws {OutputError} one line, when it cannot be claimed.
 */
export async function claimFile(
  path: string,
  options: { force?: boolean } & ClaimOptions = {},
): Promise<FileClaim> {
  const claim = await tryClaimFile(path, options);
  if (claim === undefined) throw new OutputError(`write ${path}: another process is writing it`);
  return claim;
}

/**
 * {@linkcode claimFile}, undefined when another process has it.
 *
 * @throws {OutputError} one line, when it cannot be claimed for another reason.
 */
export async function tryClaimFile(
  path: string,
  { force = false, ...options }: { force?: boolean } & ClaimOptions = {},
): Promise<FileClaim | undefined> {
  await refuseOverwrite([path], force);
  const found = await Deno.stat(path).catch(() => undefined);
  // A device or a pipe is written directly.
  if (found && !found.isFile) return writeThrough(path);
  const target = found ? await Deno.realPath(path) : path;
  const temporary = temporaryOf(target);
  const held = await lockFile(temporary, { name: path, options });
  if (held === undefined) return undefined;
  const claim = holdFile({ path, target, temporary, held, force });
  try {
    // Since the first look, another process may have written it and ended.
    await refuseOverwrite([path], force);
    return claim;
  } catch (error) {
    await claim.release();
    throw error;
  }
}

/**
 * Claims a folder for this process, and creates it if it is missing. A process that writes into a
 * folder over some time holds it, so that two runs never share one.
 *
 * @returns undefined when another process has it.
 * @throws {OutputError} one line, when it cannot be created or written to.
 */
export async function tryClaimFolder(
  folder: string,
  options: ClaimOptions = {},
): Promise<FolderClaim | undefined> {
  // A folder that another process created in vain may disappear between two steps.
  for (let attempt = 0;; attempt++) {
    const made = await makeFolder(folder);
    const path = `${folder}/${FOLDER_LOCK}`;
    try {
      const held = await lockFile(path, { name: folder, options });
      return held && holdFolder({ folder, path, held, made });
    } catch (error) {
      const cause = error instanceof OutputError ? error.cause : error;
      if (!(cause instanceof Deno.errors.NotFound) || attempt >= 10) throw error;
    }
  }
}

/**
 * {@linkcode tryClaimFolder} for a folder that the user named.
 *
 * @param options.check Throws when the folder's content forbids writing there. It is called before,
 * and again with the folder claimed: another process may just have ended there.
 * @throws {OutputError} also when another process has it.
 */
export async function claimFolder(
  folder: string,
  { check = async () => {} }: { check?: () => Promise<void> } = {},
): Promise<FolderClaim> {
  await check();
  const claim = await tryClaimFolder(folder);
  if (claim === undefined) {
    throw new OutputError(
      `write to ${folder}: another process is writing there; take another folder, or wait for it`,
    );
  }
  try {
    await check();
    return claim;
  } catch (error) {
    await claim.release();
    throw error;
  }
}

/**
 * Replaces a file atomically in a folder that this process has claimed.
 *
 * @throws {OutputError} when it cannot be written; the old file is kept.
 */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = temporaryOf(path);
  temporaries.add(temporary);
  try {
    const file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    try {
      await writeAll(file, data);
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw asOutputError(path, error);
  } finally {
    temporaries.delete(temporary);
  }
}

/** Creates a folder, and returns the ones that were missing, the deepest first. */
async function makeFolder(folder: string): Promise<string[]> {
  const missing: string[] = [];
  const parts = folder.replace(/[/\\]+$/, "").split(/(?<=[^/\\])[/\\]+/);
  for (let length = parts.length; length > 0; length--) {
    const path = parts.slice(0, length).join("/");
    if (await Deno.lstat(path).then(() => true, () => false)) break;
    missing.push(path);
  }
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    const reason = error instanceof Deno.errors.AlreadyExists
      ? "it is not a folder"
      : describeFileError(error);
    throw new OutputError(`write to ${folder}: ${reason}`, { cause: error });
  }
  return missing;
}

async function writeAll(file: Deno.FsFile, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  // On a network a full disk shows only now; a pipe has nothing to flush.
  if ((await file.stat()).isFile) await file.syncData();
}

/** A claim on a file that grows under another name. */
function holdFile(
  { path, target, temporary, held: { file, close }, force }: {
    path: string;
    target: string;
    temporary: string;
    held: Held;
    force: boolean;
  },
): FileClaim {
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    // While the lock is held: a later file of this name belongs to another process.
    if (await isStillAt(temporary, file)) await Deno.remove(temporary).catch(() => {});
    temporaries.delete(temporary);
    close();
  };
  const write = async (text: string) => {
    try {
      await writeAll(file, text);
      if (force) await Deno.rename(temporary, target);
      else await giveName(temporary, target);
    } catch (error) {
      throw error instanceof Deno.errors.AlreadyExists
        ? new OutputError(`write ${path}: it exists; --force overwrites it`)
        : asOutputError(path, error);
    } finally {
      await release();
    }
  };
  return { write, release };
}

/** Gives a finished file its name, unless the name is taken. */
async function giveName(temporary: string, target: string): Promise<void> {
  try {
    await Deno.link(temporary, target);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // Not every file system has links.
    (await Deno.open(target, { write: true, createNew: true })).close();
    await Deno.rename(temporary, target);
  }
}

/** A device or a pipe, which cannot be claimed. */
function writeThrough(path: string): FileClaim {
  const write = async (text: string) => {
    try {
      const file = await Deno.open(path, { write: true });
      try {
        await writeAll(file, text);
      } finally {
        file.close();
      }
    } catch (error) {
      throw asOutputError(path, error);
    }
  };
  return { write, release: () => Promise.resolve() };
}

/** A claim on a folder by a lock in it. */
function holdFolder(
  { folder, path, held: { file, close }, made }: {
    folder: string;
    path: string;
    held: Held;
    made: readonly string[];
  },
): FolderClaim {
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    if (await isStillAt(path, file)) await Deno.remove(path).catch(() => {});
    temporaries.delete(path);
    close();
    // A folder that is not empty is not removed.
    for (const empty of made) await Deno.remove(empty).catch(() => {});
  };
  return { folder, release };
}
