import assert from "node:assert/strict";
import { sampleResult } from "../suites/result/_sample_result.ts";
import type { Answer, RunRequest } from "./protocol.ts";
import { type Hooks, serveRequests, type WorkerParts } from "./worker.ts";

const RUN: RunRequest = { mode: "quick", deviceName: "", seed: 1, budgetSeconds: null };

/** A worker whose runs end when they are told to, on a clock of its own. */
function createWorker(parts: Partial<WorkerParts> = {}) {
  const answers: Answer[] = [];
  const clock = { now: 0 };
  let hooks: Hooks | undefined;
  const end = Promise.withResolvers<Answer>();
  const serve = serveRequests({
    post: (answer) => answers.push(answer),
    findDevice: () => Promise.reject(new Error("boom\nand a stack")),
    run: (_, given) => {
      hooks = given;
      return end.promise;
    },
    train: () => Promise.reject(new Error("no test trains here")),
    now: () => clock.now,
    ...parts,
  });
  const finish = () =>
    end.resolve({ type: "finished", result: sampleResult(), stopped: hooks!.signal.aborted });
  return { answers, clock, serve, finish, hooks: () => hooks! };
}

Deno.test("an adapter that throws is no adapter, in one line", async () => {
  const { serve, answers } = createWorker();
  await serve({ type: "find-device" });
  assert.deepEqual(answers, [{ type: "no-device", reason: "boom" }]);
});

Deno.test("one run at a time; Stop reaches it, and only while it goes on", async () => {
  const { serve, answers, finish, hooks } = createWorker();
  await serve({ type: "stop" });
  const run = serve({ type: "run", run: RUN });
  await serve({ type: "run", run: RUN });
  assert.match(JSON.stringify(answers), /failed.*one is under way/);
  await serve({ type: "stop" });
  assert.equal(hooks().signal.aborted, true);
  finish();
  await run;
  assert.equal(answers.at(-1)!.type, "finished");
});

Deno.test("a run knows for how long its tab was hidden, also while it still is", async () => {
  const { serve, clock, finish, hooks } = createWorker();
  // Hidden before the run: that time is not the run's.
  await serve({ type: "hidden", hidden: true });
  clock.now = 5000;
  const run = serve({ type: "run", run: RUN });
  clock.now = 7000;
  assert.equal(hooks().hiddenSeconds(), 2);
  await serve({ type: "hidden", hidden: false });
  clock.now = 20_000;
  assert.equal(hooks().hiddenSeconds(), 2);
  await serve({ type: "hidden", hidden: true });
  clock.now = 21_000;
  assert.equal(hooks().hiddenSeconds(), 3);
  finish();
  await run;
});
