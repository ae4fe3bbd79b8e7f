/**
 * Reads an input that a user names: a file, or standard input if the name is `-`.
 *
 * @module
 */
import { showExcess } from "../../kernels/gpu/bytes.ts";
import { describeFileError } from "./file_errors.ts";

/** Name that stands for standard input. A file of that name is `./-`. */
export const STANDARD_INPUT = "-";

/** Why an input cannot be used, without its name: the caller says what the input is for. */
export class InputError extends Error {
  override readonly name = "InputError";
}

let inputTaken = false;

/**
 * The text of an input: UTF-8, or UTF-16 if a byte order mark says so, without the mark.
 *
 * @param options.limitBytes larger inputs are refused.
 * @throws {InputError} one line.
 */
export async function readInput(
  path: string,
  { limitBytes }: { limitBytes: number },
): Promise<string> {
  try {
    if (path === STANDARD_INPUT) {
      if (inputTaken) throw new InputError("standard input can be given once");
      inputTaken = true;
      return readText(await readStream(Deno.stdin.readable, limitBytes));
    }
    const { isDirectory, size } = await Deno.stat(path);
    if (isDirectory) throw new InputError("it is a folder, a file was expected");
    if (size > limitBytes) throw tooLarge(size, limitBytes);
    const file = await Deno.open(path);
    return readText(await readStream(file.readable, limitBytes));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      error instanceof Deno.errors.NotFound
        ? "there is no such file"
        : error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable
        ? "no permission to read it"
        : describeFileError(error),
      { cause: error },
    );
  }
}

/**
 * Text of bytes, by their byte order mark if they have one.
 *
 * @example
 * ```ts
 * import { decodeText } from "./read_input.ts";
 * import assert from "node:assert/strict";
 * assert.equal(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d)), "{}");
 * assert.equal(decodeText(Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0)), "{}");
 * ```
 */
export function decodeText(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : "utf-8";
  return new TextDecoder(encoding).decode(bytes);
}

/** The first bytes of files that are no text, and what to do about them. */
const OTHER_KINDS: readonly [bytes: readonly number[], reason: string][] = [
  [[0x1f, 0x8b], 'it is compressed by gzip; "gzip -dc" unpacks it, and - reads standard input'],
  [
    [0x28, 0xb5, 0x2f, 0xfd],
    'it is compressed by zstd; "zstd -dc" unpacks it, and - reads standard input',
  ],
  [[0x50, 0x4b, 0x03, 0x04], "it is a zip archive; unpack it first"],
];

/** @throws {InputError} when the bytes are those of another kind of file. */
function readText(bytes: Uint8Array): string {
  for (const [start, reason] of OTHER_KINDS) {
    if (start.every((byte, i) => bytes[i] === byte)) throw new InputError(reason);
  }
  const text = decodeText(bytes);
  if (text.includes("\0")) throw new InputError("it is no text: it has zero bytes");
  return text;
}

async function readStream(
  stream: ReadableStream<Uint8Array>,
  limitBytes: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    parts.push(part);
    size += part.length;
    if (size > limitBytes) throw tooLarge(size, limitBytes);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function tooLarge(bytes: number, limitBytes: number): InputError {
  const shown = showExcess(bytes, limitBytes);
  return new InputError(`it has ${shown.bytes}, the limit is ${shown.limit}`);
}
