/**
 * Computes only the last row of an attention layer, which is what a needle test reads. It costs
 * O(N·d) for dense attention; the whole layer costs O(N²·d).
 *
 * Two sources of rows: all N rows of a head, filtered (dense attention, and selections by logit, at
 * random or by position); or the S rows that a Lighthouse layer gathers, where the last output row
 * is the sum of the attention rows of the last entry of each level that was selected.
 *
 * Shapes: Q, K, V `[heads, N, d]` in one block; pooled rows `[heads, P - N, d]`; results float64.
 *
 * Numerics: logits and chunk sums f32, chunks merged in float64. Unlike in a layer, output rows are
 * not rounded to the storage type.
 *
 * @module
 */
import code from "./last_row.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type Dispatch,
  type DType,
  requireBytes,
  slice,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { type BindingKind, createPipeline } from "../gpu/pipeline.ts";
import { requireDType, requireWhole } from "../gpu/require.ts";
import { createParams, type UniformValues } from "../gpu/uniform.ts";
import type { LighthouseGeometry } from "../lighthouse/lighthouse_geometry.ts";
import { cellCode, wordsPerRow } from "../lighthouse/rows.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { chunkRowsOf, generatePartials, requireQuads } from "./partial_rows.ts";

const PARAMS = {
  context: "u32",
  rows: "u32",
  queries: "u32",
  chunks: "u32",
  chunkRows: "u32",
  pooledEntries: "u32",
  entries: "u32",
  logPooling: "u32",
} as const;

/** Options of {@linkcode planLastRow}. */
export interface LastRowOptions {
  readonly heads: number;
  readonly context: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Attend to gathered rows instead of all rows. */
  readonly geometry?: LighthouseGeometry;
}

/** The plan of the kernel, which needs no device. */
export interface LastRowPlan extends LastRowOptions {
  readonly code: string;
  readonly bindings: readonly BindingKind[];
  readonly params: UniformValues<typeof PARAMS>;
  readonly workgroups: readonly [number, number, number];
  /** Query rows of a head: 1, or one per level. */
  readonly queries: number;
  readonly chunks: number;
  readonly partialBytes: number;
}

/**
 * Filter of the rows that dense attention admits: position from `first` on, hash and logit within
 * limits.
 */
export interface RowAdmission {
  /** Default 0. */
  readonly first?: number;
  /** Admits rows whose hash pcg(row + seed) is at most `most`. Default: all. */
  readonly hash?: { readonly seed: number; readonly most: number };
  /** Admits rows whose logit is at least this. Default: all. */
  readonly leastLogit?: number;
}

/** Attention of one query row. */
export interface AttendedRow {
  /** Natural log-sum-exp of the admitted logits; -Infinity if no row was admitted. */
  readonly lse: number;
  /** `[d]`; zero if no row was admitted. */
  readonly output: Float64Array;
}

/** Plans the kernel. */
export function planLastRow(options: LastRowOptions): LastRowPlan {
  const { heads, context, headDim, dtype, geometry } = options;
  const action = "plan last row";
  for (const [name, value] of Object.entries({ heads, context, headDim })) {
    requireWhole(action, name, value);
  }
  requireDType(action, dtype);
  const quads = requireQuads(action, { headDim, dtype });
  const rows = geometry?.gathered ?? context;
  const queries = geometry?.levels ?? 1;
  const chunkRows = chunkRowsOf(heads * queries * rows);
  const chunks = Math.ceil(rows / chunkRows);
  return {
    ...options,
    code: `${code}${cellCode(dtype)}${generateSource({ ...options, quads })}`,
    bindings: geometry
      ? ["read", "read", "read", "read", "read", "read", "read", "read-write", "uniform"]
      : ["read", "read", "read", "read", "read-write", "read-write", "uniform"],
    params: {
      context,
      rows,
      queries,
      chunks,
      chunkRows,
      pooledEntries: geometry?.pooledEntries ?? 0,
      entries: geometry?.entries ?? 0,
      logPooling: geometry ? Math.log2(geometry.pooling) : 0,
    },
    workgroups: [chunks, queries, heads],
    queries,
    chunks,
    partialBytes: heads * queries * chunks * (4 + headDim) * 4,
  };
}

