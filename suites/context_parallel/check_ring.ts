/**
 * The check of a ring's output.
 *
 * @module
 */
import { readRows, type Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import { flushesHalves } from "../../kernels/gpu/subnormals.ts";
import type { Problem } from "../../kernels/implementation.ts";
import type { ContextParallel } from "../../kernels/lighthouse/context_parallel.ts";
import {
  type AttentionRowState,
  finishAttentionRow,
  keysSeen,
  maxDifference,
  maxMagnitude,
  startAttentionRow,
  storingError,
} from "../check/attention_rows.ts";
import { chunksOf, streamPast } from "../check/stream.ts";
import type { CheckRecord } from "../result/result_schema.ts";

/** Rows of a float64 check besides the first and last of each part. */
const RANDOM_ROWS = 4;

const CHUNK_ROWS = 8192;

/** One thing that was compared. */
export type Part = NonNullable<CheckRecord["parts"]>[number];

/** The ring's rows against float64, and against the dense kernel's. The first part is the worst. */
export async function checkRing(
  gpu: Gpu,
  sharded: ContextParallel,
  { problem, seed, signal }: { problem: Problem; seed: number; signal?: AbortSignal },
): Promise<Part[]> {
  const { plan, gathered } = sharded;
  const { heads, headDim, dtype } = problem.shape;
  const head = heads - 1;
  const flushes = dtype === "f16" && await flushesHalves(gpu);
  const rows = plan.geometry.gathered;
  const ends = Array.from({ length: plan.parts }, (_, part) => [
    part * plan.part.gathered,
    (part + 1) * plan.part.gathered - 1,
  ]).flat();
  const random = Array.from({ length: RANDOM_ROWS }, (_, i) => pcg((seed + i) >>> 0) % rows);
  const sampled = [...new Set([...ends, ...random])].sort((a, b) => a - b);
  const read = async (tensor: Tensor, first: number, count = 1) =>
    Float32Array.from(await readRows(gpu, tensor, { head, first, count }));
  const starting: AttentionRowState[] = [];
  for (const row of sampled) {
    starting.push(startAttentionRow(await read(gathered.q, row), { last: row, dtype }));
  }
  const passed = await streamPast("attentionRows", starting, {
    ranges: chunksOf(0, rows, CHUNK_ROWS),
    workOf: keysSeen,
    signal,
    read: async ({ first, count }, shared) => ({
      first,
      count,
      k: shared.float32(await read(gathered.k, first, count)),
      v: shared.float32(await read(gathered.v, first, count)),
    }),
  });
  const output: Compared[] = [];
  const statistic: Compared[] = [];
  const piece: Compared[] = [];
  for (const [i, row] of sampled.entries()) {
    const want = finishAttentionRow(passed[i]);
    const ring = await read(sharded.output, row);
    const dense = await read(sharded.wholeOutput, row);
    const [lse] = await read(sharded.lse, row);
    const [denseLse] = await read(sharded.wholeLse, row);
    const tolerance = 2 * maxDifference(want.plainOutput, want.output) + want.outputFloor;
    output.push({ row, error: maxDifference(ring, want.output), tolerance });
    statistic.push({
      row,
      error: Math.max(Math.abs(lse - want.lse), Math.abs(denseLse - want.lse)),
      tolerance: 2 * Math.abs(want.plainLse - want.lse) + want.lseFloor,
    });
    // Both carry their own error, and the dense kernel rounds to the storage type.
    piece.push({
      row,
      error: maxDifference(ring, dense),
      tolerance: 2 * tolerance + storingError(maxMagnitude(want.output), dtype, { flushes }),
    });
  }
  const part = (name: string, compared: readonly Compared[]): Part => {
    const worst = compared.reduce((a, b) => b.error / b.tolerance > a.error / a.tolerance ? b : a);
    return {
      name,
      passed: compared.every(({ error, tolerance }) => error <= tolerance),
      maxError: Number.isFinite(worst.error) ? worst.error : null,
      tolerance: worst.tolerance,
      detail: `${compared.length} rows of head ${head}, d = ${headDim}, closest: row ${worst.row}`,
    };
  };
  return [part("output", output), part("log-sum-exp", statistic), part("in one piece", piece)];
}

interface Compared {
  readonly row: number;
  readonly error: number;
  readonly tolerance: number;
}
