/**
 * Cross-entropy of logits against targets, with its gradient in the same pass.
 *
 * Shapes: logits f32 `[rows, vocabulary]`, targets u32 and losses f32 `[all rows]` (from `firstRow`
 * on), gradient `[rows, vocabulary]` in the type that products read. The vocabulary is a multiple
 * of 8. A small vocabulary takes all rows at once; of a large one the head is applied to chunks of
 * rows, and logits never exist as a whole.
 *
 * Numerics: f32; sums in one fixed order. The gradient is that of the SUM of the losses, times the
 * loss scale 2^s of the step state, rounded to storage once: mean losses would be subnormal in f16.
 *
 * @module
 */
import code from "./cross_entropy.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireDType, requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "../optimizer/step_state.ts";
import { quadCode } from "../quads.ts";

const PARAMS = { rows: "u32", firstRow: "u32", gridWidth: "u32" } as const;

/** Vectors of a row that a thread keeps in registers; of longer rows it reads them again. */
const KEPT = 8;

/** A row in registers: its maximum first, then the sum relative to it. */
const KEPT_ROW = `
var<private> kept: array<vec4f, perThread>;
fn quadAt(first: u32, lane: u32, i: u32) -> vec4f { return kept[i]; }
fn reduceRow(first: u32, lane: u32) -> vec2f {
  var most = LEAST;
  for (var i = 0u; i < perThread; i++) {
    let column = lane + i * threads;
    if (column < columns) {
      let x = logits[first + column];
      kept[i] = x;
      most = max(most, max(max(x.x, x.y), max(x.z, x.w)));
    }
  }
  var sum = 0.0;
  for (var i = 0u; i < perThread; i++) {
    if (lane + i * threads < columns) {
      let e = exp(kept[i] - most);
      sum += (e.x + e.y) + (e.z + e.w);
    }
  }
  return vec2f(most, sum);
}
`;

/** A row that is read again: maximum and sum together. */
const LONG_ROW = `
fn quadAt(first: u32, lane: u32, i: u32) -> vec4f { return logits[first + lane + i * threads]; }
fn reduceRow(first: u32, lane: u32) -> vec2f {
  var most = LEAST;
  var sum = 0.0;
  for (var i = 0u; i < perThread; i++) {
    if (lane + i * threads < columns) {
      let x = quadAt(first, lane, i);
      let joined = max(most, max(max(x.x, x.y), max(x.z, x.w)));
      let e = exp(x - joined);
      sum = sum * exp(most - joined) + ((e.x + e.y) + (e.z + e.w));
      most = joined;
    }
  }
  return vec2f(most, sum);
}
`;

/** What to plan for. */
export interface CrossEntropyOptions {
  /** Rows of logits. */
  readonly rows: number;
  /** The row of targets and losses that they begin at. Default 0. */
  readonly firstRow?: number;
  /** V. */
  readonly vocabulary: number;
  /** Storage of the gradient. */
  readonly dtype: DType;
}

/** The plan. */
export type CrossEntropyPlan = PassPlan<CrossEntropyBindings, typeof PARAMS>;

/** Buffers. */
export interface CrossEntropyBindings {
  /** f32 `[rows, vocabulary]`. */
  readonly logits: BufferSlice;
  /** u32 `[all rows]`. */
  readonly targets: BufferSlice;
  /** The step state. */
  readonly state: BufferSlice;
  /** f32 `[all rows]`, written. */
  readonly losses: BufferSlice;
  /** `[rows, vocabulary]`, written. */
  readonly gradient: BufferSlice;
}

/** Threads that share a row: two vectors each where that is enough. */
function threadsOf(columns: number): number {
  return Math.min(256, Math.max(4, 2 ** Math.ceil(Math.log2(columns / 2))));
}

/** Least bytes: logits and targets read, losses and gradients written. */
export function crossEntropyBytes({ rows, vocabulary, dtype }: CrossEntropyOptions): number {
  return rows * (vocabulary * (4 + bytesPerElement(dtype)) + 8);
}

/**
 * Plans the pass.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} naming the value that is out of range.
 */
export function planCrossEntropy(options: CrossEntropyOptions): CrossEntropyPlan {
  const { rows, firstRow = 0, vocabulary, dtype } = options;
  const action = "plan cross-entropy";
  requireWhole(action, "rows", rows);
  requireWhole(action, "firstRow", firstRow, { least: 0 });
  requireWhole(action, "vocabulary", vocabulary, { least: 8, most: 2 ** 24 });
  requireWhole(action, "rows * vocabulary", rows * vocabulary, { most: 2 ** 32 - 1 });
  requireDType(action, dtype);
  if (vocabulary % 8 !== 0) {
    throw new RangeError(`${action}: vocabulary ${vocabulary} is not a multiple of 8`);
  }
  const columns = vocabulary / 4;
  const threads = threadsOf(columns);
  const kept = Math.ceil(columns / threads) <= KEPT;
  const rowCode = kept ? KEPT_ROW : LONG_ROW;
  const [x, y] = foldGrid(Math.ceil(rows / (256 / threads)));
  return {
    pipeline: {
      label: `cross-entropy ${dtype}`,
      bindings: ["read", "read", "read", "read-write", "read-write", "uniform"],
      code: [
        code,
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        STEP_STATE_STRUCT,
        quadCode(dtype),
        rowCode,
      ].join("\n"),
    },
    layout: PARAMS,
    params: { rows, firstRow, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: {
      logits: rows * vocabulary * 4,
      targets: (firstRow + rows) * 4,
      state: STEP_STATE_BYTES,
      losses: (firstRow + rows) * 4,
      gradient: rows * vocabulary * bytesPerElement(dtype),
    },
  };
}

/** Compiles the pass. */
export function createCrossEntropy(
  gpu: Gpu,
  plan: CrossEntropyPlan,
): Promise<Pass<CrossEntropyBindings>> {
  return createPass<CrossEntropyBindings>(gpu, plan);
}
