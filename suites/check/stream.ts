/**
 * Streams over long tensors: a chunk of rows is read once and shared with all threads, each of which
 * takes it for its share of the rows that are checked.
 *
 * @module
 */
import { SharedArrays } from "./shared_arrays.ts";
import type { TaskInput, TaskName, TaskOutput } from "./tasks.ts";
import { deal, holdWorkers, onCores, sliceCount } from "./worker_pool.ts";

/** Rows `first … first + count - 1`. */
export interface RowRange {
  readonly first: number;
  readonly count: number;
}

type StreamTask = {
  [T in TaskName]: TaskInput<T> extends { rows: unknown[]; chunk: unknown } ? T : never;
}[TaskName];
type StateOf<T extends StreamTask> = TaskInput<T>["rows"][number];
type ChunkOf<T extends StreamTask> = TaskInput<T>["chunk"];

/** Fewest rows of a chunk that are worth a slice of their own. */
const SLICE_ROWS = 512;

/** Pairs of rows below which a worker costs more than it saves: about a millisecond. */
export const FEW_PAIRS = 4096;

/** Ranges of at most `length` rows that hold rows `first … end - 1`. */
export function chunksOf(first: number, end: number, length: number): RowRange[] {
  return Array.from({ length: Math.max(0, Math.ceil((end - first) / length)) }, (_, i) => {
    const start = first + i * length;
    return { first: start, count: Math.min(length, end - start) };
  });
}

/**
 * Lets chunks pass rows, in order; the next chunk is read while one is taken.
 *
 * @param options `read`: a chunk in arrays from `shared`; `workOf`: how many of a chunk's rows a row
 * takes, 0 for none.
 * @returns the rows' states after the last chunk, in their order.
 */
export async function streamPast<T extends StreamTask>(
  task: T,
  rows: readonly StateOf<T>[],
  options: {
    ranges: readonly RowRange[];
    read: (range: RowRange, shared: SharedArrays) => Promise<ChunkOf<T>>;
    workOf: (row: StateOf<T>, range: RowRange) => number;
    signal?: AbortSignal;
  },
): Promise<StateOf<T>[]> {
  const { workOf, signal } = options;
  // Nothing is read for nobody.
  const ranges = options.ranges.filter((range) => rows.some((row) => workOf(row, range) > 0));
  using _held = holdWorkers();
  const states = [...rows];
  const read = (range: RowRange | undefined) => {
    if (!range) return undefined;
    const shared = new SharedArrays();
    const chunk = options.read(range, shared);
    // Thrown where it is waited for, if at all.
    chunk.catch(() => {});
    return { chunk, shared };
  };
  let next = read(ranges[0]);
  try {
    for (const [i, range] of ranges.entries()) {
      signal?.throwIfAborted();
      const { chunk: reading, shared } = next!;
      using _lent = shared;
      const chunk = await reading;
      next = read(ranges[i + 1]);
      const taking = [...states.keys()].filter((at) => workOf(states[at], range) > 0);
      const slices = deal(taking, (at) => workOf(states[at], range));
      const inputs = slices.map((slice) => ({ rows: slice.map((at) => states[at]), chunk }));
      const pairs = taking.reduce((sum, at) => sum + workOf(states[at], range), 0);
      const here = pairs < FEW_PAIRS;
      const taken = await onCores(task, inputs as TaskInput<T>[], { signal, here });
      slices.forEach((slice, s) => slice.forEach((at, n) => states[at] = taken[s][n]));
    }
    return states;
  } finally {
    // Nothing is still being read when an error arrives where tensors are destroyed.
    await next?.chunk.catch(() => {});
  }
}

/** Waits for all of some work before it throws what the first of it threw. */
export async function allDone<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

type RowTask = "squaredNorms" | "deviceStatistics" | "sumWindows";

/** Numbers of each of some rows, joined: each slice of the rows is a task of its own. */
export async function eachRow<T extends RowTask>(
  task: T,
  count: number,
  options: { slice: (first: number, end: number) => TaskInput<T>; signal?: AbortSignal },
): Promise<TaskOutput<T>> {
  const { signal } = options;
  const length = Math.max(SLICE_ROWS, Math.ceil(count / sliceCount()));
  const slices = chunksOf(0, count, length);
  const inputs = slices.map(({ first, count }) => options.slice(first, first + count));
  const parts = await onCores(task, inputs, { signal, here: slices.length < 2 });
  if (parts.length === 1) return parts[0];
  const names = Object.keys(parts[0]) as (keyof TaskOutput<T>)[];
  const joined = names.map((name) => [name, join(parts.map((part) => part[name] as Numbers))]);
  return Object.fromEntries(joined);
}

type Numbers = Float32Array | Float64Array;

function join(parts: readonly Numbers[]): Numbers {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = parts[0] instanceof Float32Array
    ? new Float32Array(length)
    : new Float64Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
