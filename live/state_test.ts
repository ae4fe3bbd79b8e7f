import assert from "node:assert/strict";
import { sampleRetrieval } from "../suites/result/_sample_retrieval.ts";
import { sampleResult } from "../suites/result/_sample_result.ts";
import type { DeviceFound, Moment } from "./protocol.ts";
import { firstState, isBusy, nextState, type PageState, secondsLeft } from "./state.ts";

const FOUND: DeviceFound = {
  adapter: {
    vendor: "google",
    architecture: "swiftshader",
    device: "",
    description: "",
    isFallbackAdapter: true,
    software: true,
  },
  name: "google swiftshader",
  features: [],
  capabilities: { f16: false, subgroups: true, matrixUnits: false, timestamps: true },
  maxBufferBytes: 2 ** 30,
  training: { able: false, reason: "no test trains here" },
};

/** A page that began a quick run at 0 ms. */
function started(): PageState {
  const ready = nextState(firstState(), { type: "device", device: FOUND });
  return nextState(ready, { type: "start", at: 0 });
}

function moment(change: Partial<Moment>): Moment {
  return { kind: "step", text: "x", done: 0, total: 4, remainingSeconds: 0, ...change };
}

Deno.test("the bar never goes back", () => {
  let state = started();
  const bars: number[] = [];
  const steps: readonly (readonly [number, Partial<Moment>])[] = [
    [1000, { remainingSeconds: null }],
    [5000, { done: 1, remainingSeconds: 5 }],
    // The estimate was too low: the bar waits.
    [20_000, { done: 1, remainingSeconds: 50 }],
    [40_000, { done: 3, remainingSeconds: 4 }],
  ];
  for (const [at, change] of steps) {
    state = nextState(state, { type: "moment", moment: moment(change), at });
    for (const later of [at, at + 500, at + 1000]) {
      state = nextState(state, { type: "tick", at: later });
      bars.push(state.running!.progress);
    }
  }
  assert.deepEqual(bars, bars.toSorted((a, b) => a - b));
  assert.ok(bars.every((bar) => bar >= 0 && bar < 1), `${bars}`);
});

Deno.test("time left is never more than the budget leaves, and unknown before a plan", () => {
  const state = started();
  assert.equal(secondsLeft(state.running!, 1000), null);
  const planned = nextState(state, {
    type: "moment",
    moment: moment({ done: 1, total: 1000, remainingSeconds: 1 }),
    at: 10_000,
  });
  const { budgetSeconds } = planned.running!;
  assert.ok(secondsLeft(planned.running!, 10_000)! <= budgetSeconds - 10);
});

Deno.test("finished cases are listed once, the newest first, and again where they change", () => {
  const result = sampleResult({ contexts: [8192] });
  const [one, ...rest] = result.cases;
  let state = nextState(started(), { type: "partial", result: { ...result, cases: [one] } });
  state = nextState(state, { type: "partial", result });
  const ids = state.running!.finished.map(({ id }) => id);
  assert.deepEqual(ids, [...rest.map(({ id }) => id).toReversed(), one.id]);
  const changed = { ...one, status: "failed" as const, reason: "too far off" };
  state = nextState(state, { type: "partial", result: { ...result, cases: [changed, ...rest] } });
  const [first] = state.running!.finished;
  assert.deepEqual(first, {
    id: one.id,
    title: "Dense, 8K, forward",
    status: "failed",
    text: "too far off",
  });
  assert.equal(state.running!.finished.length, result.cases.length);
});

Deno.test("cells of needles are shown as they come, until the result has them", () => {
  const result = sampleResult();
  const { cells } = sampleRetrieval();
  const some = nextState(
    nextState(started(), { type: "partial", result: { ...result, cases: [] } }),
    {
      type: "cells",
      cells,
    },
  );
  assert.equal(some.running!.cells, cells);
  // Saved without another case: the cells are still those of the one that goes on.
  const same = nextState(some, { type: "partial", result: { ...result, cases: [] } });
  assert.equal(same.running!.cells, cells);
  assert.deepEqual(nextState(some, { type: "partial", result }).running!.cells, []);
});

Deno.test("a run ends in a result, a fault, or without a device; nothing is opened meanwhile", () => {
  const result = sampleResult();
  const running = started();
  const shown = [{ name: "a.json", result, own: false }];
  assert.equal(nextState(running, { type: "opened", results: shown }), running);
  assert.equal(nextState(running, { type: "mode", mode: "long" }), running);
  const done = nextState(running, { type: "finished", result, stopped: true });
  assert.deepEqual([done.running, done.shown[0].name], [null, "this run, stopped"]);
  assert.equal(nextState(running, { type: "failed", line: "x" }).error, "x");
  assert.equal(nextState(running, { type: "no-device", reason: "x" }).device.state, "missing");
  assert.equal(firstState({ mode: "nonsense" }).mode, "quick");
  // What was found before a worker died is offered again; a run without a case is not shown.
  const partial = nextState(running, { type: "partial", result });
  assert.equal(nextState(partial, { type: "failed", line: "x" }).kept!.result, result);
  const empty = { ...result, cases: [] };
  const nothing = nextState(running, { type: "finished", result: empty, stopped: true });
  assert.deepEqual([nothing.running, nothing.shown, nothing.kept], [null, [], null]);
  assert.match(nothing.error!, /nothing to show/);
  // Closed, or hidden by somebody's file, the run's own result is offered again.
  const closed = nextState(done, { type: "closed" });
  assert.deepEqual([closed.shown, closed.kept], [[], done.shown[0]]);
  const other = nextState(done, { type: "opened", results: shown });
  assert.deepEqual([other.shown, other.kept], [shown, done.shown[0]]);
});

Deno.test("a training ends once, keeps its curves, and shares the device with no run", () => {
  const ready = nextState(firstState(), { type: "device", device: FOUND });
  const training = nextState(ready, { type: "train", at: 0 });
  assert.deepEqual([isBusy(ready), isBusy(training)], [false, true]);
  const moment = { text: "x", steps: 4, entropy: 0.2, secondsLeft: null, arms: [] };
  const shown = nextState(training, { type: "training", training: moment, at: 5 });
  assert.deepEqual([shown.training!.moment, shown.training!.momentAt], [moment, 5]);
  const stopping = nextState(shown, { type: "stopping" });
  assert.equal(stopping.training!.stopping, true);
  const stopped = nextState(stopping, { type: "trained", end: "stopped" });
  assert.deepEqual([isBusy(stopped), stopped.training!.moment], [false, moment]);
  // What fails later is no part of it.
  const failed = nextState(stopped, { type: "failed", line: "x" });
  assert.equal(failed.training!.end, "stopped");
  const lost = nextState(shown, { type: "failed", line: "the device was lost" });
  assert.deepEqual([lost.training!.end, lost.error], ["failed", "the device was lost"]);
  assert.equal(isBusy(lost), false);
});
