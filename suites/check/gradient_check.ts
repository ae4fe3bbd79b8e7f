/**
 * Gradients of a layer against float64: all rows of a small problem, chosen rows of a large one.
 *
 * dQ of a row needs that row's log-sum-exp and delta: float64, from the inputs alone. dK and dV of a
 * row need those of every later row. For rows near the end these are few, and float64 too; for
 * others they are the device's own log-sum-exp, and delta from its own output, since recomputing them
 * takes the whole quadratic forward pass on the host. What they rest on is checked apart.
 *
 * @module
 */
import type { Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import {
  type LighthouseGeometry,
  locateEntry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { HALF_ULP, maxDifference, maxMagnitude } from "./attention_rows.ts";
import {
  type CheckedGradient,
  deviceStatistic,
  KeyValueGradientCheck,
  QueryGradientCheck,
  rowLengths,
  type RowStatistic,
  RowStatisticCheck,
  storingError,
} from "./gradient_rows.ts";
import { type Layer, readResultRows } from "../plan/measurable.ts";

/** One of dQ, dK, dV. */
export type GradientName = "q" | "k" | "v";

/** How one row of one gradient compares. */
export interface GradientComparison {
  readonly name: GradientName;
  readonly row: number;
  readonly error: number;
  readonly tolerance: number;
}

/** What is compared. */
export interface GradientCheckOptions {
  readonly problem: Problem;
  readonly inputs: LayerInputs;
  readonly head: number;
  /** Base rows whose gradients are compared, ascending. */
  readonly rows: readonly number[];
  /** Sequence rows from here on take float64 statistics; earlier ones the device's. */
  readonly exactFrom: (sequenceRows: number) => number;
  /** Lighthouse: geometry and the selection of the head. */
  readonly gathered?: { readonly geometry: LighthouseGeometry; readonly selection: Int32Array };
  /** Which gradients. Default: all three. */
  readonly names?: readonly GradientName[];
  /** A peer's: how many times our tolerance is allowed. Default 1. */
  readonly leeway?: number;
  /**
   * Weights and score gradients are rounded to f16 on their way into matrix units: half of the
   * smallest step between two of them, seen from the numbers before any scaling. Default: they are not.
   */
  readonly halfProducts?: number;
  readonly signal?: AbortSignal;
}

/** Units in the last place by which a peer may round on its way to a gradient: it may sum in f16. */
const PEER_ROUNDINGS = 8;

/** Every read waits for the device once, so chunks are as long as the host has room for. */
const CHUNK_ROWS = 32768;

type Rows = Float32Array;

interface RowRange {
  readonly first: number;
  readonly count: number;
}

/** The rows that attention runs over: those of the context, or gathered ones. */
interface Sequence {
  readonly rows: number;
  readonly dim: number;
  readonly read: (
    name: GradientName | "outputGradient" | "output" | "lse",
    range: RowRange,
  ) => Promise<Rows>;
}

/** Compares dQ, dK and dV of some base rows of one head with float64. */
export async function compareGradients(
  gpu: Gpu,
  prepared: Layer,
  options: GradientCheckOptions,
): Promise<GradientComparison[]> {
  const { head, rows, gathered, problem, leeway = 1 } = options;
  const { gradients } = prepared.outputs;
  if (!gradients) throw new TypeError("check gradients: the implementation left none");
  const sequence = gathered
    ? gatheredSequence(gpu, prepared, { ...options, gathered })
    : baseSequence(gpu, prepared, options);
  const contributions = rows.map((row) =>
    gathered ? windowSlots(row, gathered) : [{ slot: row, weight: 1 }]
  );
  const slots = [...new Set(contributions.flat().map(({ slot }) => slot))].sort((a, b) => a - b);
  const bySlot = await sequenceGradients(sequence, { ...options, slots });
  const comparisons: GradientComparison[] = [];
  const { names = ["q", "k", "v"] } = options;
  const found = await Promise.all(names.map((name) => {
    const read = (range: RowRange) => readResultRows(gpu, gradients[name], { head, ...range });
    return readEach(rows, { read, dim: problem.shape.headDim });
  }));
  for (const [which, name] of names.entries()) {
    for (const [i, row] of rows.entries()) {
      const have = found[which][i];
      const want = gathered
        ? joinLevels(contributions[i], { name, bySlot, problem })
        : bySlot.get(row)![name];
      const error = maxDifference(have, want.gradient);
      const rounding = leeway === 1
        ? 0
        : 2 * PEER_ROUNDINGS * HALF_ULP[problem.shape.dtype] * maxMagnitude(want.gradient);
      comparisons.push({ name, row, error, tolerance: leeway * want.tolerance + rounding });
    }
  }
  return comparisons;
}

type SequenceGradients = ReadonlyMap<number, Record<GradientName, CheckedGradient>>;

/** Gradients of chosen rows of a sequence, in three passes over it. */
async function sequenceGradients(
  sequence: Sequence,
  options: GradientCheckOptions & { slots: readonly number[] },
): Promise<SequenceGradients> {
  const { slots, problem, signal, names: wanted = ["k", "v"], halfProducts } = options;
  const { dtype } = problem.shape;
  if (slots.length === 0) return new Map();
  const chunks = (first: number, end: number) =>
    Array.from({ length: Math.ceil((end - first) / CHUNK_ROWS) }, (_, i) => {
      const start = first + i * CHUNK_ROWS;
      return { first: start, count: Math.min(CHUNK_ROWS, end - start) };
    });
  const exactFrom = Math.max(0, Math.min(sequence.rows, options.exactFrom(sequence.rows)));
  const exact = [
    ...slots.filter((slot) => slot < exactFrom),
    ...Array.from({ length: sequence.rows - exactFrom }, (_, i) => exactFrom + i),
  ];
  const statisticChecks = new Map<number, RowStatisticCheck>();
  const rowOf = new Map<number, Record<GradientName | "outputGradient", Rows>>();
  const names = ["q", "k", "v", "outputGradient"] as const;
  const given = await Promise.all(names.map((name) => {
    const read = (range: RowRange) => sequence.read(name, range);
    return readEach(exact, { read, dim: sequence.dim });
  }));
  for (const [i, slot] of exact.entries()) {
    const [q, k, v, outputGradient] = given.map((rows) => rows[i]);
    rowOf.set(slot, { q, k, v, outputGradient });
    statisticChecks.set(
      slot,
      new RowStatisticCheck({ query: q, outputGradient }, { last: slot, dtype }),
    );
  }
  const end = exact[exact.length - 1] + 1;
  for (const range of chunks(0, end)) {
    signal?.throwIfAborted();
    const [k, v] = await Promise.all([sequence.read("k", range), sequence.read("v", range)]);
    const chunk = { ...range, k, v };
    for (const check of statisticChecks.values()) check.take(chunk);
  }
  const statistics = new Map([...statisticChecks].map(([slot, check]) => [slot, check.finish()]));

  const queryChecks = new Map(slots.map((slot) => {
    const row = rowOf.get(slot)!;
    const statistic = statistics.get(slot)!;
    return [
      slot,
      new QueryGradientCheck({ query: row.q, ...row }, {
        last: slot,
        dtype,
        statistic,
        halfProducts,
      }),
    ];
  }));
  for (const range of chunks(0, slots[slots.length - 1] + 1)) {
    signal?.throwIfAborted();
    const [k, v] = await Promise.all([sequence.read("k", range), sequence.read("v", range)]);
    const lengths = { k: rowLengths(k, sequence.dim), v: rowLengths(v, sequence.dim) };
    for (const check of queryChecks.values()) check.take({ ...range, k, v, lengths });
  }

  const pairChecks = new Map(slots.map((slot) => {
    const { k: key, v: value } = rowOf.get(slot)!;
    return [slot, new KeyValueGradientCheck({ key, value }, { first: slot, dtype, halfProducts })];
  }));
  const pairs = wanted.includes("k") || wanted.includes("v");
  for (const range of pairs ? chunks(slots[0], sequence.rows) : []) {
    signal?.throwIfAborted();
    const [outputGradient, q] = await Promise.all(
      [sequence.read("outputGradient", range), sequence.read("q", range)],
    );
    const chunk = {
      ...range,
      q,
      outputGradient,
      lengths: {
        q: rowLengths(q, sequence.dim),
        outputGradient: rowLengths(outputGradient, sequence.dim),
      },
      statistics: await chunkStatistics(sequence, { range, outputGradient, statistics, exactFrom }),
    };
    for (const check of pairChecks.values()) check.take(chunk);
  }
  return new Map(slots.map((slot) => {
    const { key, value } = pairChecks.get(slot)!.finish();
    return [slot, { q: queryChecks.get(slot)!.finish(), k: key, v: value }];
  }));
}

/** Statistics of the rows of a chunk: float64 from `exactFrom` on, the device's before. */
async function chunkStatistics(
  sequence: Sequence,
  options: {
    range: RowRange;
    outputGradient: Rows;
    statistics: ReadonlyMap<number, RowStatistic>;
    exactFrom: number;
  },
): Promise<RowStatistic[]> {
  const { range, outputGradient, statistics, exactFrom } = options;
  const { dim } = sequence;
  const device = Math.max(0, Math.min(range.count, exactFrom - range.first));
  const part = { first: range.first, count: device };
  const [output, lse] = device > 0
    ? await Promise.all([sequence.read("output", part), sequence.read("lse", part)])
    : [];
  return Array.from({ length: range.count }, (_, i) => {
    if (i >= device) return statistics.get(range.first + i)!;
    const row = (data: Rows) => data.subarray(i * dim, (i + 1) * dim);
    return deviceStatistic({
      lse: lse![i],
      output: row(output!),
      outputGradient: row(outputGradient),
    });
  });
}

function baseSequence(gpu: Gpu, prepared: Layer, options: GradientCheckOptions): Sequence {
  const { inputs, problem, head } = options;
  const { output, lse } = prepared.outputs;
  const tensors = { ...inputs, output, lse, outputGradient: inputs.outputGradient! };
  return {
    rows: problem.shape.context,
    dim: problem.shape.headDim,
    read: (name, range) => readResultRows(gpu, told(tensors[name], name), { head, ...range }),
  };
}

/** Gathered rows as the device holds them: pooled from the inputs and rounded as stored. */
function gatheredSequence(
  gpu: Gpu,
  prepared: Layer,
  options: GradientCheckOptions & { gathered: NonNullable<GradientCheckOptions["gathered"]> },
): Sequence {
  const { inputs, problem, head, gathered } = options;
  const { selection, geometry } = gathered;
  const { lse, gathered: attended } = prepared.outputs;
  return {
    rows: selection.length,
    dim: problem.shape.headDim,
    read: async (name, range) => {
      if (name === "lse") return await readResultRows(gpu, told(lse, name), { head, ...range });
      if (name === "output") {
        return await readResultRows(gpu, told(attended, "gathered output"), { head, ...range });
      }
      const part = selection.subarray(range.first, range.first + range.count);
      const windows = Array.from(part, (entry) => {
        const { level, index } = locateEntry(geometry, entry);
        const window = geometry.pooling ** level;
        // An entry is the mean of its window, and is added to the rows from its last one on.
        if (name !== "outputGradient") {
          return { first: window * index, end: window * (index + 1), factor: 1 / window };
        }
        const first = window * index + window - 1;
        return { first, end: Math.min(first + window, geometry.context), factor: 1 };
      });
      return await sumWindows(gpu, inputs[name]!, { head, windows });
    },
  };
}

function told<T>(rows: T | undefined, name: string): T {
  if (!rows) throw new TypeError(`check gradients: the implementation tells no ${name}`);
  return rows;
}

async function sumWindows(
  gpu: Gpu,
  tensor: Tensor,
  options: {
    head: number;
    windows: readonly { first: number; end: number; factor: number }[];
  },
): Promise<Rows> {
  const { head, windows } = options;
  const { dim, dtype } = tensor;
  const low = Math.min(...windows.map(({ first }) => first));
  const high = Math.max(...windows.map(({ end }) => end));
  const base = await readResultRows(gpu, tensor, { head, first: low, count: high - low });
  const sums = new Float32Array(windows.length * dim);
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  const sum = new Float64Array(dim);
  for (const [m, { first, end, factor }] of windows.entries()) {
    sum.fill(0);
    for (let row = first - low; row < end - low; row++) {
      for (let c = 0; c < dim; c++) sum[c] += base[row * dim + c];
    }
    for (let c = 0; c < dim; c++) sums[m * dim + c] = round(sum[c] * factor);
  }
  return sums;
}

interface Contribution {
  readonly slot: number;
  readonly weight: number;
}

/** Gathered rows whose windows hold a base row, each divided by the rows of its window. */
function windowSlots(
  row: number,
  { geometry, selection }: { geometry: LighthouseGeometry; selection: Int32Array },
): Contribution[] {
  const found: Contribution[] = [];
  for (let level = 0; level < geometry.levels; level++) {
    const window = geometry.pooling ** level;
    const slot = selection.indexOf(geometry.levelOffsets[level] + Math.floor(row / window));
    if (slot >= 0) found.push({ slot, weight: 1 / window });
  }
  return found;
}

function joinLevels(
  contributions: readonly Contribution[],
  options: { name: GradientName; bySlot: SequenceGradients; problem: Problem },
): CheckedGradient {
  const { name, bySlot, problem } = options;
  const { headDim, dtype } = problem.shape;
  const gradient = new Float64Array(headDim);
  let tolerance = 0;
  for (const { slot, weight } of contributions) {
    const row = bySlot.get(slot)![name];
    for (let c = 0; c < headDim; c++) gradient[c] += weight * row.gradient[c];
    tolerance += weight * row.tolerance;
  }
  // No level selected it: exactly zero.
  if (contributions.length === 0) return { gradient, tolerance: 0 };
  return { gradient, tolerance: tolerance + storingError(maxMagnitude(gradient), dtype) };
}

/** Rows of ascending numbers, each on its own; neighbours are read at once. */
async function readEach(
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
