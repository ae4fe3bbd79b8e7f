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
  const { post } = parts;
  let running: AbortController | undefined;
  let destroy: (() => void) | undefined;
  let hidden = 0;
  const attempt = async (answer: () => Promise<Answer>) => {
    try {
      post(await answer());
    } catch (error) {
      post({ type: "failed", line: firstLine(error) });
    }
  };
  const work = async (does: (hooks: Hooks) => Promise<Answer>) => {
    if (running) {
      return post({ type: "failed", line: "start a run: one is under way already" });
    }
    running = new AbortController();
    hidden = 0;
    const hooks = {
      post,
      signal: running.signal,
      onDevice: (how: () => void) => destroy = how,
      hiddenSeconds: () => hidden,
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
        hidden += request.seconds;
        return;
      case "find-device":
        return await attempt(parts.findDevice);
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
