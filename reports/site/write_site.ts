/**
 * Writing a site into a folder.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { OutputError } from "../../suites/errors.ts";
import { asOutputError } from "../../suites/result/file_errors.ts";
import { FOLDER_LOCK, replaceFile } from "../../suites/result/write_output.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import type { SiteFile } from "./site_page.tsx";

/**
 * Finds out before any work whether a folder may be written to: it is missing, empty, or `force`.
 *
 * @throws {OutputError} when it may not, or is no folder.
 */
export async function refuseFolder(folder: string, force: boolean): Promise<void> {
  try {
    const info = await Deno.stat(folder);
    if (!info.isDirectory) throw new OutputError(`write ${plainText(folder)}: it is not a folder`);
    if (force) return;
    for await (const { name } of Deno.readDir(folder)) {
      if (name === FOLDER_LOCK) continue;
      throw new OutputError(
        `write ${plainText(folder)}: the folder is not empty; --force overwrites what is there`,
      );
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw asOutputError(plainText(folder), error);
  }
}

/**
 * Paths of a site's files: made of slugs; this holds even if one day they are not. Pages of `api/`
 * are named after symbols.
 */
const PAGE_PATH = /^([a-z0-9-]+(\/[a-z0-9-]+)?(\.[a-z0-9-]+)*|api(\/(~|[\w-]+(\.[\w-]+)*))+)$/;

/** Names what a build wrote, so that the next one knows what is its own. */
const MANIFEST = "site-files.json";

/** Largest manifest that is read. */
const MANIFEST_LIMIT = 2 ** 24;

const manifestSchema = z.object({
  kind: z.literal("lighthouse-attention-bench site"),
  /** SHA-256 of each file, by its path. */
  files: z.record(z.string().regex(PAGE_PATH), z.string()),
});

/** What a build did. */
export interface WrittenSite {
  readonly files: number;
  readonly bytes: number;
  /** Pages of an earlier build that were removed. */
  readonly removed: number;
}

/**
 * Writes the files into a folder that the caller has claimed, folders made where missing, and removes the pages of an earlier build that this
 * one has not. Anything else in the folder is left alone, pages that were changed since as well.
 *
 * @throws {OutputError} one line.
 */
export async function writeSite(files: Iterable<SiteFile>, folder: string): Promise<WrittenSite> {
  const made = new Set<string>();
  const encoder = new TextEncoder();
  const earlier = await readManifest(folder);
  const written = new Map<string, string>();
  let total = 0;
  let removed = 0;
  try {
    for (const { path, text, bytes: own } of files) {
      if (!PAGE_PATH.test(path) || path === MANIFEST) {
        throw new OutputError(`write ${plainText(path)}: not a name of a page`);
      }
      const target = `${folder}/${path}`;
      try {
        const parent = target.slice(0, target.lastIndexOf("/"));
        if (!made.has(parent)) await Deno.mkdir(parent, { recursive: true });
        made.add(parent);
        const bytes = own ?? encoder.encode(text);
        await replaceFile(target, bytes);
        written.set(path, digestOf(bytes));
        total += bytes.length;
      } catch (error) {
        throw asOutputError(plainText(target), error);
      }
    }
    for (const [path, digest] of earlier) {
      if (written.has(path)) continue;
      if (await removePage(`${folder}/${path}`, digest)) removed++;
      earlier.delete(path);
    }
  } finally {
    // A build that failed half-way knows its pages all the same.
    if (written.size > 0) await writeManifest(folder, new Map([...earlier, ...written]));
  }
  return { files: written.size, bytes: total, removed };
}

/** Files of an earlier build with their digests; none where there is no manifest of ours. */
async function readManifest(folder: string): Promise<Map<string, string>> {
  try {
    const path = `${folder}/${MANIFEST}`;
    const { isFile, size } = await Deno.lstat(path);
    if (!isFile || size > MANIFEST_LIMIT) return new Map();
    const found = manifestSchema.safeParse(JSON.parse(await Deno.readTextFile(path)));
    return new Map(found.success ? Object.entries(found.data.files) : []);
  } catch {
    return new Map();
  }
}

async function writeManifest(folder: string, files: ReadonlyMap<string, string>): Promise<void> {
  const sorted = [...files].sort(([a], [b]) => a < b ? -1 : 1);
  const manifest: z.infer<typeof manifestSchema> = {
    kind: "lighthouse-attention-bench site",
    files: Object.fromEntries(sorted),
  };
  const path = `${folder}/${MANIFEST}`;
  await replaceFile(path, `${JSON.stringify(manifest, null, 1)}\n`);
}

/** Removes a page that is still as it was written, and its folders that are empty then. */
async function removePage(path: string, digest: string): Promise<boolean> {
  try {
    const { isFile } = await Deno.lstat(path);
    if (!isFile || digestOf(await Deno.readFile(path)) !== digest) return false;
    await Deno.remove(path);
    // Of a folder that is not empty this is refused, and so of the site's own.
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      if (!await Deno.remove(path.slice(0, at)).then(() => true, () => false)) break;
    }
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw asOutputError(plainText(path), error);
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
