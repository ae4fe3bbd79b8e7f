/**
 * Reads the rows that attention runs over, for the check of gradients: rows of the context, or
 * gathered ones.
 *
 * @module
 */
import type { RowStatistic } from "./row_statistics.ts";
import type { SharedArrays } from "./shared_arrays.ts";
import { eachRow, type RowRange } from "./stream.ts";

/** One of dQ, dK, dV. */
export type GradientName = "q" | "k" | "v";

/** Rows of a chunk: a read waits for the device once, and two chunks are in memory at a time. */
export const CHUNK_ROWS = 16384;

type Rows = Float32Array | Float16Array;

/** The rows that attention runs over: rows of the context, or gathered ones. */
export interface Sequence {
  readonly rows: number;
  readonly dim: number;
  readonly read: (
    name: GradientName | "outputGradient" | "output" | "lse",
    range: RowRange,
  ) => Promise<Rows>;
}

/** Rows of several tensors, in memory shared with workers. */
export async function readShared(
  sequence: Sequence,
  names: readonly Parameters<Sequence["read"]>[0][],
  { range, shared }: { range: RowRange; shared: SharedArrays },
): Promise<Float32Array[]> {
  const read = await Promise.all(names.map((name) => sequence.read(name, range)));
  return read.map((rows) => shared.float32(rows));
}

/** Euclidean lengths of rows, computed by the workers. */
export async function lengthsOf(
  rows: Float32Array,
  { dim, shared, signal }: { dim: number; shared: SharedArrays; signal?: AbortSignal },
): Promise<Float64Array> {
  const slice = (first: number, end: number) => ({
    rows: rows.subarray(first * dim, end * dim),
    dim,
  });
  const { norms } = await eachRow("squaredNorms", rows.length / dim, { slice, signal });
  return shared.float64(norms.map(Math.sqrt));
}

/** Statistics of the rows of a chunk: float64 from `exactFrom` on, the device's before. */
export async function chunkStatistics(
  sequence: Sequence,
  options: {
    range: RowRange;
    outputGradient: Float32Array;
    statistics: ReadonlyMap<number, RowStatistic>;
    exactFrom: number;
    shared: SharedArrays;
    signal?: AbortSignal;
  },
): Promise<Record<keyof RowStatistic, Float64Array>> {
  const { range, outputGradient, statistics, exactFrom, shared, signal } = options;
  const { dim } = sequence;
  const { first, count } = range;
  const found = {
    lse: shared.float64(new Float64Array(count)),
    delta: shared.float64(new Float64Array(count)),
    deltaError: shared.float64(new Float64Array(count)),
  };
  const device = Math.max(0, Math.min(count, exactFrom - first));
  if (device > 0) {
    const own = { range: { first, count: device }, shared };
    const [output, lse] = await readShared(sequence, ["output", "lse"], own);
    const slice = (from: number, to: number) => ({
      output: output.subarray(from * dim, to * dim),
      outputGradient: outputGradient.subarray(from * dim, to * dim),
      dim,
    });
    found.lse.set(lse);
    const { delta, deltaError } = await eachRow("deviceStatistics", device, { slice, signal });
    found.delta.set(delta);
    found.deltaError.set(deltaError);
  }
  for (let i = device; i < count; i++) {
    const { lse, delta, deltaError } = statistics.get(first + i)!;
    found.lse[i] = lse;
    found.delta[i] = delta;
    found.deltaError[i] = deltaError;
  }
  return found;
}

/** Rows given by ascending numbers, each separate; neighbours are read together. */
export async function readEach(
  rows: readonly number[],
  options: { read: (range: RowRange) => Promise<Rows>; dim: number },
): Promise<Rows[]> {
  const { read, dim } = options;
  const runs: { first: number; count: number }[] = [];
  for (const row of rows) {
    const last = runs[runs.length - 1];
    if (last?.first + last?.count === row && last.count < CHUNK_ROWS) last.count++;
    else runs.push({ first: row, count: 1 });
  }
  const found = await Promise.all(runs.map(async (run) => {
    const data = await read(run);
    return Array.from({ length: run.count }, (_, n) => data.subarray(n * dim, (n + 1) * dim));
  }));
  return found.flat();
}
