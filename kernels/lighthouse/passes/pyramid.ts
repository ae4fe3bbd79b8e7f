/**
 * Pyramid and norm scores: one pass that reads a tensor once and writes its pooled levels and, for
 * Q and K, the scores of every pyramid entry.
 *
 * Shapes: rows `[heads, N, d]`, pooled `[heads, P - N, d]` (levels 1 … L-1, finest first; level 0
 * is the input and is never copied), scores f32 `[heads, P]`.
 *
 * Numerics: sums in f32 in a fixed order that does not depend on the tuning options, one rounding
 * to the storage type; scores are SQUARED norms (see `norm_scores.wgsl`), which overflow to
 * infinity for f32 rows with norms above 1.8e19. With f16 storage, scores are the same on every
 * device, and so are pooled values of magnitude 2^-14 or more.
 *
 * @module
 */
import normScores from "../scorers/norm/norm_scores.wgsl" with { type: "text" };
import code from "./pyramid.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, requirePowerOfTwo, wordsPerRow } from "../rows.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { generateSums, generateWalk } from "./pyramid_codegen.ts";

const PARAMS = {
  context: "u32",
  windows: "u32",
  entries: "u32",
  pooledEntries: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planPyramid}. */
export interface PyramidOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Also write norm scores. */
  readonly scored: boolean;
  /**
   * Rows that a thread loads before it uses the first, a power of two. Default 8; results are
   * equal.
   */
  readonly rowsInFlight?: number;
  /** Threads of a workgroup, a power of two, at least the words of a row. Default 256. */
  readonly threads?: number;
}

/** The plan of a pyramid pass; without scores it has no buffer for them. */
export type PyramidPlan = PassPlan<PyramidBindings, typeof PARAMS>;

/** Buffers of one block of heads. */
export interface PyramidBindings {
  readonly rows: BufferSlice;
  readonly pooled: BufferSlice;
  /** Needed when the plan is scored. */
  readonly scores?: BufferSlice;
}

/** Plans one pass over a block of heads. */
export function planPyramid(geometry: LighthouseGeometry, options: PyramidOptions): PyramidPlan {
  const { heads, headDim, dtype, scored } = options;
  const threads = options.threads ?? 256;
  const columns = wordsPerRow(headDim, dtype);
  const rowsInFlight = Math.min(options.rowsInFlight ?? 8, geometry.windowRows);
  const windows = geometry.context / geometry.windowRows;
  requirePowerOfTwo("pyramid threads", threads, { least: columns, most: 1024 });
  requirePowerOfTwo("pyramid rowsInFlight", rowsInFlight, { least: 1, most: 64 });
  const walk = { rowsInFlight, columns, scored };
  const [x, y] = foldGrid(Math.ceil(windows / (threads / columns)));
  const elements = heads * headDim * bytesPerElement(dtype);
  return {
    pipeline: {
      label: "lighthouse pyramid",
      bindings: ["read", "read-write", "uniform", ...(scored ? ["read-write" as const] : [])],
      code: [
        code,
        scored ? normScores : "",
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const windowRows = ${geometry.windowRows}u;`,
        `const rowsInFlight = ${rowsInFlight}u;`,
        cellCode(dtype),
        scored ? generateSums(geometry, walk) : "",
        generateWalk(geometry, walk),
      ].join("\n"),
    },
    layout: PARAMS,
    params: {
      context: geometry.context,
      windows,
      entries: geometry.entries,
      pooledEntries: geometry.pooledEntries,
      gridWidth: x,
    },
    workgroups: [x, y, heads],
    bytes: {
      rows: geometry.context * elements,
      pooled: geometry.pooledEntries * elements,
      ...scored && { scores: heads * geometry.entries * 4 },
    },
  };
}

/** Compiles the pass. */
export function createPyramid(gpu: Gpu, plan: PyramidPlan): Promise<Pass<PyramidBindings>> {
  return createPass<PyramidBindings>(gpu, plan);
}
