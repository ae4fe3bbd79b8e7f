/**
 * Runs functions a few at a time and hands out their results in order.
 *
 * @module
 */
import { requireWhole } from "../../kernels/gpu/require.ts";

/**
 * The results of `tasks`, in their order. When one fails, no further one is started, those that run
 * are waited for, and its error is thrown in its turn.
 *
 * @param most how many run at once.
 * @throws {RangeError} when `most` is not a whole number from 1 on.
 */
export async function* runInOrder<T>(
  tasks: readonly (() => Promise<T>)[],
  most: number,
): AsyncGenerator<T, void, void> {
  requireWhole("run in order", "most", most);
  const running: Promise<T>[] = [];
  let next = 0;
  let ended = false;
  const startNext = () => {
    if (ended || next === tasks.length) return;
    const task = tasks[next++]();
    // Its turn comes later; a failure before then is no unhandled one.
    task.catch(() => ended = true);
    running.push(task);
    task.finally(startNext).catch(() => {});
  };
  for (let i = 0; i < most; i++) startNext();
  try {
    for (let i = 0; i < running.length; i++) yield await running[i];
  } finally {
    ended = true;
    await Promise.allSettled(running);
  }
}