/** Declarations and functions of `last_row.wgsl` that depend on the source of the rows. */
function generateSource(
  { headDim, dtype, geometry, quads }: LastRowOptions & { quads: number },
): string {
  const half = dtype === "f16";
  const dotCell = half ? "dot(a[0], b[0]) + dot(a[1], b[1])" : "dot(a, b)";
  return wgsl`

    ${geometry ? declareGathered() : declareAll()}
    ${generatePartials({ headDim, dtype, quads })}
    const SCALE = ${1 / Math.sqrt(headDim)};
    fn dotCell(a: Cell, b: Cell) -> f32 { return ${dotCell}; }
    fn keyWord(head: u32, row: u32, c: u32) -> vec4u {
      ${geometry ? readGathered("keys", "pooledKeys") : readPlain("keys")}
    }
    fn valueWord(head: u32, row: u32, c: u32) -> vec4u {
      ${geometry ? readGathered("values", "pooledValues") : readPlain("values")}
    }
    ${geometry ? GATHERED : ADMITTED}
  `;
}

function declareAll(): string[] {
  return declareBindings([
    "var<storage, read> queries: array<vec4u>;",
    "var<storage, read> keys: array<vec4u>;",
    "var<storage, read> values: array<vec4u>;",
    "var<storage, read> filters: array<vec4u>;",
    "var<storage, read_write> partials: array<f32>;",
    "var<storage, read_write> logits: array<f32>;",
    "var<uniform> params: Params;",
  ]);
}

function declareGathered(): string[] {
  return declareBindings([
    "var<storage, read> queries: array<vec4u>;",
    "var<storage, read> keys: array<vec4u>;",
    "var<storage, read> pooledKeys: array<vec4u>;",
    "var<storage, read> values: array<vec4u>;",
    "var<storage, read> pooledValues: array<vec4u>;",
    "var<storage, read> indices: array<u32>;",
    "var<storage, read> slots: array<u32>;",
    "var<storage, read_write> partials: array<f32>;",
    "var<uniform> params: Params;",
  ]);
}

function declareBindings(bindings: readonly string[]): string[] {
  return bindings.map((binding, i) => `@group(0) @binding(${i}) ${binding}`);
}

function readPlain(name: string): string {
  return `return ${name}[(head * params.context + row) * QUADS + c];`;
}

function readGathered(name: string, pooled: string): string {
  return wgsl`
    let index = indices[head * params.rows + row];
    if (index < params.context) { return ${name}[(head * params.context + index) * QUADS + c]; }
    return ${pooled}[(head * params.pooledEntries + index - params.context) * QUADS + c];
  `;
}

const GATHERED = `
// Rows up to the gathered place of the last entry of level \`slot\`; none where it was not selected.
fn rowEnd(head: u32, slot: u32) -> u32 {
  var entry = 0u;
  for (var level = 0u; level <= slot; level++) {
    entry += params.context >> (level * params.logPooling);
  }
  let place = slots[head * params.entries + entry - 1u];
  return select(place + 1u, 0u, place == 0xffffffffu);
}
fn admit(head: u32, row: u32, logit: f32) -> f32 { return logit; }
`;

const ADMITTED = `
fn rowEnd(head: u32, slot: u32) -> u32 { return params.rows; }
fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}
// A filter: first row, seed of the hash, largest hash, bits of the least logit.
fn admit(head: u32, row: u32, logit: f32) -> f32 {
  logits[head * params.rows + row] = logit;
  let filter_ = filters[head];
  let kept = row >= filter_.x && pcg(row + filter_.y) <= filter_.z &&
    logit >= bitcast<f32>(filter_.w);
  return select(NONE, logit, kept);
}
`;

/** A compiled last-row kernel with its result buffers. */
export interface LastRow {
  readonly plan: LastRowPlan;
  /** Query rows `[heads, queries, d]` in the storage type; written before each run. */
  readonly queries: BufferSlice;
  /** One 16-byte filter per head, for rows that are not gathered. */
  readonly filters: BufferSlice;
  /** f32 `[heads, N]`, unfiltered, for rows that are not gathered. */
  readonly logits: BufferSlice;
  readonly bind: (sources: {
    readonly k: BufferSlice;
    readonly v: BufferSlice;
    readonly gathered?: {
      readonly pooledK: BufferSlice;
      readonly pooledV: BufferSlice;
      readonly indices: BufferSlice;
      readonly slots: BufferSlice;
    };
  }) => Dispatch;
  /** The partial results of the chunks, for {@linkcode mergePartials}. */
  readonly partials: BufferSlice;
  readonly destroy: () => void;
}

