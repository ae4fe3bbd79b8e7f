/**
 * Stopping a command: by Ctrl-C, by what a batch system or a CI sends before it kills, or by a
 * terminal that is closed.
 *
 * @module
 */
import { EXIT } from "../errors.ts";

/** Signals that ask a process to end. */
const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Milliseconds within which a further signal is the same request: `deno task` passes on what the
 * terminal sends to both, so that one Ctrl-C arrives twice.
 */
const ONE_REQUEST_MILLISECONDS = 500;

/**
 * Runs work that a signal stops in good order: the first signal aborts, and the work keeps what it
 * has. A second Ctrl-C ends the process at once; other signals may repeat without effect.
 *
 * @param options.say called once when a signal arrives.
 */
export async function untilStopped<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { say = () => {} }: { say?: () => void } = {},
): Promise<T> {
  const stop = new AbortController();
  let first = 0;
  const onSignal = (name: Deno.Signal) => {
    if (!stop.signal.aborted) {
      first = performance.now();
      stop.abort(new DOMException("stopped before its end", "AbortError"));
      say();
    } else if (name === "SIGINT" && performance.now() - first > ONE_REQUEST_MILLISECONDS) {
      Deno.exit(EXIT.inconclusive);
    }
  };
  const listeners = SIGNALS.map((name) => [name, () => onSignal(name)] as const);
  for (const [name, listener] of listeners) Deno.addSignalListener(name, listener);
  try {
    return await work(stop.signal);
  } finally {
    for (const [name, listener] of listeners) Deno.removeSignalListener(name, listener);
  }
}
