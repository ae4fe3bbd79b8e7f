/**
 * Gather: rows of Q, K or V at the selected pyramid entries, in gathered order.
 *
 * Shapes: rows `[heads, N, d]`, pooled `[heads, P - N, d]`, indices u32 `[heads, S]`, gathered
 * `[heads, S, d]`. A copy: bits are kept.
 *
 * @module
 */
import code from "./gather.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  type Dispatch,
  type DType,
  requireBytes,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams, type UniformValues } from "../../gpu/uniform.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { requirePowerOfTwo, wordsPerRow } from "../rows.ts";

const PARAMS = {
  context: "u32",
  pooledEntries: "u32",
  gathered: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planGather}. */
export interface GatherOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Rows a thread copies; their loads overlap. Default 4. */
  readonly rowsPerThread?: number;
  /** Threads of a workgroup, a power of two of at least the words of a row. Default 256. */
  readonly threads?: number;
}

/** A gather, planned. */
export interface GatherPlan {
  readonly code: string;
  readonly params: UniformValues<typeof PARAMS>;
  readonly workgroups: readonly [number, number, number];
  readonly rowBytes: number;
  readonly pooledBytes: number;
  readonly indexBytes: number;
  readonly gatheredBytes: number;
}

/** Buffers of one block of heads. */
export interface GatherBindings {
  readonly rows: BufferSlice;
  readonly pooled: BufferSlice;
  readonly indices: BufferSlice;
  readonly gathered: BufferSlice;
}

/** A compiled gather. */
export interface Gather {
  readonly bind: (slices: GatherBindings) => Dispatch[];
  readonly destroy: () => void;
}

/** Plans the gather of one tensor for a block of heads. */
export function planGather(geometry: LighthouseGeometry, options: GatherOptions): GatherPlan {
  const { heads, headDim, dtype } = options;
  const threads = options.threads ?? 256;
  const rowsPerThread = options.rowsPerThread ?? 4;
  const columns = wordsPerRow(headDim, dtype);
  requirePowerOfTwo("gather threads", threads, { least: columns, most: 1024 });
  requirePowerOfTwo("gather rowsPerThread", rowsPerThread, { least: 1, most: 64 });
  const [x, y] = foldGrid(Math.ceil(geometry.gathered / (threads / columns * rowsPerThread)));
  const elements = heads * headDim * bytesPerElement(dtype);
  const rows = Array.from({ length: rowsPerThread }, (_, r) => r);
  return {
    code: [
      code,
      `const threads = ${threads}u;`,
      `const columns = ${columns}u;`,
      `const rowsPerThread = ${rowsPerThread}u;`,
      "fn copyRows(head: u32, first: u32, column: u32) {",
      ...rows.map((r) => `  let entry${r} = entryOf(head, first + ${r}u * rowsPerStep);`),
      ...rows.map((r) => `  let word${r} = readRow(head, entry${r}, column);`),
      ...rows.map((r) => `  writeRow(head, first + ${r}u * rowsPerStep, column, word${r});`),
      "}",
      "",
    ].join("\n"),
    params: {
      context: geometry.context,
      pooledEntries: geometry.pooledEntries,
      gathered: geometry.gathered,
      gridWidth: x,
    },
    workgroups: [x, y, heads],
    rowBytes: geometry.context * elements,
    pooledBytes: geometry.pooledEntries * elements,
    indexBytes: heads * geometry.gathered * 4,
    gatheredBytes: geometry.gathered * elements,
  };
}

/** Compiles a gather. */
export async function createGather(gpu: Gpu, plan: GatherPlan): Promise<Gather> {
  const pipeline = await createPipeline(gpu, {
    label: "lighthouse gather",
    code: plan.code,
    bindings: ["read", "read", "read", "read-write", "uniform"],
  });
  const uniform = createParams(gpu, PARAMS, plan.params);
  return {
    bind({ rows, pooled, indices, gathered }) {
      requireBytes("gather: rows", rows, plan.rowBytes);
      requireBytes("gather: pooled rows", pooled, plan.pooledBytes);
      requireBytes("gather: indices", indices, plan.indexBytes);
      requireBytes("gather: gathered rows", gathered, plan.gatheredBytes);
      return [bindDispatch(gpu, pipeline, {
        slices: [
          rows,
          pooled,
          indices,
          gathered,
          { buffer: uniform, offset: 0, size: uniform.size },
        ],
        workgroups: plan.workgroups,
      })];
    },
    destroy: () => uniform.destroy(),
  };
}