/** Compiles the kernel and allocates its small buffers. */
export async function createLastRow(gpu: Gpu, plan: LastRowPlan): Promise<LastRow> {
  const pipeline = await createPipeline(gpu, {
    label: "last row",
    code: plan.code,
    bindings: plan.bindings,
  });
  const { own: keep, destroy } = collectOwned();
  const own = (buffer: GPUBuffer) => slice(keep(buffer));
  try {
    const { heads, context, headDim, dtype, geometry } = plan;
    const buffer = async (label: string, bytes: number) =>
      own(await createStorageBuffer(gpu, bytes, { label: `last row ${label}` }));
    const queries = await buffer(
      "queries",
      heads * plan.queries * wordsPerRow(headDim, dtype) * 16,
    );
    const filters = await buffer("filters", heads * 16);
    const logits = await buffer("logits", geometry ? 16 : heads * context * 4);
    const partials = await buffer("partials", plan.partialBytes);
    const uniform = own(createParams(gpu, PARAMS, plan.params));
    return {
      plan,
      queries,
      filters,
      logits,
      partials: { ...partials, size: plan.partialBytes },
      bind: ({ k, v, gathered }) => {
        if ((geometry === undefined) !== (gathered === undefined)) {
          throw new TypeError("bind last row: gathered rows are planned or given, not both");
        }
        const rowBytes = heads * headDim * bytesPerElement(dtype);
        requireBytes("last row: k", k, rowBytes * context);
        requireBytes("last row: v", v, rowBytes * context);
        if (geometry && gathered) {
          requireBytes("last row: pooled k", gathered.pooledK, rowBytes * geometry.pooledEntries);
          requireBytes("last row: pooled v", gathered.pooledV, rowBytes * geometry.pooledEntries);
          requireBytes("last row: indices", gathered.indices, heads * geometry.gathered * 4);
          requireBytes("last row: slots", gathered.slots, heads * geometry.entries * 4);
        }
        return bindDispatch(gpu, pipeline, {
          slices: gathered
            ? [
              queries,
              k,
              gathered.pooledK,
              v,
              gathered.pooledV,
              gathered.indices,
              gathered.slots,
              partials,
              uniform,
            ]
            : [queries, k, v, filters, partials, logits, uniform],
          workgroups: plan.workgroups,
          flops: 4 * heads * plan.queries * plan.params.rows * headDim,
        });
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/**
 * The words of a filter.
 *
 * @throws {RangeError} when the first row is not a whole number from 0 on.
 */
export function filterWords({ first = 0, hash, leastLogit = -Infinity }: RowAdmission): number[] {
  requireWhole("admit rows", "first", first, { least: 0 });
  const least = new Uint32Array(Float32Array.of(Math.max(leastLogit, -3e38)).buffer)[0];
  return [first, hash ? hash.seed >>> 0 : 0, hash ? hash.most >>> 0 : 0xffffffff, least];
}

/** Merges the chunks of each query row, f32 `[heads, queries, chunks, 4 + d]`, in float64. */
export function mergePartials(
  { heads, queries, chunks, headDim }: Pick<
    LastRowPlan,
    "heads" | "queries" | "chunks" | "headDim"
  >,
  partials: Float32Array,
): AttendedRow[][] {
  const stride = 4 + headDim;
  return Array.from({ length: heads }, (_, head) =>
    Array.from({ length: queries }, (_, slot) => {
      const base = (head * queries + slot) * chunks;
      let top = -Infinity;
      for (let chunk = 0; chunk < chunks; chunk++) {
        const at = (base + chunk) * stride;
        if (partials[at + 1] > 0) top = Math.max(top, partials[at]);
      }
      let total = 0;
      const output = new Float64Array(headDim);
      if (top === -Infinity) return { lse: top, output };
      for (let chunk = 0; chunk < chunks; chunk++) {
        const at = (base + chunk) * stride;
        if (partials[at + 1] <= 0) continue;
        const scale = Math.exp(partials[at] - top);
        total += scale * partials[at + 1];
        for (let c = 0; c < headDim; c++) output[c] += scale * partials[at + 4 + c];
      }
      for (let c = 0; c < headDim; c++) output[c] /= total;
      return { lse: top + Math.log(total), output };
    }));
}
