/**
 * What a worker of the pool answers.
 *
 * @module
 */
import { runTask } from "./tasks.ts";
import type { WorkerAnswer, WorkerRequest } from "./worker_pool.ts";

/** What the function of a request returned, or what it threw. */
export function answerRequest({ task, input }: WorkerRequest): WorkerAnswer {
  try {
    return { output: runTask(task, input) };
  } catch (error) {
    return { error };
  }
}
