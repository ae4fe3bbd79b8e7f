/**
 * Finds the files that know the name of something that has its own folder.
 *
 * @module
 */
import { basename } from "node:path/posix";

/** A source file with its text. */
export interface SourceText {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** Folders whose files count. */
const FOLDERS = ["kernels", "suites", "reports", "tools", "examples"];

/** Every source file except tests and their helpers. */
export async function readTexts(root: URL): Promise<SourceText[]> {
  const found: SourceText[] = [];
  for (const folder of FOLDERS) {
    for await (const path of listFiles(root, folder)) {
      if (!/\.(tsx?|js|py)$/.test(path) || /_test\.tsx?$/.test(path)) continue;
      if (basename(path).startsWith("_")) continue;
      found.push({ path, text: await Deno.readTextFile(new URL(path, root)) });
    }
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

async function* listFiles(root: URL, folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(`${folder}/`, root))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* listFiles(root, path);
    else yield path;
  }
}

/**
 * Files outside `home` that know a name: in quotes, alone or after `prefix`,
 * as the first part of a case id, or by an import from its folder. Comments do not count.
 *
 * @param options.home Folders and files where it may be known.
 */
export function filesThatKnow(
  texts: readonly SourceText[],
  name: string,
  options: { home: readonly string[]; prefix?: string; folder?: string },
): string[] {
  const { home, prefix = "", folder } = options;
  const word = `(?:${prefix})?${name}`;
  const quoted = new RegExp(`["'\`]${word}(?:["'\`]|/)|/${word}/\\$`);
  const imported = folder === undefined ? undefined : new RegExp(`from "[^"]*/${folder}/[^"]*"`);
  return texts.filter(({ path, text }) => {
    if (home.some((place) => path === place || path.startsWith(`${place}/`))) return false;
    const code = withoutComments(text);
    return quoted.test(code) || imported?.test(code) === true;
  }).map(({ path }) => path);
}

/** Code without its comments, unless a string looks like one. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*(?:\/\/|#).*$/gm, "");
}
