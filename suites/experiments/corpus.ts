/**
 * Reads a corpus of the user's: a text file, or a folder of them.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import { sha256 } from "../result/digest.ts";
import { describeFileError } from "../result/file_errors.ts";

/** A corpus, parted into what is trained on and what is not. */
export interface Corpus {
  /** Bytes that are trained on. */
  readonly training: Uint8Array<ArrayBuffer>;
  /** Bytes that are not. */
  readonly heldOut: Uint8Array<ArrayBuffer>;
  /** Of all bytes. */
  readonly sha256: string;
}

/** Largest corpus: it lies in one buffer of the device. */
const MOST_BYTES = 2 ** 31 - 1;

/** Share at the end that is not trained on. */
const HELD_OUT = 1 / 20;

/** Files of a folder that are read. */
const TEXT = /\.(txt|text|md|rst)$/i;

/**
 * Reads a corpus: bytes as they are; of a folder, its files `.txt`, `.text`, `.md` and `.rst`, also
 * in folders below it, in the order of their paths.
 *
 * @param options `context`: N, which a sequence needs.
 * @throws {UsageError} one line, when it cannot be read, or is too short or too long.
 */
export async function readCorpus(path: string, { context }: { context: number }): Promise<Corpus> {
  const parts: Uint8Array[] = [];
  try {
    const { isDirectory } = await Deno.stat(path);
    for (const file of isDirectory ? await listTexts(path) : [path]) {
      parts.push(await Deno.readFile(file));
    }
  } catch (error) {
    throw new UsageError(`corpus ${path}: ${describeFileError(error)}`, { cause: error });
  }
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  // Twice a sequence is held out, so that held-out sequences may differ.
  const least = Math.ceil((2 * context + 1) / HELD_OUT);
  if (size < least) {
    throw new UsageError(
      `corpus ${path}: ${size} bytes of ${parts.length} files; contexts of ${context} need ${least}`,
    );
  }
  if (size > MOST_BYTES) {
    throw new UsageError(`corpus ${path}: ${size} bytes exceed ${MOST_BYTES}`);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const cut = Math.floor(size * (1 - HELD_OUT));
  return {
    training: bytes.slice(0, cut),
    heldOut: bytes.slice(cut),
    sha256: await sha256(bytes),
  };
}

async function listTexts(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await listTexts(`${folder}/${name}`));
    else if (isFile && TEXT.test(name)) found.push(`${folder}/${name}`);
  }
  return found.sort();
}
