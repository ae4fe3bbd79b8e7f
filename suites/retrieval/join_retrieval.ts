/**
 * Joining the retrieval records of a run's shards.
 *
 * @module
 */
import type { RetrievalRecord } from "../result/result_schema.ts";

/** Joins what shards measured: cells of all, and what was left out by each of them. */
export function joinRetrieval(
  records: readonly (RetrievalRecord | undefined)[],
): RetrievalRecord | undefined {
  const present = records.filter((record) => record !== undefined);
  if (present.length === 0) return undefined;
  const checkpoint = present.find((record) => record.checkpoint)?.checkpoint;
  return {
    ...present[0],
    cells: present.flatMap(({ cells }) => cells),
    instrument: present.flatMap(({ instrument }) => instrument),
    laws: present.flatMap(({ laws }) => laws).sort((a, b) => a.context - b.context),
    skipped: [...new Set(present.flatMap(({ skipped }) => skipped))],
    seconds: present.reduce((sum, { seconds }) => sum + seconds, 0),
    ...(checkpoint && { checkpoint }),
  };
}
