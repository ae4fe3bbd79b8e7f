/**
 * Files that only one process has open, even on file systems without locks, and that are
 * removed with the process however it ends.
 *
 * @module
 */
import { OutputError } from "../errors.ts";
import { describeFileError } from "./file_errors.ts";

/** For tests: the lock of an open file. */
export interface ClaimOptions {
  /** False when another process has the lock; throws if the file system has no locks. */
  readonly tryLock?: (file: Deno.FsFile) => Promise<boolean>;
}

/**
 * On file systems without locks, a file serves as the lock: its time is renewed this often, and one
 * that is older than this belongs to a process that was killed.
 */
const RENEW_MILLISECONDS = 10_000;

const DEAD_MILLISECONDS = 120_000;

/** A file that only this process has open. */
export interface Held {
  readonly file: Deno.FsFile;
  /** Closes it, which releases its lock. */
  readonly close: () => void;
}

/** Files of this process that are useless after it ends. */
export const temporaries = new Set<string>();

/** Removes unfinished files and locks at once, for a process that exits without unwinding. */
function removeTemporaries(): void {
  for (const path of temporaries) {
    try {
      Deno.removeSync(path);
    } catch {
      // It did not exist yet, or no longer does.
    }
  }
  temporaries.clear();
}

// Also when `Deno.exit` is called, for example by a second Ctrl-C.
globalThis.addEventListener?.("unload", removeTemporaries);

/** Where a file grows until it is complete; one left by a killed process is taken over. */
export function temporaryOf(path: string): string {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  return `${path.slice(0, at)}.${path.slice(at)}.part`;
}

/** Opens a file exclusively for this process; undefined if another one has it. */
export async function lockFile(
  path: string,
  { name, options }: { name: string; options: ClaimOptions },
): Promise<Held | undefined> {
  const { tryLock = (file) => file.tryLock(true) } = options;
  try {
    for (;;) {
      const { file, fresh } = await openOrCreate(path);
      let held: Held | undefined;
      try {
        const locked = await tryLock(file).catch(() => "unknown" as const);
        if (locked === "unknown" && !fresh) {
          const { mtime } = await file.stat();
          if (Date.now() - (mtime?.getTime() ?? 0) < DEAD_MILLISECONDS) return undefined;
          await Deno.remove(path).catch(() => {});
          continue;
        }
        if (!locked) return undefined;
        // Its previous owner may have removed it since it was opened here.
        if (!await isStillAt(path, file)) continue;
        temporaries.add(path);
        await file.truncate();
        return held = locked === "unknown" ? renewed(file) : { file, close: () => file.close() };
      } finally {
        if (!held) file.close();
      }
    }
  } catch (error) {
    if (error instanceof OutputError) throw error;
    const reason = error instanceof Deno.errors.NotFound
      ? "its folder does not exist"
      : describeFileError(error);
    throw new OutputError(`write ${name}: ${reason}`, { cause: error });
  }
}

/** Keeps renewing the time of an open file. */
function renewed(file: Deno.FsFile): Held {
  const timer = setInterval(() => {
    const now = new Date();
    file.utime(now, now).catch(() => {});
  }, RENEW_MILLISECONDS);
  Deno.unrefTimer(timer);
  const close = () => {
    clearInterval(timer);
    file.close();
  };
  return { file, close };
}

async function openOrCreate(path: string): Promise<{ file: Deno.FsFile; fresh: boolean }> {
  for (;;) {
    try {
      const file = await Deno.open(path, { read: true, write: true, createNew: true });
      return { file, fresh: true };
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    try {
      const { isSymlink } = await Deno.lstat(path);
      if (isSymlink) throw new OutputError(`write ${path}: a link of that name is in the way`);
      return { file: await Deno.open(path, { read: true, write: true }), fresh: false };
    } catch (error) {
      // Its owner may have removed it since.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Whether a path still names the file that was opened. */
export async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  const [opened, named] = [await file.stat(), await Deno.lstat(path).catch(() => undefined)];
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}
