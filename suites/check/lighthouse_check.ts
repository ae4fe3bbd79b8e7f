/**
 * Compares the output of a Lighthouse layer with float64: attention over the gathered rows,
 * scattered back to the context.
 *
 * @module
 */
import type { Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Problem } from "../../kernels/implementation.ts";
import {
  type LighthouseGeometry,
  locateEntry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import type { Layer, Rows } from "../plan/measurable.ts";
import {
  type AttentionRow,
  type AttentionRowState,
  finishAttentionRow,
  keysSeen,
  maxMagnitude,
  startAttentionRow,
  storingError,
} from "./attention_rows.ts";
import type { CheckOptions } from "./check_options.ts";
import { compareLse, compareOutput, leewayOf, type Part, partOf } from "./check_parts.ts";
import { CHUNK_ROWS, type HeadSample, readSampled } from "./head_samples.ts";
import { poolRows } from "./pooled_rows.ts";
import { allDone, chunksOf, streamPast } from "./stream.ts";

/** Rows of the output that no selected entry covers are exactly zero. */
export async function checkBare(
  gpu: Gpu,
  output: Rows,
  { head, rows }: { head: number; rows: readonly number[] },
): Promise<Part> {
  const have = await readSampled(gpu, output, { head, rows });
  const error = Math.max(...have.map(maxMagnitude));
  return {
    name: "uncovered rows",
    passed: error === 0,
    maxError: error,
    tolerance: 0,
    detail: `rows that nothing covers are exactly zero (head ${head})`,
  };
}

/** A check of one head of a Lighthouse layer. */
export interface LighthouseCheck extends CheckOptions {
  readonly sample: HeadSample;
  readonly geometry: LighthouseGeometry;
  /** Selection of the sampled head. */
  readonly selection: Int32Array;
}

/** Gathered rows `first … first + count - 1` of one head, pooled exactly and as stored. */
interface GatheredChunk {
  readonly exact: Float64Array;
  readonly stored: Float32Array;
}

async function gatherRows(
  gpu: Gpu,
  tensor: Tensor,
  options: LighthouseCheck & { first: number; count: number },
): Promise<GatheredChunk> {
  const { geometry, selection, first, count, sample, signal } = options;
  const windows = Array.from(selection.subarray(first, first + count), (entry) => {
    const { level, index } = locateEntry(geometry, entry);
    const window = geometry.pooling ** level;
    return { first: window * index, end: window * (index + 1) };
  });
  return await poolRows(gpu, tensor, { head: sample.head, windows, mean: true, signal });
}

/** Output and log-sum-exp of sampled rows of one head. */
export async function checkLighthouse(
  gpu: Gpu,
  prepared: Layer,
  options: LighthouseCheck,
): Promise<Part[]> {
  const { inputs, problem, sample, geometry, selection, signal } = options;
  const { dtype, headDim } = problem.shape;
  const { head, rows } = sample;
  const slotOf = new Int32Array(geometry.entries).fill(-1);
  selection.forEach((entry, slot) => slotOf[entry] = slot);
  const covering = rows.map((row) => coveringSlots(row, { geometry, slotOf }));
  const slots = [...new Set(covering.flat())].sort((a, b) => a - b);
  const parts: Part[] = [];
  const bySlot = new Map<number, AttentionRow>();
  if (slots.length > 0) {
    const starting: AttentionRowState[] = [];
    for (const run of chunksHolding(slots)) {
      const queries = await gatherRows(gpu, inputs.q, { ...options, ...run });
      for (const slot of slots.filter((s) => s >= run.first && s < run.first + run.count)) {
        const at = (slot - run.first) * headDim;
        const stored = queries.stored.subarray(at, at + headDim);
        const exact = queries.exact.subarray(at, at + headDim);
        starting.push(startAttentionRow(exact, { last: slot, dtype, stored }));
      }
    }
    const passed = await streamPast("attentionRows", starting, {
      ranges: chunksOf(0, slots[slots.length - 1] + 1, CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [keys, values] = await allDone(
          [inputs.k, inputs.v].map((tensor) => gatherRows(gpu, tensor, { ...options, ...range })),
        );
        return {
          ...range,
          k: shared.float64(keys.exact),
          v: shared.float64(values.exact),
          storedK: shared.float32(keys.stored),
          storedV: shared.float32(values.stored),
        };
      },
    });
    passed.forEach((row, i) => bySlot.set(slots[i], finishAttentionRow(row)));
    const { lse } = prepared.outputs;
    if (lse) {
      const haveLse = await readSampled(gpu, lse, { head, rows: slots });
      const finished = slots.map((slot) => bySlot.get(slot)!);
      const logs = { have: haveLse, head, rows: slots, leeway: leewayOf(prepared) };
      parts.push(partOf("log-sum-exp", compareLse(finished, logs)));
    }
  }
  const have = await readSampled(gpu, prepared.outputs.output, { head, rows });
  const comparisons = rows.map((row, i) => ({
    label: `head ${head}, row ${row}`,
    ...compareOutput(
      have[i],
      {
        ...scatterRow(covering[i].map((slot) => bySlot.get(slot)!), {
          ...options,
          headDim,
          dtype,
        }),
        leeway: leewayOf(prepared),
      },
    ),
  }));
  return [partOf("output", comparisons), ...parts];
}

/** Gathered rows that add to a base row: at most one for each level. */
function coveringSlots(
  row: number,
  { geometry, slotOf }: { geometry: LighthouseGeometry; slotOf: Int32Array },
): number[] {
  const slots: number[] = [];
  for (let level = 0; level < geometry.levels; level++) {
    // Entry i adds to rows c·i + c - 1 … c·i + 2c - 2.
    const index = Math.floor((row + 1) / geometry.pooling ** level) - 1;
    const slot = index < 0 ? -1 : slotOf[geometry.levelOffsets[level] + index];
    if (slot >= 0) slots.push(slot);
  }
  return slots;
}

function scatterRow(
  contributions: readonly AttentionRow[],
  { headDim, dtype, flushes }: {
    headDim: number;
    dtype: Problem["shape"]["dtype"];
    flushes?: boolean;
  },
): { want: Float64Array; plain: Float32Array; floor: number } {
  const want = new Float64Array(headDim);
  const plain = new Float32Array(headDim);
  let floor = 0;
  for (const { output, plainOutput, outputFloor } of contributions) {
    for (let c = 0; c < headDim; c++) {
      want[c] += output[c];
      plain[c] += plainOutput[c];
    }
    floor += outputFloor + storingError(maxMagnitude(output), dtype, { flushes });
  }
  if (contributions.length > 0) floor += storingError(maxMagnitude(want), dtype, { flushes });
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  return { want, plain: plain.map((value) => round(value)), floor };
}

/** The selection of one head, `[S]`. */
export function headSelection(
  selection: Int32Array,
  { head, geometry }: { head: number; geometry: LighthouseGeometry },
): Int32Array {
  return selection.subarray(head * geometry.gathered, (head + 1) * geometry.gathered);
}

/** Ranges that contain all of some ascending slots, each at most a chunk long. */
function chunksHolding(slots: readonly number[]): { first: number; count: number }[] {
  const chunks: { first: number; count: number }[] = [];
  for (const slot of slots) {
    const last = chunks[chunks.length - 1];
    if (last && slot < last.first + 1024) last.count = slot - last.first + 1;
    else chunks.push({ first: slot, count: 1 });
  }
  return chunks;
}
