/**
 * Standard output and standard error that never end a run: a reader that went away, as `| head -1`
 * does, must not lose what a run measured.
 *
 * @module
 */
import { format } from "node:util";
import { describeFileError } from "../result/file_errors.ts";

/** What a stream writes to. */
export interface Sink {
  /** Bytes taken, which may be fewer than were given. */
  writeSync(bytes: Uint8Array): number;
}

/** Milliseconds to wait for a reader that is slow. */
const PAUSE_MILLISECONDS = 5;

/** A standard stream. */
export interface StandardStream {
  /** Writes a text, unless nobody reads any more. */
  readonly write: (text: string) => void;
  /** Why something could not be written, in one line; undefined where all was, or nobody reads. */
  readonly failure: () => string | undefined;
}

/** Whether an error says that nobody will read any more. */
function isGone(error: unknown): boolean {
  const { BrokenPipe, ConnectionReset, ConnectionAborted } = Deno.errors;
  if (
    error instanceof BrokenPipe || error instanceof ConnectionReset ||
    error instanceof ConnectionAborted
  ) return true;
  // A terminal that was closed.
  return error instanceof Error && "code" in error && error.code === "EIO";
}

/** A stream that keeps on where its sink does not. */
export function standardStream(sink: Sink): StandardStream {
  let failure: string | undefined;
  let open = true;
  const write = (text: string) => {
    if (!open) return;
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      try {
        at += sink.writeSync(bytes.subarray(at));
      } catch (error) {
        if (error instanceof Deno.errors.Interrupted) continue;
        if (error instanceof Deno.errors.WouldBlock) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MILLISECONDS);
          continue;
        }
        open = false;
        if (!isGone(error)) failure = describeFileError(error);
        return;
      }
    }
  };
  return { write, failure: () => failure };
}

/** This process's standard output. */
export const standardOutput: StandardStream = standardStream(Deno.stdout);

/** This process's standard error. */
export const standardError: StandardStream = standardStream(Deno.stderr);

/**
 * Lets `console` write to these streams, whoever calls it: also packages that print by themselves.
 */
export function guardConsole(
  { out, err }: { out: StandardStream; err: StandardStream } = {
    out: standardOutput,
    err: standardError,
  },
): void {
  const to = (stream: StandardStream) => (...values: unknown[]) =>
    stream.write(`${format(...values)}\n`);
  const [log, error] = [to(out), to(err)];
  Object.assign(console, { log, info: log, debug: log, error, warn: error });
}
