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
  readonly run: (
    request: RunRequest,
    hooks: {
      readonly post: (answer: Answer) => void;
      readonly signal: AbortSignal;
      /** Is told how to destroy the device under the run. */
      readonly onDevice: (destroy: () => void) => void;
      /** For how long the tab was hidden, so far. */
      readonly hiddenSeconds: () => number;
    },
  ) => Promise<Answer>;
}

/** Answers requests, one run at a time. */
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
      case "run": {
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
        await attempt(() => parts.run(request.run, hooks));
        running = destroy = undefined;
      }
    }
  };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
}
