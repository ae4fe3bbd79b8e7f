import assert from "node:assert/strict";
import { runInOrder } from "./run_in_order.ts";

/** Tasks that end when they are told to, and what has happened. */
function tasksUnderControl(count: number) {
  const ends: ((fail?: boolean) => void)[] = [];
  const started: number[] = [];
  const tasks = Array.from({ length: count }, (_, i) => () => {
    started.push(i);
    return new Promise<number>((resolve, reject) => {
      ends[i] = (fail) => fail ? reject(new Error(`task ${i}`)) : resolve(i);
    });
  });
  return { tasks, ends, started };
}

const turns = async (count = 20) => {
  for (let i = 0; i < count; i++) await Promise.resolve();
};

Deno.test("runInOrder runs as many as allowed and yields in order", async () => {
  const { tasks, ends, started } = tasksUnderControl(4);
  const found: number[] = [];
  const all = (async () => {
    for await (const one of runInOrder(tasks, 2)) found.push(one);
  })();
  await turns();
  assert.deepEqual(started, [0, 1]);
  ends[1]();
  await turns();
  assert.deepEqual([started, found], [[0, 1, 2], []]);
  ends[0]();
  await turns();
  assert.deepEqual([started, found], [[0, 1, 2, 3], [0, 1]]);
  ends[3]();
  ends[2]();
  await all;
  assert.deepEqual(found, [0, 1, 2, 3]);
});

Deno.test("runInOrder starts nothing after a failure, and throws it in its turn", async () => {
  const { tasks, ends, started } = tasksUnderControl(5);
  const found: number[] = [];
  const all = (async () => {
    for await (const one of runInOrder(tasks, 2)) found.push(one);
  })();
  await turns();
  ends[1](true);
  await turns();
  ends[0]();
  await assert.rejects(all, /task 1/);
  assert.deepEqual([started, found], [[0, 1], [0]]);
});

Deno.test("runInOrder waits for what runs when its caller stops", async () => {
  const { tasks, ends, started } = tasksUnderControl(3);
  let stopped = false;
  const all = (async () => {
    for await (const _ of runInOrder(tasks, 2)) break;
    stopped = true;
  })();
  await turns();
  ends[0]();
  await turns();
  // The second and perhaps the third still run.
  assert.equal(stopped, false);
  for (const i of started.slice(1)) ends[i]();
  await all;
  assert.ok(stopped);
});

Deno.test("runInOrder of nothing yields nothing, and refuses to run none at once", async () => {
  for await (const _ of runInOrder([], 3)) assert.fail();
  await assert.rejects(runInOrder([], 0).next(), /run in order: most 0/);
});
