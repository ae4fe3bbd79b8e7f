/**
 * The pure functions that checks run on slices of their rows, by name: a worker receives the name
 * and plain data, and returns plain data.
 *
 * @module
 */
import { attendReference } from "../../kernels/lighthouse/lighthouse_reference.ts";
import { takeClassKeys, takeKeys } from "./attention_rows.ts";
import { deviceStatistics, takeStatisticKeys } from "./row_statistics.ts";
import { squaredNorms, takePairQueries, takeQueryKeys } from "./gradient_rows.ts";
import { referenceGradients, referenceRows } from "./reference_rows.ts";
import { sumWindows } from "./window_sums.ts";

/** Every function that may run in a worker. */
export const TASKS = {
  // Rows over which chunks of other rows are streamed.
  attentionRows: past(takeKeys),
  classRows: past(takeClassKeys),
  rowStatistics: past(takeStatisticKeys),
  queryGradients: past(takeQueryKeys),
  keyValueGradients: past(takePairQueries),
  // Numbers for each row of a chunk.
  squaredNorms,
  deviceStatistics,
  sumWindows,
  // The kernels' references.
  attendReference: (
    { headDim, ...tensors }: { headDim: number } & Parameters<typeof attendReference>[0],
  ) => attendReference(tensors, headDim),
  referenceRows,
  referenceGradients,
};

/** One of {@linkcode TASKS}. */
export type TaskName = keyof typeof TASKS;

/** Arguments of a task. */
export type TaskInput<T extends TaskName> = Parameters<typeof TASKS[T]>[0];

/** What a task returns. */
export type TaskOutput<T extends TaskName> = ReturnType<typeof TASKS[T]>;

/** Runs a task in this thread. */
export function runTask(task: TaskName, input: unknown): unknown {
  return (TASKS[task] as (input: unknown) => unknown)(input);
}

function past<S, C>(take: (row: S, chunk: C) => void) {
  return ({ rows, chunk }: { rows: S[]; chunk: C }): S[] => {
    for (const row of rows) take(row, chunk);
    return rows;
  };
}
