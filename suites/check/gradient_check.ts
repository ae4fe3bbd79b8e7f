/**
 * Compares gradients of a layer with float64: all rows of a small problem, chosen rows of a large
 * one.
 *
 * dQ of a row needs that row's log-sum-exp and delta: float64, from the inputs alone. dK and dV of
 * a row need those of every later row. For rows near the end these are few, and computed in float64
 * too; for others they are the device's own log-sum-exp, and delta from its own output, since
 * recomputing them takes the whole quadratic forward pass on the host. Those values are checked
 * separately.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { roundToHalf } from "../../kernels/gpu/half.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import { groupOf, keyHeadOf } from "../../kernels/key_heads.ts";
import {
  type LighthouseGeometry,
  locateEntry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { type Layer, readResultRows, readStoredRows } from "../plan/measurable.ts";
import { HALF_ULP, keysSeen, maxDifference, maxMagnitude, storingError } from "./attention_rows.ts";
import {
  finishKeyValueGradient,
  finishQueryGradient,
  startKeyValueGradient,
  startQueryGradient,
} from "./gradient_rows.ts";
import {
  CHUNK_ROWS,
  chunkStatistics,
  type GradientName,
  lengthsOf,
  readEach,
  readShared,
  type Sequence,
} from "./gradient_sequence.ts";
import { poolRows } from "./pooled_rows.ts";
import { causal, endOf, seenBy, startOf, type Visible } from "./row_spans.ts";
import { finishRowStatistic, startRowStatistic } from "./row_statistics.ts";
import { chunksOf, type RowRange, streamPast } from "./stream.ts";
import type { CheckedGradient } from "./weighted_sum.ts";
import { holdWorkers } from "./worker_pool.ts";

export type { GradientName };

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
  /** Sequence rows from here on use float64 statistics; earlier ones the device's. */
  readonly exactFrom: (sequenceRows: number) => number;
  /** Keys that a row of a head's sequence sees. Default: causal. */
  readonly visible?: (head: number) => Visible;
  /** Lighthouse: geometry and the selection of the head. */
  readonly gathered?: { readonly geometry: LighthouseGeometry; readonly selection: Int32Array };
  /** Which gradients. Default: all three. */
  readonly names?: readonly GradientName[];
  /** For a peer: how many times our tolerance it may reach. Default 1. */
  readonly leeway?: number;
  /**
   * Weights and score gradients are rounded to f16 for matrix units: half of the smallest step
   * between two of them, in units of the numbers before any scaling. Default: they are not rounded.
   */
  readonly halfProducts?: number;
  /** Storage of gathered gradients. Default f32, as ours. */
  readonly gatheredType?: DType;
  /** Whether the device flushes subnormals of f16 to zero. Default false. */
  readonly flushes?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Units in the last place by which a peer may round on the way to a gradient: it may sum in f16.
 */
