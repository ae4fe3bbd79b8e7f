/**
 * Files that one process alone has open, also where a file system knows no locks, and that are
 * removed with the process whichever way it ends.
 *
 * @module
 */
import { OutputError } from "../errors.ts";
import { describeFileError } from "./file_errors.ts";

/** For tests: the lock of an open file. */
export interface ClaimOptions {
  /** False when another process has the lock; throws where the file system knows no locks. */
  readonly tryLock?: (file: Deno.FsFile) => Promise<boolean>;
}

/**
 * Where a file system knows no locks, a file stands for one: its time is renewed this often, and one
 * that is older than this is of a process that was killed.
 */
const RENEW_MILLISECONDS = 10_000;

const DEAD_MILLISECONDS = 120_000;

/** A file that this process alone has open. */
export interface Held {
  readonly file: Deno.FsFile;
  /** Closes it, and with it gives up its lock. */
  readonly close: () => void;
}

/** Files of this process that are of no use to anybody once it is gone. */
export const temporaries = new Set<string>();

/** Removes unfinished files and locks at once, for a process that ends without unwinding. */
function removeTemporaries(): void {
  for (const path of temporaries) {
    try {
      Deno.removeSync(path);
    } catch {
      // It was not there yet, or is no longer.
    }
  }
  temporaries.clear();
}

// Also when `Deno.exit` is called: by a second Ctrl-C, for example.
globalThis.addEventListener?.("unload", removeTemporaries);

/** Where a file grows until it is whole; one that a killed process left is taken over. */
export function temporaryOf(path: string): string {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  return `${path.slice(0, at)}.${path.slice(at)}.part`;
}

/** Opens a file that this process alone has; undefined where another one has it. */
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
        // The one that had it may have removed it since it was opened here.
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

/** Keeps the time of an open file new. */
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
      // Whoever had it may have removed it since.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Whether a path still names the file that was opened. */
export async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  const [opened, named] = [await file.stat(), await Deno.lstat(path).catch(() => undefined)];
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}
