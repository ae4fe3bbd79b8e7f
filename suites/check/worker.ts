/**
 * The worker's side of the pool: runs one function at a time on what it is sent.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { runTask } from "./tasks.ts";
import type { WorkerAnswer, WorkerRequest } from "./worker_pool.ts";

self.onmessage = ({ data }: MessageEvent<WorkerRequest>) => {
  let answer: WorkerAnswer;
  try {
    answer = { output: runTask(data.task, data.input) };
  } catch (error) {
    answer = { error };
  }
  self.postMessage(answer);
};