const PEER_ROUNDINGS = 8;

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
  // dK and dV add up the query heads that share the key head.
  const group = groupOf(problem.shape);
  const members = gathered || group === 1
    ? [{ head, sequence }]
    : range(group).map((i) => head - head % group + i).map((head) => ({
      head,
      sequence: baseSequence(gpu, prepared, { ...options, head }),
    }));
  const contributions = rows.map((row) =>
    gathered ? windowSlots(row, gathered) : [{ slot: row, weight: 1 }]
  );
  const slots = [...new Set(contributions.flat().map(({ slot }) => slot))].sort((a, b) => a - b);
  const bySlot = await sequenceGradients(sequence, { ...options, slots, members });
  const comparisons: GradientComparison[] = [];
  const { names = ["q", "k", "v"] } = options;
  const found = await Promise.all(names.map((name) => {
    const of = name === "q" || gathered ? head : keyHeadOf(problem.shape, head);
    const read = (range: RowRange) => readResultRows(gpu, gradients[name], { head: of, ...range });
    return readEach(rows, { read, dim: problem.shape.headDim });
  }));
  for (const [which, name] of names.entries()) {
    for (const [i, row] of rows.entries()) {
      const have = found[which][i];
      const want = gathered
        ? joinLevels(contributions[i], { ...options, name, bySlot })
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

/** A query head that adds to dK and dV, and its rows. */
interface GroupMember {
  readonly head: number;
  readonly sequence: Sequence;
}

interface SequenceOptions extends GradientCheckOptions {
  /** Rows whose gradients are computed. */
  readonly slots: readonly number[];
  /** Query heads that share the keys, in order. */
  readonly members: readonly GroupMember[];
}

/**
 * The rows that chosen rows of a sequence need, with log-sum-exp and delta in float64: the chosen
 * ones, and those whose statistics are exact.
 */
async function exactRows(sequence: Sequence, visible: Visible, options: SequenceOptions) {
  const { slots, problem, signal, halfProducts } = options;
  const { dtype } = problem.shape;
  const { dim } = sequence;
  const exactFrom = Math.max(0, Math.min(sequence.rows, options.exactFrom(sequence.rows)));
  const exact = [
    ...slots.filter((slot) => slot < exactFrom),
    ...Array.from({ length: sequence.rows - exactFrom }, (_, i) => exactFrom + i),
  ];
  const seen = exact.map((slot) => visible(slot));
  const keysOf = new Map(exact.map((slot, i) => [slot, seen[i]]));
  const names = ["q", "k", "v", "outputGradient"] as const;
  const given = await Promise.all(names.map((name) => {
    const read = (range: RowRange) => sequence.read(name, range);
    return readEach(exact, { read, dim });
  }));
  const rowOf = new Map(exact.map((slot, i) => {
    const [query, key, value, outputGradient] = given.map((rows) => rows[i]);
    return [slot, { query, key, value, outputGradient }];
  }));
  const passed = await streamPast(
    "rowStatistics",
    exact.map((slot) => {
      const spans = keysOf.get(slot)!;
      const halfWeights = halfProducts !== undefined;
      return startRowStatistic(rowOf.get(slot)!, { spans, dtype, halfWeights });
    }),
    {
      ranges: chunksOf(0, endOf(seen), CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [k, v] = await readShared(sequence, ["k", "v"], { range, shared });
        return { ...range, k, v };
      },
    },
  );
  const statistics = new Map(exact.map((slot, i) => [slot, finishRowStatistic(passed[i])]));
  return { exactFrom, keysOf, rowOf, statistics };
}

/** Gradients of chosen rows of a sequence, in three passes over it. */
async function sequenceGradients(
  sequence: Sequence,
  options: SequenceOptions,
): Promise<SequenceGradients> {
  const { slots, problem, signal, names: wanted = ["k", "v"], halfProducts, flushes } = options;
  const { gatheredType = "f32", visible = () => causal, members } = options;
  const { dtype } = problem.shape;
  const stored = options.gathered ? gatheredType : dtype;
  const { dim } = sequence;
  if (slots.length === 0) return new Map();
  using _held = holdWorkers();
  const own = await exactRows(sequence, visible(options.head), options);
  const { keysOf, rowOf, statistics } = own;

  const queries = await streamPast(
    "queryGradients",
    slots.map((slot) => {
      const statistic = statistics.get(slot)!;
      return startQueryGradient(rowOf.get(slot)!, {
        spans: keysOf.get(slot)!,
        dtype: stored,
        statistic,
        halfProducts,
        flushes,
      });
    }),
    {
      ranges: chunksOf(0, endOf(slots.map((slot) => keysOf.get(slot)!)), CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [k, v] = await readShared(sequence, ["k", "v"], { range, shared });
        const lengths = {
          k: await lengthsOf(k, { dim, shared, signal }),
          v: await lengthsOf(v, { dim, shared, signal }),
        };
        return { ...range, k, v, lengths };
      },
    },
  );

  let pairs = slots.map((slot) =>
    startKeyValueGradient(rowOf.get(slot)!, { spans: [], dtype: stored, halfProducts, flushes })
  );
  const adding = wanted.includes("k") || wanted.includes("v") ? members : [];
  for (const { head, sequence: member } of adding) {
    const seen = visible(head);
    const { statistics, exactFrom } = head === options.head
      ? own
      : await exactRows(member, seen, options);
    const readers = seenBy(slots, { visible: seen, rows: sequence.rows });
    pairs = await streamPast(
      "keyValueGradients",
      pairs.map((pair, i) => ({ ...pair, spans: readers[i] })),
      {
        ranges: chunksOf(startOf(readers), endOf(readers), CHUNK_ROWS),
        workOf: keysSeen,
        signal,
        read: async (range, shared) => {
          const names = ["outputGradient", "q"] as const;
          const [outputGradient, q] = await readShared(member, names, { range, shared });
          const lengths = {
            q: await lengthsOf(q, { dim, shared, signal }),
            outputGradient: await lengthsOf(outputGradient, { dim, shared, signal }),
          };
          const given = { range, outputGradient, statistics, exactFrom, shared, signal };
          return {
            ...range,
            q,
            outputGradient,
            lengths,
            statistics: await chunkStatistics(member, given),
          };
        },
      },
    );
  }
  return new Map(slots.map((slot, i) => {
    const { key, value } = finishKeyValueGradient(pairs[i]);
    return [slot, { q: finishQueryGradient(queries[i]), k: key, v: value }];
  }));
}

function baseSequence(gpu: Gpu, prepared: Layer, options: GradientCheckOptions): Sequence {
  const { inputs, problem, head } = options;
  const { output, lse } = prepared.outputs;
  const tensors = { ...inputs, output, lse, outputGradient: inputs.outputGradient! };
  const keyHead = keyHeadOf(problem.shape, head);
  return {
    rows: problem.shape.context,
    dim: problem.shape.headDim,
    read: (name, range) => {
      const of = name === "k" || name === "v" ? keyHead : head;
      return readStoredRows(gpu, told(tensors[name], name), { head: of, ...range });
    },
  };
}

/** Gathered rows as the device holds them: pooled from the inputs and rounded to storage. */
function gatheredSequence(
  gpu: Gpu,
  prepared: Layer,
  options: GradientCheckOptions & { gathered: NonNullable<GradientCheckOptions["gathered"]> },
): Sequence {
  const { inputs, problem, head, gathered, signal, halfProducts } = options;
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
        if (name !== "outputGradient") return { first: window * index, end: window * (index + 1) };
        const first = window * index + window - 1;
        return { first, end: Math.min(first + window, geometry.context) };
      });
      const mean = name !== "outputGradient";
      const pooled = await poolRows(gpu, inputs[name]!, { head, windows, mean, signal });
      if (mean) return pooled.stored;
      // Sums are f32; operands of f16 products are rounded like f16, but without its limit on
      // exponents.
      return Float32Array.from(halfProducts ? pooled.exact.map(roundToHalf) : pooled.exact);
    },
  };
}

function told<T>(rows: T | undefined, name: string): T {
  if (!rows) throw new TypeError(`check gradients: the implementation returns no ${name}`);
  return rows;
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
  options: Pick<GradientCheckOptions, "problem" | "flushes"> & {
    name: GradientName;
    bySlot: SequenceGradients;
  },
): CheckedGradient {
  const { name, bySlot, problem, flushes } = options;
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
  return {
    gradient,
    tolerance: tolerance + storingError(maxMagnitude(gradient), dtype, { flushes }),
  };
}
