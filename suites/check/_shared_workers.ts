/**
 * Imported by tests that check many layers: their worker threads stay until the last test, instead
 * of being started for each check.
 *
 * @module
 */
import { holdWorkers } from "./worker_pool.ts";

const held = holdWorkers();
addEventListener("unload", () => held[Symbol.dispose]());
