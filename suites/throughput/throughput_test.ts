import assert from "node:assert/strict";
import type { RunOptions } from "../../kernels/gpu/timing.ts";
import { runBackToBack } from "./throughput.ts";

/** A layer of one FLOP that records how many of its executions were in flight at once. */
function watchedLayer() {
  const seen: RunOptions[] = [];
  let [inFlight, most] = [0, 0];
  const execute = async (options: RunOptions = {}) => {
    seen.push(options);
    most = Math.max(most, ++inFlight);
    await Promise.resolve();
    inFlight--;
    return { gpuSeconds: null, wallSeconds: 1, stages: null };
  };
  return { execute, seen, mostInFlight: () => most };
}

Deno.test("short executions are all submitted before one is waited for, whole", async () => {
  const layer = watchedLayer();
  await runBackToBack(layer, { executions: 20, one: 0.02, flops: 1 });
  assert.equal(layer.seen.length, 20);
  assert.equal(layer.mostInFlight(), 20);
  assert.ok(layer.seen.every(({ flopsPerSecond }) => flopsPerSecond === undefined));
});

Deno.test("long executions are split by their duration, and one is in flight", async () => {
  const layer = watchedLayer();
  await runBackToBack(layer, { executions: 2, one: 0.4, flops: 1 });
  assert.deepEqual(layer.seen.map(({ flopsPerSecond }) => flopsPerSecond), [2.5, 2.5]);
  assert.equal(layer.mostInFlight(), 1);
});
