/**
 * The worker's side of the pool: runs one received function at a time.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { answerRequest } from "./answer_request.ts";
import type { WorkerRequest } from "./worker_pool.ts";

self.onmessage = ({ data }: MessageEvent<WorkerRequest>) => self.postMessage(answerRequest(data));
