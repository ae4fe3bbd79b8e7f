/**
 * Streams over long tensors: a chunk of rows is read once and shared with all threads, each of
 * which processes it for its share of the checked rows.
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

/** Splits rows `first … end - 1` into ranges of at most `length` rows. */
export function chunksOf(first: number, end: number, length: number): RowRange[] {
  return Array.from({ length: Math.max(0, Math.ceil((end - first) / length)) }, (_, i) => {
    const start = first + i * length;
    return { first: start, count: Math.min(length, end - start) };
  });
}

/**
 * Streams chunks over rows, in order; the next chunk is read while the current one is processed.
 *
 * @param options `read`: a chunk in arrays from `shared`; `workOf`: how many of a chunk's rows a
 * row uses, 0 for none.
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
  // Chunks that no row uses are not read.
  const ranges = options.ranges.filter((range) => rows.some((row) => workOf(row, range) > 0));
  using _held = holdWorkers();
  const states = [...rows];
  const read = (range: RowRange | undefined) => {
    if (!range) return undefined;
    const shared = new SharedArrays();
    const chunk = options.read(range, shared);
    // A failure is thrown where the chunk is awaited, if at all.
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
    // No read may still be in progress when an error reaches code that destroys tensors.
    await next?.chunk.catch(() => {});
  }
}

/** Waits for all tasks before it throws the first error of any of them. */
export async function allDone<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

type RowTask = "squaredNorms" | "deviceStatistics" | "sumWindows";

/** Joins numbers computed per row: each slice of the rows is a separate task. */
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
