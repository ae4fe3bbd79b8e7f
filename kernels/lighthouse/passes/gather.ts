/**
 * Gather: rows of Q, K or V at the selected pyramid entries, in gathered order.
 *
 * Shapes: rows `[heads, N, d]`, pooled `[heads, P - N, d]`, indices u32 `[heads, S]`, gathered
 * `[heads, S, d]`. A bit-exact copy.
 *
 * @module
 */
import code from "./gather.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { requirePowerOfTwo, wordsPerRow } from "../rows.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

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
  /** Rows that a thread copies; their loads overlap. Default 4. */
  readonly rowsPerThread?: number;
  /** Threads of a workgroup, a power of two, at least the words of a row. Default 256. */
  readonly threads?: number;
}

/** The plan of a gather. */
export type GatherPlan = PassPlan<GatherBindings, typeof PARAMS>;

/** Buffers of one block of heads. */
export interface GatherBindings {
  readonly rows: BufferSlice;
  readonly pooled: BufferSlice;
  readonly indices: BufferSlice;
  readonly gathered: BufferSlice;
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
  return {
    pipeline: {
      label: "lighthouse gather",
      bindings: ["read", "read", "read", "read-write", "uniform"],
      code: [
        code,
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const rowsPerThread = ${rowsPerThread}u;`,
        generateCopyRows(rowsPerThread),
      ].join("\n"),
    },
    layout: PARAMS,
    params: {
      context: geometry.context,
      pooledEntries: geometry.pooledEntries,
      gathered: geometry.gathered,
      gridWidth: x,
    },
    workgroups: [x, y, heads],
    bytes: {
      rows: geometry.context * elements,
      pooled: geometry.pooledEntries * elements,
      indices: heads * geometry.gathered * 4,
      gathered: geometry.gathered * elements,
    },
  };
}

/** The function `copyRows()`: all loads come before the first store, so that they overlap. */
export function generateCopyRows(rowsPerThread: number): string {
  const rows = range(rowsPerThread);
  return wgsl`
    fn copyRows(head: u32, first: u32, column: u32) {
      ${rows.map((r) => `let entry${r} = entryOf(head, first + ${r}u * rowsPerStep);`)}
      ${rows.map((r) => `let word${r} = readRow(head, entry${r}, column);`)}
      ${rows.map((r) => `writeRow(head, first + ${r}u * rowsPerStep, column, word${r});`)}
    }

  `;
}

/** Compiles the pass. */
export function createGather(gpu: Gpu, plan: GatherPlan): Promise<Pass<GatherBindings>> {
  return createPass<GatherBindings>(gpu, plan);
}
