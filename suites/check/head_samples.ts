/**
 * Chooses which rows of which heads a check compares, and reads them from the device.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { readResultRows, type Rows } from "../plan/measurable.ts";
import type { CheckOptions } from "./check_options.ts";

/** Rows of one head that are compared. */
export interface HeadSample {
  readonly head: number;
  readonly rows: readonly number[];
  readonly tiles: readonly number[];
}

/** Rows of keys and values that are read from the device at once. */
export const CHUNK_ROWS = 8192;

/** Which rows and tiles of which heads are compared. */
export function sampleHeads(
  options: CheckOptions,
  geometry: LighthouseGeometry | undefined,
): HeadSample[] {
  const { problem, extent, seed } = options;
  const { heads, context } = problem.shape;
  const tiles = geometry?.tiles ?? 0;
  let draws = 0;
  const random = (n: number) => pcg((seed + 7919 * ++draws) >>> 0) % n;
  const within = (rows: number[]) =>
    [...new Set(rows.filter((row) => row >= 0 && row < context))].sort((a, b) => a - b);
  // Edges of every tile size in use, and of the first windows of a pyramid.
  const edges = [0, 1, 2, 3, 4, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256];
  // Heads run the same code: one whole head is as informative, and float64 on a host is slow.
  const whole = { head: heads - 1, rows: range(context), tiles: range(tiles) };
  const last = extent === "whole" ? whole : {
    head: heads - 1,
    rows: within([...edges, random(context), random(context), context - 2, context - 1]),
    tiles: tiles > 1 ? [0, tiles - 1] : [0],
  };
  if (heads === 1) return [last];
  return [{ head: 0, rows: within(edges), tiles: tiles > 1 ? [random(tiles)] : [0] }, last];
}

/** Groups ascending rows into ranges, so that one read fetches many: each read has to wait. */
function runsOf(rows: readonly number[]): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const row of rows) {
    const last = runs[runs.length - 1];
    const near = last && row - (last.first + last.count) < CHUNK_ROWS / 16;
    if (near && row - last.first < CHUNK_ROWS) last.count = row - last.first + 1;
    else runs.push({ first: row, count: 1 });
  }
  return runs;
}

/** Rows of one head, each separate. */
export async function readSampled(
  gpu: Gpu,
  tensor: Rows,
  { head, rows }: { head: number; rows: readonly number[] },
): Promise<Float32Array[]> {
  const { dim } = tensor;
  const read = await Promise.all(
    runsOf(rows).map(async (run) => {
      const data = await readResultRows(gpu, tensor, { head, ...run });
      return rows.filter((row) => row >= run.first && row < run.first + run.count)
        .map((row) => data.subarray((row - run.first) * dim, (row - run.first + 1) * dim));
    }),
  );
  return read.flat();
}
