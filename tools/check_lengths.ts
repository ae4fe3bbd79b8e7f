/**
 * Limits files to 400 lines: longer ones do several jobs, or give a reason at their head, in a
 * line such as "Long because it is one table". What `deno task generate` writes says that instead.
 * `deno task check` runs it.
 *
 * @module
 */

/** Most lines of a file without a reason. */
export const MOST_LINES = 400;

/** Lines that count as a file's head. */
const HEAD_LINES = 30;

const REASON = /\bLong because \w+|`deno task generate` writes this file/;

const SOURCE = /\.(?:tsx?|wgsl|py)$/;

/** Folders without our sources; `fixtures/` contains snapshots of emitted shaders. */
const LEFT_OUT = new Set(["fixtures", "node_modules", "out"]);

/** One line for a file that is too long; undefined if it is not, or gives a reason. */
export function faultOf(path: string, text: string): string | undefined {
  const lines = text.replace(/\n$/, "").split("\n");
  if (lines.length <= MOST_LINES) return undefined;
  // A reason may continue on the next line of its comment.
  const head = lines.slice(0, HEAD_LINES).join("\n").replace(/\n *(?:\*|\/\/|#) ?/g, " ");
  if (REASON.test(head)) return undefined;
  return `${path}: ${lines.length} lines; ${MOST_LINES} are the limit without a reason at its head`;
}

/** Faults of all sources below a folder of the repository, in the order of their paths. */
export async function findLong(root: URL, folder = ""): Promise<string[]> {
  const faults: string[] = [];
  const entries = await Array.fromAsync(Deno.readDir(new URL(folder, root)));
  for (const { name, isDirectory } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (name.startsWith(".") || LEFT_OUT.has(name)) continue;
    const path = folder + name;
    if (isDirectory) faults.push(...await findLong(root, `${path}/`));
    else if (SOURCE.test(name)) {
      faults.push(...[faultOf(path, await Deno.readTextFile(new URL(path, root)))].filter(isFault));
    }
  }
  return faults;
}

function isFault(fault: string | undefined): fault is string {
  return fault !== undefined;
}

if (import.meta.main) {
  const faults = await findLong(new URL("..", import.meta.url));
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) {
    console.error(`check: ${faults.length} files are too long; split them by job`);
    Deno.exit(1);
  }
}
