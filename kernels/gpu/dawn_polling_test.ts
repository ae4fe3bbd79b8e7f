import assert from "node:assert/strict";
import { paceImmediates, pollPause, startWait } from "./dawn_polling.ts";
import { shaderValidator } from "./_test_gpu.ts";

/** A native function, as those of Dawn's add-on are. */
const native = Math.max as unknown as () => void;

/** A host whose clock advances by its own pauses, and by 10 µs at each turn of its event loop. */
function countedHost() {
  const counts = { turns: 0, stops: 0, timers: 0, clock: 0 };
  const scope = {
    setImmediate: (_: () => void) => {
      counts.turns++;
      counts.clock += 0.01;
    },
  };
  paceImmediates({
    scope,
    now: () => counts.clock,
    stop: (milliseconds) => {
      counts.stops++;
      counts.clock += milliseconds;
    },
    later: (_, milliseconds) => {
      counts.timers++;
      counts.clock += milliseconds;
    },
  });
  return { counts, scope };
}

Deno.test("a wait of any length asks a few hundred times and is overrun by a thirtieth at most", () => {
  for (const length of [0.1, 1, 10, 100, 1000, 60_000]) {
    const { counts, scope } = countedHost();
    while (counts.clock < length) scope.setImmediate(native);
    const { turns, timers, clock } = counts;
    assert.ok(turns + timers < 300 + length / 10, `${length} ms: ${turns + timers} questions`);
    assert.ok(clock < length * (1 + 1 / 30) + 0.02, `${length} ms: ended at ${clock}`);
  }
});

Deno.test("short waits are not paced, and a pause never exceeds ten milliseconds", () => {
  assert.equal(pollPause(0.1), 0);
  assert.equal(pollPause(1e6), 10);
  const { counts, scope } = countedHost();
  for (let i = 0; i < 10; i++) scope.setImmediate(native);
  assert.deepEqual([counts.stops, counts.timers], [0, 0]);
});

Deno.test("functions of programs are called back without a pause, however long they wait", () => {
  const { counts, scope } = countedHost();
  for (let i = 0; i < 1e5; i++) scope.setImmediate(() => {});
  assert.deepEqual([counts.turns, counts.stops, counts.timers], [1e5, 0, 0]);
});

Deno.test("a host without setImmediate is left alone", () => {
  const scope = {};
  paceImmediates({ scope, now: () => 0, stop: () => {}, later: () => {} });
  assert.deepEqual(scope, {});
});

Deno.test("Dawn's add-on polls through the global setImmediate, with native functions", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  const scope = globalThis as unknown as { setImmediate: (callback: () => void) => unknown };
  const before = scope.setImmediate;
  let polls = 0;
  scope.setImmediate = (callback, ...rest: []) => {
    if (String(callback).includes("[native code]")) polls++;
    return before(callback, ...rest);
  };
  try {
    // The first may find a question already asked.
    for (let i = 0; i < 3; i++) {
      startWait();
      await gpu.device.queue.onSubmittedWorkDone();
    }
  } finally {
    scope.setImmediate = before;
    gpu.destroy();
  }
  assert.ok(polls > 0, "another way of polling needs another way of pacing");
});
