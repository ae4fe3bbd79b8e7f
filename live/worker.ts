/**
 * The worker's side: it finds the device, and runs the suites that the command line runs.
 *
 * @module
 */
import type { Answer, Request, RunRequest } from "./protocol.ts";

/** What the worker is made of; tests give their own. */
export interface WorkerParts {
  readonly post: (answer: Answer) => void;
  /** The device that a run would have, or why there is none. */
  readonly findDevice: () => Promise<Answer>;
  /** One run; its answer is the last one. */
  readonly run: (request: RunRequest, hooks: Hooks) => Promise<Answer>;
  /** One training of the tiny models; its answer is the last one. */
  readonly train: (request: { readonly seed: number }, hooks: Hooks) => Promise<Answer>;
  /** Milliseconds; default `performance.now()`. */
  readonly now?: () => number;
}

/** What the worker gives its work. */
export interface Hooks {
  readonly post: (answer: Answer) => void;
  readonly signal: AbortSignal;
  /** Is told how to destroy the device under the work. */
  readonly onDevice: (destroy: () => void) => void;
  /** For how long the tab was hidden, so far. */
  readonly hiddenSeconds: () => number;
}

/** Answers requests, one run or training at a time. */
export function serveRequests(parts: WorkerParts): (request: Request) => Promise<void> {
  const { post, now = () => performance.now() } = parts;
  let running: AbortController | undefined;
  let destroy: (() => void) | undefined;
  let hiddenMilliseconds = 0;
  let hiddenSince: number | undefined;
  const endHidden = () => {
    if (hiddenSince !== undefined) hiddenMilliseconds += now() - hiddenSince;
    hiddenSince = undefined;
  };
  const attempt = async (
    answer: () => Promise<Answer>,
    failed: (line: string) => Answer = (line) => ({ type: "failed", line }),
  ) => {
    try {
      post(await answer());
    } catch (error) {
      post(failed(firstLine(error)));
    }
  };
  const work = async (does: (hooks: Hooks) => Promise<Answer>) => {
    if (running) {
      return post({ type: "failed", line: "start a run: one is under way already" });
    }
    running = new AbortController();
    hiddenMilliseconds = 0;
    if (hiddenSince !== undefined) hiddenSince = now();
    const hooks = {
      post,
      signal: running.signal,
      onDevice: (how: () => void) => destroy = how,
      hiddenSeconds: () => (hiddenMilliseconds + (now() - (hiddenSince ?? now()))) / 1e3,
    };
    await attempt(() => does(hooks));
    running = destroy = undefined;
  };
  return async (request) => {
    switch (request.type) {
      case "stop":
        return running?.abort();
      case "lose-device":
        return destroy?.();
      case "hidden":
        endHidden();
        if (request.hidden) hiddenSince = now();
        return;
      case "find-device":
        return await attempt(parts.findDevice, (reason) => ({ type: "no-device", reason }));
      case "run":
        return await work((hooks) => parts.run(request.run, hooks));
      case "train":
        return await work((hooks) => parts.train(request, hooks));
    }
  };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
}
